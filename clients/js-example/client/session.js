// One tab's part in one interview: brings together connection, events, commands, draft and outbox. See interview_client.js
// for what a page does with it.

import { Clock } from "./clock.js";
import { Commands, Refused } from "./commands.js";
import { Connection, TIMERS } from "./connection.js";
import { Draft } from "./draft.js";
import { newId } from "./ids.js";
import { Outbox } from "./outbox.js";
import { Saver } from "./saver.js";
import { addText, evolve, fromSnapshot } from "./view.js";
import { LIMITS, PROTOCOL_VERSION } from "./words.js";

const TICK_MS = 250;
const CLOCK_EVERY_MS = 60_000;
const CLOCK_BURST_MS = [100, 400, 1_000, 2_000]; // four more exchanges after welcome
const BEHIND_MS = 1_000; // how long a heartbeat's head may be ahead of the events
const LAST_SAVE_MS = 1_500; // what is typed is sent this long before the deadline, to be in time
const RETRY_MS = 500;

export class Session extends EventTarget {
  /** All of the interview but the draft, as protocol/messages.py has it in Snapshot; null before the first welcome. */
  view = null;
  role = null;
  limits = LIMITS;
  draft = new Draft();
  clock;
  /** Names this page load. */
  tab = newId();
  #write;
  #ticket;
  #timers;
  #random;
  #commands = new Commands();
  #connection;
  #saver;
  #outbox;
  #intervals = [];
  #epoch = null;
  #fence = null;
  #take = false;
  #replaying = false;
  #stale = false;
  #flushed = new Set();

  constructor({ interview, ticket, write = true, environment = {} }) {
    super();
    this.#write = write;
    this.#ticket = ticket;
    this.#timers = environment.timers ?? TIMERS;
    this.#random = environment.random ?? Math.random;
    this.clock = new Clock(() => this.#timers.now());
    this.#outbox = new Outbox(interview, this.tab, environment);
    this.#saver = new Saver(this.draft, this.#forSaver(), this.#timers);
    this.#connection = new Connection(this.#forConnection(), environment);
  }

  get status() {
    return this.#connection.status;
  }

  get online() {
    return this.#connection.online;
  }

  /** Milliseconds until the phase's deadline, by the server's clock; null when there is none. */
  get remaining_ms() {
    const running = this.view && this.view.phase !== "submitted";
    return running ? this.view.deadline_at - this.clock.now() : null;
  }

  /** Whether the engine has yet to get something typed here. */
  get unsaved() {
    return this.draft.saving || this.draft.sendable(this.view?.phase);
  }

  /** Whether the engine takes no more saves in this phase. */
  get shut() {
    return this.#saver.shut;
  }

  start() {
    this.#outbox.open();
    this.#connection.start();
    this.#every(TICK_MS, () => this.#tick());
    this.#every(CLOCK_EVERY_MS, () => this.#askTime());
  }

  stop() {
    this.flush();
    this.#outbox.close();
    this.#saver.stop();
    for (const stop of this.#intervals) stop();
    this.#connection.stop();
  }

  /** Send a command, again and again until it is answered. Resolves with the ack; rejects with Refused. */
  command(t, d) {
    const item = this.#commands.add(t, d);
    this.#pump();
    return item.done;
  }

  /** Something was typed: it is saved soon. */
  touched() {
    this.#saver.touch();
    this.changed();
  }

  /** Save now, unless there is nothing to save, or a save is on its way and the next follows it. */
  save() {
    this.#saver.now();
  }

  /** Save at once, and keep in the browser what is not saved. */
  flush() {
    this.#keep();
    this.#saver.flush();
  }

  /** Look whether the line still lives. */
  wake() {
    this.clock.forget();
    this.#connection.probe();
  }

  /** A new connection; with `take`, one that takes the pen. */
  renew({ take = false } = {}) {
    this.#take ||= take;
    this.#write ||= take;
    this.#connection.renew();
  }

  /** Events are missing, or do not fit: a new connection brings them, or (`fresh`) a snapshot. */
  behind({ fresh = false } = {}) {
    if (this.#stale) return;
    this.#stale = true;
    this.#connection.renew({ fresh });
  }

  changed() {
    this.#outbox.soon(() => this.#keep());
    this.emit("states");
  }

  emit(name, detail = null) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  // --- the connection ---------------------------------------------------------------------------------------

  #forConnection() {
    return {
      ticket: this.#ticket,
      hello: (how) => this.#hello(how),
      onWelcome: (body, helloAt) => this.#welcome(body, helloAt),
      onFrame: (frame) => this.#frame(frame),
      onStatus: (status) => this.#statusChanged(status),
      busy: () => this.#commands.size > 0,
    };
  }

  #hello({ fresh }) {
    return {
      proto: PROTOCOL_VERSION,
      tab: this.tab,
      write: this.#write,
      take: this.#take,
      fence: this.#fence,
      resume: this.view && !fresh ? { epoch: this.#epoch, s: this.view.s } : null,
      pending: this.#commands.unknown,
    };
  }

  #welcome(body, helloAt) {
    this.clock.sample({ t0: helloAt, t1: body.now, t2: body.now });
    this.limits = body.limits ?? LIMITS;
    this.#take = this.#stale = false;
    this.#replaying = body.mode === "replay";
    this.#fence = body.fence ?? this.#fence;
    this.#setRole(body.role, null);
    if (body.snapshot) this.#load(body);
    this.#epoch = body.epoch;
    this.draft.recordedTo(body.recorded); // it may have caught up while this client was away
    for (const ack of Object.values(body.commands ?? {})) this.#acked(ack);
    this.#commands.restart();
    this.#pump();
    for (const ms of CLOCK_BURST_MS) this.#timers.set(() => this.#askTime(), ms);
    this.#saver.now();
    this.changed();
  }

  #load({ snapshot, epoch, recorded }) {
    const first = this.view === null;
    const rolledBack = !first && epoch !== this.#epoch;
    this.draft.load(snapshot.draft, { first, rolledBack, recorded: recorded >= snapshot.s, s: snapshot.s });
    this.#setView(fromSnapshot(snapshot));
    if (first) this.#restore();
    this.emit("draft");
  }

  /** Take up what earlier page loads could not save. */
  async #restore() {
    const left = await this.#outbox.left();
    if (!left.length || this.view.phase === "submitted") return;
    for (const entry of left) this.draft.restore(entry);
    this.#keep();
    for (const { key } of left) this.#outbox.forget(key);
    this.emit("draft");
    this.#saver.now();
    this.changed();
  }

  #frame(frame) {
    if (frame.t === "ack") return this.#acked(frame);
    if (frame.s !== undefined) return this.#event(frame);
    ({
      err: () => this.#refused(frame),
      pending: () => this.emit("slow", frame.d),
      recorded: () => this.#recorded(frame.d.s),
      replay: () => frame.d.events.forEach((event) => this.#event(event)),
      resumed: () => this.#resumed(),
      role: () => this.#connection.greeting || this.#setRole(frame.d.role, frame.d.by), // else the welcome says it
      time: () => this.clock.sample(frame.d),
      ping: () => this.#ping(frame.d),
      "evaluation.delta": () => this.#setView(addText(this.view, frame.d)),
      "auth.expiring": () => this.#stayAuthorised(),
    })[frame.t]?.(); // what this client does not know is not for it
  }

  #event(frame) {
    if (frame.s <= this.view.s) return; // seen before
    const next = frame.s === this.view.s + 1;
    const fits = next && (frame.t !== "draft.saved" || this.draft.apply(frame));
    if (!fits) return this.behind({ fresh: next });
    if (frame.durable !== "live") this.draft.recordedTo(frame.s);
    this.#setView(evolve(this.view, frame));
    if (frame.t === "draft.saved") this.emit("draft");
    if (frame.t === "phase.changed") this.#saver.now();
    this.#saver.next();
    this.changed();
  }

  #recorded(s) {
    this.draft.recordedTo(s);
    this.changed();
  }

  #resumed() {
    this.#replaying = false;
    this.#saver.now();
  }

  #ping({ head }) {
    this.#send({ t: "pong", d: {} });
    if (head > this.view.s) this.#timers.set(() => head > this.view.s && this.behind(), BEHIND_MS);
  }

  async #stayAuthorised() {
    // Tickets are only made for who is signed in; failing that, the server ends the socket in its own time.
    const given = await this.#ticket().catch(() => null);
    if (given) this.#send({ t: "auth.refresh", d: { ticket: given.ticket } });
  }

  #setRole(role, by) {
    if (this.role === role) return;
    this.role = role;
    this.emit("role", { role, by });
    this.changed();
  }

  #statusChanged(status) {
    if (status.state === "stopped") this.#commands.abandon(status.reason);
    this.emit("status", status);
    this.emit("states");
  }

  // --- commands and saving ----------------------------------------------------------------------------------

  #pump() {
    if (!this.online) return;
    for (const frame of this.#commands.take(this.limits.commands_in_flight_max)) this.#send(frame);
  }

  #send(frame) {
    return this.#connection.send({ ...frame, a: this.view?.s ?? 0 });
  }

  #acked(ack) {
    const item = this.#commands.ack(ack);
    if (ack.durable !== "live") this.draft.recordedTo(ack.s);
    if (item && this.#saver.owns(item.id)) this.#saver.acked(ack, this.view.s);
    this.#pump();
    this.changed();
  }

  #refused(frame) {
    const command = this.#commands.get(frame.id) ?? null;
    if (command && frame.temp) return this.#again(command, frame);
    const penless = ["fenced", "observer"].includes(frame.code);
    if (command && penless && this.#connection.greeting) return void this.#commands.hold(command.id); // to go again there
    this.#commands.refuse(frame);
    if (penless) this.#setRole("observer", null);
    if (command && this.#saver.owns(command.id)) this.#saver.refused(frame);
    else if (!command) this.emit("refused", new Refused(frame));
    this.#pump();
    this.changed();
  }

  /** The same command, with the same id, a little later. */
  #again({ id, t }, { code, retry_ms }) {
    const ms = (retry_ms ?? RETRY_MS) * (1 + this.#random() / 2);
    this.#commands.hold(id);
    this.#timers.set(() => (this.#commands.release(id), this.#pump()), ms);
    this.emit("slow", { id, t, code });
  }

  #forSaver() {
    return {
      send: (body) => this.#sendSave(body),
      open: () => this.#openForSaves(),
      behind: (how) => this.behind(how),
      changed: () => this.changed(),
    };
  }

  #sendSave(body) {
    const item = this.#commands.add("draft.save", body);
    this.#pump();
    return item.id;
  }

  #openForSaves() {
    if (!this.online || !this.view || this.role !== "writer" || this.#replaying || this.#stale) return null;
    const { phase, deadline_at } = this.view;
    return { phase, deadline_at, frame_bytes_max: this.limits.frame_bytes_max };
  }

  #keep() {
    if (this.view && !this.#outbox.keep(this.draft.unsaved())) this.emit("unkept");
  }

  // --- time -------------------------------------------------------------------------------------------------

  #tick() {
    const left = this.remaining_ms;
    const mark = left === null ? null : `${this.view.deadline_at} ${left <= 0}`;
    if (mark && left < LAST_SAVE_MS && !this.#flushed.has(mark)) {
      this.#flushed.add(mark);
      this.flush();
    }
    this.emit("tick");
  }

  #askTime() {
    this.#send({ t: "time", d: { t0: this.clock.local() } });
  }

  #every(ms, fn) {
    const timer = setInterval(fn, ms);
    this.#intervals.push(() => clearInterval(timer));
  }

  #setView(view) {
    this.view = view;
    this.emit("view");
  }
}
