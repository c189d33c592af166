// The draft as this tab sees it: what the engine stores, what is typed here, what of it is on its way. Pure: no DOM, no timers.

import { draftChecksum, fieldChecksum } from "./crc32.js";
import { applyChange, makeChange } from "./splice.js";
import { clean, utf8Length } from "./text.js";
import { FIELDS, LANGUAGES, LIMITS, REQUIREMENT_FIELDS } from "./words.js";

/** Room in a frame for everything but the changes. */
const ENVELOPE_BYTES = 4_096;

const empty = () => Object.fromEntries(FIELDS.map((field) => [field, ""]));

/** A text's mark, to know it again after a reload without keeping it twice. */
export const markOf = (text) => `${text.length}:${fieldChecksum(text)}`;

export class Draft {
  rev = 0;
  /** What the engine holds, what of that is in the record, and what is on the screen. */
  stored = empty();
  recorded = empty();
  local = empty();
  language = { stored: "python", local: "python" };
  /** Fields that were changed elsewhere while this tab had unsaved text: field -> the engine's text. */
  conflicts = new Map();
  /** Fields the engine refused as they are: field -> the refusal's code. Typing on clears it. */
  blocked = new Map();
  #sent = null;
  #live = [];
  #whole = new Set();
  #bytesMax;

  constructor({ field_bytes_max = LIMITS.field_bytes_max } = {}) {
    this.#bytesMax = field_bytes_max;
  }

  // --- what the user does ---------------------------------------------------------------------------------

  /** The field's text is now this. Returns the text as it is kept. */
  edit(field, text) {
    if (!FIELDS.includes(field)) throw new RangeError(`no field ${field}`);
    const kept = clean(text);
    this.local[field] = kept;
    if (utf8Length(kept) > this.#bytesMax) this.blocked.set(field, "too_large");
    else this.blocked.delete(field);
    return kept;
  }

  setLanguage(language) {
    if (!LANGUAGES.includes(language)) throw new RangeError(`no language ${language}`);
    this.language.local = language;
  }

  /** End a conflict: with "mine" the text typed here is saved over the engine's; with "theirs" it gives way. */
  resolve(field, choice) {
    if (!this.conflicts.delete(field)) return;
    if (choice === "theirs") this.local[field] = this.stored[field];
  }

  // --- what the engine says -------------------------------------------------------------------------------

  /**
   * Start from a snapshot's draft. `rolledBack`: the engine rebuilt the interview from its record, so what was only
   * live may be gone there; it is still here and is sent again. `recorded`: whether the record holds this snapshot.
   */
  load(view, { first = false, rolledBack = false, recorded = true, s = 0 } = {}) {
    for (const field of FIELDS) {
      const text = view.fields[field] ?? "";
      if (first) this.stored[field] = this.local[field] = text;
      else this.#merge(field, text, rolledBack);
    }
    if (recorded) (this.recorded = { ...this.stored }), (this.#live = []);
    else this.#live = this.#unrecorded().map((field) => ({ s, field, text: this.stored[field] }));
    this.#setLanguage(view.language);
    this.rev = view.rev;
  }

  /** Apply a `draft.saved` event. False when it does not fit what is here: only a snapshot helps then. */
  apply({ s, d, durable = "record" }) {
    const after = d.changes.map((change) => [change.field, applyChange(this.stored[change.field], change)]);
    if (d.rev !== this.rev + 1 || after.some(([, text]) => text === null)) return false;
    for (const [field, text] of after) {
      this.#merge(field, text, false);
      this.#live.push({ s, field, text });
    }
    this.#setLanguage(d.language);
    this.rev = d.rev;
    if (durable === "record") this.recordedTo(s);
    if (this.#sent?.through != null && s >= this.#sent.through) this.#done();
    return true;
  }

  /** All events to `s` are in the record. */
  recordedTo(s) {
    for (const entry of this.#live) if (entry.s <= s) this.recorded[entry.field] = entry.text;
    this.#live = this.#live.filter((entry) => entry.s > s);
  }

  /** The save in flight took effect with event `through`; `applied` is the last event seen here. */
  acked(through, applied) {
    if (!this.#sent) return;
    this.#sent.through = through;
    if (applied >= through) this.#done();
  }

  /** The save in flight changed nothing. */
  refused(code, facts = {}) {
    const fields = Object.keys(this.#sent?.fields ?? {});
    this.#sent = null;
    if (code === "need_full") for (const field of fields) this.#whole.add(field);
    if (["bad_change", "bad_text", "bad_frame", "too_large"].includes(code)) {
      for (const field of facts.field ? [facts.field] : fields) this.blocked.set(field, code);
    }
  }

  // --- saving ---------------------------------------------------------------------------------------------

  /**
   * The body of the next `draft.save`, or null when there is nothing to send or one is on its way. Takes as many fields
   * as a frame holds; the rest is for the next one.
   */
  nextSave({ phase = "design", frame_bytes_max = LIMITS.frame_bytes_max } = {}) {
    if (this.#sent) return null;
    let room = frame_bytes_max - ENVELOPE_BYTES;
    const changes = [];
    for (const field of FIELDS.filter((field) => this.#sendable(field, phase))) {
      const change = makeChange(field, this.stored[field], this.local[field], { whole: this.#whole.has(field) });
      const bytes = utf8Length(JSON.stringify(change));
      if (bytes > room) continue;
      room -= bytes;
      changes.push(change);
    }
    const language = this.language.local === this.language.stored ? undefined : this.language.local;
    if (!changes.length && !language) return null;
    const fields = Object.fromEntries(changes.map(({ field }) => [field, this.local[field]]));
    this.#sent = { fields, through: null };
    return { base: this.rev, changes, ...(language && { language }) };
  }

  get saving() {
    return this.#sent !== null;
  }

  /** Whether there is text here that the engine has not got; conflicts and refused fields among it. */
  get dirty() {
    return this.language.local !== this.language.stored || FIELDS.some((field) => this.isDirty(field));
  }

  isDirty(field) {
    return this.local[field] !== this.stored[field];
  }

  /** Whether there is something `nextSave` would send, were nothing on its way. */
  sendable(phase) {
    return this.language.local !== this.language.stored || FIELDS.some((field) => this.#sendable(field, phase));
  }

  /** Whether all is stored by the engine and in its record. */
  get safe() {
    return !this.dirty && !this.#sent && this.#live.length === 0;
  }

  /** saved | saving | live (kept, not yet in the record) | offline (only here) | conflict | refused. */
  stateOf(field, { online = true, writer = true } = {}) {
    if (this.conflicts.has(field)) return "conflict";
    if (this.blocked.has(field)) return "refused";
    if (this.isDirty(field)) return online && writer ? "saving" : "offline";
    return this.#live.some((entry) => entry.field === field) ? "live" : "saved";
  }

  /** The checksum of what the engine holds, for `solution.submit`. */
  get checksum() {
    return draftChecksum(this.stored);
  }

  // --- over a reload --------------------------------------------------------------------------------------

  /** What would be lost with this tab: its texts that are not in the record, with marks of what they were typed on. */
  unsaved() {
    const fields = {};
    for (const field of FIELDS) {
      if (this.local[field] === this.recorded[field] && !this.isDirty(field)) continue;
      const sent = this.#sent?.fields[field];
      const bases = this.conflicts.has(field) ? [] : [this.recorded[field], this.stored[field], sent];
      const marks = bases.filter((text) => text !== undefined).map(markOf);
      fields[field] = { text: this.local[field], bases: [...new Set(marks)] };
    }
    const language = this.language.local === this.language.stored ? undefined : this.language.local;
    return Object.keys(fields).length || language ? { fields, ...(language && { language }) } : null;
  }

  /** Take up what an earlier page load left: goes on where its base is still the engine's text, else is a conflict. */
  restore({ fields = {}, language }) {
    for (const [field, { text, bases }] of Object.entries(fields)) {
      if (!FIELDS.includes(field) || this.isDirty(field) || text === this.stored[field]) continue;
      if (!bases.includes(markOf(this.stored[field]))) this.conflicts.set(field, this.stored[field]);
      this.edit(field, text);
    }
    if (LANGUAGES.includes(language)) this.language.local = language;
  }

  // --------------------------------------------------------------------------------------------------------

  #unrecorded() {
    return FIELDS.filter((field) => this.stored[field] !== this.recorded[field]);
  }

  #sendable(field, phase) {
    const open = phase === "design" || (phase === "clarifying" && REQUIREMENT_FIELDS.includes(field));
    return open && this.isDirty(field) && !this.conflicts.has(field) && !this.blocked.has(field);
  }

  #done() {
    for (const field of Object.keys(this.#sent.fields)) this.#whole.delete(field);
    this.#sent = null;
  }

  /** The engine's text of a field is now `next`: whose change was that, and what becomes of the text typed here? */
  #merge(field, next, rolledBack) {
    const before = this.stored[field];
    const mine = this.local[field];
    this.stored[field] = next;
    if (next === mine) return void this.conflicts.delete(field);
    if (next === before) return;
    if (this.conflicts.has(field)) return void this.conflicts.set(field, next);
    const own = this.#sent?.fields[field] === next;
    const lost = rolledBack && next === this.recorded[field];
    if (own || lost) return; // typed on since, or to be sent again
    const untouched = mine === this.recorded[field] || (mine === before && !rolledBack);
    if (untouched) this.local[field] = next;
    else this.conflicts.set(field, next);
  }

  #setLanguage(language) {
    if (this.language.local === this.language.stored) this.language.local = language;
    this.language.stored = language;
  }
}
