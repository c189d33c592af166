// The result, as it comes in: each criterion with its verdicts and quotes, the total, what to do better.

import { radar, ring } from "./chart.js";
import { announce, h, nodesOf, problem, put, sync } from "./dom.js";
import { handedIn } from "./handed_in.js";
import { date, label, number, words } from "./format.js";

const STATES = {
  queued: "Handed in. Waiting for a judge …",
  running: "Being judged …",
  completed: "Judged",
  failed: "The evaluation did not come to an end.",
};

/** `update({evaluation, submission, fields})` draws what is new; `retry` is null where there is no asking again. */
export function evaluationPanel({ sections, retry }) {
  const texts = handedIn(sections);
  const parts = Object.fromEntries(
    ["head", "remarks", "criteria", "narrative", "receipt"].map((name) => [name, h("div", { class: `result-${name}` })]),
  );
  const node = h("div", { class: "result", tabindex: "-1" }, parts.head, parts.remarks, parts.narrative, parts.criteria, texts.node, parts.receipt);
  const list = h("ol", { class: "criteria" });
  const waits = nodesOf((criterion, state) => waiting(criterion, state));
  const landed = nodesOf((result) => judgedCriterion(result, sections, texts.find));
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
    sync(list, all.map((one) => (one.result ? landed(one.id, one.result) : waits(one.id, one.named, evaluation.state))));
    put(parts.remarks, evaluation.result && remarks(evaluation.result));
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
      judge(evaluation),
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

function judgedCriterion({ id, name, weight, points, points_max, score, verdicts }, sections, find) {
  const meter = h("div", { class: "meter" }, h("div", { class: level(score) }));
  meter.firstChild.style.width = `${Math.round(score * 100)}%`;
  return h(
    "li",
    { class: "card criterion", "data-criterion": id },
    h("div", { class: "row between" }, h("h3", {}, name), h("b", {}, `${number(points)} / ${number(points_max)}`)),
    h("p", { class: "quiet small" }, `Weight ${number(weight)}`),
    meter,
    h("details", {}, h("summary", {}, counts(verdicts)), h("ul", { class: "verdicts" }, ...verdicts.map((one) => verdict(one, sections, find)))),
  );
}

const level = (score) => (score >= 0.67 ? "high" : score >= 0.34 ? "middle" : "low");
const counts = (verdicts) => `${verdicts.filter((one) => one.verdict === "met").length} of ${verdicts.length} checks met`;

const FLAGS = { mentioned: "Only looked for, not judged" };
const signed = (points) => `${points > 0 ? "+" : "−"}${number(Math.abs(points))}`;
const MARKS = { met: ["✓", "Met"], not_met: ["–", "Not met"], contradicted: ["✕", "Contradicted"] };

function verdict({ ask, points, verdict, section, quote, reason, flag }, sections, find) {
  const fault = points < 0; // to meet such a check costs points
  const [mark, name] = fault && verdict === "met" ? ["!", "Found"] : (MARKS[verdict] ?? ["?", verdict]);
  const bad = fault ? verdict === "met" : verdict === "contradicted";
  const source = section && label(section, sections);
  return h(
    "li",
    { class: bad ? "verdict bad" : `verdict ${verdict}` },
    h("span", { class: "mark", "aria-hidden": "true" }, mark),
    h(
      "div",
      {},
      h("p", {}, h("span", { class: "unseen" }, `${name}: `), ask, h("span", { class: "quiet small" }, ` ${signed(points)}`)),
      quote && h("blockquote", {}, h("p", {}, quote), source && h("button", { type: "button", class: "plain small", onclick: () => find(section, quote) }, `in ${source}`)),
      reason && h("p", { class: "quiet small" }, reason),
      flag && verdict !== "not_met" && h("span", { class: "chip" }, FLAGS[flag] ?? words(flag)),
    ),
  );
}

function remarks({ strengths, weaknesses, improvements }) {
  const list = (title, items, kind) =>
    items.length > 0 && h("section", { class: `card ${kind}` }, h("h2", {}, title), h("ul", {}, ...items.map(({ text }) => h("li", {}, text))));
  return h("div", { class: "columns" }, list("Strengths", strengths, "strong"), list("Weaknesses", weaknesses, "weak"), list("To improve", improvements, "next"));
}

function narrative({ text, result }) {
  const said = result?.narrative || text;
  return said && h("section", { class: "card" }, h("h2", {}, "In words"), ...said.split(/\n{2,}/).map((part) => h("p", { class: "prose" }, part)));
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
