// Answers one JSON line with one JSON line, so that tests in other languages can compare their sums with ours.

import { createInterface } from "node:readline";

import { draftChecksum } from "../client/crc32.js";
import { applyChange, applySplices, makeChange } from "../client/splice.js";
import { clean, utf8Length } from "../client/text.js";

const ANSWERS = {
  change: ({ before, after, whole }) => makeChange("code", before, after, { whole }),
  splices: ({ text, splices }) => applySplices(text, splices),
  apply: ({ text, change }) => applyChange(text, change),
  checksum: ({ fields }) => draftChecksum(fields),
  clean: ({ text }) => [clean(text), utf8Length(clean(text))],
};

for await (const line of createInterface({ input: process.stdin })) {
  const { ask, ...given } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(ANSWERS[ask](given))}\n`);
}
