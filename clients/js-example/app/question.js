// One question, before the interview: what awaits one, and the start.

import { user } from "./account.js";
import { question, startInterview } from "./api.js";
import { closed, tags } from "./catalog.js";
import { h, problem, put } from "./dom.js";
import { LANGUAGE_NAMES, label, minutes, percent, plural } from "./format.js";
import { go } from "./router.js";
import { newId } from "../client/ids.js";

export async function questionPage({ slug }) {
  const found = await question(slug);
  const said = h("div", {});
  return {
    title: found.title,
    node: h(
      "article",
      { class: "reading" },
      h("p", { class: "small" }, h("a", { href: "#/" }, "← All questions")),
      h("h1", {}, found.title),
      tags(found),
      closed(found) ? h("p", { class: "notice" }, why(found)) : h("div", { class: "statement" }, ...paragraphs(found.statement)),
      !closed(found) && h("h2", {}, "How it goes"),
      !closed(found) && course(found),
      said,
      !closed(found) && begin(found, said),
    ),
  };
}

/** A statement's paragraphs: blank lines part them, as their authors wrote them. */
export const paragraphs = (text) =>
  text.split(/\n\s*\n/).map((part) => h("p", { class: "prose" }, part.replace(/([^\n])\n(?=[^\n\s\-*])/g, "$1 ").trim()));

function why(question) {
  if (question.status === "coming_soon") return "This question is being written. Come back soon.";
  return "This question is locked here.";
}

function course({ time_limits, max_questions, sections, languages, acceptance_rate }) {
  const names = sections.map((section) => label(section.field, sections)).join(", ");
  return h(
    "ol",
    { class: "course" },
    h("li", {}, h("b", {}, `Clarify, ${minutes(time_limits.clarify_seconds)}. `),
      `Ask what is left open: ${plural(max_questions, "answer")} at most, the same for everyone. Requirements can be written down meanwhile.`),
    h("li", {}, h("b", {}, `Design, ${minutes(time_limits.design_seconds)}. `), `Write: ${names}. Saved as you type.`),
    h("li", {}, h("b", {}, "Hand in. "), "Or the clock does. Each criterion is judged with quotes from your text."),
    languages.length > 0 && h("li", {}, `Code in ${languages.map((name) => LANGUAGE_NAMES[name] ?? name).join(", ")}; it is read, not run.`),
    acceptance_rate !== null && h("li", {}, `${percent(acceptance_rate)} pass at the first attempt.`),
  );
}

function begin(question, said) {
  const active = question.my_status?.interview;
  const key = newId(); // pressing twice starts one
  const start = async (event) => {
    if (!user()) return go(`/sign-in?to=${encodeURIComponent(`/questions/${question.slug}`)}`);
    event.target.disabled = true;
    try {
      go(`/interviews/${(await startInterview(question.slug, key)).id}`);
    } catch (error) {
      put(said, problem(error));
      event.target.disabled = false;
    }
  };
  const text = active ? "Go on with your interview" : user() ? "Start the interview" : "Sign in to start";
  return h(
    "div",
    { class: "row" },
    h("button", { type: "button", class: "primary large", onclick: start }, text),
    h("span", { class: "quiet small" }, active ? "Its clock is running." : "The clock starts at once."),
  );
}
