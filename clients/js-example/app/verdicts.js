// One check: its verdict, the words it rests on and since when they stood there; and the appeal against it.

import { h, problem, put } from "./dom.js";
import { label, number, words } from "./format.js";

const FLAGS = { mentioned: "Only looked for, not judged", split: "No two of three judgings agree" };
const MARKS = { met: ["✓", "Met"], not_met: ["–", "Not met"], contradicted: ["✕", "Contradicted"] };
const BY_CODE = new Set(["counted", "blank"]); // nobody judged these, so there is nobody to ask again
const QUOTE_CHARS_MAX = 300;

const signed = (points) => `${points > 0 ? "+" : "−"}${number(Math.abs(points))}`;
const costs = ({ points, verdict }) => (verdict === "met") === points < 0;

/** `about`: {sections, texts, find, times, result, pending, appeal}; `appeal(check, field, quote)` is null where none is. */
export function verdict(one, about) {
  const { ask, points, section, quote, reason, flag, votes = 1 } = one;
  const fault = points < 0; // to meet such a check costs points
  const [mark, name] = fault && one.verdict === "met" ? ["!", "Found"] : (MARKS[one.verdict] ?? ["?", one.verdict]);
  const bad = fault ? one.verdict === "met" : one.verdict === "contradicted";
  const times = decidedOf(one, about)?.times ?? about.times;
  return h(
    "li",
    { class: bad ? "verdict bad" : `verdict ${one.verdict}`, "data-check": one.check },
    h("span", { class: "mark", "aria-hidden": "true" }, mark),
    h(
      "div",
      {},
      h("p", {}, h("span", { class: "unseen" }, `${name}: `), ask, h("span", { class: "quiet small" }, ` ${signed(points)}`)),
      quote && h("blockquote", {}, h("p", {}, quote), source(section, quote, about), since(one, about)),
      reason && h("p", { class: "quiet small" }, reason),
      times > 1 && votes < times && h("span", { class: "chip" }, `${votes} of ${times} judgings`),
      flag && (one.verdict !== "not_met" || flag === "split") && h("span", { class: "chip" }, FLAGS[flag] ?? words(flag)),
      decided(one, about),
      mayAppeal(one, about) && appealForm(one, about),
    ),
  );
}

function source(section, quote, { sections, find }) {
  if (!section) return null;
  return h("button", { type: "button", class: "plain small", onclick: () => find(section, quote) }, `in ${label(section, sections)}`);
}

function since({ check }, { result }) {
  const minute = result?.first_shown?.[check];
  return minute !== undefined && h("span", { class: "quiet small since" }, ` there since minute ${minute}`);
}

// --- appeals ------------------------------------------------------------------------------------------------

const decidedOf = ({ check }, { result }) => (result?.appeals ?? []).find((one) => one.check === check) ?? null;

/** Both verdicts, and what the change was worth. */
function decided(one, about) {
  const appeal = decidedOf(one, about);
  if (!appeal) return null;
  const { before, after, times, score_before, score_after } = appeal;
  const named = ({ verdict }) => (MARKS[verdict]?.[1] ?? verdict).toLowerCase();
  const change = score_after === score_before ? "the score stays" : `the score goes from ${number(score_before)} to ${number(score_after)}`;
  return h(
    "div",
    { class: "appealed small" },
    h("p", {}, h("b", {}, "Appealed. "), `First ${named(before)}; judged again, ${named(after)} (${after.votes} of ${times} judgings): ${change}.`),
    before.reason && h("p", { class: "quiet" }, `Said first: ${before.reason}`),
    after.reason && h("p", { class: "quiet" }, `Said then: ${after.reason}`),
    h("p", { class: "quiet" }, `You pointed at: “${appeal.quote}”`),
  );
}

const mayAppeal = (one, { appeal, pending, result }) =>
  Boolean(appeal) && !pending && result?.appeals_left > 0 && costs(one) && !BY_CODE.has(one.flag);

/** Folded; which section, and the words in it. */
function appealForm({ check }, { sections, texts, appeal }) {
  const written = Object.keys(texts ?? {}).filter((field) => texts[field].trim());
  const field = h("select", { "aria-label": "Section" }, ...written.map((name) => h("option", { value: name }, label(name, sections))));
  const quote = h("textarea", { rows: 3, maxlength: QUOTE_CHARS_MAX, required: true, "aria-label": "Your words that show it" });
  const said = h("div", {});
  const send = h("button", { type: "submit" }, "Have it judged again");
  const submit = async (event) => {
    event.preventDefault();
    send.disabled = true;
    put(said);
    await appeal(check, field.value, quote.value).catch((error) => put(said, problem(error)));
    send.disabled = false;
  };
  return h(
    "details",
    { class: "appeal" },
    h("summary", { class: "small" }, "Appeal"),
    h("form", { onsubmit: submit },
      h("p", { class: "quiet small" }, "Copy the words of yours that show it. It is judged again three times, by judges who know of neither your appeal nor the first verdict. It cannot cost you points."),
      field, quote, h("p", { class: "row" }, send), said),
  );
}
