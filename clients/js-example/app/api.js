// The engine's REST side: JSON in and out, problems as errors.

import { newId } from "../client/ids.js";
import { forgetAll, setUser, signedIn, signedOut, token } from "./account.js";

/** What the engine answered instead of yes (RFC 9457). `code` is the contract; the message is for people. */
export class Problem extends Error {
  constructor(status, { code = "unknown", title, detail, tries_left = null, errors = [] } = {}, retry_ms = null) {
    super(detail || title || `The engine answered ${status}.`);
    Object.assign(this, { name: "Problem", status, code, tries_left, errors, retry_ms });
  }
}

async function call(method, path, body, headers) {
  const answer = await answered(method, path, body, headers);
  return answer.status === 204 ? null : answer.json();
}

/** The answer, if it is one of success. Throws Problem. */
async function answered(method, path, body, headers = {}) {
  let answer = await once(method, path, body, headers, await token());
  if (answer.status === 401 && !path.startsWith("/v1/auth/")) {
    const renewed = await token({ renew: true });
    if (renewed) answer = await once(method, path, body, headers, renewed);
  }
  if (answer.ok) return answer;
  const json = await answer.json().catch(() => ({}));
  const retry = Number(answer.headers.get("retry-after"));
  throw new Problem(answer.status, json, retry ? retry * 1000 : null);
}

async function once(method, path, body, headers, bearer) {
  const sent = { ...headers, ...(bearer && { authorization: `Bearer ${bearer}` }) };
  if (body !== undefined) sent["content-type"] = "application/json";
  try {
    return await fetch(path, { method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(0, { code: "unreachable", title: "The engine cannot be reached. Is the network there?" });
  }
}

const query = (values) => {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
};

const at = (...parts) => `/v1/${parts.map(encodeURIComponent).join("/")}`;

// --- signing in ---------------------------------------------------------------------------------------------

export const waysIn = () => call("GET", "/v1/auth/methods");
export const sendCode = (email) => call("POST", "/v1/auth/otp", { email });

export async function verifyCode(challenge_id, code) {
  signedIn(await call("POST", "/v1/auth/otp/verify", { challenge_id, code }));
}

export async function signInWithGoogle(id_token, nonce) {
  signedIn(await call("POST", "/v1/auth/google", { id_token, nonce }));
}

export async function signOut({ all = false } = {}) {
  await call("POST", "/v1/auth/logout", { all });
  signedOut();
}

export async function changeProfile(changes) {
  setUser(await call("PATCH", "/v1/me", changes));
}

/** All that the engine has of the user: {blob, name} of a file. */
export async function myData() {
  const answer = await answered("GET", "/v1/me/export");
  const [, name] = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition")) ?? [null, "interview-data.json"];
  return { name, blob: await answer.blob() };
}

/** For good; `email` is the account's own address, as a confirmation. */
export async function deleteAccount(email) {
  await call("DELETE", "/v1/me", { email });
  forgetAll();
  signedOut();
}

// --- questions and interviews -------------------------------------------------------------------------------

export const questions = (filters) => call("GET", `/v1/questions${query(filters)}`);
export const question = (slug) => call("GET", at("questions", slug));
export const startInterview = (slug, key = newId()) =>
  call("POST", at("questions", slug, "interviews"), undefined, { "idempotency-key": key });
export const interviews = (page) => call("GET", `/v1/interviews${query(page)}`);
export const interview = (id) => call("GET", at("interviews", id));
export const evaluation = (id) => call("GET", at("interviews", id, "evaluation"));

/** Have one check of a stored result judged again: the command without a socket. */
export async function appeal(id, check, field, quote) {
  const { fence } = await call("POST", at("interviews", id, "writer"), {});
  return call("POST", at("interviews", id, "commands"), { t: "evaluation.appeal", id: newId(), d: { check, field, quote }, fence });
}

/** A ticket for one socket; errors say whether asking again makes sense, as the client wants it. */
export async function ticket(id) {
  try {
    return await call("POST", at("interviews", id, "ticket"), { role: "writer" });
  } catch (error) {
    const stop = { 401: 4501, 403: 4505, 404: 4505 }[error.status];
    throw Object.assign(error, stop ? { stop: true, code: stop } : {});
  }
}
