// The page: which part of it shows, and the line on top.

import { changes, token, user } from "./account.js";
import { catalogPage } from "./catalog.js";
import { h, problem, put } from "./dom.js";
import { historyPage } from "./history.js";
import { interviewPage } from "./interview.js";
import { profilePage } from "./profile.js";
import { questionPage } from "./question.js";
import { go, here, match, route } from "./router.js";
import { signInPage } from "./sign_in.js";

const main = document.getElementById("main");
const AWAY = new Set([0, 429, 502, 503, 504]);
const AGAIN_MS = 3_000;
let current = null;
let turn = 0;

const PRIVATE = (page) => (parameters) => (user() ? page(parameters) : void go(`/sign-in?to=${encodeURIComponent(here().path)}`));

route("/", catalogPage);
route("/questions/:slug", questionPage);
route("/sign-in", signInPage);
route("/interviews", PRIVATE(historyPage));
route("/interviews/:id", PRIVATE(interviewPage));
route("/profile", PRIVATE(profilePage));

async function show() {
  const mine = ++turn;
  current?.leave?.();
  current = null;
  const page = await load(match(here().path));
  if (mine !== turn || !page) return void page?.leave?.(); // the address has changed since, or changes now
  current = page;
  document.title = `${page.title} · Design interviews`;
  put(main, page.node);
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

async function load(found) {
  if (!found) return { title: "Not found", node: h("p", { class: "notice" }, "There is no such page.") };
  try {
    return await found.show(found.parameters);
  } catch (error) {
    return { title: "Problem", node: problem(error), leave: AWAY.has(error.status) ? again() : null };
  }
}

/** The engine is away: look again until it is back, or the user goes elsewhere. */
function again() {
  const timer = setTimeout(show, AGAIN_MS);
  return () => clearTimeout(timer);
}

function topLine() {
  const path = here().path;
  const link = (to, text) => h("a", { href: `#${to}`, "aria-current": path === to ? "page" : null }, text);
  const signIn = h("a", { href: `#/sign-in?to=${encodeURIComponent(path === "/sign-in" ? "/" : path)}`, class: "button" }, "Sign in");
  put(
    document.getElementById("top"),
    h(
      "a",
      { href: "#/", class: "brand", "aria-label": "Design interviews" },
      h("img", { src: "icon.svg", alt: "", width: 26, height: 26 }),
      h("span", {}, "Design interviews"),
    ),
    h(
      "nav",
      { "aria-label": "Main" },
      link("/", "Questions"),
      user() && link("/interviews", "History"),
      user() ? link("/profile", user().name || user().email.split("@")[0]) : signIn,
    ),
  );
}

async function begin() {
  await token().catch(() => null); // away: the page says so when it asks for something
  topLine();
  changes.addEventListener("change", topLine);
  window.addEventListener("hashchange", () => (topLine(), show()));
  document.getElementById("skip").addEventListener("click", () => main.focus());
  await show();
}

begin();
