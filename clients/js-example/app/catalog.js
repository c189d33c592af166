// The question bank: filters, search, order, and how far one has come.

import { questions } from "./api.js";
import { announce, h, problem, put } from "./dom.js";
import { minutes, percent, plural, words } from "./format.js";
import { here } from "./router.js";

const PAGE = 24;
const SEARCH_MS = 250;

const CHOICES = {
  type: ["Kind", { "": "Any kind", LLD: "Object design (LLD)", HLD: "Large systems (HLD)" }],
  difficulty: ["Difficulty", { "": "Any difficulty", easy: "Easy", medium: "Medium", hard: "Hard" }],
  status: ["Ready", { "": "Ready or not", published: "Ready to play", coming_soon: "Coming soon" }],
  sort: ["Order", { title: "By title", difficulty: "Easiest first", "-difficulty": "Hardest first", newest: "Newest first" }],
};

export async function catalogPage() {
  const given = here().query;
  const filters = { q: "", company: "", sort: "title", ...Object.fromEntries(given) };
  const list = h("ul", { class: "cards", "aria-label": "Questions" });
  const more = h("div", { class: "row center" });
  let turn = 0;

  async function load(cursor = null) {
    const mine = ++turn;
    try {
      const page = await questions({ ...filters, limit: PAGE, cursor });
      if (mine !== turn) return;
      if (!cursor) put(list);
      list.append(...page.items.map(item));
      if (!list.children.length) put(list, h("li", { class: "quiet" }, "No question fits. Take a filter away."));
      put(more, page.next_cursor && h("button", { type: "button", onclick: () => load(page.next_cursor) }, "Show more"));
      if (cursor === null && mine > 1) announce(plural(list.querySelectorAll(".question").length, "question"));
    } catch (error) {
      if (mine === turn) put(more, problem(error));
    }
  }

  const change = (name) => (event) => {
    filters[name] = event.target.value;
    const kept = Object.entries(filters).filter(([key, value]) => value && !(key === "sort" && value === "title"));
    history.replaceState(null, "", `#/${kept.length ? `?${new URLSearchParams(kept)}` : ""}`);
    load();
  };

  await load();
  return {
    title: "Questions",
    node: h(
      "div",
      {},
      h("h1", {}, "Practise a design interview"),
      h("p", { class: "lead" }, "Ask, design, hand in, against the clock. Judged by a rubric that shows its evidence."),
      h(
        "form",
        { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
        search(filters, "q", "Search", "Search questions", change),
        search(filters, "company", "Company", "Company", change),
        ...Object.keys(CHOICES).map((name) => select(filters, name, change)),
      ),
      list,
      more,
    ),
  };
}

function search(filters, name, label, placeholder, change) {
  let timer;
  const later = (event) => {
    clearTimeout(timer);
    timer = setTimeout(() => change(name)(event), SEARCH_MS);
  };
  return h("input", {
    type: "search", "aria-label": label, placeholder, value: filters[name], maxlength: 100, oninput: later, class: `by-${name}`,
  });
}

function select(filters, name, change) {
  const [label, options] = CHOICES[name];
  const chosen = (value) => (filters[name] ?? "") === value;
  const nodes = Object.entries(options).map(([value, text]) => h("option", { value, selected: chosen(value) }, text));
  return h("select", { "aria-label": label, onchange: change(name) }, ...nodes);
}

const MINE = { in_progress: "In progress", attempted: "Attempted" };

/** Why a question cannot be played now, or null. */
export function closed(question) {
  if (question.status === "coming_soon") return "Coming soon";
  return question.access === "locked" ? "Locked" : null;
}

function item(question) {
  const { clarify_seconds, design_seconds } = question.time_limits;
  const why = closed(question);
  const mine = question.my_status;
  const best = mine?.best_score;
  return h(
    "li",
    { class: `card question ${why ? "closed" : ""}` },
    h("h2", {}, h("a", { href: `#/questions/${encodeURIComponent(question.slug)}` }, question.title)),
    tags(question),
    h(
      "p",
      { class: "quiet small row" },
      h("span", {}, minutes(clarify_seconds + design_seconds)),
      question.acceptance_rate !== null && h("span", {}, `${percent(question.acceptance_rate)} pass at first`),
      why && h("span", { class: "badge" }, why),
      MINE[mine?.state] && h("span", { class: "badge good" }, MINE[mine.state]),
      best !== null && best !== undefined && h("span", {}, `Best: ${Math.round(best)}`),
    ),
  );
}

/** Kind, difficulty, companies and tags, as small marks. */
export function tags({ type, difficulty, companies, tags }) {
  return h(
    "p",
    { class: "tags" },
    h("span", { class: "tag strong" }, type),
    h("span", { class: `tag ${difficulty}` }, difficulty),
    ...companies.map((name) => h("span", { class: "tag" }, name)),
    ...tags.map((name) => h("span", { class: "tag faint" }, words(name))),
  );
}
