// The draft in one tab: whose text wins, what is kept, and what each field's state says.

import assert from "node:assert/strict";
import { test } from "node:test";

import { fieldChecksum } from "../client/crc32.js";
import { Draft } from "../client/draft.js";
import { applyChange } from "../client/splice.js";
import { FIELDS } from "../client/words.js";

const view = (fields = {}, rev = 0, language = "python") => ({
  rev,
  language,
  fields: { ...Object.fromEntries(FIELDS.map((f) => [f, ""])), ...fields },
});

const loaded = (fields = {}, rev = 0) => {
  const draft = new Draft();
  draft.load(view(fields, rev), { first: true });
  return draft;
};

let seq = 0;
const saved = (draft, save, durable) => ({
  s: ++seq,
  durable,
  d: { rev: save.base + 1, changes: save.changes, language: save.language ?? draft.language.stored },
});
const elsewhere = (draft, field, text) =>
  saved(draft, { base: draft.rev, changes: [{ field, text, checksum: fieldChecksum(text) }] });

/** Send, have it stored, be told. */
const store = (draft, durable) => {
  const save = draft.nextSave();
  const event = saved(draft, save, durable);
  assert.ok(draft.apply(event));
  draft.acked(event.s, event.s);
  return event;
};

test("typing is saved, and only what is in the record is called saved", () => {
  const draft = loaded();
  draft.edit("code", "class A");
  assert.equal(draft.stateOf("code"), "saving");
  assert.equal(draft.stateOf("code", { online: false }), "offline");
  const event = store(draft, "live");
  assert.equal(draft.stateOf("code"), "live");
  assert.ok(!draft.safe);
  draft.recordedTo(event.s);
  assert.equal(draft.stateOf("code"), "saved");
  assert.ok(draft.safe);
});

test("one save at a time; what is typed meanwhile goes next and is no conflict", () => {
  const draft = loaded();
  draft.edit("code", "a");
  const first = draft.nextSave();
  draft.edit("code", "ab");
  assert.equal(draft.nextSave(), null);
  const event = saved(draft, first);
  draft.apply(event);
  assert.equal(draft.local.code, "ab");
  assert.equal(draft.stateOf("code"), "saving");
  draft.acked(event.s, event.s);
  assert.equal(draft.nextSave().base, 1);
  assert.equal(draft.conflicts.size, 0);
});

test("typing back to the old text while a save is in flight is kept, too", () => {
  const draft = loaded({ code: "a" });
  draft.edit("code", "ab");
  const first = draft.nextSave();
  draft.edit("code", "a");
  draft.apply(saved(draft, first));
  assert.equal(draft.local.code, "a");
  assert.ok(draft.isDirty("code"));
});

test("the ack may come before the event: the next save waits for the event", () => {
  const draft = loaded();
  draft.edit("code", "a");
  const event = saved(draft, draft.nextSave());
  draft.acked(event.s, event.s - 1);
  assert.ok(draft.saving);
  draft.apply(event);
  assert.ok(!draft.saving && !draft.dirty);
});

test("an observer sees what the writer saves", () => {
  const draft = loaded({ code: "a" });
  draft.apply(elsewhere(draft, "code", "a live text"));
  assert.equal(draft.local.code, "a live text");
  assert.equal(draft.stateOf("code"), "saved");
});

test("another's change of another field is no conflict; of the same field both texts are kept", () => {
  const draft = loaded();
  draft.edit("code", "mine");
  draft.apply(elsewhere(draft, "apis", "theirs"));
  assert.equal(draft.local.apis, "theirs");
  assert.equal(draft.conflicts.size, 0);
  draft.apply(elsewhere(draft, "code", "theirs"));
  assert.equal(draft.stateOf("code"), "conflict");
  assert.equal(draft.local.code, "mine");
  assert.equal(draft.conflicts.get("code"), "theirs");
  assert.equal(draft.nextSave(), null); // nothing is overwritten before the user has chosen
  draft.resolve("code", "mine");
  assert.equal(applyChange("theirs", draft.nextSave().changes[0]), "mine");
});

test("a conflict may be given up", () => {
  const draft = loaded();
  draft.edit("code", "mine");
  draft.apply(elsewhere(draft, "code", "theirs"));
  draft.resolve("code", "theirs");
  assert.equal(draft.local.code, "theirs");
  assert.equal(draft.stateOf("code"), "saved");
});

test("a change that does not fit is not applied", () => {
  const draft = loaded({ code: "abc" });
  const change = { field: "code", splices: [{ at: 1, del: 1, ins: "x" }], checksum: fieldChecksum("zzz") };
  assert.equal(draft.apply({ s: 1, d: { rev: 1, changes: [change], language: "go" } }), false);
  assert.equal(draft.apply({ s: 1, d: { rev: 7, changes: [], language: "go" } }), false);
  assert.equal(draft.stored.code, "abc");
});

test("need_full: the next save sends the whole field", () => {
  const draft = loaded({ code: "x".repeat(300) });
  draft.edit("code", "x".repeat(300) + "y");
  assert.ok(draft.nextSave().changes[0].splices);
  draft.refused("need_full", { field: "code" });
  assert.equal(draft.nextSave().changes[0].text.length, 301);
});

test("what the engine refuses for good is marked, and sent again only after typing", () => {
  const draft = loaded();
  draft.edit("code", "bad");
  draft.edit("apis", "good");
  draft.nextSave();
  draft.refused("bad_change", { field: "code" });
  assert.equal(draft.stateOf("code"), "refused");
  assert.deepEqual(draft.nextSave().changes.map((c) => c.field), ["apis"]);
  draft.edit("code", "better");
  assert.equal(draft.stateOf("code"), "saving");
});

test("a field longer than the engine takes is kept here and not sent", () => {
  const draft = loaded();
  draft.edit("code", "é".repeat(32_769)); // 65 538 bytes
  assert.equal(draft.stateOf("code"), "refused");
  assert.equal(draft.nextSave(), null);
  draft.edit("code", "é".repeat(32_768));
  assert.equal(draft.nextSave().changes.length, 1);
});

test("while clarifying only the requirements go", () => {
  const draft = loaded();
  draft.edit("functional_req", "a");
  draft.edit("code", "b");
  assert.deepEqual(draft.nextSave({ phase: "clarifying" }).changes.map((c) => c.field), ["functional_req"]);
});

test("a frame holds what fits; the rest goes next", () => {
  const draft = loaded();
  for (const field of FIELDS) draft.edit(field, '"'.repeat(65_000));
  let saves = 0;
  for (let save; (save = draft.nextSave()); saves++) {
    assert.ok(JSON.stringify(save).length < 262_144);
    const event = saved(draft, save);
    draft.apply(event);
    draft.acked(event.s, event.s);
  }
  assert.ok(saves > 1 && draft.safe);
});

test("the language is saved alone, and is kept while its save is on the way", () => {
  const draft = loaded();
  draft.setLanguage("go");
  draft.apply(elsewhere(draft, "apis", "x"));
  assert.equal(draft.language.local, "go");
  const save = draft.nextSave();
  assert.deepEqual([save.changes, save.language], [[], "go"]);
  draft.apply(saved(draft, save));
  assert.ok(!draft.dirty);
});

test("the engine was rebuilt from its record: what was only live is sent again", () => {
  const draft = loaded({ code: "old" }, 3);
  draft.edit("code", "old and new");
  store(draft, "live");
  draft.load(view({ code: "old" }, 3), { rolledBack: true });
  assert.equal(draft.local.code, "old and new");
  assert.equal(draft.conflicts.size, 0);
  assert.equal(applyChange("old", draft.nextSave().changes[0]), "old and new");
});

test("the engine was rebuilt and had it all: nothing to do, and another's text is taken", () => {
  const draft = loaded({ code: "a", apis: "b" }, 3);
  draft.load(view({ code: "a", apis: "b2" }, 4), { rolledBack: true });
  assert.equal(draft.local.apis, "b2");
  assert.ok(draft.safe);
});

test("over a reload: unsaved text goes on where its base is still there", () => {
  const before = loaded({ code: "a" });
  before.edit("code", "ab");
  before.edit("extra", "note");
  const left = JSON.parse(JSON.stringify(before.unsaved()));
  const after = loaded({ code: "a" });
  after.restore(left);
  assert.equal(after.local.code, "ab");
  assert.equal(after.local.extra, "note");
  assert.equal(after.conflicts.size, 0);
});

test("over a reload: a save that was in flight and landed is no conflict with what was typed on", () => {
  const before = loaded({ code: "a" });
  before.edit("code", "ab");
  before.nextSave();
  before.edit("code", "abc");
  const left = before.unsaved();
  const after = loaded({ code: "ab" });
  after.restore(left);
  assert.equal(after.local.code, "abc");
  assert.equal(after.conflicts.size, 0);
});

test("over a reload: text typed on something else is a conflict, and both are kept", () => {
  const before = loaded({ code: "a" });
  before.edit("code", "mine");
  const after = loaded({ code: "theirs" });
  after.restore(before.unsaved());
  assert.deepEqual([after.local.code, after.conflicts.get("code")], ["mine", "theirs"]);
});

test("what is saved leaves nothing behind", () => {
  const draft = loaded();
  draft.edit("code", "a");
  store(draft);
  assert.equal(draft.unsaved(), null);
});
