// Making elements. Text is always text: nothing here, or anywhere in this page, makes markup from strings.

const SVG = "http://www.w3.org/2000/svg";

/**
 * h("button", {class: "plain", onclick: fn, disabled: true}, "Text", child, null): an element. Properties that start with
 * "on" are listeners; true sets an attribute, false and null leave it out; children that are null or false are left out.
 */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

/** The same for SVG. */
export const s = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") node[name] = value;
    else set(node, name, value);
  }
  node.append(...seen(children));
  return node;
}

const seen = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

/** Set an attribute, or take it away with false or null. Does not touch what is so already. */
export function set(node, name, value) {
  if (value === false || value === null || value === undefined) return node.removeAttribute(name);
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Replace all that is in `node`. */
export function put(node, ...children) {
  node.replaceChildren(...seen(children));
  return node;
}

/** Make `nodes` the children of `parent`, without touching those that are there: focus stays, and nothing is told twice. */
export function sync(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, i) => parent.children[i] === node || parent.insertBefore(node, parent.children[i] ?? null));
}

/** Remembers the node made of each value, as long as the value is the same one. */
export function nodesOf(make) {
  const made = new Map();
  return (key, value, ...rest) => {
    const before = made.get(key);
    if (before?.value === value && before.rest.every((one, i) => one === rest[i])) return before.node;
    const node = make(value, ...rest);
    made.set(key, { value, rest, node });
    return node;
  };
}

/** Set a node's text, if it is another: screen readers are told of each change. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Tell those who listen instead of looking. */
export function announce(text, { urgent = false } = {}) {
  const node = document.getElementById(urgent ? "assertive" : "polite");
  node.textContent = "";
  requestAnimationFrame(() => (node.textContent = text));
}

/** Ask in a modal dialog; resolves with whether the answer was yes. */
export function confirmed({ title, body, yes, no = "Not yet", danger = false }) {
  return new Promise((resolve) => {
    const close = (answer) => () => (dialog.close(), dialog.remove(), resolve(answer));
    const dialog = h(
      "dialog",
      { "aria-labelledby": "dialog-title", oncancel: close(false) },
      h("h2", { id: "dialog-title" }, title),
      body,
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", onclick: close(false) }, no),
        h("button", { type: "button", class: danger ? "danger" : "primary", onclick: close(true) }, yes),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A notice of something that went wrong, in place. */
export const problem = (error) =>
  h("p", { class: "notice bad", role: "alert" }, error?.message || "Something went wrong. Please try again.");
