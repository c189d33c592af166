// The parts that only compute.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Autosave } from "../client/autosave.js";
import { backoff } from "../client/backoff.js";
import { Clock } from "../client/clock.js";
import { afterClose } from "../client/codes.js";
import { Commands, Refused } from "../client/commands.js";
import { crc32, draftChecksum, fieldChecksum } from "../client/crc32.js";
import { newId } from "../client/ids.js";
import { applyChange, applySplices, diff, makeChange } from "../client/splice.js";
import { clean, utf8, utf8Length } from "../client/text.js";
import { addText, evolve } from "../client/view.js";
import { Timers } from "./fakes.js";

test("crc32 is the one everybody has", () => {
  assert.equal(crc32(utf8("123456789")), 0xcbf43926);
  assert.equal(fieldChecksum(""), 0);
  assert.equal(crc32(utf8("6789"), crc32(utf8("12345"))), 0xcbf43926);
  assert.equal(draftChecksum({}), crc32(new Uint8Array(28)));
});

test("a splice of what changed gives the new text back, and never cuts a pair", () => {
  const cases = [
    ["", "a"],
    ["abc", ""],
    ["aaa", "aaaa"],
    ["abab", "ab"],
    ["hello world", "hello brave world"],
    ["😀", "😁"], // the same first half
    ["x😀y", "x🤀y"], // the same second half
    ["😀😀", "😀"],
    ["é😀", "é"],
  ];
  for (const [before, after] of cases) {
    const splice = diff(before, after);
    assert.equal(applySplices(before, [splice]), after, `${before} -> ${after}`);
    assert.ok(splice.ins.isWellFormed() && before.slice(splice.at, splice.at + splice.del).isWellFormed());
  }
  assert.equal(diff("same", "same"), null);
});

test("a change is a splice where that is shorter, and the whole text where not, or when asked", () => {
  const long = "x".repeat(500);
  assert.deepEqual(makeChange("code", long, long + "y").splices, [{ at: 500, del: 0, ins: "y" }]);
  assert.equal(makeChange("code", "", "short").text, "short");
  assert.equal(makeChange("code", long, long + "y", { whole: true }).text, long + "y");
  assert.equal(applyChange(long, makeChange("code", long, "")), "");
});

test("a change is not applied to another text", () => {
  const change = makeChange("code", "x".repeat(500), "x".repeat(500) + "y");
  assert.equal(applyChange("z".repeat(500), change), null);
  assert.equal(applyChange("short", change), null);
});

test("text is made as the engine takes it", () => {
  assert.equal(clean("a\u0000b\r\nc\rd\te\u007f"), "ab\nc\nd\te");
  assert.equal(clean("a\ud800b\udc00"), "a\ufffdb\ufffd");
  assert.equal(clean("😀"), "😀");
  for (const text of ["", "aé€😀", "\ud800x"]) assert.equal(utf8Length(text), utf8(text).length);
});

test("backoff stays in the advised window, spreads over it, and grows", () => {
  const advice = { min_ms: 200, max_ms: 10_000, jitter: 1 };
  for (let attempt = 0; attempt < 30; attempt++) {
    assert.equal(backoff(attempt, advice, () => 0), 200);
    const highest = backoff(attempt, advice, () => 1);
    assert.equal(highest, Math.min(10_000, 200 * 2 ** (attempt + 1)));
  }
  assert.equal(backoff(3, { ...advice, jitter: 0 }, () => 0), 3_200);
});

test("close codes: the range decides, also for codes of tomorrow", () => {
  const expected = { 1001: "resume", 1006: "resume", 1012: "resume", 4000: "resume", 4099: "resume", 4100: "resume" };
  Object.assign(expected, { 4101: "fresh", 4408: "resume", 4500: "stop", 4505: "stop", 4599: "stop" });
  for (const [code, action] of Object.entries(expected)) assert.equal(afterClose(Number(code)), action, code);
});

test("the clock believes the quickest of the last five exchanges", () => {
  let now = 1_000;
  const clock = new Clock(() => now);
  clock.sample({ t0: 0, t1: 50_400, t2: 50_400, t3: 1_000 }); // slow and lopsided
  clock.sample({ t0: 990, t1: 50_995, t2: 50_995, t3: 1_000 }); // quick: the offset is 50 000
  assert.equal(clock.now(), 51_000);
  now = 2_000;
  assert.equal(clock.now(), 52_000);
  for (let i = 0; i < 5; i++) clock.sample({ t0: 1_900, t1: 61_950, t2: 61_950, t3: 2_000 });
  assert.equal(clock.now(), 62_000); // the quick one has gone
  clock.sample({ t0: 10, t1: 5, t2: 900, t3: 20 }); // nonsense
  assert.equal(clock.now(), 62_000);
});

test("ids fit the protocol, sort by time, and do not repeat", () => {
  const ids = Array.from({ length: 1_000 }, () => newId());
  for (const id of ids) assert.match(id, /^[0-9A-Za-z_-]{8,40}$/);
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(newId(1_000) < newId(2_000_000_000_000));
});

test("autosave waits for a pause, but not for ever", () => {
  const timers = new Timers();
  let saves = 0;
  const autosave = new Autosave(() => saves++, timers);
  autosave.touch();
  timers.advance(799);
  assert.equal(saves, 0);
  timers.advance(1);
  assert.equal(saves, 1);
  for (let i = 0; i < 25; i++) {
    autosave.touch();
    timers.advance(200);
  }
  assert.equal(saves, 2); // five seconds of typing without a pause
});

test("commands: sent once a connection, again after it, in order, within the window", () => {
  const commands = new Commands();
  const ids = ["a", "b", "c"].map((text) => commands.add("clarify.ask", { text }).id);
  assert.deepEqual(commands.take(2).map((frame) => frame.id), ids.slice(0, 2));
  assert.deepEqual(commands.take(2), []);
  assert.deepEqual(commands.unknown, ids.slice(0, 2));
  commands.ack({ t: "ack", id: ids[0], s: 1 });
  assert.deepEqual(commands.take(2).map((frame) => frame.id), [ids[2]]);
  commands.restart();
  assert.deepEqual(commands.take(16).map((frame) => frame.id), ids.slice(1));
});

test("commands: acks resolve, refusals reject with their code, a second answer is nothing", async () => {
  const commands = new Commands();
  const [yes, no] = [commands.add("a", {}), commands.add("b", {})];
  commands.take();
  commands.ack({ id: yes.id, s: 4 });
  commands.refuse({ id: no.id, code: "phase", message: "no" });
  assert.equal(commands.ack({ id: yes.id, s: 5 }), undefined);
  assert.equal((await yes.done).s, 4);
  await assert.rejects(no.done, (error) => error instanceof Refused && error.code === "phase");
});

const VIEW = { id: "i", s: 0, phase: "clarifying", deadline_at: 9, clarifications: [], submission: null, evaluation: null };
const play = (frames) => frames.reduce((view, [t, d], i) => evolve(view, { t, d, s: i + 1, ts: 100 + i }), VIEW);

test("the view follows the events", () => {
  const said = { text: "how many?", kind: "confirm", response: "Did you mean: size?", intent: "size", label: "size" };
  const view = play([
    ["clarification.answered", said],
    ["clarification.answered", { ...said, kind: "answered", response: "Two thousand.", ref: 1, remaining: 0 }],
    ["clarification.refunded", { ref: 2, charged: true }],
    ["draft.saved", { rev: 1, changes: [] }],
    ["phase.changed", { phase: "design", by: "candidate", deadline_at: 99 }],
    ["solution.submitted", { by: "clock", rev: 1, late: false, run: 1 }],
    ["evaluation.started", { run: 1, attempt: 1, judge: "offline", criteria: [{ id: "C1", name: "One", weight: 1 }] }],
    ["evaluation.criterion", { run: 1, id: "C1", score: 0.5 }],
    ["evaluation.of_tomorrow", {}],
    ["evaluation.completed", { run: 1, score: 50, judge: "offline" }],
  ]);
  assert.deepEqual(view.clarifications.map((c) => c.state), ["confirmed", "refunded"]);
  assert.equal(view.deadline_at, 99);
  assert.deepEqual(view.submission, { by: "clock", at: 105, rev: 1, late: false });
  assert.equal(view.evaluation.state, "completed");
  assert.equal(view.evaluation.judged.length, 1);
  assert.equal(view.s, 10);
  assert.throws(() => evolve(view, { t: "draft.saved", s: 12 }), RangeError);
});

test("a result stands while a check of it is judged again", () => {
  const before = [
    ["solution.submitted", { by: "candidate", rev: 1, run: 1 }],
    ["evaluation.criterion", { run: 1, id: "C1", score: 0 }],
    ["evaluation.criterion", { run: 1, id: "C2", score: 0 }],
    ["evaluation.completed", { run: 1, score: 40, judge: "openai" }],
    ["evaluation.appealed", { run: 2, check: "C1.a", field: "code", quote: "q" }],
    ["evaluation.started", { run: 2, attempt: 1, judge: "openai", criteria: [] }],
  ];
  const { evaluation } = play(before);
  assert.deepEqual([evaluation.state, evaluation.result.score, evaluation.appeal.state], ["completed", 40, "running"]);
  const failed = play([...before, ["evaluation.failed", { run: 2, code: "c", message: "m", retryable: true }]]).evaluation;
  assert.deepEqual([failed.state, failed.failure, failed.appeal.failure.code], ["completed", null, "c"]);
  const done = play([
    ...before,
    ["evaluation.criterion", { run: 2, id: "C1", score: 0.5 }],
    ["evaluation.completed", { run: 2, score: 45, judge: "openai" }],
  ]).evaluation;
  assert.deepEqual([done.run, done.result.score, done.appeal.state], [1, 45, "completed"]);
  assert.deepEqual(done.judged.map(({ id, score }) => [id, score]), [["C1", 0.5], ["C2", 0]]);
});

test("the narrative grows by its pieces; older attempts, other runs and gaps are dropped", () => {
  const criteria = [];
  const submitted = ["solution.submitted", { by: "clock", rev: 0, run: 1 }];
  let view = play([submitted, ["evaluation.started", { run: 1, attempt: 2, judge: "openai", criteria }]]);
  for (const piece of [
    { run: 1, attempt: 2, i: 0, text: "Good " },
    { run: 1, attempt: 1, i: 5, text: "old" },
    { run: 1, attempt: 2, i: 9, text: "gap" },
    { run: 1, attempt: 2, i: 5, text: "work" },
    { run: 1, attempt: 2, i: 5, text: "work." },
  ])
    view = addText(view, piece);
  assert.equal(view.evaluation.text, "Good work.");
});
