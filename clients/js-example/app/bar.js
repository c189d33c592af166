// The line that stays on top: title, phases, time left, saved or not, connected or not, and the next step.

import { announce, h, put, say, set } from "./dom.js";
import { clockFace } from "./format.js";
import { SUMMARY } from "./states.js";
import { FIELDS } from "../client/index.js";

const PHASES = [
  ["clarifying", "Clarify"],
  ["design", "Design"],
  ["submitted", "Result"],
];
/** Minutes, then seconds, at which the time left is said aloud; the last two at once. */
const WARNINGS = [
  [600_000, "Ten minutes left."],
  [300_000, "Five minutes left."],
  [60_000, "One minute left."],
  [15_000, "Fifteen seconds left."],
];
const URGENT_MS = 60_000;

export function interviewBar(client, title, { proceed, submit }) {
  const steps = PHASES.map(([phase, name]) => h("li", { "data-phase": phase }, name));
  const time = h("span", { class: "clock", role: "timer", "aria-label": "Time left" }, "--:--");
  const saved = h("span", { class: "saved", "data-state": "saved" });
  const line = h("span", { class: "line" });
  const go = h("button", { type: "button", class: "primary", disabled: true });
  const warn = warner();
  let busy = false;
  go.addEventListener("click", () => (client.view?.phase === "clarifying" ? proceed() : submit()));
  const node = h(
    "div",
    { class: "bar" },
    h("div", { class: "bar-title" }, h("h1", {}, title), h("ol", { class: "steps", "aria-label": "Phases" }, ...steps)),
    h("div", { class: "bar-state" }, h("div", { class: "bar-lines" }, saved, line), time, go),
  );

  function update() {
    const phase = client.view?.phase;
    for (const step of steps) set(step, "aria-current", step.dataset.phase === phase ? "step" : null);
    const over = phase === "submitted";
    set(node, "data-phase", phase);
    go.hidden = time.hidden = saved.hidden = over || !phase;
    go.disabled = busy || client.role !== "writer" || !(client.remaining_ms > 0);
    say(go, phase === "clarifying" ? "Start designing" : "Hand in …");
    connection(line, client, over);
    summary(saved, client);
    tick();
  }

  function tick() {
    const left = client.remaining_ms;
    if (left === null) return;
    say(time, clockFace(left));
    set(time, "data-left", left < URGENT_MS ? "urgent" : left < 300_000 ? "soon" : null);
    warn(left, client.view.deadline_at);
    if (left <= 0) go.disabled = true;
  }

  return {
    node,
    update,
    tick,
    busy(yes) {
      busy = yes;
      update();
    },
  };
}

function connection(line, client, over) {
  const { state } = client.status;
  const text = { online: "Connected", connecting: "Connecting …", waiting: "Offline", stopped: "Disconnected", idle: "" }[state];
  set(line, "data-line", state);
  if (state !== "waiting") return say(line, over && state === "online" ? "" : text);
  if (line.querySelector("button")) return;
  put(line, text, h("button", { type: "button", class: "plain", onclick: () => client.wake() }, "Try now"));
}

/** The worst state of all sections speaks for the draft. */
function summary(node, client) {
  const states = new Set(FIELDS.map((field) => client.savedState(field)));
  const worst = ["conflict", "refused", "offline", "saving", "live", "saved"].find((state) => states.has(state));
  set(node, "data-state", worst);
  say(node, SUMMARY[worst]);
}

/** Says each warning once a phase, and none that was past when the page came. */
function warner() {
  let phase = null;
  let next = [];
  return (left, deadline_at) => {
    if (deadline_at !== phase) {
      phase = deadline_at;
      next = WARNINGS.filter(([ms]) => ms < left);
    }
    while (next.length && left <= next[0][0]) {
      const [ms, text] = next.shift();
      announce(text, { urgent: ms <= URGENT_MS });
    }
  };
}
