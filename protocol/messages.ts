// Made by `python -m protocol.schema` from the messages; not to be edited.
// Fields with `?` may be left out. Receivers ignore fields they do not know.

export const PROTOCOL_VERSION = 1;
export const SUBPROTOCOL_JSON = "sdi.v1.json";
export const TICKET_PREFIX = "ticket.";

export const Close = {
  DRAIN: 4000,
  INTERNAL: 4001,
  SLOW: 4002,
  NO_PONG: 4003,
  RATE: 4004,
  OVERLOADED: 4005,
  TICKET_EXPIRED: 4100,
  STATE_RESET: 4101,
  HELLO_TIMEOUT: 4408,
  REPLACED_BY_USER: 4500,
  UNAUTHORISED: 4501,
  PROTOCOL: 4502,
  VERSION: 4503,
  INTERVIEW_OVER: 4504,
  FORBIDDEN: 4505,
  TOO_MANY_ERRORS: 4506,
  PARKED: 4507,
} as const;

/** `code` of an `err`; more may come. */
export type RefusalCode =
  | "bad_json"
  | "bad_text"
  | "bad_frame"
  | "unknown_type"
  | "too_large"
  | "hello_twice"
  | "phase"
  | "deadline_passed"
  | "asks_used"
  | "unknown_ref"
  | "conflict"
  | "need_full"
  | "bad_change"
  | "not_as_stored"
  | "not_failed"
  | "not_appealable"
  | "not_quoted"
  | "fenced"
  | "observer"
  | "id_reused"
  | "forbidden"
  | "rate_limited"
  | "record_unavailable"
  | "unavailable";

export type FromClient = ClarifyAsk | ClarifyConfirm | ClarifyReject | DraftSave | PhaseProceed | SolutionSubmit | EvaluationRetry | EvaluationAppeal | Hello | Pong | TimeRequest | AuthRefresh;

export type ToClient = ClarificationAnswered | ClarificationRefunded | DraftSaved | PhaseChanged | SolutionSubmitted | EvaluationRequested | EvaluationAppealed | EvaluationStarted | EvaluationCriterion | EvaluationCompleted | EvaluationFailed | Ack | Refusal | Welcome | Replay | Resumed | Ping | Recorded | RoleChanged | Drain | Pending | Time | AuthExpiring | EvaluationDelta;

/** A clarifying question, in free text; one message may hold two. */
export interface ClarifyAsk {
  t: "clarify.ask";
  a?: number | null;
  /** Made by the client, unique in the interview. */
  id: string;
  d: Ask;
}

/** A clarifying question, in free text; one message may hold two. */
export interface Ask {
  text: string;
}

/** Yes to "did you mean X?": `ref` is the seq of that event. */
export interface ClarifyConfirm {
  t: "clarify.confirm";
  a?: number | null;
  /** Made by the client, unique in the interview. */
  id: string;
  d: Confirm;
}

/** Yes to "did you mean X?": `ref` is the seq of that event. */
export interface Confirm {
  ref: number;
}

/** Not what I asked: gives the quota back. `ref` is the seq of the answer. */
export interface ClarifyReject {
  t: "clarify.reject";
  a?: number | null;
  /** Made by the client, unique in the interview. */
  id: string;
  d: Reject;
}

/** Not what I asked: gives the quota back. `ref` is the seq of the answer. */
export interface Reject {
  ref: number;
}

/** Changes of the draft against revision `base`; at most one change a field. */
export interface DraftSave {
  t: "draft.save";
  a?: number | null;
  /** Made by the client, unique in the interview. */
  id: string;
  d: Save;
}

/** Changes of the draft against revision `base`; at most one change a field. */
export interface Save {
  base: number;
  changes?: ReadonlyArray<Change>;
  language?: "cpp" | "go" | "java" | "python" | null;
}

/** What becomes of one field: its whole `text`, or `splices` on it with the checksum of the result. */
export interface Change {
  field: "apis" | "classes_and_relationships" | "code" | "entities" | "extra" | "functional_req" | "non_functional_req";
  text?: string | null;
  splices?: ReadonlyArray<Splice> | null;
  checksum?: number | null;
}

/** At `at`, delete `del` units, then insert `ins`. Splices of one change apply one after the other. */
export interface Splice {
  /** In UTF-16 code units, as editors and LSP count. */
  at: number;
  /** In UTF-16 code units, as editors and LSP count. */
  del?: number;
  ins?: string;
}

/** Leave clarifying for design; there is no way back. */
export interface PhaseProceed {
  t: "phase.proceed";
  a?: number | null;
  /** Made by the client, unique in the interview. */
  id: string;
  d?: Proceed;
}

/** Leave clarifying for design; there is no way back. */
export interface Proceed {
}

/** Hand in the draft; revision and checksum must be those stored, so that what is judged is what was seen. */
export interface SolutionSubmit {
  t: "solution.submit";
  a?: number | null;
  /** Made by the client, unique in the interview. */
  id: string;
  d: Submit;
}

/** Hand in the draft; revision and checksum must be those stored, so that what is judged is what was seen. */
export interface Submit {
  rev: number;
  /** CRC-32 (ISO 3309). */
  checksum: number;
}

/** Ask for a new run after a failed evaluation, or a failed appeal. */
export interface EvaluationRetry {
  t: "evaluation.retry";
  a?: number | null;
  /** Made by the client, unique in the interview. */
  id: string;
  d?: Retry;
}

/** Ask for a new run after a failed evaluation, or a failed appeal. */
export interface Retry {
}

/** Have one check judged again that cost points; `quote` stands in `field` of what was handed in. */
export interface EvaluationAppeal {
  t: "evaluation.appeal";
  a?: number | null;
  /** Made by the client, unique in the interview. */
  id: string;
  d: Appeal;
}

/** Have one check judged again that cost points; `quote` stands in `field` of what was handed in. */
export interface Appeal {
  check: string;
  field: "apis" | "classes_and_relationships" | "code" | "entities" | "extra" | "functional_req" | "non_functional_req";
  quote: string;
}

/** Who speaks, what it wants, and how far it has come. `take` takes the pen from whoever holds it. */
export interface Hello {
  t: "hello";
  a?: number | null;
  d: HelloBody;
}

/** Who speaks, what it wants, and how far it has come. `take` takes the pen from whoever holds it. */
export interface HelloBody {
  proto: number;
  /** Made anew by each page load. */
  tab: string;
  write?: boolean;
  take?: boolean;
  fence?: Fence | null;
  resume?: Cursor | null;
  pending?: ReadonlyArray<string>;
  t0?: number | null;
}

/** The right to write: the newest fence of an interview holds the pen. Compared as (epoch, n). */
export interface Fence {
  epoch: number;
  n: number;
}

/** How far a client has come: the last event it has, in which numbering. */
export interface Cursor {
  epoch: number;
  s: number;
}

/** Still here, to a ping; any other frame says as much. */
export interface Pong {
  t: "pong";
  a?: number | null;
  d?: Record<string, unknown>;
}

/** What does the engine's clock say? `t0` is the client's own and comes back unread. */
export interface TimeRequest {
  t: "time";
  a?: number | null;
  d: TimeAsk;
}

export interface TimeAsk {
  /** Milliseconds by the client's own clock. */
  t0: number;
}

/** A fresh ticket for the same interview keeps the socket past the life of the first sign-in. */
export interface AuthRefresh {
  t: "auth.refresh";
  a?: number | null;
  d: AuthRefreshBody;
}

export interface AuthRefreshBody {
  ticket: string;
}

/**
 * One question of a message and what came of it.
 *
 * `answered`: the rule's response, charged to its quota. `confirm`: "did you mean `label`?", nothing charged.
 * `fallback`: no rule fits. `settled`: the rule fits and its quota is used. `ref`: the event this one settles.
 */
export interface ClarificationAnswered {
  t: "clarification.answered";
  s: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  ts: number;
  d: ClarificationAnsweredBody;
  durable?: "live" | "record";
}

/**
 * One question of a message and what came of it.
 *
 * `answered`: the rule's response, charged to its quota. `confirm`: "did you mean `label`?", nothing charged.
 * `fallback`: no rule fits. `settled`: the rule fits and its quota is used. `ref`: the event this one settles.
 */
export interface ClarificationAnsweredBody {
  text: string;
  kind: "answered" | "confirm" | "fallback" | "settled";
  response: string;
  intent?: string | null;
  label?: string | null;
  charged?: boolean;
  remaining?: number | null;
  score?: number;
  margin?: number;
  matcher?: string;
  ref?: number | null;
}

/** The candidate said "not what I asked" of event `ref`; `charged` tells whether quota came back. */
export interface ClarificationRefunded {
  t: "clarification.refunded";
  s: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  ts: number;
  d: ClarificationRefundedBody;
  durable?: "live" | "record";
}

/** The candidate said "not what I asked" of event `ref`; `charged` tells whether quota came back. */
export interface ClarificationRefundedBody {
  ref: number;
  charged: boolean;
}

/** Revision `rev` of the draft; `checksum` is that of the whole draft after `changes`. */
export interface DraftSaved {
  t: "draft.saved";
  s: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  ts: number;
  d: DraftSavedBody;
  durable?: "live" | "record";
}

/** Revision `rev` of the draft; `checksum` is that of the whole draft after `changes`. */
export interface DraftSavedBody {
  rev: number;
  changes: ReadonlyArray<Change>;
  language: "cpp" | "go" | "java" | "python";
  /** CRC-32 (ISO 3309). */
  checksum: number;
  late?: boolean;
}

/** A phase began and ends at `deadline_at`; `by` says whether the candidate or the clock ended the one before. */
export interface PhaseChanged {
  t: "phase.changed";
  s: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  ts: number;
  d: PhaseChangedBody;
  durable?: "live" | "record";
}

/** A phase began and ends at `deadline_at`; `by` says whether the candidate or the clock ended the one before. */
export interface PhaseChangedBody {
  phase: "clarifying" | "design" | "submitted";
  by: "candidate" | "clock";
  /** Milliseconds since the Unix epoch, by the server's clock. */
  deadline_at: number;
}

/** Handed in, once; run `run` of its evaluation waits for a worker. */
export interface SolutionSubmitted {
  t: "solution.submitted";
  s: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  ts: number;
  d: SolutionSubmittedBody;
  durable?: "live" | "record";
}

/** Handed in, once; run `run` of its evaluation waits for a worker. */
export interface SolutionSubmittedBody {
  by: "candidate" | "clock";
  rev: number;
  /** CRC-32 (ISO 3309). */
  checksum: number;
  late?: boolean;
  run?: number;
}

/** A further run was asked for. */
export interface EvaluationRequested {
  t: "evaluation.requested";
  s: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  ts: number;
  d: EvaluationRequestedBody;
  durable?: "live" | "record";
}

/** A further run was asked for. */
export interface EvaluationRequestedBody {
  run: number;
}

/**
 * Run `run` judges one check again, as if for the first time; `quote` is what the candidate points at.
 *
 * The result stands meanwhile. `evaluation.completed` of that run, with both verdicts, takes its place, or the run
 * fails and changes nothing.
 */
export interface EvaluationAppealed {
  t: "evaluation.appealed";
  s: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  ts: number;
  d: EvaluationAppealedBody;
  durable?: "live" | "record";
}

/**
 * Run `run` judges one check again, as if for the first time; `quote` is what the candidate points at.
 *
 * The result stands meanwhile. `evaluation.completed` of that run, with both verdicts, takes its place, or the run
 * fails and changes nothing.
 */
export interface EvaluationAppealedBody {
  run: number;
  check: string;
  field: "apis" | "classes_and_relationships" | "code" | "entities" | "extra" | "functional_req" | "non_functional_req";
  quote: string;
}

/** A worker took the run; a higher `attempt` supersedes a lower one. */
export interface EvaluationStarted {
  t: "evaluation.started";
  s: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  ts: number;
  d: EvaluationStartedBody;
  durable?: "live" | "record";
}

/** A worker took the run; a higher `attempt` supersedes a lower one. */
export interface EvaluationStartedBody {
  run: number;
  attempt: number;
  judge: "offline" | "openai";
  criteria: ReadonlyArray<CriterionName>;
}

export interface CriterionName {
  id: string;
  name: string;
  weight: number;
}

/**
 * One criterion is judged: `score` is 0..1, `points` of `points_max`.
 *
 * `times`: how often it was judged; each check's verdict is then what most of these said. What was judged more often,
 * or in a later run, takes the place of what was said of the criterion before.
 */
export interface EvaluationCriterion {
  t: "evaluation.criterion";
  s: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  ts: number;
  d: EvaluationCriterionBody;
  durable?: "live" | "record";
}

/**
 * One criterion is judged: `score` is 0..1, `points` of `points_max`.
 *
 * `times`: how often it was judged; each check's verdict is then what most of these said. What was judged more often,
 * or in a later run, takes the place of what was said of the criterion before.
 */
export interface EvaluationCriterionBody {
  run: number;
  id: string;
  name: string;
  weight: number;
  points: number;
  points_max: number;
  score: number;
  level: number;
  verdicts: ReadonlyArray<CheckVerdict>;
  times?: number;
}

/** One yes/no check: the verdict, and the words of the submission that carry it. */
export interface CheckVerdict {
  check: string;
  ask: string;
  points: number;
  verdict: "contradicted" | "met" | "not_met";
  section?: "apis" | "classes_and_relationships" | "code" | "entities" | "extra" | "functional_req" | "non_functional_req" | null;
  quote?: string;
  reason?: string;
  flag?: string | null;
  votes?: number;
}

/**
 * The run's result: `score` is 0..100. The receipt says by what it was judged.
 *
 * `band` is there when it was judged more than once. `first_shown`: of each check that is met by a quote, the minute
 * of the interview (0 is the first) at whose end the quote first stood in the draft.
 */
export interface EvaluationCompleted {
  t: "evaluation.completed";
  s: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  ts: number;
  d: EvaluationCompletedBody;
  durable?: "live" | "record";
}

/**
 * The run's result: `score` is 0..100. The receipt says by what it was judged.
 *
 * `band` is there when it was judged more than once. `first_shown`: of each check that is met by a quote, the minute
 * of the interview (0 is the first) at whose end the quote first stood in the draft.
 */
export interface EvaluationCompletedBody {
  run: number;
  score: number;
  passed: boolean;
  judge: "offline" | "openai";
  strengths?: ReadonlyArray<Remark>;
  weaknesses?: ReadonlyArray<Remark>;
  improvements?: ReadonlyArray<Remark>;
  narrative?: string;
  band?: Band | null;
  first_shown?: Record<string, number>;
  unasked?: ReadonlyArray<Unasked>;
  appeals?: ReadonlyArray<AppealDecided>;
  appeals_left?: number;
  receipt?: Record<string, unknown>;
}

/** One sentence for the candidate and the checks it rests on. */
export interface Remark {
  text: string;
  checks: ReadonlyArray<string>;
}

/** The lowest and the highest total of a submission that was judged `times` times. */
export interface Band {
  low: number;
  high: number;
  times: number;
}

/** A rule that was never asked for, and how much asking it mattered. Its answer stays to be asked for. */
export interface Unasked {
  intent: string;
  label: string;
  weight: number;
}

/** What came of an appeal: both verdicts, and the score before and after. `after` is by majority of `times`. */
export interface AppealDecided {
  run: number;
  check: string;
  field: "apis" | "classes_and_relationships" | "code" | "entities" | "extra" | "functional_req" | "non_functional_req";
  quote: string;
  before: CheckVerdict;
  after: CheckVerdict;
  times: number;
  score_before: number;
  score_after: number;
}

/** The run ended without a result; `retryable` says whether `evaluation.retry` makes sense. */
export interface EvaluationFailed {
  t: "evaluation.failed";
  s: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  ts: number;
  d: EvaluationFailedBody;
  durable?: "live" | "record";
}

/** The run ended without a result; `retryable` says whether `evaluation.retry` makes sense. */
export interface EvaluationFailedBody {
  run: number;
  code: string;
  message: string;
  retryable: boolean;
}

/** The command took effect, with `s` as its last event. `dup`: it had before, and this is its first outcome. */
export interface Ack {
  t: "ack";
  id: string;
  s: number;
  rev?: number | null;
  late?: boolean;
  dup?: boolean;
  durable?: "live" | "record";
}

/** The command (or frame) changed nothing. `temp`: sending it again may help, after `retry_ms`. */
export interface Refusal {
  t: "err";
  code: string;
  message: string;
  id?: string | null;
  temp?: boolean;
  retry_ms?: number | null;
  at?: string | null;
  d?: Record<string, unknown>;
}

/**
 * Where the client stands. `noop`: it has all; `replay`: what it misses follows; `snapshot`: start from this.
 *
 * `commands` tells of each pending id that took effect; one that is not there did not.
 */
export interface Welcome {
  t: "welcome";
  d: WelcomeBody;
}

/**
 * Where the client stands. `noop`: it has all; `replay`: what it misses follows; `snapshot`: start from this.
 *
 * `commands` tells of each pending id that took effect; one that is not there did not.
 */
export interface WelcomeBody {
  conn: string;
  role: "observer" | "writer";
  fence: Fence | null;
  epoch: number;
  head: number;
  recorded: number;
  mode: "noop" | "replay" | "snapshot";
  phase: "clarifying" | "design" | "submitted";
  /** Milliseconds since the Unix epoch, by the server's clock. */
  now: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  deadline_at: number;
  grace_ms: number;
  heartbeat: Heartbeat;
  limits: Limits;
  reconnect: Reconnect;
  commands?: Record<string, Ack>;
  snapshot?: Snapshot | null;
  t0?: number | null;
}

export interface Heartbeat {
  every_ms: number;
  grace_ms: number;
}

export interface Limits {
  frame_bytes_max: number;
  field_bytes_max: number;
  ask_chars_max: number;
  commands_in_flight_max: number;
}

export interface Reconnect {
  min_ms: number;
  max_ms: number;
  jitter: number;
}

/** All a candidate may see of an interview, at event `s`. */
export interface Snapshot {
  id: string;
  s: number;
  phase: "clarifying" | "design" | "submitted";
  /** Milliseconds since the Unix epoch, by the server's clock. */
  started_at: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  deadline_at: number;
  clarifications: ReadonlyArray<Clarification>;
  draft: DraftView;
  submission?: SubmissionView | null;
  evaluation?: EvaluationView | null;
}

/** One answer as a snapshot shows it; `ref` is the seq to confirm or reject it by. */
export interface Clarification {
  ref: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  asked_at: number;
  text: string;
  kind: "answered" | "confirm" | "fallback" | "settled";
  response: string;
  intent?: string | null;
  label?: string | null;
  remaining?: number | null;
  state?: "confirmed" | "open" | "refunded";
}

export interface DraftView {
  rev: number;
  language: "cpp" | "go" | "java" | "python";
  checksum: number;
  fields: Record<string, string>;
}

export interface SubmissionView {
  by: "candidate" | "clock";
  /** Milliseconds since the Unix epoch, by the server's clock. */
  at: number;
  rev: number;
  late: boolean;
}

/**
 * The newest run that judges all: what has been judged so far, and the result when there is one.
 *
 * An appeal has a run of its own, and does not touch `state`: the result stands until there is another.
 */
export interface EvaluationView {
  run: number;
  attempt: number;
  state: "completed" | "failed" | "queued" | "running";
  judge?: "offline" | "openai" | null;
  criteria?: ReadonlyArray<CriterionName>;
  judged?: ReadonlyArray<EvaluationCriterionBody>;
  result?: EvaluationCompletedBody | null;
  failure?: EvaluationFailedBody | null;
  appeal?: AppealView | null;
  text?: string;
}

/** The newest appeal: what it points at, and how far it is. What it decided is in the result. */
export interface AppealView {
  run: number;
  check: string;
  field: "apis" | "classes_and_relationships" | "code" | "entities" | "extra" | "functional_req" | "non_functional_req";
  quote: string;
  attempt?: number;
  state?: "completed" | "failed" | "queued" | "running";
  failure?: EvaluationFailedBody | null;
}

/** All events the client had missed, in order: each is as it would have come alone, and is to be taken so. */
export interface Replay {
  t: "replay";
  d: ReplayBody;
}

export interface ReplayBody {
  events: ReadonlyArray<ClarificationAnswered | ClarificationRefunded | DraftSaved | PhaseChanged | SolutionSubmitted | EvaluationRequested | EvaluationAppealed | EvaluationStarted | EvaluationCriterion | EvaluationCompleted | EvaluationFailed>;
}

/** All events the client had missed, to `s`, have been sent. */
export interface Resumed {
  t: "resumed";
  d: Through;
}

export interface Through {
  s: number;
}

/** Any frame will do as an answer; `head` shows a client that it missed the last event. */
export interface Ping {
  t: "ping";
  d: Head;
}

export interface Head {
  head: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  ts: number;
}

/** All events to `s` that went out as "live" are in the record now. */
export interface Recorded {
  t: "recorded";
  d: Through;
}

/** Who holds the pen has changed: as an observer, stop editing and go on listening. */
export interface RoleChanged {
  t: "role";
  d: RoleBody;
}

export interface RoleBody {
  role: "observer" | "writer";
  by?: string | null;
}

/** This node goes; connect again (to any node) in `in_ms`. */
export interface Drain {
  t: "drain";
  d: DrainBody;
}

export interface DrainBody {
  in_ms: number;
}

/** The command is applied and the record is slow to follow; its ack comes when the record has it. */
export interface Pending {
  t: "pending";
  d: PendingBody;
}

export interface PendingBody {
  id: string;
}

/** As NTP has it: client sent, server received, server sent. */
export interface Time {
  t: "time";
  d: TimeBody;
}

/** As NTP has it: client sent, server received, server sent. */
export interface TimeBody {
  /** Milliseconds by the client's own clock. */
  t0: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  t1: number;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  t2: number;
}

/** The sign-in behind this socket ends soon: renew it, then send `auth.refresh` with a ticket of the new one. */
export interface AuthExpiring {
  t: "auth.expiring";
  d: AuthExpiringBody;
}

export interface AuthExpiringBody {
  in_ms: number;
}

/** A piece of the narrative, from character `i` on. Not numbered: the whole text is in the result. */
export interface EvaluationDelta {
  t: "evaluation.delta";
  d: Delta;
}

/** A piece of the narrative, from character `i` on. Not numbered: the whole text is in the result. */
export interface Delta {
  run: number;
  attempt: number;
  i: number;
  text: string;
}
