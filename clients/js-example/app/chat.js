// Clarifying: questions in free text, answers with what they were taken to be about.

import { h, nodesOf, problem, put, say, sync } from "./dom.js";

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
  const mine = nodesOf((text) => h("li", { class: "mine" }, h("p", {}, text)));
  const sending = nodesOf((text) => h("li", { class: "mine sending" }, h("p", {}, text)));
  const answer = nodesOf((one, open) => answerOf(one, open, settle));
  const empty = h("li", { class: "quiet small" });

  async function submit(event) {
    event.preventDefault();
    const text = input.value.trim();
    if (!text) return input.focus();
    const key = Symbol(text);
    waiting.set(key, text);
    input.value = "";
    put(said);
    update();
    try {
      await client.ask(text);
    } catch (error) {
      put(said, problem(error));
      input.value ||= text;
    }
    waiting.delete(key);
    update();
    back();
  }

  /** To the next question, unless the user has gone elsewhere meanwhile. */
  function back() {
    const at = document.activeElement;
    if (at === document.body || log.contains(at) || form.contains(at)) input.focus();
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
      back();
    } catch (error) {
      put(said, problem(error));
    }
  };

  function update() {
    const { clarifications, phase } = client.view;
    const open = phase === "clarifying";
    const nodes = clarifications.flatMap((one, i) => [
      ...(follows(one, clarifications[i - 1]) ? [] : [mine(one.ref, one.text)]),
      answer(one.ref, one, open),
    ]);
    for (const [key, text] of waiting) nodes.push(sending(key, text));
    const more = nodes.at(-1) && nodes.at(-1) !== log.lastElementChild;
    say(empty, open ? HINT : "Nothing was asked.");
    sync(log, nodes.length ? nodes : [empty]);
    if (more) log.scrollTop = log.scrollHeight;
    form.hidden = !open;
    say(used, usage(clarifications, question.max_questions));
  }

  return { node: h("div", { class: "chat" }, log, said, form), update };
}

const HINT = "Ask about scope, scale, limits, and what matters most. The same question gets the same answer for everyone.";

const counts = (one) => one.kind === "answered" && one.state !== "refunded";
const usage = (all, max) => `${all.filter(counts).length} of ${max} answers used`;

/** A confirmed "did you mean" and its answer stand together, under the one question. */
const follows = (one, before) => before?.kind === "confirm" && before.state === "confirmed" && before.text === one.text;

const answerOf = (one, open, settle) =>
  h("li", { class: `theirs ${one.kind} ${one.state}` }, about(one), h("p", {}, one.response), actions(one, open, settle));

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
