// The words and limits of the protocol that a client needs before the server has spoken. As protocol/words.py has them.

export const PROTOCOL_VERSION = 1;
export const SUBPROTOCOL = "sdi.v1.json";
export const TICKET_PREFIX = "ticket.";

/** The seven fields of a draft, in table order: the order of the draft's checksum. */
export const FIELDS = [
  "functional_req",
  "non_functional_req",
  "entities",
  "classes_and_relationships",
  "apis",
  "code",
  "extra",
];

/** While clarifying, only these two may be written. */
export const REQUIREMENT_FIELDS = ["functional_req", "non_functional_req"];

export const LANGUAGES = ["go", "cpp", "java", "python"];

/** Until `welcome` says otherwise. */
export const LIMITS = {
  frame_bytes_max: 262_144,
  field_bytes_max: 65_536,
  ask_chars_max: 2_000,
  commands_in_flight_max: 16,
};
export const PENDING_MAX = 64;

/** Reconnect advice until `welcome` gives the server's. */
export const RECONNECT = { min_ms: 250, max_ms: 15_000, jitter: 1 };
export const HEARTBEAT = { every_ms: 20_000, grace_ms: 10_000 };
