// One's interviews, the newest first.

import { interviews } from "./api.js";
import { h, problem, put } from "./dom.js";
import { date } from "./format.js";

const PHASES = { clarifying: "Clarifying", design: "Designing", submitted: "Handed in" };

export async function historyPage() {
  const list = h("ul", { class: "list", "aria-label": "Interviews" });
  const more = h("div", { class: "row center" });

  async function load(cursor = null) {
    try {
      const page = await interviews({ limit: 20, cursor });
      list.append(...page.items.map(item));
      const next = page.next_cursor;
      put(more, next && h("button", { type: "button", onclick: () => load(next) }, "Show more"));
    } catch (error) {
      put(more, problem(error));
    }
  }

  await load();
  if (!list.children.length && !more.children.length) {
    put(list, h("li", { class: "quiet" }, "No interviews yet. ", h("a", { href: "#/" }, "Pick a question.")));
  }
  return { title: "History", node: h("div", {}, h("h1", {}, "Your interviews"), list, more) };
}

function item({ id, title, phase, started_at, score, passed }) {
  const scored = score !== null && score !== undefined;
  return h(
    "li",
    { class: "card line" },
    h("a", { href: `#/interviews/${id}` }, title),
    h("time", { class: "quiet small", datetime: new Date(started_at).toISOString() }, date(started_at)),
    scored && h("span", { class: passed ? "badge good" : "badge" }, `${Math.round(score)} / 100`),
    h("span", { class: phase === "submitted" ? "badge" : "badge live" }, PHASES[phase] ?? phase),
  );
}
