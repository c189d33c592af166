// Tabs of a candidate, opened on the small engine of fakes.js and closed after each test.

import { afterEach } from "node:test";

import { InterviewClient } from "../client/index.js";
import { Engine, Locks, Storage, Timers, settle } from "./fakes.js";

const open = [];
afterEach(() => open.splice(0).forEach((client) => client.close()));

export function world() {
  const timers = new Timers();
  return { timers, engine: new Engine(timers), storage: new Storage(), locks: new Locks() };
}

export async function join({ timers, engine, storage, locks }, given = {}) {
  const environment = { timers, storage, locks, WebSocket: engine.WebSocket, random: () => 0.5 };
  const client = new InterviewClient({ interview: "i1", ticket: engine.ticket, environment, ...given });
  client.texts = [];
  client.addEventListener("draft", () => client.texts.push(client.draft.local.code));
  open.push(client);
  if (given.wait === false) return client;
  await client.connect();
  await settle();
  return client;
}

export const commands = (engine, t) => engine.heard.filter((frame) => frame.t === t);
export const cut = (engine, code = 1006) => [...engine.sockets].forEach((socket) => socket.end(code));
