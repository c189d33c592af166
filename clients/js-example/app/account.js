// Who is signed in. The access token lives in memory only; an HttpOnly cookie, which no script reads, gets the next one.

const OURS = "sdi."; // begins every key of ours in the browser's storage
const HINT = "sdi.signed_in"; // saves asking for a token where nobody ever signed in
const EARLY_MS = 90_000; // a token is renewed this long before its end

let access = null; // {token, until, user}
let renewing = null;

export const changes = new EventTarget();

export const user = () => access?.user ?? null;

/** The answer of a sign-in, or of a refresh. */
export function signedIn({ access_token, expires_in, user }) {
  access = { token: access_token, until: performance.now() + expires_in * 1000, user };
  remember(true);
  changes.dispatchEvent(new Event("change"));
}

export function signedOut() {
  access = null;
  remember(false);
  changes.dispatchEvent(new Event("change"));
}

export function setUser(user) {
  access = { ...access, user };
  changes.dispatchEvent(new Event("change"));
}

/** Whatever this page keeps in the browser: the last address, unsaved texts. */
export function forgetAll() {
  for (const name of ["localStorage", "sessionStorage"]) {
    try {
      const storage = globalThis[name];
      for (const key of Object.keys(storage)) if (key.startsWith(OURS)) storage.removeItem(key);
    } catch {
      // A browser that forbids storage has kept nothing.
    }
  }
}

/** A good access token, or null when nobody is signed in. With `renew`, a new one. Throws when the engine is away. */
export async function token({ renew = false } = {}) {
  if (!access && !remembered()) return null;
  const old = access?.token;
  if (access && !renew && performance.now() < access.until - EARLY_MS) return old;
  renewing ??= oneAtATime(refresh).finally(() => (renewing = null));
  await renewing;
  return access?.token ?? null;
}

async function refresh() {
  const answer = await fetch("/v1/auth/refresh", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  if (answer.ok) return signedIn(await answer.json());
  if (answer.status === 401) return signedOut();
  throw Object.assign(new Error("The engine cannot be reached."), { status: answer.status });
}

/** Among all tabs: each refresh token is good once. */
const oneAtATime = (fn) => navigator.locks?.request("sdi.refresh", fn) ?? fn();

function remember(yes) {
  try {
    if (yes) localStorage.setItem(HINT, "1");
    else localStorage.removeItem(HINT);
  } catch {
    // Without storage, a reload asks to sign in again.
  }
}

function remembered() {
  try {
    return localStorage.getItem(HINT) !== null;
  } catch {
    return false;
  }
}
