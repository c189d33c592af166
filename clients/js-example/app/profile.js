// One's name and data, and the ways out: of this device, of all, for good.

import { user } from "./account.js";
import { changeProfile, deleteAccount, myData, signOut } from "./api.js";
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

  const download = () =>
    attempt(async () => {
      const { name, blob } = await myData();
      const url = URL.createObjectURL(blob);
      h("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
      put(said, h("p", { class: "notice good", role: "status" }, `Your data is in ${name}.`));
    });

  const deleteForGood = (email) =>
    attempt(async () => {
      await deleteAccount(email);
      const title = h("h1", { tabindex: -1 }, "Your account is deleted");
      put(node, title, h("p", {}, "Nothing of yours is left here."), h("a", { href: "#/" }, "To the questions"));
      title.focus();
    });

  async function attempt(fn) {
    put(said);
    try {
      await fn();
    } catch (error) {
      put(said, problem(error));
    }
  }

  const node = h(
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
    h("h2", {}, "Your data"),
    h("p", {}, h("button", { type: "button", onclick: download }, "Download my data")),
    deletion(user().email, deleteForGood),
  );
  return { title: "Profile", node };
}

/** Folded away, and armed only by typing one's own address. */
function deletion(email, deleteForGood) {
  const same = () => typed.value.trim().toLowerCase() === email.toLowerCase();
  const go = h("button", { class: "danger", disabled: true }, "Delete for good");
  const typed = h("input", {
    id: "confirm", name: "confirm", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
    "aria-describedby": "confirm-why", oninput: () => (go.disabled = !same()),
  });
  async function submit(event) {
    event.preventDefault();
    if (!same() || go.disabled) return;
    go.disabled = true;
    await deleteForGood(typed.value.trim());
    go.disabled = false;
  }
  return h(
    "details",
    {},
    h("summary", {}, "Delete my account"),
    h(
      "form",
      { onsubmit: submit },
      h("p", { id: "confirm-why" }, "Profile, interviews, solutions and results go at once, everywhere, and cannot be brought back."),
      h("label", { for: "confirm" }, "To confirm, type ", h("b", {}, email)),
      typed,
      go,
    ),
  );
}
