// The draft's sections as tabs, each with its text and what has become of it.

import { FIELDS, LANGUAGES, REQUIREMENT_FIELDS } from "../client/index.js";
import { h, put, say, set } from "./dom.js";
import { LANGUAGE_NAMES, label } from "./format.js";
import { REFUSALS, SECTION } from "./states.js";
import { codeKeys, showText } from "./textarea.js";

export function editorPanel(client, question) {
  const editors = FIELDS.map((field) => editor(client, question, field));
  const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Sections", onkeydown: arrows }, ...editors.map((one) => one.tab));
  const node = h("section", { class: "editors card", "aria-label": "Your solution" }, tabs, ...editors.map((one) => one.panel));
  let chosen = editors.find((one) => one.field === lastField()) ?? editors[0];
  for (const one of editors) one.tab.addEventListener("click", () => choose(one));
  choose(chosen);

  function choose(one) {
    chosen = one;
    lastField(one.field);
    for (const other of editors) {
      const yes = other === one;
      set(other.tab, "aria-selected", String(yes));
      set(other.tab, "tabindex", yes ? "0" : "-1");
      other.panel.hidden = !yes;
    }
    one.tab.scrollIntoView?.({ block: "nearest", inline: "nearest" });
  }

  function arrows(event) {
    const at = editors.indexOf(chosen);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: editors.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(editors[(to + editors.length) % editors.length]);
    chosen.tab.focus();
  }

  const all = (name) => () => editors.forEach((one) => one[name]());
  const phase = () => (all("texts")(), all("states")());
  return { node, phase, texts: all("texts"), states: all("states"), tick: all("lock") };
}

function editor(client, question, field) {
  const section = question.sections.find((one) => one.field === field);
  const name = label(field, question.sections);
  const dot = h("span", { class: "dot", "aria-hidden": "true" });
  const tab = h("button", { type: "button", role: "tab", id: `tab-${field}`, "aria-controls": `panel-${field}` }, dot, name);
  const state = h("span", { class: "state" });
  const choice = h("div", { class: "choice" });
  const area = h("textarea", {
    id: `text-${field}`, "aria-label": name, "aria-describedby": `hint-${field}`, spellcheck: field === "code" ? "false" : "true",
    autocomplete: "off", autocapitalize: "off", class: field === "code" ? "code" : "prose-in", rows: 14, oninput: typed,
  });
  const languages = field === "code" ? languageSelect(client, question) : null;
  const hint = field === "code" ? `${section?.hint ?? ""} Tab indents; Esc, then Tab, leaves the editor.` : section?.hint;
  const foot = h("div", { class: "row between foot" }, state, languages?.node);
  const opens = h("p", { class: "quiet small" }, "Opens with the design phase.");
  const panel = h("div", { role: "tabpanel", id: `panel-${field}`, "aria-labelledby": `tab-${field}` },
    h("p", { class: "quiet small hint", id: `hint-${field}` }, hint), opens, choice, area, foot);
  if (field === "code") codeKeys(area, () => client.draft.language.local);

  function typed() {
    const kept = client.edit(field, area.value);
    showText(area, kept === false ? client.draft.local[field] : kept);
  }

  function texts() {
    showText(area, client.draft.local[field]);
    languages?.update();
  }

  function states() {
    const what = client.savedState(field);
    const empty = what === "saved" && !client.draft.local[field];
    set(tab, "data-state", empty ? "empty" : what);
    set(state, "data-state", what);
    say(state, empty ? "" : (REFUSALS[client.draft.blocked.get(field)] ?? SECTION[what]));
    conflict(choice, client, field);
    lock();
  }

  function lock() {
    area.readOnly = !client.editable(field);
    opens.hidden = client.view?.phase !== "clarifying" || REQUIREMENT_FIELDS.includes(field);
    if (languages) languages.node.querySelector("select").disabled = area.readOnly;
  }

  return { field, tab, panel, texts, states, lock };
}

/** The section last looked at in this tab: a reload comes back to it. */
function lastField(field) {
  try {
    if (field) sessionStorage.setItem("sdi.section", field);
    return sessionStorage.getItem("sdi.section");
  } catch {
    return null;
  }
}

function languageSelect(client, question) {
  const options = (question.languages.length ? question.languages : LANGUAGES).map((name) =>
    h("option", { value: name }, LANGUAGE_NAMES[name] ?? name),
  );
  const select = h("select", { id: "language", onchange: () => client.language(select.value) }, ...options);
  const update = () => (select.value = client.draft.language.local);
  return { node: h("label", { class: "row" }, "Language", select), update };
}

/** Both texts of a conflict: mine is in the editor, the other one can be looked at; nothing is lost by choosing. */
function conflict(place, client, field) {
  const theirs = client.draft.conflicts.get(field);
  if (theirs === undefined) return place.firstChild && put(place);
  if (place.dataset.theirs === theirs && place.firstChild) return;
  place.dataset.theirs = theirs;
  const pick = (which) => () => client.resolve(field, which);
  put(
    place,
    h("p", {}, h("b", {}, "This section was changed elsewhere, too."), " Your text is below; the other one is here:"),
    h("details", {}, h("summary", {}, "The other text"), h("pre", {}, theirs)),
    h(
      "div",
      { class: "row" },
      h("button", { type: "button", onclick: pick("mine") }, "Keep mine"),
      h("button", { type: "button", onclick: pick("theirs") }, "Take the other"),
    ),
  );
}
