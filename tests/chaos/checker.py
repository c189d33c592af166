"""What must hold of a history, clause by clause. Knows nothing of how the engine keeps it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from engine.core.draft import Draft, apply_changes, checksum
from engine.core.interview import GRACE_MS
from protocol import events
from protocol.codec import decode_event
from protocol.words import FIELDS, Change
from tests.chaos.history import Event, History, Interview, Op, hash_of

LATE_MS_MAX = 1_000
EXPECTED_REFUSALS = frozenset({"deadline_passed", "phase"})
"""One writer that keeps to the protocol is refused only because the clock was quicker."""
OURS = ("clock:", "eval:")
"""How the ids of commands begin that no client sends."""
EFFECTS: dict[str, type[Any]] = {
    "clarify.ask": events.ClarificationAnswered,
    "draft.save": events.DraftSaved,
    "phase.proceed": events.PhaseChanged,
    "solution.submit": events.SolutionSubmitted,
    "evaluation.retry": events.EvaluationRequested,
}


class Violation(NamedTuple):
    clause: str
    what: str


Clause = Callable[[History], Iterator[str]]


def check(history: History) -> list[Violation]:
    """Everything that is wrong with this history."""
    return [Violation(name, what) for name, clause in CLAUSES.items() for what in clause(history)]


# --- commands ----------------------------------------------------------------------------------------------


def nothing_lost(history: History) -> Iterator[str]:
    """What was acknowledged as recorded is in the record, with the outcome that was told."""
    for op in history.ops:
        promised = op.promised
        if promised is None:
            continue
        found = _effect_of(history, op)
        if not found:
            yield f"{op.t} {op.id} of {op.interview} was acknowledged with s={promised.s} and is not in the record"
        elif found[-1].seq != promised.s:
            yield f"{op.t} {op.id} was acknowledged with s={promised.s}; the record has it at {found[-1].seq}"
        else:
            yield from _says_the_same(op, promised.rev, decode_event(found[-1].body).d)


def _says_the_same(op: Op, rev: int | None, effect: Any) -> Iterator[str]:
    if not isinstance(effect, EFFECTS[op.t]):
        yield f"{op.t} {op.id} is in the record as {type(effect).__name__}"
    elif isinstance(effect, events.DraftSaved):
        if effect.rev != rev or effect.changes != msgspec.convert(op.d["changes"], tuple[Change, ...]):
            yield f"save {op.id} is in the record with another revision or another text"
        if op.checksum is not None and effect.checksum != op.checksum:
            yield f"save {op.id} left the draft otherwise than its client did"
    elif op.t == "solution.submit" and (effect.rev, effect.checksum) != (op.d["rev"], op.d["checksum"]):
        yield f"submit {op.id} handed in another draft than its client saw"


def nothing_twice(history: History) -> Iterator[str]:
    """A command has one outcome, however often it was answered, and one place in the record."""
    for op in history.ops:
        outcomes = {(r.s, r.rev) for r in op.replies if r.kind == "ack" and r.durable == "record"}
        if len(outcomes) > 1:
            yield f"{op.t} {op.id} was given {len(outcomes)} outcomes: {sorted(outcomes, key=str)}"
        if op.promised is not None and op.refused is not None:
            yield f"{op.t} {op.id} was acknowledged, and then refused: {op.refused.code}"
    for interview in history.interviews.values():
        for id, n in Counter(e.command_id for e in interview.events if e.command_id is not None).items():
            if n > 1:
                yield f"command {id} of {interview.id} took effect {n} times"


def nothing_unasked(history: History) -> Iterator[str]:
    """Each event of a client's command was asked for, and what was refused had no effect."""
    sent = {(op.interview, op.id): op for op in history.ops}
    for interview in history.interviews.values():
        for event in interview.events:
            id = event.command_id
            if id is None or id.startswith(OURS):
                continue
            op = sent.get((interview.id, id))
            if op is None:
                yield f"event {event.seq} of {interview.id} comes from command {id}, which nobody sent"
            elif op.refused is not None and op.promised is None:
                yield f"{op.t} {id} was refused ({op.refused.code}) and took effect as event {event.seq}"


def no_strange_refusals(history: History) -> Iterator[str]:
    """A client that is alone with the pen and resends faithfully is never told of conflicts."""
    for op in history.ops:
        if op.refused is not None and op.refused.code not in EXPECTED_REFUSALS:
            yield f"{op.t} {op.id} of {op.interview} was refused: {op.refused.code}"


def _effect_of(history: History, op: Op) -> list[Event]:
    """The events of a command: the one that bears its id, and those after it that bear none."""
    interview = history.interviews.get(op.interview)
    found: list[Event] = []
    for event in interview.events if interview else ():
        if event.command_id == op.id or (found and event.command_id is None):
            found.append(event)
        elif found:
            break
    return found


# --- events ------------------------------------------------------------------------------------------------


def in_order(history: History) -> Iterator[str]:
    """Each client was given each event once and in order; a snapshot only where a numbering began anew."""
    for feed in history.feeds:
        epoch = position = -1
        for seen in feed.seen:
            if seen.kind == "snapshot":
                if seen.epoch == epoch:
                    yield f"{feed.client} was given a snapshot of {feed.interview} at {seen.s} within epoch {epoch}"
                epoch, position = seen.epoch, seen.s
            elif (seen.epoch, seen.s) != (epoch, position + 1):
                place = f"{seen.epoch}/{seen.s} of {feed.interview}"
                yield f"{feed.client} was given event {place} after {epoch}/{position}"
                epoch, position = seen.epoch, max(position, seen.s)
            else:
                position = seen.s


def of_one_mind(history: History) -> Iterator[str]:
    """Any two clients, and the record, agree on the event at each place."""
    held = {(i.id, e.seq): hash_of(e.body) for i in history.interviews.values() for e in i.events}
    told: dict[tuple[str, int, int], dict[str, str]] = defaultdict(dict)
    for feed in history.feeds:
        for seen in feed.seen:
            if seen.kind != "event":
                continue
            told[feed.interview, seen.epoch, seen.s].setdefault(seen.hash, feed.client)
            if not seen.live and held.get((feed.interview, seen.s)) != seen.hash:
                yield f"{feed.client} was given another event {seen.s} of {feed.interview} than the record holds"
    for (interview, epoch, s), hashes in told.items():
        if len(hashes) > 1:
            yield f"event {epoch}/{s} of {interview} is not the same to {' and '.join(hashes.values())}"


# --- interviews --------------------------------------------------------------------------------------------


def whole(history: History) -> Iterator[str]:
    """The record has no gap, agrees with itself, and with the live copy."""
    for interview in history.interviews.values():
        seqs = [event.seq for event in interview.events]
        if seqs != list(range(1, len(seqs) + 1)) or interview.recorded_seq != len(seqs):
            yield f"{interview.id} has events {seqs[:3]}..{seqs[-3:]} and recorded_seq {interview.recorded_seq}"
        if interview.parked is not None:
            yield f"{interview.id} was parked: {interview.parked}"
        stored = checksum({field: interview.fields.get(field, "") for field in FIELDS})
        if interview.live is not None and interview.live != (interview.recorded_seq, stored):
            yield f"the live copy of {interview.id} is at {interview.live}, the record at {interview.recorded_seq}"


def one_draft(history: History) -> Iterator[str]:
    """The stored draft is what the saves make, the newest one told to anybody at least, and what was handed in."""
    for interview in history.interviews.values():
        draft = Draft()
        for event in interview.events:
            body = decode_event(event.body).d
            if isinstance(body, events.DraftSaved):
                draft = apply_changes(draft, body.changes, rev=body.rev, language=body.language)
            elif isinstance(body, events.SolutionSubmitted) and (body.rev, body.checksum) != (
                draft.rev, checksum(draft.fields)
            ):  # fmt: skip
                yield f"{interview.id} handed in another draft than was saved"
        if draft.rev and (interview.rev, interview.fields) != (draft.rev, draft.fields):
            yield f"the draft of {interview.id} is stored at revision {interview.rev}, its saves make {draft.rev}"
        told = max((r.rev or 0 for op in _ops_of(history, interview) for r in [op.promised] if r), default=0)
        if told > interview.rev:
            yield f"revision {told} of {interview.id} was acknowledged; the record ends at {interview.rev}"


def one_end(history: History) -> Iterator[str]:
    """Each interview ended in one submission, and that in one evaluation; each run, by one word that was told."""
    for interview in history.interviews.values():
        kinds = Counter(type(decode_event(event.body).d).__name__ for event in interview.events)
        submitted, completed, failed = (
            kinds[kind.__name__]
            for kind in (events.SolutionSubmitted, events.EvaluationCompleted, events.EvaluationFailed)
        )
        if (submitted, interview.phase) != (1, "submitted"):
            yield f"{interview.id} was submitted {submitted} times and is in phase {interview.phase}"
        asked_again = kinds[events.EvaluationRequested.__name__]
        ended = (interview.evaluations, completed, failed, interview.runs)
        if ended != (1, 1, asked_again, ("failed",) * asked_again + ("done",)):
            yield (
                f"{interview.id} has {interview.evaluations} evaluations, runs {interview.runs}, "
                f"{completed} results and {failed} failures told"
            )


def lateness(history: History) -> list[float]:
    """How late the clock was each time it acted, in milliseconds."""
    found = []
    for interview in history.interviews.values():
        deadline, grace = interview.started_at + interview.clarify_ms, 0
        for event in interview.events:
            frame = decode_event(event.body)
            if getattr(frame.d, "by", "") == "clock":
                found.append(late_ms(history, deadline + grace, frame.ts))
            if isinstance(frame.d, events.PhaseChanged):
                deadline, grace = frame.d.deadline_at, GRACE_MS
    return found


def on_time(history: History) -> Iterator[str]:
    """The clock acts never early, at most 1 s late where it could act, and gives nobody more time than there is."""
    for interview in history.interviews.values():
        deadline = interview.started_at + interview.clarify_ms
        grace = 0
        for event in interview.events:
            frame = decode_event(event.body)
            due, body = deadline + grace, frame.d
            by_clock = getattr(body, "by", "") == "clock"
            if by_clock and frame.ts < due:
                yield f"the clock ended a phase of {interview.id} {due - frame.ts} ms early"
            if by_clock and late_ms(history, due, frame.ts) > LATE_MS_MAX:
                yield f"the clock ended a phase of {interview.id} {frame.ts - due} ms late"
            written = isinstance(body, events.DraftSaved | events.SolutionSubmitted) and not by_clock
            if written and (frame.ts >= due, body.late) != (False, frame.ts >= deadline):
                yield f"event {event.seq} of {interview.id} came {frame.ts - deadline} ms after the deadline"
            if isinstance(body, events.PhaseChanged):
                begins = deadline if by_clock else frame.ts
                if body.deadline_at != begins + interview.design_ms:
                    yield f"{interview.id} was given {body.deadline_at - begins} ms to design"
                deadline, grace = body.deadline_at, GRACE_MS


def late_ms(history: History, due: float, acted: float) -> float:
    """How late something was (all in ms), not counting until Redis and a node were there (again)."""
    since = due
    for began, ended in sorted(_nobody_could(history)):
        if began <= since + LATE_MS_MAX and since < ended:
            since = min(ended, acted)
    return acted - since


def _nobody_could(history: History) -> Iterator[tuple[float, float]]:
    """When the clock had no hands, in milliseconds: Redis, or every node, or this machine was away."""
    down = [outage for outage in history.outages if outage.of in history.nodes]
    for outage in history.outages:
        if outage.of not in (*history.nodes, "worker0"):
            yield outage.began * 1000, outage.ended * 1000
        elif outage.of in history.nodes:
            for other in down:
                if other.of != outage.of and other.began < outage.ended and outage.began < other.ended:
                    yield max(outage.began, other.began) * 1000, min(outage.ended, other.ended) * 1000


def _ops_of(history: History, interview: Interview) -> Iterator[Op]:
    return (op for op in history.ops if op.interview == interview.id)


CLAUSES: dict[str, Clause] = {
    "lost": nothing_lost,
    "twice": nothing_twice,
    "unasked": nothing_unasked,
    "refusals": no_strange_refusals,
    "order": in_order,
    "agreement": of_one_mind,
    "whole": whole,
    "draft": one_draft,
    "ends": one_end,
    "deadlines": on_time,
}
