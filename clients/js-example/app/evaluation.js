// The result, as it comes in: each criterion with its verdicts and quotes, the total, what to do better.

import { radar, ring } from "./chart.js";
import { announce, h, nodesOf, problem, put, sync } from "./dom.js";
import { handedIn } from "./handed_in.js";
import { date, number, words } from "./format.js";
import { verdict } from "./verdicts.js";

const STATES = {
  queued: "Handed in. Waiting for a judge …",
  running: "Being judged …",
  completed: "Judged",
  failed: "The evaluation did not come to an end.",
};

/**
 * `update({evaluation, submission, fields})` draws what is new; `retry` is null where there is no asking again, and
 * `appeal(check, field, quote)` where there is no appealing.
 */
export function evaluationPanel({ sections, retry, appeal = null }) {
  const texts = handedIn(sections);
  const parts = Object.fromEntries(
    ["head", "remarks", "criteria", "narrative", "unasked", "receipt"].map((name) => [name, h("div", { class: `result-${name}` })]),
  );
  const node = h("div", { class: "result", tabindex: "-1" }, parts.head, parts.remarks, parts.narrative, parts.criteria, parts.unasked, texts.node, parts.receipt);
  const list = h("ol", { class: "criteria" });
  const waits = nodesOf((criterion, state) => waiting(criterion, state));
  const landed = nodesOf((result) => judgedCriterion(result));
  put(parts.criteria, h("h2", {}, "Criteria"), list);
  parts.criteria.hidden = true;
  let drawn = null;
  let told = 0;

  function update({ evaluation, submission, fields }) {
    texts.update(fields);
    if (!evaluation || evaluation === drawn) return;
    drawn = evaluation;
    put(parts.head, head(evaluation, submission, retry));
    const all = ordered(evaluation);
    parts.criteria.hidden = all.length === 0;
    const shown = all.map((one) => (one.result ? landed(one.id, one.result) : waits(one.id, one.named, evaluation.state)));
    sync(list, shown);
    const { result } = evaluation;
    const about = { sections, texts: fields, find: texts.find, result, pending: Boolean(unsettled(evaluation)), appeal };
    all.forEach((one, i) => one.result && drawVerdicts(shown[i], one.result, about));
    put(parts.remarks, result && remarks(result));
    put(parts.unasked, result && unasked(result));
    put(parts.narrative, narrative(evaluation));
    put(parts.receipt, evaluation.result && receipt(evaluation.result.receipt));
    tell(evaluation);
  }

  function tell({ judged, result, failure }) {
    for (const one of judged.slice(told)) announce(`${one.name}: ${number(one.points)} of ${number(one.points_max)} points.`);
    told = judged.length;
    if (result) announce(`Judged: ${Math.round(result.score)} of 100.`);
    if (failure) announce(failure.message, { urgent: true });
  }

  return { node, update };
}

/** All criteria in their order, those not judged yet among them: [{id, name, named, result or null}]. */
function ordered({ criteria, judged }) {
  const landed = new Map(judged.map((one) => [one.id, one]));
  const names = [...criteria, ...judged.filter((one) => !criteria.some(({ id }) => id === one.id))];
  return names.map((named) => ({ id: named.id, name: named.name, named, result: landed.get(named.id) ?? null }));
}

/** The appeal that has not come to its end, or to a failed one. */
const unsettled = ({ appeal }) => (appeal && appeal.state !== "completed" ? appeal : null);

function head(evaluation, submission, retry) {
  const { result, state, failure } = evaluation;
  const all = ordered(evaluation);
  const dimensions = all.map(({ name, result }) => ({ name, score: result?.score ?? null }));
  return h(
    "section",
    { class: "card score" },
    ring(result?.score ?? null, result?.passed),
    h(
      "div",
      { class: "score-words" },
      h("h2", { "data-evaluation": state }, result ? (result.passed ? "Passed" : "Below the pass mark") : STATES[state]),
      state === "running" && h("p", { class: "quiet" }, `${evaluation.judged.length} of ${all.length} criteria`),
      submission && h("p", { class: "quiet small" }, handed(submission)),
      result?.band && h("p", { class: "band" }, band(result.band)),
      judge(evaluation),
      appealed(evaluation, retry),
      failure && problem(failure),
      failure?.retryable && retry && again(retry),
    ),
    radar(dimensions),
  );
}

const handed = ({ by, at, late }) =>
  `${by === "clock" ? "Handed in by the clock" : "Handed in"}, ${date(at)}${late ? ", in the grace after the deadline" : ""}.`;

function judge({ judge, result }) {
  const name = result?.judge ?? judge;
  if (name === "offline") {
    return h("p", { class: "notice small" }, "Completeness estimate: judged offline, by counting and presence. It says how much is there, not how good it is.");
  }
  return name ? h("p", { class: "quiet small" }, "Judged by a model; every quote was looked up in your text, and the points are added up by code.") : null;
}

const band = ({ low, high, times }) =>
  `Likely ${Math.round(low)} to ${Math.round(high)}: near the pass mark it is judged ${times === 3 ? "three" : times} times.`;

/** How far an appeal is; what it decided stands at its check. */
function appealed(evaluation, retry) {
  const appeal = unsettled(evaluation);
  if (!appeal) return null;
  if (appeal.state !== "failed") return h("p", { class: "notice small", "data-appeal": appeal.state }, "A check is being judged again …");
  return h("div", { "data-appeal": "failed" }, problem(appeal.failure), appeal.failure?.retryable && retry && again(retry));
}

function again(retry) {
  const said = h("span", {});
  const ask = async (event) => {
    event.target.disabled = true;
    await retry().catch((error) => put(said, problem(error)));
    event.target.disabled = false;
  };
  return h("p", {}, h("button", { type: "button", class: "primary", onclick: ask }, "Judge it again"), said);
}

function waiting({ name, weight }, state) {
  const text = state === "failed" ? "not judged" : "being judged …";
  return h("li", { class: "card criterion waiting" },
    h("h3", {}, name), h("p", { class: "quiet small" }, `Weight ${number(weight)} · ${text}`), h("div", { class: "meter" }));
}

function judgedCriterion({ id, name, weight, points, points_max, score, verdicts, times = 1 }) {
  const meter = h("div", { class: "meter" }, h("div", { class: level(score) }));
  meter.firstChild.style.width = `${Math.round(score * 100)}%`;
  return h(
    "li",
    { class: "card criterion", "data-criterion": id },
    h("div", { class: "row between" }, h("h3", {}, name), h("b", {}, `${number(points)} / ${number(points_max)}`)),
    h("p", { class: "quiet small" }, `Weight ${number(weight)}${times > 1 ? ` · by majority of ${times} judgings` : ""}`),
    meter,
    h("details", {}, h("summary", {}, counts(verdicts)), h("ul", { class: "verdicts" })),
  );
}

/** The checks are drawn in their place when what is said of them changes: what is unfolded stays unfolded. */
function drawVerdicts(node, { verdicts, times = 1 }, about) {
  const { result, pending } = about;
  const list = node.querySelector(".verdicts");
  if (list.about && list.about.result === result && list.about.pending === pending) return;
  list.about = about;
  put(list, ...verdicts.map((one) => verdict(one, { ...about, times })));
}

const level = (score) => (score >= 0.67 ? "high" : score >= 0.34 ? "middle" : "low");
const counts = (verdicts) => `${verdicts.filter((one) => one.verdict === "met").length} of ${verdicts.length} checks met`;

/** What to ask the next time. */
function unasked({ unasked = [] }) {
  if (!unasked.length) return null;
  return h("section", { class: "card" },
    h("h2", {}, "Never asked"), h("p", { class: "quiet small" }, "The interviewer had an answer to these, too; those that matter most come first."),
    h("ul", {}, ...unasked.map(({ label }) => h("li", {}, label))));
}

function remarks({ strengths, weaknesses, improvements }) {
  const list = (title, items, kind) =>
    items.length > 0 && h("section", { class: `card ${kind}` }, h("h2", {}, title), h("ul", {}, ...items.map(({ text }) => h("li", {}, text))));
  return h("div", { class: "columns" }, list("Strengths", strengths, "strong"), list("Weaknesses", weaknesses, "weak"), list("To improve", improvements, "next"));
}

/** While it is written. Then its lines stand among the remarks; only what is no list of them is shown on. */
function narrative({ text, result, judge }) {
  const said = result ? judge === "offline" && result.narrative : text;
  return said && h("section", { class: "card" }, h("h2", {}, "In words"), ...said.split(/\n+/).map((part) => h("p", { class: "prose" }, part)));
}

function receipt(receipt = {}) {
  const rows = Object.entries(receipt).filter(([, value]) => value !== null && value !== "");
  if (!rows.length) return null;
  const show = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  return h(
    "details",
    { class: "card receipt" },
    h("summary", {}, "Receipt: by what this was judged"),
    h("dl", {}, ...rows.flatMap(([name, value]) => [h("dt", {}, words(name)), h("dd", {}, show(value))])),
  );
}
