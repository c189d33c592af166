// Close codes: whether to come back, and with what. The range decides for codes this client does not know.

export const CLOSE = {
  drain: 4000,
  ticketExpired: 4100,
  stateReset: 4101,
  replacedByUser: 4500,
  unauthorised: 4501,
  interviewOver: 4504,
  forbidden: 4505,
  parked: 4507,
};

/** "resume": come back with the cursor. "fresh": come back without it. "stop": do not come back. */
export function afterClose(code) {
  if (code >= 4500 && code < 5000) return "stop";
  return code === CLOSE.stateReset ? "fresh" : "resume";
}

const WHY = {
  4500: "The interview was opened elsewhere by you.",
  4501: "You are signed out. Sign in again to go on.",
  4502: "This page and the server do not understand each other. Reload the page.",
  4503: "This page is older than the server. Reload the page.",
  4504: "This interview is over.",
  4505: "This interview is not yours.",
  4506: "Too many wrong frames. Reload the page.",
  4507: "This interview is on hold because its record could not be written. The people who run it have been told.",
};

/** A sentence for a code after which a client stops. */
export const whyStopped = (code) => WHY[code] ?? `The server ended the connection (${code}).`;
