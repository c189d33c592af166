// Text as the engine takes it: no NUL, no lone surrogates, line feeds only. Lengths in UTF-16 units and UTF-8 bytes.

const encoder = new TextEncoder();

/** The UTF-8 bytes of a text. */
export const utf8 = (text) => encoder.encode(text);

/** How many UTF-8 bytes a text takes, without making them. */
export function utf8Length(text) {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) bytes += 1;
    else if (unit < 0x800) bytes += 2;
    else if (isHigh(unit) && isLow(text.charCodeAt(i + 1))) (bytes += 4), i++;
    else bytes += 3;
  }
  return bytes;
}

/** Whether a unit is the first, or the second, half of a surrogate pair. */
export const isHigh = (unit) => unit >= 0xd800 && unit <= 0xdbff;
export const isLow = (unit) => unit >= 0xdc00 && unit <= 0xdfff;

// Control characters other than tab and line feed. They say nothing in a draft, and JSON makes six bytes of each.
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f]/g;
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** The text with what the engine refuses taken out; lone surrogates become U+FFFD, as browsers show them. */
export const clean = (text) => text.replace(/\r\n?/g, "\n").replace(CONTROLS, "").replace(LONE, "\ufffd");
