// What one must know now: another tab has the pen, the line is down, an answer waits, the time is up.

import { announce, h, put } from "./dom.js";

const AWAY_MS = 1_500; // a blink of the line is nobody's business

export function notices(client) {
  const node = h("div", { class: "notices" });
  let shown = "";
  let slow = null;
  let unkept = false;
  let seen = performance.now(); // when the line was last there

  client.addEventListener("slow", ({ detail }) => (slow = detail));
  client.addEventListener("unkept", () => (unkept = true));

  /** Four times a second: cheap, and nothing here may be forgotten when something changes. */
  function tick() {
    if (client.online) seen = performance.now();
    const away = performance.now() - seen > AWAY_MS;
    const key = why(client, { slow, unkept, away });
    if (client.draft.safe) slow = null;
    if (key === shown) return;
    shown = key;
    put(node, key ? NOTICES[key](client) : null);
    if (key) announce(node.textContent);
  }

  return { node, tick };
}

function why(client, { slow, unkept, away }) {
  const { view, role, status } = client;
  if (status.state === "stopped") return "stopped";
  if (!view || view.phase === "submitted") return "";
  if (view.phase === "design" && client.remaining_ms <= 0) return "over";
  if (role === "observer") return client.draft.dirty ? "observer-unsaved" : "observer";
  if (away) return unkept ? "offline-unkept" : "offline";
  return slow?.code && client.unsaved ? "slow" : "";
}

const take = (client) => h("button", { type: "button", class: "primary", onclick: () => client.take() }, "Take the pen");
const signIn = () => h("a", { class: "button", href: `#/sign-in?to=${encodeURIComponent(location.hash.slice(1))}` }, "Sign in");
const reload = () => h("button", { type: "button", onclick: () => location.reload() }, "Reload");

const NOTICES = {
  stopped: (client) => h("div", { class: "notice bad" }, h("p", {}, client.status.reason), client.status.code === 4501 ? signIn() : reload()),
  over: () => h("div", { class: "notice" }, h("p", {}, "Time is up. What was saved is being handed in.")),
  observer: (client) =>
    h("div", { class: "notice" }, h("p", {}, h("b", {}, "Another tab has the pen."), " You see here what it saves, as it is saved."), take(client)),
  "observer-unsaved": (client) =>
    h("div", { class: "notice" }, h("p", {}, h("b", {}, "Another tab has the pen."), " Some text of this tab is not saved; take the pen to save it."), take(client)),
  offline: () => h("div", { class: "notice" }, h("p", {}, "No connection. Go on writing: your text is kept in this browser and saved when the connection is back. The clock runs on.")),
  "offline-unkept": () => h("div", { class: "notice bad" }, h("p", {}, "No connection, and this browser keeps no text for pages. Leave this tab open until it is saved.")),
  slow: () => h("div", { class: "notice" }, h("p", {}, "The engine is catching up. What you do is kept and goes through soon.")),
};
