// What is typed and not yet saved, kept in the browser: a reload or a crash of the tab loses nothing.

import { TIMERS } from "./connection.js";

const PREFIX = "sdi.outbox.";
const KEPT_MS = 7 * 86_400_000;
const SOON_MS = 200; // writing to storage at each key stroke would be felt

/**
 * One entry a page load, so that two tabs never overwrite each other's. A page load takes up the entries that others of
 * the same interview left, but not those of tabs that are still open: each holds a lock by its tab's name.
 */
export class Outbox {
  #storage;
  #locks;
  #key;
  #prefix;
  #timers;
  #timer = null;
  #last = null;
  #release = null;

  constructor(interview, tab, { storage = safeStorage(), locks = globalThis.navigator?.locks, timers = TIMERS } = {}) {
    this.#storage = storage;
    this.#timers = timers;
    this.#locks = locks;
    this.#prefix = `${PREFIX}${interview}.`;
    this.#key = this.#prefix + tab;
  }

  /** Say that this tab is open, until `close`. */
  open() {
    const held = new Promise((resolve) => (this.#release = resolve));
    this.#locks?.request(this.#key, () => held).catch(() => {});
  }

  close() {
    this.#timers.clear(this.#timer);
    this.#release?.();
  }

  /** Call `fn`, which keeps, in a moment; however often this is asked. */
  soon(fn) {
    this.#timer ??= this.#timers.set(() => ((this.#timer = null), fn()), SOON_MS);
  }

  /** Keep `unsaved` (null: nothing is unsaved). False when the browser will not keep it. */
  keep(unsaved, now = Date.now()) {
    const text = unsaved && JSON.stringify(unsaved);
    if (text === this.#last) return true;
    try {
      if (unsaved) this.#storage?.setItem(this.#key, JSON.stringify({ at: now, ...unsaved }));
      else this.#storage?.removeItem(this.#key);
      this.#last = text;
      return this.#storage !== null || !unsaved;
    } catch {
      return false; // full, or forbidden
    }
  }

  /** What page loads that are gone have left, newest first: {key, at, fields, language}. */
  async left(now = Date.now()) {
    const open = new Set(await this.#openTabs());
    const entries = this.#keys()
      .filter((key) => key.startsWith(this.#prefix) && key !== this.#key && !open.has(key))
      .map((key) => ({ key, ...this.#read(key) }));
    for (const entry of entries) if (!(now - entry.at < KEPT_MS)) this.forget(entry.key);
    return entries.filter((entry) => now - entry.at < KEPT_MS).sort((a, b) => b.at - a.at);
  }

  forget(key) {
    this.#storage?.removeItem(key);
  }

  async #openTabs() {
    const { held = [] } = (await this.#locks?.query?.().catch(() => ({}))) ?? {};
    return held.map((lock) => lock.name);
  }

  #keys() {
    return Array.from({ length: this.#storage?.length ?? 0 }, (_, i) => this.#storage.key(i));
  }

  #read(key) {
    try {
      return JSON.parse(this.#storage.getItem(key)) ?? {};
    } catch {
      return {};
    }
  }
}

/** localStorage, or null where a browser forbids it: asking alone may throw. */
function safeStorage() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}
