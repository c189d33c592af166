// Signing in: an address, then the code that was mailed to it; or Google, where it is set up.

import { user } from "./account.js";
import { sendCode, signInWithGoogle, verifyCode, waysIn } from "./api.js";
import { announce, h, problem, put } from "./dom.js";
import { go, here } from "./router.js";

const LAST = "sdi.email"; // the address, so that the next time needs no typing
const CODE_DIGITS = 6;

export async function signInPage() {
  if (user()) return void go(next());
  const place = h("div", { class: "card narrow" });
  const ways = waysIn().catch(() => ({ google: null, development: false }));
  askAddress(place, ways);
  return { title: "Sign in", node: place };
}

const next = () => here().query.get("to") || "/";
const done = () => go(next());

function askAddress(place, ways, error = null) {
  const email = h("input", {
    id: "email", type: "email", name: "email", autocomplete: "email", required: true, value: recall(), spellcheck: "false",
  });
  const send = h("button", { class: "primary" }, "Send me a code");
  const google = h("div", { class: "google" });
  put(
    place,
    h("h1", {}, "Sign in"),
    h("p", { class: "quiet" }, "We mail you a code. No password, and a new address makes a new account."),
    error && problem(error),
    h("form", { onsubmit: submit }, h("label", { for: "email" }, "Email"), email, send),
    google,
  );
  ways.then((found) => found.google && offerGoogle(google, found.google, place, ways));
  queueMicrotask(() => email.focus());

  async function submit(event) {
    event.preventDefault();
    send.disabled = true;
    try {
      remember(email.value.trim());
      askCode(place, ways, email.value.trim(), await sendCode(email.value.trim()));
    } catch (error) {
      askAddress(place, ways, error);
    }
  }
}

function askCode(place, ways, email, challenge) {
  let { challenge_id } = challenge;
  const said = h("p", { class: "notice bad", role: "alert", hidden: true });
  const code = h("input", {
    id: "code", name: "code", type: "text", inputmode: "numeric", autocomplete: "one-time-code", required: true,
    class: "code", maxlength: 20, onpaste: () => setTimeout(whenWhole), oninput: filledIn,
  });
  const enter = h("button", { class: "primary" }, "Sign in");
  const again = h("button", { type: "button", class: "plain", onclick: resend }, "Send a new code");
  put(
    place,
    h("h1", {}, "Enter the code"),
    h(
      "p",
      { class: "quiet" },
      "Sent to ", h("b", {}, email), ". ",
      h("button", { type: "button", class: "plain", onclick: () => askAddress(place, ways) }, "Change"),
    ),
    h("form", { onsubmit: submit }, h("label", { for: "code" }, "Code from the mail"), code, said, enter),
    h("p", { class: "row" }, again, mailbox(ways)),
  );
  code.focus();
  coolDown(challenge.resend_in);

  // Only what is pasted or filled in goes by itself: who types may want to look again.
  function filledIn({ inputType }) {
    if (!inputType || inputType === "insertReplacementText") whenWhole();
  }

  function whenWhole() {
    if (code.value.replace(/\D/g, "").length === CODE_DIGITS) code.form.requestSubmit();
  }

  async function submit(event) {
    event.preventDefault();
    if (enter.disabled) return;
    enter.disabled = true;
    said.hidden = true;
    try {
      await verifyCode(challenge_id, code.value);
      done();
    } catch (error) {
      tell(error.tries_left ? `${error.message} Tries left: ${error.tries_left}.` : error.message);
      code.focus();
      code.select();
    }
    enter.disabled = false;
  }

  async function resend() {
    try {
      const sent = await sendCode(email);
      ({ challenge_id } = sent);
      announce("A new code is on its way.");
      coolDown(sent.resend_in);
    } catch (error) {
      tell(error.message);
      if (error.retry_ms) coolDown(error.retry_ms / 1000);
    }
  }

  function coolDown(seconds) {
    again.disabled = seconds > 0;
    put(again, seconds > 0 ? `Send a new code in ${Math.ceil(seconds)} s` : "Send a new code");
    if (seconds > 0 && again.isConnected) setTimeout(() => coolDown(seconds - 1), 1000);
  }

  function tell(text) {
    said.hidden = false;
    put(said, text);
  }
}

function mailbox(ways) {
  const place = h("span", {});
  ways.then(({ development }) => {
    if (development) put(place, h("a", { href: "/dev/mailbox", target: "_blank", rel: "noopener" }, "Development mailbox"));
  });
  return place;
}

// --- Google ---------------------------------------------------------------------------------------------------

/** Google's own button, from Google's own script: loaded only where the engine has a client id. */
function offerGoogle(place, { client_id, nonce }, card, ways) {
  const callback = async ({ credential }) => {
    try {
      await signInWithGoogle(credential, nonce);
      done();
    } catch (error) {
      askAddress(card, waysIn().catch(() => ({ google: null })), error); // the nonce is used: a new one is asked for
    }
  };
  const ready = () => {
    globalThis.google.accounts.id.initialize({ client_id, nonce, callback });
    globalThis.google.accounts.id.renderButton(place, { type: "standard", text: "signin_with" });
  };
  const script = h("script", { src: "https://accounts.google.com/gsi/client", async: true, onload: ready });
  if (globalThis.google?.accounts) ready();
  else document.head.append(script);
}

function remember(email) {
  try {
    localStorage.setItem(LAST, email);
  } catch {
    // typed again the next time
  }
}

function recall() {
  try {
    return localStorage.getItem(LAST) ?? "";
  } catch {
    return "";
  }
}
