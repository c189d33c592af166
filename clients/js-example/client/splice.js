// The difference of two texts as one splice in UTF-16 units, and how splices are applied.

import { fieldChecksum } from "./crc32.js";
import { isHigh, isLow } from "./text.js";

/** What turns `before` into `after`: {at, del, ins}, or null when they are the same. Never cuts a surrogate pair. */
export function diff(before, after) {
  if (before === after) return null;
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before.charCodeAt(start) === after.charCodeAt(start)) start++;
  if (start > 0 && isHigh(before.charCodeAt(start - 1))) start--;
  let tail = 0;
  while (tail < shorter - start && unitFromEnd(before, tail) === unitFromEnd(after, tail)) tail++;
  if (tail > 0 && isLow(before.charCodeAt(before.length - tail))) tail--;
  return { at: start, del: before.length - tail - start, ins: after.slice(start, after.length - tail) };
}

const unitFromEnd = (text, n) => text.charCodeAt(text.length - 1 - n);

/** `text` after the splices, one after the other; null when one reaches past the end. */
export function applySplices(text, splices) {
  for (const { at, del = 0, ins = "" } of splices) {
    if (at + del > text.length) return null;
    text = text.slice(0, at) + ins + text.slice(at + del);
  }
  return text;
}

/** `text` after a change as `draft.saved` carries it; null when it does not fit this text. */
export function applyChange(text, change) {
  const after = change.splices ? applySplices(text, change.splices) : (change.text ?? "");
  const fits = after !== null && (change.checksum == null || fieldChecksum(after) === change.checksum);
  return fits ? after : null;
}

/**
 * The change of `field` from `before` to `after`, as `draft.save` carries it: a splice where that is shorter than the
 * text, else (or with `whole`) the text itself. Always with the checksum of the result.
 */
export function makeChange(field, before, after, { whole = false } = {}) {
  const splice = whole ? null : diff(before, after);
  const checksum = fieldChecksum(after);
  if (splice && splice.ins.length + SPLICE_CHARS < after.length) return { field, splices: [splice], checksum };
  return { field, text: after, checksum };
}

/** About what the splice's own words take in a frame. */
const SPLICE_CHARS = 40;
