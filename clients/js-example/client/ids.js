// Names that nobody else makes: of commands, and of this page load.

const LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** 26 characters that sort by time, as a ULID does: 48 bits of milliseconds, 80 bits of chance. */
export function newId(now = Date.now(), bytes = crypto.getRandomValues(new Uint8Array(16))) {
  let time = "";
  for (let left = now, i = 0; i < 10; i++, left = Math.floor(left / 32)) time = LETTERS[left % 32] + time;
  return time + Array.from(bytes, (byte) => LETTERS[byte % 32]).join("");
}
