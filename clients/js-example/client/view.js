// The interview as a value, and how each event changes it: a snapshot and its events give the next snapshot. Pure.
// The draft is not in it: see draft.js.

/** The view of a snapshot. */
export const fromSnapshot = ({ draft, ...view }) => view;

/** The view after an event; the event must be the next one. */
export function evolve(view, frame) {
  if (frame.s !== view.s + 1) throw new RangeError(`event ${frame.s} does not follow ${view.s}`);
  const change = CHANGES[frame.t];
  return { ...view, ...(change ? change(view, frame.d, frame) : {}), s: frame.s };
}

/** The view after a piece of the narrative, which is not numbered: pieces of older attempts and gaps are dropped. */
export function addText(view, { run, attempt, i, text }) {
  const evaluation = view.evaluation;
  if (!evaluation || evaluation.run !== run || evaluation.attempt !== attempt || i > evaluation.text.length) return view;
  return { ...view, evaluation: { ...evaluation, text: evaluation.text.slice(0, i) + text } };
}

const settle = (view, ref, state) =>
  ref == null ? view.clarifications : view.clarifications.map((said) => (said.ref === ref ? { ...said, state } : said));

const queued = (run) => ({
  run,
  attempt: 0,
  state: "queued",
  judge: null,
  criteria: [],
  judged: [],
  result: null,
  failure: null,
  appeal: null,
  text: "",
});

/** The results with a new one, in the place of what was said of its criterion before. */
const withResult = (results, one) =>
  results.some(({ id }) => id === one.id) ? results.map((old) => (old.id === one.id ? one : old)) : [...results, one];

const judged = (view, change) => ({ evaluation: { ...(view.evaluation ?? queued(1)), ...change } });

/** What a worker says: of an appeal, if its run is the appeal's, and else of the run that judges all. */
const told = (view, { run }, change, ofAppeal) => {
  const appeal = view.evaluation?.appeal;
  if (!appeal || appeal.run !== run) return judged(view, change);
  return judged(view, { ...ofAppeal.view, appeal: { ...appeal, ...ofAppeal.appeal } });
};

const CHANGES = {
  "clarification.answered": (view, d, { s, ts }) => ({
    clarifications: [
      ...settle(view, d.ref, "confirmed"),
      {
        ref: s,
        asked_at: ts,
        text: d.text,
        kind: d.kind,
        response: d.response,
        intent: d.intent ?? null,
        label: d.label ?? null,
        remaining: d.remaining ?? null,
        state: "open",
      },
    ],
  }),
  "clarification.refunded": (view, d) => ({ clarifications: settle(view, d.ref, "refunded") }),
  "phase.changed": (view, d) => ({ phase: d.phase, deadline_at: d.deadline_at }),
  "solution.submitted": (view, d, { ts }) => ({
    phase: "submitted",
    submission: { by: d.by, at: ts, rev: d.rev, late: d.late ?? false },
    evaluation: queued(d.run ?? 1),
  }),
  "evaluation.requested": (view, d) => ({ evaluation: queued(d.run) }),
  "evaluation.appealed": (view, d) => judged(view, { appeal: { attempt: 0, state: "queued", failure: null, ...d } }),
  "evaluation.started": (view, d) =>
    told(
      view,
      d,
      { attempt: d.attempt, state: "running", judge: d.judge, criteria: d.criteria, text: "" },
      { appeal: { attempt: d.attempt, state: "running" } },
    ),
  "evaluation.criterion": (view, d) => judged(view, { judged: withResult(view.evaluation?.judged ?? [], d) }),
  "evaluation.completed": (view, d) =>
    told(
      view,
      d,
      { state: "completed", result: d, judge: d.judge },
      { view: { result: d }, appeal: { state: "completed" } },
    ),
  "evaluation.failed": (view, d) =>
    told(view, d, { state: "failed", failure: d }, { appeal: { state: "failed", failure: d } }),
};
