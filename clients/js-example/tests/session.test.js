// The whole client against a small engine: lost lines, lost acks, two tabs, reloads, clocks.

import assert from "node:assert/strict";
import { test } from "node:test";

import { settle } from "./fakes.js";
import { commands, cut, join, world } from "./tabs.js";

test("connects with a ticket as a subprotocol, and knows the interview", async () => {
  const w = world();
  const client = await join(w);
  const [socket] = w.engine.sockets;
  assert.deepEqual(socket.protocols, ["sdi.v1.json", "ticket.t1"]);
  assert.deepEqual([client.role, client.view.phase, client.status.state], ["writer", "design", "online"]);
  const hello = commands(w.engine, "hello")[0].d;
  assert.equal(hello.resume, null);
  assert.match(hello.tab, /^[0-9A-Za-z_-]{1,64}$/);
});

test("typing is saved after a pause", async () => {
  const w = world();
  const client = await join(w);
  client.edit("code", "class");
  await w.timers.pass(700);
  assert.equal(commands(w.engine, "draft.save").length, 0);
  assert.equal(client.savedState("code"), "saving");
  await w.timers.pass(200);
  assert.equal(w.engine.draft.fields.code, "class");
  assert.equal(client.savedState("code"), "saved");
});

test("an ack is lost with the line: the same command goes again on a new line, and counts once", async () => {
  const w = world();
  const client = await join(w);
  w.engine.swallow = true;
  const asked = client.ask("how many?");
  await settle();
  w.engine.swallow = false;
  cut(w.engine);
  await w.timers.pass(1_000);
  assert.equal((await asked).dup, true);
  assert.equal(w.engine.events.length, 1);
  assert.equal(client.view.clarifications.length, 1);
  assert.equal(commands(w.engine, "clarify.ask").length, 1); // welcome had the answer
});

test("a command that was lost with the line is sent again with its id", async () => {
  const w = world();
  const client = await join(w);
  w.engine.mute.add("clarify.ask");
  const asked = client.ask("how many?");
  await settle();
  w.engine.mute.clear();
  cut(w.engine);
  await w.timers.pass(1_000);
  assert.equal((await asked).s, 1);
  const ids = commands(w.engine, "clarify.ask").map((frame) => frame.id);
  assert.deepEqual([ids.length, new Set(ids).size], [2, 1]);
});

test("text typed while the line is down is saved when it is back, each attempt with a new ticket", async () => {
  const w = world();
  const client = await join(w);
  w.engine.up = false;
  cut(w.engine);
  client.edit("code", "offline text");
  await w.timers.pass(20_000, 100);
  assert.equal(client.savedState("code"), "offline");
  assert.equal(client.online, false);
  assert.ok(w.engine.tickets > 3, `${w.engine.tickets} attempts`);
  assert.ok(w.engine.tickets < 20, `${w.engine.tickets} attempts: that is a storm`);
  w.engine.up = true;
  await w.timers.pass(6_000);
  assert.equal(w.engine.draft.fields.code, "offline text");
  assert.equal(client.savedState("code"), "saved");
});

test("events missed while away are replayed once; events seen twice count once", async () => {
  const w = world();
  const client = await join(w);
  cut(w.engine);
  w.engine.event("clarification.answered", { text: "q", kind: "answered", response: "r" });
  await w.timers.pass(1_000);
  w.engine.say(w.engine.events[0]);
  await settle();
  assert.deepEqual(commands(w.engine, "hello").map((frame) => frame.d.resume?.s), [undefined, 0]);
  assert.equal(client.view.clarifications.length, 1);
});

test("an event in the middle of a replay does not fit: none of the rest is taken, and a snapshot is fetched, once", async () => {
  const w = world();
  const client = await join(w);
  const seen = [];
  client.addEventListener("view", () => seen.push([client.view.s, client.view.clarifications.length]));
  cut(w.engine);
  const saved = (rev, change) => ["draft.saved", { rev, changes: [{ field: "code", ...change }], language: "go", checksum: 0 }];
  w.engine.event(...saved(1, { text: "fits" }));
  w.engine.event(...saved(2, { splices: [{ at: 99, del: 1, ins: "" }], checksum: 0 }));
  w.engine.event("clarification.answered", { text: "q", kind: "answered", response: "r" });
  Object.assign(w.engine.draft, { rev: 2, fields: { ...w.engine.draft.fields, code: "theirs" } });
  await w.timers.pass(2_000);
  assert.deepEqual(seen, [[1, 0], [3, 0]]); // the first event, and the snapshot
  assert.deepEqual(commands(w.engine, "hello").map((frame) => frame.d.resume?.s), [undefined, 0, undefined]);
  assert.equal(client.draft.local.code, "theirs");
});

test("text typed while away is saved after the replay, on the revision that it brought", async () => {
  const w = world();
  const client = await join(w);
  w.engine.up = false;
  cut(w.engine);
  client.edit("code", "mine");
  w.engine.draft.rev = 1;
  w.engine.draft.fields.apis = "theirs";
  w.engine.event("draft.saved", { rev: 1, changes: [{ field: "apis", text: "theirs" }], language: "python" });
  w.engine.up = true;
  await w.timers.pass(5_000);
  assert.deepEqual(commands(w.engine, "draft.save").map((frame) => frame.d.base), [1]);
  assert.deepEqual([client.draft.local.apis, w.engine.draft.fields.code], ["theirs", "mine"]);
});

test("a gap in the numbers: a new line beside the old one fetches what is missing", async () => {
  const w = world();
  const client = await join(w);
  w.engine.events.push({ t: "clarification.answered", s: 1, ts: 1, d: { text: "a", kind: "answered", response: "" } });
  w.engine.event("clarification.answered", { text: "b", kind: "answered", response: "" });
  await w.timers.pass(1_000);
  assert.deepEqual(client.view.clarifications.map((said) => said.text), ["a", "b"]);
  assert.equal(w.engine.sockets.size, 1);
});

test("a heartbeat tells of a last event that never came", async () => {
  const w = world();
  const client = await join(w);
  w.engine.events.push({ t: "clarification.answered", s: 1, ts: 1, d: { text: "a", kind: "answered", response: "" } });
  w.engine.say({ t: "ping", d: { head: 1, ts: 0 } });
  await w.timers.pass(2_000);
  assert.equal(commands(w.engine, "pong").length, 1);
  assert.equal(client.view.clarifications.length, 1);
});

test("a line that died without a word is found out by its silence", async () => {
  const w = world();
  const client = await join(w);
  for (const socket of w.engine.sockets) socket.dead = true;
  await w.timers.pass(40_000, 500);
  assert.equal(commands(w.engine, "hello").length, 2);
  assert.ok(client.online);
});

test("a command without an answer has the line tried much sooner", async () => {
  const w = world();
  const client = await join(w);
  await w.timers.pass(3_000);
  for (const socket of w.engine.sockets) socket.dead = true;
  const asked = client.ask("hello?");
  await w.timers.pass(16_000, 100);
  assert.equal((await asked).s, 1);
});

test("a draining node: the new line is there before the old one goes", async () => {
  const w = world();
  const client = await join(w);
  const states = [];
  client.addEventListener("status", ({ detail }) => states.push(detail.state));
  w.engine.say({ t: "drain", d: { in_ms: 400 } });
  await w.timers.pass(1_000);
  assert.equal(commands(w.engine, "hello").length, 2);
  assert.equal(w.engine.sockets.size, 1);
  assert.deepEqual(new Set(states), new Set(["online"]));
});

test("close codes: 45xx stops and says why, 4101 comes back without a cursor", async () => {
  const w = world();
  const client = await join(w);
  cut(w.engine, 4101);
  await w.timers.pass(1_000);
  assert.equal(commands(w.engine, "hello")[1].d.resume, null);
  const asked = client.ask("?");
  cut(w.engine, 4505);
  await w.timers.pass(60_000, 1_000);
  assert.equal(client.status.state, "stopped");
  assert.match(client.status.reason, /not yours/);
  assert.equal(commands(w.engine, "hello").length, 2);
  await asked.catch(() => {});
});

test("a refused ticket: over for good, or later when the engine says so", async () => {
  const w = world();
  w.engine.ticketError = Object.assign(new Error("busy"), { retry_ms: 9_000 });
  const client = await join(w, { wait: false });
  const refused = assert.rejects(client.connect(), /signed out/);
  await w.timers.pass(8_500, 100);
  assert.equal(w.engine.tickets, 1);
  w.engine.ticketError = Object.assign(new Error("signed out"), { stop: true });
  await w.timers.pass(1_000, 100);
  await refused;
});

test("three resumes that fail in a row: then without a cursor", async () => {
  const w = world();
  await join(w);
  const hello = w.engine.hello;
  w.engine.hello = (socket) => socket.end(4001);
  cut(w.engine);
  await w.timers.pass(8_000);
  w.engine.hello = hello;
  await w.timers.pass(8_000);
  const resumes = commands(w.engine, "hello").slice(1).map((frame) => frame.d.resume !== null);
  assert.deepEqual(resumes.slice(0, 4), [true, true, true, false]);
});

test("two tabs: the newer writes, the older sees it live, keeps its own text, and can take the pen back", async () => {
  const w = world();
  const first = await join(w);
  const second = await join(w);
  await settle();
  assert.deepEqual([first.role, second.role], ["observer", "writer"]);
  assert.equal(first.edit("code", "x"), false);
  second.edit("code", "from the second");
  await w.timers.pass(1_000);
  assert.equal(first.draft.local.code, "from the second");
  first.take();
  await w.timers.pass(1_000);
  assert.deepEqual([first.role, second.role], ["writer", "observer"]);
  for (let beat = 0; beat < 4; beat++) {
    await w.timers.pass(20_000, 500);
    w.engine.say({ t: "ping", d: { head: w.engine.events.length, ts: 0 } });
  }
  assert.equal(commands(w.engine, "hello").length, 3); // nobody fights
  first.edit("code", "from the first");
  await w.timers.pass(1_000);
  assert.equal(second.draft.local.code, "from the first");
});

test("a fenced save makes this tab an observer, and its text is not lost", async () => {
  const w = world();
  const client = await join(w);
  w.engine.writer = "somebody";
  client.edit("code", "mine");
  await w.timers.pass(1_000);
  assert.equal(client.role, "observer");
  assert.equal(client.savedState("code"), "offline");
  client.take();
  await w.timers.pass(1_000);
  assert.equal(w.engine.draft.fields.code, "mine");
});

test("a reload while offline: the next page load has the text, and saves it", async () => {
  const w = world();
  const before = await join(w);
  w.engine.up = false;
  cut(w.engine);
  before.edit("code", "typed in the dark");
  await w.timers.pass(300);
  before.close();
  w.engine.up = true;
  const after = await join(w);
  await w.timers.pass(1_000);
  assert.equal(after.draft.local.code, "typed in the dark");
  assert.equal(w.engine.draft.fields.code, "typed in the dark");
  await w.timers.pass(1_000);
  assert.equal(w.storage.length, 0);
});

test("a tab that is still open keeps its own unsaved text to itself", async () => {
  const w = world();
  const first = await join(w);
  w.engine.mute.add("draft.save");
  first.edit("code", "of the first tab");
  await w.timers.pass(300);
  const second = await join(w);
  assert.equal(second.draft.local.code, "");
});

test("submit saves first, locks the editors, and names what is stored", async () => {
  const w = world();
  const client = await join(w);
  client.edit("code", "the end");
  const submitted = client.submit();
  assert.equal(client.editable("code"), false);
  await submitted;
  assert.equal(w.engine.draft.fields.code, "the end");
  assert.equal(client.view.phase, "submitted");
});

test("the record is away: submit waits and goes again with its id; saves are marked live", async () => {
  const w = world();
  const client = await join(w);
  w.engine.durable = "live";
  client.edit("code", "kept");
  await w.timers.pass(1_000);
  assert.equal(client.savedState("code"), "live");
  w.engine.refusals.push({ code: "record_unavailable", temp: true, retry_ms: 1_000 });
  const slow = [];
  client.addEventListener("slow", ({ detail }) => slow.push(detail.code));
  const submitted = client.submit();
  await w.timers.pass(500);
  w.engine.durable = "record";
  w.engine.say({ t: "recorded", d: { s: 1 } });
  await settle();
  assert.equal(client.savedState("code"), "saved");
  await w.timers.pass(2_000);
  await submitted;
  assert.deepEqual(slow, ["record_unavailable"]);
  const ids = commands(w.engine, "solution.submit").map((frame) => frame.id);
  assert.deepEqual([ids.length, new Set(ids).size], [2, 1]);
});

test("a conflict that is none: the save is made anew on the engine's revision", async () => {
  const w = world();
  const client = await join(w);
  client.edit("code", "x");
  w.engine.refusals.push({ code: "conflict", d: { rev: 0 } });
  await w.timers.pass(1_500);
  assert.equal(w.engine.draft.fields.code, "x");
});

test("a save the engine keeps refusing does not loop", async () => {
  const w = world();
  const client = await join(w);
  for (let i = 0; i < 50; i++) w.engine.refusals.push({ code: "deadline_passed" });
  client.edit("code", "x");
  await w.timers.pass(10_000, 100);
  assert.equal(commands(w.engine, "draft.save").length, 1);
  await assert.rejects(client.settle(), (error) => error.code === "deadline_passed");
});

test("need_full again and again ends in a snapshot, not in a loop", async () => {
  const w = world();
  const client = await join(w);
  for (let i = 0; i < 3; i++) w.engine.refusals.push({ code: "need_full", d: { field: "code" } });
  client.edit("code", "x");
  await w.timers.pass(3_000, 100);
  assert.equal(commands(w.engine, "hello").at(-1).d.resume, null);
  assert.equal(w.engine.draft.fields.code, "x");
});

test("the clock: counts to the deadline by the server's time, sends the last text in time, then stops typing", async () => {
  const w = world();
  w.engine.deadline_at = 1_000_000 + 10_000;
  const client = await join(w);
  await w.timers.pass(4_000);
  assert.ok(Math.abs(client.remaining_ms - 6_000) <= 1, `${client.remaining_ms}`);
  await w.timers.pass(4_400);
  client.edit("code", "almost");
  await w.timers.pass(200);
  await new Promise((resolve) => setTimeout(resolve, 300)); // the tick is the computer's
  await settle();
  assert.equal(w.engine.draft.fields.code, "almost");
  await w.timers.pass(1_500);
  assert.equal(client.edit("code", "too late"), false);
});

test("clarifying runs out while one types: nothing is lost, and it is saved in design", async () => {
  const w = world();
  Object.assign(w.engine, { phase: "clarifying", deadline_at: 1_000_000 + 2_000 });
  const client = await join(w);
  await w.timers.pass(2_100);
  assert.notEqual(client.edit("functional_req", "typed just then"), false);
  assert.equal(client.edit("code", "too early"), false);
  w.engine.refusals.push({ code: "deadline_passed" });
  await w.timers.pass(1_000);
  assert.equal(client.savedState("functional_req"), "saving");
  w.engine.phase = "design";
  w.engine.event("phase.changed", { phase: "design", by: "clock", deadline_at: 1_000_000 + 900_000 });
  await w.timers.pass(200);
  assert.equal(w.engine.draft.fields.functional_req, "typed just then");
});

test("the interview was rebuilt without the last, unrecorded save: it is saved again", async () => {
  const w = world();
  const client = await join(w);
  client.edit("code", "recorded");
  await w.timers.pass(1_000);
  w.engine.durable = "live";
  client.edit("code", "recorded, and live");
  await w.timers.pass(1_000);
  assert.equal(client.savedState("code"), "live");
  w.engine.events.pop();
  w.engine.outcomes.clear();
  Object.assign(w.engine, { epoch: 2, durable: "record" });
  Object.assign(w.engine.draft, { rev: 1 });
  w.engine.draft.fields.code = "recorded";
  cut(w.engine);
  await w.timers.pass(2_000);
  assert.equal(w.engine.draft.fields.code, "recorded, and live");
  assert.equal(client.savedState("code"), "saved");
});
