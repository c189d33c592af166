// The interview, for a page: what may be done, and what is so.

import { Refused } from "./commands.js";
import { Session } from "./session.js";
import { clean } from "./text.js";
import { REQUIREMENT_FIELDS } from "./words.js";

const SUBMITS_MAX = 3;

/**
 * new InterviewClient({interview, ticket, write}): `interview` is its id; `ticket()` gives {ticket, url, protocol} for it, a
 * new one each call; `write: false` only observes. (`environment`: {timers, WebSocket, random, storage, locks}, for tests.)
 *
 * What is so: `view` (phase, deadline_at, clarifications, submission, evaluation), `draft`, `role`, `status`, `clock`.
 *
 * Events (CustomEvent): "view", "draft" (texts came from the engine), "states" (of saving), "status", "role", "tick" (four
 * times a second), "slow" (an answer waits for the engine), "refused" (of no command), "unkept" (the browser keeps nothing).
 */
export class InterviewClient extends Session {
  #started = null;
  #handingIn = false;

  /** Connect, and stay connected; resolves with the first view, rejects when there is no coming in. */
  connect() {
    this.#started ??= new Promise((resolve, reject) => {
      const look = () => {
        if (this.view) resolve(this.view);
        else if (this.status.state === "stopped") reject(new Error(this.status.reason));
        else return;
        this.removeEventListener("status", look);
      };
      this.addEventListener("status", look);
      this.start();
    });
    return this.#started;
  }

  /** End here. What is unsaved is sent if it can be, and stays in the browser for the next page load. */
  close() {
    this.stop();
  }

  // --- what is so -------------------------------------------------------------------------------------------

  /** Whether `field` may be typed into: this tab has the pen, the phase is right, and the time is not over. */
  editable(field) {
    if (this.role !== "writer" || this.status.state === "stopped" || this.#handingIn) return false;
    if (this.view?.phase === "clarifying") return REQUIREMENT_FIELDS.includes(field); // design follows, with them in it
    return this.view?.phase === "design" && this.remaining_ms > 0;
  }

  /** saved | saving | live | offline | conflict | refused. "saved" is only said of what the record holds. */
  savedState(field) {
    return this.draft.stateOf(field, { online: this.online, writer: this.role === "writer" });
  }

  // --- clarifying -------------------------------------------------------------------------------------------

  /** A clarifying question. Resolves with the ack; its answers come before that, as events. Rejects with Refused. */
  ask(text) {
    return this.command("clarify.ask", { text: clean(text) });
  }

  /** Yes to "did you mean ...?". `ref` is the answer's. */
  confirm(ref) {
    return this.command("clarify.confirm", { ref });
  }

  /** "Not what I asked": gives the quota back. */
  reject(ref) {
    return this.command("clarify.reject", { ref });
  }

  /** Leave clarifying for design, after what is typed is saved. */
  async proceed() {
    await this.settle();
    return this.command("phase.proceed", {});
  }

  // --- the draft --------------------------------------------------------------------------------------------

  /** The field's text is now `text`; it is saved soon. Gives back the text as it is kept, or false: not editable. */
  edit(field, text) {
    if (!this.editable(field)) return false;
    const kept = this.draft.edit(field, text);
    this.touched();
    return kept;
  }

  /** The code's language; it is saved as a field is. */
  language(language) {
    if (!this.editable(REQUIREMENT_FIELDS[0])) return;
    this.draft.setLanguage(language);
    this.touched();
  }

  /** End a conflict with "mine" or "theirs". */
  resolve(field, choice) {
    this.draft.resolve(field, choice);
    this.emit("draft");
    this.touched();
  }

  /** Take the pen from whichever tab has it. */
  take() {
    this.renew({ take: true });
  }

  /** Resolves when all that is typed is stored by the engine; rejects with Refused when that cannot be. */
  settle() {
    return new Promise((resolve, reject) => {
      const look = () => {
        const stuck = this.#whyNotSaved();
        if (!stuck && this.unsaved) return void this.save();
        this.removeEventListener("states", look);
        if (stuck) reject(new Refused(stuck));
        else resolve();
      };
      this.addEventListener("states", look);
      look();
    });
  }

  // --- the end ----------------------------------------------------------------------------------------------

  /** Hand in what is on the screen: saves it first, and names what is stored, so that nothing else is judged. */
  async submit() {
    this.#handingIn = true;
    this.emit("states");
    try {
      return await this.#submit();
    } finally {
      this.#handingIn = false;
      this.emit("states");
    }
  }

  /** Ask for a new evaluation after a failed one, or for a failed appeal again. */
  retry() {
    return this.command("evaluation.retry", {});
  }

  /** Have one check judged again; `quote` stands in `field` of what was handed in. */
  appeal(check, field, quote) {
    return this.command("evaluation.appeal", { check, field, quote });
  }

  async #submit() {
    for (let attempt = 1; ; attempt++) {
      await this.settle();
      const { rev, checksum } = this.draft;
      try {
        return await this.command("solution.submit", { rev, checksum });
      } catch (error) {
        if (error.code !== "not_as_stored" || attempt === SUBMITS_MAX) throw error;
        const loaded = new Promise((resolve) => this.addEventListener("view", resolve, { once: true }));
        this.behind({ fresh: true });
        await loaded;
      }
    }
  }

  #whyNotSaved() {
    const { draft, role, status, view } = this;
    if (draft.conflicts.size || draft.blocked.size) return { code: "unsaved", message: "Some sections are not saved." };
    if (role === "observer" && view) return { code: "observer", message: "Another tab has the pen." };
    if (status.state === "stopped") return { code: "stopped", message: status.reason };
    if (this.unsaved && this.shut) return { code: "deadline_passed", message: "The time is over." };
    return null;
  }
}
