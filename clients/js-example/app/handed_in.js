// What was handed in, section by section, and where a quote stands in it.

import { FIELDS } from "../client/index.js";
import { h, put } from "./dom.js";
import { label } from "./format.js";

export function handedIn(sections) {
  const list = h("div", {});
  const node = h("details", { class: "card" }, h("summary", {}, "What was handed in"), list);
  const texts = new Map();
  let drawn = null;

  function update(fields) {
    if (!fields || fields === drawn) return;
    drawn = fields;
    texts.clear();
    put(list);
    for (const field of FIELDS.filter((name) => fields[name]?.trim())) {
      const pre = h("pre", { tabindex: "0", "aria-label": label(field, sections) }, fields[field]);
      texts.set(field, pre);
      list.append(h("h3", {}, label(field, sections)), pre);
    }
    if (!texts.size) put(list, h("p", { class: "quiet" }, "Nothing was written."));
  }

  /** Show a quote where it stands. */
  function find(field, quote) {
    const pre = texts.get(field);
    if (!pre) return;
    node.open = true;
    const text = drawn[field];
    const at = text.indexOf(quote);
    if (at >= 0) {
      const mark = h("mark", {}, quote);
      put(pre, text.slice(0, at), mark, text.slice(at + quote.length));
      mark.scrollIntoView({ block: "center" });
    } else {
      pre.scrollIntoView({ block: "center" });
    }
    pre.focus({ preventScroll: true });
  }

  return { node, update, find };
}
