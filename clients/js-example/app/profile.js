// One's name, and the ways out.

import { user } from "./account.js";
import { changeProfile, signOut } from "./api.js";
import { announce, h, problem, put } from "./dom.js";
import { go } from "./router.js";

export async function profilePage() {
  const said = h("div", {});
  const name = h("input", { id: "name", name: "name", autocomplete: "name", maxlength: 100, value: user().name });

  async function save(event) {
    event.preventDefault();
    await attempt(async () => {
      await changeProfile({ name: name.value });
      announce("Saved.");
      put(said, h("p", { class: "notice good" }, "Saved."));
    });
  }

  const leave = (all) => () =>
    attempt(async () => {
      await signOut({ all });
      go("/");
    });

  async function attempt(fn) {
    put(said);
    try {
      await fn();
    } catch (error) {
      put(said, problem(error));
    }
  }

  return {
    title: "Profile",
    node: h(
      "div",
      { class: "card narrow" },
      h("h1", {}, "Profile"),
      h("p", { class: "quiet" }, user().email),
      h("form", { onsubmit: save }, h("label", { for: "name" }, "Name"), name, h("button", { class: "primary" }, "Save")),
      said,
      h("h2", {}, "Sign out"),
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", onclick: leave(false) }, "On this device"),
        h("button", { type: "button", onclick: leave(true) }, "Everywhere"),
      ),
    ),
  };
}
