// Gets the draft to the engine: one save in flight, the newest text next, and never twice the same refusal in a row.

import { Autosave } from "./autosave.js";

const MISSES_MAX = 3; // conflicts and checksums that do not fit, in a row; then only a snapshot helps

export class Saver {
  #draft;
  #given;
  #autosave;
  #id = null;
  #wanted = false;
  #misses = 0;
  #shut = null; // the deadline after which the engine took no more

  /**
   * `given`: send(body) -> id of the command; open() -> {phase, deadline_at, frame_bytes_max}, or null while nothing may
   * be sent; behind({fresh}) is called when events, or all of it, must be fetched anew.
   */
  constructor(draft, given, timers) {
    this.#draft = draft;
    this.#given = given;
    this.#autosave = new Autosave(() => this.now(), timers);
  }

  /** Something was typed: save soon. */
  touch() {
    this.#autosave.touch();
  }

  /** Save at once, with whatever waits for its moment. */
  flush() {
    this.#autosave.flush();
  }

  stop() {
    this.#autosave.stop();
  }

  /** Send the next save, or as soon as the one in flight is answered. */
  now() {
    const open = this.#given.open();
    this.#wanted = open !== null && this.#draft.saving;
    if (!open || this.#draft.saving || this.#shut === open.deadline_at) return;
    const body = this.#draft.nextSave(open);
    if (!body) return;
    this.#id = this.#given.send(body);
    this.#given.changed();
  }

  owns(id) {
    return id !== undefined && id === this.#id;
  }

  /** Whether the engine takes no more of this phase. */
  get shut() {
    return this.#shut !== null && this.#shut === this.#given.open()?.deadline_at;
  }

  acked(ack, applied) {
    this.#id = null;
    this.#misses = 0;
    this.#draft.acked(ack.s, applied);
    this.next();
  }

  /** After an event: what was typed while the save was in flight goes now, if it was its time. */
  next() {
    if (this.#wanted && !this.#draft.saving) this.now();
  }

  refused({ code, d = {} }) {
    this.#id = null;
    this.#draft.refused(code, d);
    if (code === "need_full" || code === "conflict") return this.#missed(code, d);
    if (["deadline_passed", "phase"].includes(code)) this.#shut = this.#given.open()?.deadline_at ?? null;
    else this.next();
  }

  #missed(code, { rev }) {
    this.#misses += 1;
    const fresh = this.#misses >= MISSES_MAX;
    if (fresh) this.#misses = 0;
    if (fresh || (code === "conflict" && rev !== this.#draft.rev)) this.#given.behind({ fresh });
    else this.now();
  }
}
