// Pages by the hash of the address: #/questions/parking-garage.

const ROUTES = [];

/** `pattern` such as "/questions/:slug"; `show(parameters)` gives {title, node, leave?} or a promise of it. */
export function route(pattern, show) {
  const names = [...pattern.matchAll(/:(\w+)/g)].map((match) => match[1]);
  ROUTES.push({ test: new RegExp(`^${pattern.replace(/:\w+/g, "([^/]+)")}$`), names, show });
}

/** The address as {path, query}. */
export function here() {
  const [path, query = ""] = (location.hash.slice(1) || "/").split("?");
  return { path, query: new URLSearchParams(query) };
}

export const go = (path) => void (location.hash = path);

/** What shows at this address: {show, parameters}, or null. */
export function match(path) {
  for (const { test, names, show } of ROUTES) {
    const found = test.exec(path);
    if (found) return { show, parameters: Object.fromEntries(names.map((name, i) => [name, decodeURIComponent(found[i + 1])])) };
  }
  return null;
}
