// Clarifying: questions in free text, answers with what they were taken to be about.

import { h, problem, put, say } from "./dom.js";

export function chatPanel(client, question) {
  const log = h("ol", { class: "log", role: "log", "aria-label": "Questions and answers", tabindex: "0" });
  const said = h("div", {});
  const used = h("p", { class: "quiet small" });
  const input = h("textarea", {
    id: "ask", rows: 2, maxlength: 2000, placeholder: "For example: which kinds of vehicles are there?", onkeydown: keys,
  });
  const send = h("button", { class: "primary" }, "Ask");
  const form = h("form", { onsubmit: submit }, h("label", { for: "ask" }, "Ask what is left open"), input, h("div", { class: "row between" }, used, send));
  const waiting = new Map(); // texts on their way: not yet events
  let drawn = null;

  async function submit(event) {
    event.preventDefault();
    const text = input.value.trim();
    if (!text) return input.focus();
    const key = Symbol(text);
    waiting.set(key, text);
    input.value = "";
    put(said);
    draw();
    try {
      await client.ask(text);
    } catch (error) {
      put(said, problem(error));
      input.value ||= text;
    }
    waiting.delete(key);
    draw();
    input.focus();
  }

  function keys(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  }

  const settle = (how, ref) => async () => {
    put(said);
    try {
      await client[how](ref);
      input.focus();
    } catch (error) {
      put(said, problem(error));
    }
  };

  function draw() {
    const open = client.view.phase === "clarifying";
    const items = client.view.clarifications.flatMap((one, i, all) => entry(one, all[i - 1], open, settle));
    const sending = [...waiting.values()].map((text) => h("li", { class: "mine sending" }, h("p", {}, text)));
    const none = items.length + sending.length === 0;
    const hint = open ? "Ask about scope, scale, limits, and what matters most. The same question gets the same answer for everyone." : "Nothing was asked.";
    put(log, none ? h("li", { class: "quiet small" }, hint) : [...items, ...sending]);
    log.scrollTop = log.scrollHeight;
    form.hidden = !open;
    say(used, usage(client.view.clarifications, question.max_questions));
  }

  function update() {
    const { clarifications, phase } = client.view;
    if (drawn === clarifications && draw.phase === phase) return;
    drawn = clarifications;
    draw.phase = phase;
    draw();
  }

  return { node: h("div", { class: "chat" }, log, said, form), update };
}

const counts = (one) => one.kind === "answered" && one.state !== "refunded";
const usage = (all, max) => `${all.filter(counts).length} of ${max} answers used`;

/** One question and what came of it. A confirmed "did you mean" and its answer stand together. */
function entry(one, before, open, settle) {
  const follows = before?.kind === "confirm" && before.state === "confirmed" && before.text === one.text;
  const mine = follows ? [] : [h("li", { class: "mine" }, h("p", {}, one.text))];
  return [...mine, h("li", { class: `theirs ${one.kind} ${one.state}` }, about(one), h("p", {}, one.response), actions(one, open, settle))];
}

function about({ kind, label, remaining, state }) {
  const left = kind === "answered" && remaining !== null ? ` · ${remaining} left` : "";
  const chip = kind !== "confirm" && label && h("span", { class: "chip" }, `About: ${label}${left}`);
  const note = state === "refunded" && h("span", { class: "chip" }, "Taken back");
  const none = kind === "fallback" && h("span", { class: "chip" }, "No fixed answer");
  return h("div", { class: "chips" }, chip, none, note);
}

function actions({ ref, kind, state, label }, open, settle) {
  if (!open || state !== "open") return null;
  const no = h("button", { type: "button", class: "plain small", onclick: settle("reject", ref) }, "Not what I asked");
  if (kind === "answered") return no;
  if (kind !== "confirm") return null;
  const yes = h("button", { type: "button", class: "small", onclick: settle("confirm", ref) }, `Yes: ${label}`);
  return h("div", { class: "row" }, yes, no);
}
