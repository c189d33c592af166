// When to save: a moment after the last keystroke, and not much later than the first unsaved one.

export const DEBOUNCE_MS = 800;
export const LATEST_MS = 5_000;

export class Autosave {
  #save;
  #timers;
  #timer = null;
  #first = null;

  /** `save` is called when it is time. `timers`: {now, set, clear}, as in connection.js. */
  constructor(save, timers) {
    this.#save = save;
    this.#timers = timers;
  }

  /** Something was typed. */
  touch() {
    const now = this.#timers.now();
    this.#first ??= now;
    const due = Math.min(now + DEBOUNCE_MS, this.#first + LATEST_MS);
    this.#timers.clear(this.#timer);
    this.#timer = this.#timers.set(() => this.flush(), Math.max(0, due - now));
  }

  /** Save now. */
  flush() {
    this.stop();
    this.#save();
  }

  stop() {
    this.#timers.clear(this.#timer);
    this.#timer = this.#first = null;
  }
}
