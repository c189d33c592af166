// CRC-32 (ISO 3309, as zlib has it) of bytes, of a draft's field, and of a whole draft.

import { utf8 } from "./text.js";
import { FIELDS } from "./words.js";

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

/** CRC-32 of `bytes`, going on from `sum`: an unsigned 32-bit number. */
export function crc32(bytes, sum = 0) {
  let crc = ~sum;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** CRC-32 of a field's UTF-8 bytes. */
export const fieldChecksum = (text) => crc32(utf8(text));

/** CRC-32 over the seven fields in table order, each as its byte length (4 bytes, big-endian) and its bytes. */
export function draftChecksum(fields) {
  let sum = 0;
  for (const field of FIELDS) {
    const bytes = utf8(fields[field] ?? "");
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, bytes.length);
    sum = crc32(bytes, crc32(length, sum));
  }
  return sum;
}
