// One live socket, whatever happens: a fresh ticket for every attempt, jitter before each, heartbeats, draining nodes.
// It moves frames and knows nothing of interviews.

import { backoff } from "./backoff.js";
import { afterClose, whyStopped } from "./codes.js";
import { HEARTBEAT, RECONNECT, SUBPROTOCOL, TICKET_PREFIX } from "./words.js";

const DIAL_MS = 10_000; // from ticket to welcome
const PROBE_MS = 3_000; // how long an answer to a probe may take
const SILENCE_MS = 5_000; // how long a command may wait without any frame before the line is probed
const CHECK_MS = 2_000;
const STEADY_MS = 5_000; // a connection that lived so long makes the next attempt a first one
const FAILED_RESUMES_MAX = 3; // then start over from a snapshot

/** The real timers. Tests bring their own. */
export const TIMERS = {
  now: () => performance.now(),
  set: (fn, ms) => setTimeout(fn, ms),
  clear: (timer) => clearTimeout(timer),
};

export class Connection {
  #given;
  #timers;
  #current = null; // the link that frames go over
  #next = null; // the link being made; the current one works on until it is ready
  #attempt = 0;
  #failedResumes = 0;
  #fresh = false;
  #redial = null;
  #heartbeat = HEARTBEAT;
  #advice = RECONNECT;
  #status = { state: "idle" };

  /**
   * `given`: ticket() -> {ticket, url, protocol}; hello({fresh}) -> the body of hello; onWelcome(body, localTime);
   * onFrame(frame); onStatus(status); busy() -> whether an answer is awaited. ticket() may throw an error with
   * `stop: true` (do not come back) or `retry_ms`.
   */
  constructor(given, { timers = TIMERS, WebSocket = globalThis.WebSocket, random = Math.random } = {}) {
    this.#given = { ...given, WebSocket, random };
    this.#timers = timers;
  }

  /** {state: idle | connecting | online | waiting | stopped, ...}. */
  get status() {
    return this.#status;
  }

  get online() {
    return this.#current !== null;
  }

  /** Whether a new connection has said hello and waits for its welcome: the pen may have gone over to it already. */
  get greeting() {
    return this.#next?.helloAt !== undefined;
  }

  start() {
    this.#setStatus({ state: "connecting" });
    this.#dial();
  }

  /** Send a frame; false when there is no connection. */
  send(frame) {
    if (!this.#current) return false;
    this.#current.socket.send(JSON.stringify(frame));
    return true;
  }

  /** Make a new connection beside the old one, which stays until the new one is welcome. */
  renew({ fresh = false } = {}) {
    this.#fresh ||= fresh;
    this.#timers.clear(this.#redial);
    this.#dial();
  }

  /** Is anybody there? If nothing comes within 3 s, the line is dead and a new one is made. */
  probe() {
    const link = this.#current;
    if (!link) return void (this.#status.state === "waiting" && this.renew());
    if (link.probe) return;
    link.probe = this.#timers.set(() => this.#closed(link, 1006), PROBE_MS);
    this.send({ t: "time", d: { t0: this.#timers.now() } });
  }

  /** Close for good. */
  stop(reason = "closed", code = 1000) {
    this.#timers.clear(this.#redial);
    for (const link of [this.#current, this.#next]) this.#drop(link);
    this.#current = this.#next = null;
    this.#setStatus({ state: "stopped", reason, code });
  }

  // --- making a link ----------------------------------------------------------------------------------------

  async #dial() {
    if (this.#next || this.#status.state === "stopped") return; // one attempt at a time
    const link = (this.#next = { socket: null, welcome: false, since: this.#timers.now() });
    if (!this.#current) this.#setStatus({ state: "connecting" });
    link.dial = this.#timers.set(() => this.#closed(link, 1006), DIAL_MS);
    try {
      const { ticket, url, protocol = SUBPROTOCOL } = await this.#given.ticket();
      if (this.#next === link) this.#open(link, socketUrl(url), [protocol, TICKET_PREFIX + ticket]);
    } catch (error) {
      if (this.#next !== link) return;
      if (error.stop) return this.stop(error.message, error.code);
      this.#closed(link, 1006, error.retry_ms);
    }
  }

  #open(link, url, protocols) {
    const socket = (link.socket = new this.#given.WebSocket(url, protocols));
    socket.onopen = () => {
      const d = this.#given.hello({ fresh: this.#fresh || this.#failedResumes >= FAILED_RESUMES_MAX });
      link.resumes = d.resume != null;
      link.helloAt = this.#timers.now();
      socket.send(JSON.stringify({ t: "hello", d: { ...d, t0: link.helloAt } }));
    };
    socket.onmessage = ({ data }) => this.#received(link, JSON.parse(data));
    socket.onclose = ({ code }) => this.#closed(link, code);
  }

  #received(link, frame) {
    link.heardAt = this.#timers.now();
    this.#timers.clear(link.probe);
    link.probe = null;
    if (frame.t === "welcome") this.#welcomed(link, frame.d);
    else if (!link.welcome) return; // an error about hello: the close code that follows decides
    else if (frame.t === "drain") this.#redial = this.#timers.set(() => this.renew(), frame.d.in_ms ?? 0);
    if (link === this.#current) this.#given.onFrame(frame);
  }

  #welcomed(link, body) {
    const old = this.#current;
    this.#current = link;
    this.#next = null;
    link.welcome = true;
    this.#failedResumes = 0;
    this.#fresh = false;
    this.#timers.clear(link.dial);
    this.#timers.clear(this.#redial);
    this.#drop(old);
    this.#heartbeat = body.heartbeat ?? HEARTBEAT;
    this.#advice = body.reconnect ?? RECONNECT;
    this.#watch(link);
    this.#given.onWelcome(body, link.helloAt);
    this.#setStatus({ state: "online" });
  }

  // --- losing it --------------------------------------------------------------------------------------------

  #closed(link, code, retry_ms = 0) {
    if (link !== this.#current && link !== this.#next) return; // replaced before
    this.#drop(link);
    const steady = link === this.#current && this.#timers.now() - link.since >= STEADY_MS;
    if (link === this.#next && link.resumes) this.#failedResumes += 1;
    if (link === this.#next) this.#next = null;
    else this.#current = null;
    const action = afterClose(code);
    if (action === "stop") return this.stop(whyStopped(code), code);
    if (action === "fresh") this.#fresh = true;
    if (steady) this.#attempt = 0;
    if (!this.#next) this.#later(retry_ms);
    else this.#setStatus({ state: "connecting" });
  }

  #later(retry_ms) {
    const ms = Math.max(retry_ms, backoff(this.#attempt++, this.#advice, this.#given.random));
    this.#timers.clear(this.#redial);
    this.#redial = this.#timers.set(() => this.#dial(), ms);
    if (!this.#current) this.#setStatus({ state: "waiting", ms, attempt: this.#attempt });
  }

  /** Any frame counts. The check asks when the last one came, so a throttled tab, whose timers are late, stays. */
  #watch(link) {
    const patience = this.#heartbeat.every_ms * 1.1 + this.#heartbeat.grace_ms;
    const check = () => {
      const silent = this.#timers.now() - link.heardAt;
      if (silent >= patience) return this.#closed(link, 1006);
      if (silent >= SILENCE_MS && this.#given.busy()) this.probe();
      link.beat = this.#timers.set(check, CHECK_MS);
    };
    link.beat = this.#timers.set(check, CHECK_MS);
  }

  #drop(link) {
    if (!link) return;
    for (const timer of [link.dial, link.beat, link.probe]) this.#timers.clear(timer);
    if (!link.socket) return;
    link.socket.onopen = link.socket.onmessage = link.socket.onclose = null;
    link.socket.close(1000);
  }

  #setStatus(status) {
    this.#status = status;
    this.#given.onStatus(status);
  }
}

/** A ticket's URL as a WebSocket's: a path, or http(s), is taken relative to this page. */
export function socketUrl(url, base = globalThis.location?.href) {
  const absolute = new URL(url, base);
  absolute.protocol = absolute.protocol.replace(/^http/, "ws");
  return absolute.href;
}
