// The interview: brings chat, editors, bar and result together around one client.

import { InterviewClient } from "../client/index.js";
import { appeal, evaluation, interview, question, ticket } from "./api.js";
import { interviewBar } from "./bar.js";
import { chatPanel } from "./chat.js";
import { confirmed, h, problem, put, say } from "./dom.js";
import { editorPanel } from "./editors.js";
import { evaluationPanel } from "./evaluation.js";
import { label } from "./format.js";
import { notices } from "./notices.js";
import { paragraphs } from "./question.js";

export async function interviewPage({ id }) {
  const found = await interview(id);
  const asked = await question(found.slug);
  if (found.phase === "submitted") {
    const stored = await evaluation(id);
    const over = !stored.appeal || stored.appeal.state === "completed";
    if (stored.state === "completed" && over) return storedPage(found, asked, stored);
  }
  return livePage(found, asked);
}

/** A finished interview, from the record: no socket. */
function storedPage(found, asked, stored) {
  const appealed = async (...words) => {
    await appeal(found.id, ...words);
    window.dispatchEvent(new HashChangeEvent("hashchange")); // from here on it is live
  };
  const panel = evaluationPanel({ sections: asked.sections, retry: null, appeal: appealed });
  const { submission, draft } = found.snapshot;
  panel.update({ evaluation: stored, submission, fields: draft.fields });
  const again = h("p", { class: "row" }, h("a", { href: `#/questions/${encodeURIComponent(found.slug)}`, class: "button" }, "Try it again"));
  const node = h("div", {}, h("h1", {}, found.title), panel.node, again);
  return { title: `${found.title}: result`, node };
}

function livePage(found, asked) {
  const client = new InterviewClient({ interview: found.id, ticket: () => ticket(found.id) });
  const body = h("div", { class: "interview" }, h("p", { class: "quiet wait" }, "Connecting …"));
  const said = h("div", {});
  const bar = interviewBar(client, found.title, { proceed: () => attempt(proceed), submit: () => attempt(submit) });
  const parts = { notices: notices(client), chat: null, editors: null, side: null, result: null };
  const node = h("div", {}, bar.node, parts.notices.node, said, body);
  let showing = null;

  function show() {
    const { view } = client;
    if (!view) return;
    if (view.phase !== showing) rebuild(view.phase);
    parts.chat?.update();
    parts.result?.update({ evaluation: view.evaluation, submission: view.submission, fields: client.draft.stored });
  }

  /** Nothing is moved that may have the focus: a clock that ends clarifying must not stop anybody's typing. */
  function rebuild(phase) {
    showing = phase;
    body.dataset.phase = phase;
    put(said);
    if (phase === "submitted") {
      parts.result = evaluationPanel({ sections: asked.sections, retry: () => client.retry(), appeal: (...words) => client.appeal(...words) });
      put(body, parts.result.node);
      parts.result.node.focus({ preventScroll: true });
    } else if (!parts.editors) {
      parts.chat = chatPanel(client, asked);
      parts.editors = editorPanel(client, asked);
      parts.side = side(asked, parts.chat.node);
      put(body, parts.side.node, parts.editors.node);
    }
    parts.side?.phase(phase);
    parts.editors?.phase();
  }

  async function proceed() {
    const yes = await confirmed({
      title: "Start designing?",
      body: h("p", {}, "No more questions can be asked then, and there is no way back. The design clock starts at once."),
      yes: "Start designing",
    });
    if (yes) await client.proceed();
  }

  async function submit() {
    if (await confirmed({ title: "Hand in?", body: handIn(client, asked.sections), yes: "Hand in", no: "Go on writing" })) {
      await client.submit();
    }
  }

  async function attempt(fn) {
    put(said);
    bar.busy(true);
    try {
      await fn();
    } catch (error) {
      put(said, problem(error));
    } finally {
      bar.busy(false);
    }
  }

  const stop = wire(client, { show, bar, parts });
  client.connect().then(show, (error) => put(body, problem(error)));
  const leave = () => (stop(), client.close());
  return { title: found.title, node, leave };
}

/** Beside the editors: what is asked, and what was answered. Folded on a phone while designing. */
function side(asked, chat) {
  const statement = h("details", { class: "card" },
    h("summary", {}, "The question"), h("div", { class: "statement" }, ...paragraphs(asked.statement)));
  const title = h("summary", {});
  const clarified = h("details", { class: "card chat-card" }, title, chat);
  const node = h("aside", { class: "side", "aria-label": "Question and answers" }, statement, clarified);
  const phase = (name) => {
    statement.open = clarified.open = name === "clarifying" || matchMedia("(min-width: 60.01rem)").matches;
    say(title, name === "clarifying" ? "Clarify" : "What was clarified");
  };
  return { node, phase };
}

/** Listen to the client and to the browser; returns what undoes it. */
function wire(client, { show, bar, parts }) {
  const listening = new AbortController();
  const on = (target, names, fn) => {
    for (const name of names) target.addEventListener(name, fn, { signal: listening.signal });
  };
  on(client, ["view"], show);
  on(client, ["draft"], () => parts.editors?.texts());
  on(client, ["states", "role"], () => parts.editors?.states());
  on(client, ["status", "states", "view", "role"], bar.update);
  on(client, ["tick"], () => (bar.tick(), parts.editors?.tick(), parts.notices.tick()));
  on(window, ["online", "offline"], () => client.wake());
  on(window, ["pagehide"], () => client.flush());
  on(document, ["visibilitychange"], () => (document.hidden ? client.flush() : client.wake()));
  on(window, ["beforeunload"], (event) => client.unsaved && event.preventDefault());
  return () => listening.abort();
}

function handIn(client, sections) {
  const empty = sections.filter(({ field, required }) => required && !client.draft.local[field].trim());
  const names = empty.map(({ field }) => label(field, sections)).join(", ");
  return h(
    "div",
    {},
    h("p", {}, "What is on the screen is handed in and judged. It cannot be changed after that."),
    empty.length > 0 && h("p", { class: "notice" }, `Still empty: ${names}.`),
  );
}
