// The server's clock, as this client can best know it.

const SAMPLES = 5;

/**
 * Keeps the last five exchanges and believes the quickest: the shorter the round trip, the smaller the possible error.
 * `now` must not jump when the computer's clock is set: performance.now, not Date.now.
 */
export class Clock {
  #samples = [];
  #now;

  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  /** This client's own time, for `t0`. */
  local() {
    return this.#now();
  }

  /** One exchange: client sent `t0` (own time); server received `t1`, sent `t2` (its time); client received `t3`. */
  sample({ t0, t1, t2, t3 = this.#now() }) {
    const rtt = t3 - t0 - (t2 - t1);
    if (!(rtt >= 0)) return;
    this.#samples = [...this.#samples.slice(1 - SAMPLES), { rtt, offset: (t1 + t2) / 2 - (t0 + t3) / 2 }];
  }

  /** What was learnt before a sleep or a change of network counts no more. */
  forget() {
    this.#samples = [];
  }

  get known() {
    return this.#samples.length > 0;
  }

  /** The server's time in milliseconds of the Unix epoch; the computer's own until the first exchange. */
  now() {
    if (!this.known) return Date.now();
    const best = this.#samples.reduce((a, b) => (b.rtt < a.rtt ? b : a));
    return this.#now() + best.offset;
  }
}
