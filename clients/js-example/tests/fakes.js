// Time that only moves when told, storage, and an engine small enough to read: enough to try the client against.

import { applyChange } from "../client/splice.js";
import { draftChecksum } from "../client/crc32.js";
import { FIELDS } from "../client/words.js";

export class Timers {
  #now = 0;
  #next = 1;
  #waiting = new Map();
  now = () => this.#now;
  set = (fn, ms) => (this.#waiting.set(this.#next, { at: this.#now + ms, fn }), this.#next++);
  clear = (timer) => this.#waiting.delete(timer);

  advance(ms) {
    const end = this.#now + ms;
    for (;;) {
      const [first] = [...this.#waiting].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at);
      if (!first) break;
      this.#waiting.delete(first[0]);
      this.#now = Math.max(this.#now, first[1].at);
      first[1].fn();
    }
    this.#now = end;
  }

  /** Move on in small steps, with room for promises between them. */
  async pass(ms, step = 50) {
    for (let gone = 0; gone < ms; gone += step) {
      this.advance(Math.min(step, ms - gone));
      await settle();
    }
  }
}

export const settle = async () => {
  for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve));
};

export class Storage {
  #items = new Map();
  get length() {
    return this.#items.size;
  }
  key = (i) => [...this.#items.keys()][i] ?? null;
  getItem = (key) => this.#items.get(key) ?? null;
  setItem = (key, value) => void this.#items.set(key, String(value));
  removeItem = (key) => void this.#items.delete(key);
}

/** Locks of all tabs of one browser. */
export class Locks {
  held = new Set();
  request(name, hold) {
    this.held.add(name);
    return Promise.resolve(hold()).then(() => void this.held.delete(name));
  }
  query = async () => ({ held: [...this.held].map((name) => ({ name })) });
}

/** One interview and its clients' sockets. Frames that clients send are in `heard`. */
export class Engine {
  heard = [];
  sockets = new Set();
  events = [];
  outcomes = new Map();
  epoch = 1;
  fence = 0;
  writer = null;
  durable = "record";
  welcome_ms = 0; // from hello to welcome
  mute = new Set(); // types of frames that are taken in and never answered
  refusals = []; // answers of no, used up one a command
  tickets = 0;
  draft = { rev: 0, language: "python", fields: Object.fromEntries(FIELDS.map((f) => [f, ""])) };
  phase = "design";

  constructor(timers) {
    this.timers = timers;
    this.deadline_at = 1_000_000 + 3_600_000;
    const engine = this;
    this.WebSocket = class {
      constructor(url, protocols) {
        Object.assign(this, { url, protocols, closed: null });
        engine.sockets.add(this);
        queueMicrotask(() => (engine.up === false ? this.end(1006) : this.onopen?.()));
      }
      send(data) {
        engine.receive(this, JSON.parse(data));
      }
      close(code) {
        this.closed = code;
        engine.sockets.delete(this);
      }
      end(code) {
        engine.sockets.delete(this);
        this.onclose?.({ code });
      }
    };
  }

  ticket = async () => {
    this.tickets += 1;
    if (this.ticketError) throw this.ticketError;
    return { ticket: `t${this.tickets}`, url: "ws://engine/v1/socket", protocol: "sdi.v1.json" };
  };

  now = () => 1_000_000 + Math.round(this.timers.now());

  tell(socket, frame) {
    if (!socket.deaf) queueMicrotask(() => socket.onmessage?.({ data: JSON.stringify(frame) }));
  }

  say(frame) {
    for (const socket of this.sockets) this.tell(socket, frame);
  }

  event(t, d) {
    const frame = { t, s: this.events.length + 1, ts: this.now(), d };
    if (this.durable === "live") frame.durable = "live";
    this.events.push(frame);
    this.say(frame);
    return frame.s;
  }

  receive(socket, frame) {
    this.heard.push(frame);
    if (socket.dead || this.mute.has(frame.t)) return;
    if (frame.t === "hello") return this.hello(socket, frame.d);
    if (frame.t === "time") return this.tell(socket, { t: "time", d: { t0: frame.d.t0, t1: this.now(), t2: this.now() } });
    if (frame.t === "pong") return;
    const answer = this.command(socket, frame);
    if (answer && !this.swallow) this.tell(socket, answer);
  }

  hello(socket, d) {
    const pen = d.write && (d.take || this.writer === null || this.writer === d.tab || !this.known?.has(d.tab));
    (this.known ??= new Set()).add(d.tab);
    if (pen) {
      for (const other of this.sockets) {
        if (other.tab && other !== socket) this.tell(other, { t: "role", d: { role: "observer", by: d.tab } });
      }
      this.writer = d.tab;
      this.pen = socket;
      this.fence += 1;
    }
    socket.tab = d.tab;
    const resume = d.resume && d.resume.epoch === this.epoch ? d.resume.s : null;
    const head = this.events.length;
    const mode = resume === null ? "snapshot" : resume === head ? "noop" : "replay";
    const known = d.pending.filter((id) => this.outcomes.has(id));
    const welcome = () => this.welcome(socket, { pen, resume, head, mode, known });
    if (this.welcome_ms) this.timers.set(welcome, this.welcome_ms);
    else welcome();
  }

  welcome(socket, { pen, resume, head, mode, known }) {
    this.tell(socket, {
      t: "welcome",
      d: {
        conn: "c", role: pen ? "writer" : "observer", fence: pen ? { epoch: this.epoch, n: this.fence } : null,
        epoch: this.epoch, head, recorded: this.durable === "live" ? 0 : head, mode, phase: this.phase, now: this.now(), deadline_at: this.deadline_at, grace_ms: 2_000,
        heartbeat: { every_ms: 20_000, grace_ms: 10_000 },
        limits: { frame_bytes_max: 262_144, field_bytes_max: 65_536, ask_chars_max: 2_000, commands_in_flight_max: 16 },
        reconnect: { min_ms: 200, max_ms: 5_000, jitter: 1 },
        commands: Object.fromEntries(known.map((id) => [id, { ...this.outcomes.get(id), dup: true }])),
        snapshot: mode === "snapshot" ? this.snapshot() : null,
      },
    });
    if (mode !== "replay") return;
    this.tell(socket, { t: "replay", d: { events: this.events.slice(resume) } });
    this.tell(socket, { t: "resumed", d: { s: head } });
  }

  snapshot() {
    return structuredClone({
      id: "i1", s: this.events.length, phase: this.phase, started_at: 1_000_000, deadline_at: this.deadline_at,
      clarifications: [], draft: { ...this.draft, checksum: draftChecksum(this.draft.fields) }, submission: null, evaluation: null,
    });
  }

  command(socket, { t, id, d }) {
    if (this.outcomes.has(id)) return { ...this.outcomes.get(id), dup: true };
    const refuse = (code, facts = {}) => ({ t: "err", id, code, message: code, temp: false, d: facts });
    if (this.refusals.length) return { t: "err", id, message: "no", d: {}, ...this.refusals.shift() };
    if (socket !== this.pen || socket.tab !== this.writer) return refuse("observer");
    if (t === "draft.save") {
      if (d.base !== this.draft.rev) return refuse("conflict", { rev: this.draft.rev });
      for (const change of d.changes) {
        const after = applyChange(this.draft.fields[change.field], change);
        if (after === null) return refuse("need_full", { field: change.field });
        this.draft.fields[change.field] = after;
      }
      this.draft.rev += 1;
      this.draft.language = d.language ?? this.draft.language;
    }
    if (t === "solution.submit") {
      const checksum = draftChecksum(this.draft.fields);
      if (d.rev !== this.draft.rev || d.checksum !== checksum) return refuse("not_as_stored", { rev: this.draft.rev });
    }
    const s = this.event(...this.outcome(t, d));
    const ack = { t: "ack", id, s, dup: false, late: false, durable: this.durable };
    if (t === "draft.save") ack.rev = this.draft.rev;
    this.outcomes.set(id, ack);
    return ack;
  }

  outcome(t, d) {
    const { rev, language } = this.draft;
    if (t === "draft.save") return ["draft.saved", { rev, changes: d.changes, language, checksum: 0, late: false }];
    if (t === "solution.submit") return ["solution.submitted", { by: "candidate", rev, checksum: d.checksum, run: 1 }];
    if (t === "phase.proceed") return ["phase.changed", { phase: "design", by: "candidate", deadline_at: this.deadline_at }];
    return ["clarification.answered", { text: d.text, kind: "answered", response: "Yes.", intent: "x", label: "X" }];
  }
}
