// Commands on their way: each has an id, is sent in order, and is sent again until it is answered. Pure but for promises.

import { newId } from "./ids.js";
import { LIMITS, PENDING_MAX } from "./words.js";

/** The engine said no: nothing changed. `code` is the contract, the message is for people. */
export class Refused extends Error {
  constructor({ code, message, temp = false, retry_ms = null, at = null, d = {} }) {
    super(message);
    this.name = "Refused";
    Object.assign(this, { code, temp, retry_ms, at, facts: d });
  }
}

export class Commands {
  #waiting = new Map();

  /** Queue a command. `done` resolves with the ack, or rejects with Refused. */
  add(t, d, id = newId()) {
    const item = { id, t, d, sent: false, tried: false, again: false, slow: false };
    item.done = new Promise((resolve, reject) => Object.assign(item, { resolve, reject }));
    item.done.catch(() => {}); // who does not look is not told twice
    this.#waiting.set(id, item);
    return item;
  }

  /** Frames to send now, in order, within the window of unanswered ones; they count as sent from here on. */
  take(window = LIMITS.commands_in_flight_max) {
    const items = [...this.#waiting.values()];
    const room = Math.min(window, PENDING_MAX) - items.filter((item) => item.sent).length;
    const now = items.filter((item) => !item.sent && !item.again).slice(0, Math.max(0, room));
    for (const item of now) item.sent = item.tried = true;
    return now.map(({ id, t, d }) => ({ t, id, d }));
  }

  /** Ids whose fate is unknown, for `hello`. */
  get unknown() {
    return [...this.#waiting.values()].filter((item) => item.tried).map((item) => item.id);
  }

  get(id) {
    return this.#waiting.get(id);
  }

  get size() {
    return this.#waiting.size;
  }

  /** An answer of yes. Returns the command, or undefined when it was answered before. */
  ack(frame) {
    return this.#settle(frame.id, (item) => item.resolve(frame));
  }

  /** An answer of no, for good. */
  refuse(frame) {
    return this.#settle(frame.id, (item) => item.reject(new Refused(frame)));
  }

  /** A no that may turn: the same command, with the same id, is held until `release`. */
  hold(id) {
    const item = this.#waiting.get(id);
    if (item) Object.assign(item, { sent: false, again: true });
    return item;
  }

  release(id) {
    const item = this.#waiting.get(id);
    if (item) item.again = false;
  }

  /** It is applied, and the record is slow: the ack comes later. */
  slow(id) {
    const item = this.#waiting.get(id);
    if (item) item.slow = true;
    return item;
  }

  /** On a new connection: what was not answered there goes again, with the same ids, in the same order. */
  restart() {
    for (const item of this.#waiting.values()) item.sent = item.again = false;
  }

  /** Nobody will answer any more. */
  abandon(reason) {
    for (const item of this.#waiting.values()) item.reject(new Refused({ code: "stopped", message: reason }));
    this.#waiting.clear();
  }

  #settle(id, answer) {
    const item = this.#waiting.get(id);
    if (!item) return undefined;
    this.#waiting.delete(id);
    answer(item);
    return item;
  }
}
