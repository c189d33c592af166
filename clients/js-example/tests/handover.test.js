// The pen goes over to another line, and the record comes after what is live: what the page says meanwhile.

import assert from "node:assert/strict";
import { test } from "node:test";

import { settle } from "./fakes.js";
import { commands, cut, join, world } from "./tabs.js";

test("a draining node: typing and asking go on while the pen goes over to the new line", async () => {
  const w = world();
  const client = await join(w);
  const roles = [];
  client.addEventListener("role", ({ detail }) => roles.push(detail.role));
  w.engine.welcome_ms = 500;
  w.engine.say({ t: "drain", d: { in_ms: 0 } });
  await w.timers.pass(200);
  assert.equal(commands(w.engine, "hello").length, 2);
  const asked = client.ask("how many?");
  assert.notEqual(client.edit("code", "class Garage"), false);
  await w.timers.pass(2_000);
  assert.equal((await asked).t, "ack");
  assert.deepEqual([roles, client.role, w.engine.draft.fields.code], [[], "writer", "class Garage"]);
});

test("a page that comes in while the record is away calls nothing saved until the record has it", async () => {
  const w = world();
  w.engine.durable = "live";
  const writer = await join(w);
  writer.edit("code", "class Garage");
  await w.timers.pass(2_000);
  const late = await join(w, { write: false });
  assert.deepEqual([late.savedState("code"), late.savedState("apis")], ["live", "saved"]);
  w.engine.say({ t: "recorded", d: { s: 1 } });
  await settle();
  assert.equal(late.savedState("code"), "saved");
});

test("what the record caught up with while the line was cut is saved", async () => {
  const w = world();
  const client = await join(w);
  w.engine.durable = "live";
  client.edit("code", "class Garage");
  await w.timers.pass(2_000);
  assert.equal(client.savedState("code"), "live");
  cut(w.engine);
  w.engine.durable = "record";
  await w.timers.pass(2_000);
  assert.deepEqual([client.status.state, client.savedState("code")], ["online", "saved"]);
});
