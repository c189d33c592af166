"""C1, C2, C3, C6, C11: what became of commands."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from protocol import events
from protocol.codec import decode_event
from protocol.words import Change
from tests.chaos.history import Event, History, Op, Pen

ABOUT_A_REVISION = frozenset({"conflict", "not_as_stored"})
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
Effects = dict[tuple[str, str], list[Event]]


def nothing_lost(history: History) -> Iterator[str]:
    """C1: what was acknowledged as recorded is in the record, at the place that was told, as it was sent."""
    effects = _effects(history)
    for op in history.ops:
        promised, found = op.promised, effects.get((op.interview, op.id), [])
        if promised is None:
            continue
        if not found:
            yield f"{op.t} {op.id} of {op.interview} was acknowledged with s={promised.s} and is not in the record"
        elif found[-1].seq != promised.s:
            yield f"{op.t} {op.id} was acknowledged with s={promised.s}; the record has it at {found[-1].seq}"
        elif _rev(found[-1]) != promised.rev:
            yield f"{op.t} {op.id} was acknowledged as revision {promised.rev}; the record has {_rev(found[-1])}"


def nothing_unasked(history: History) -> Iterator[str]:
    """C2: each effect was asked for by some client, just so, and by none who was refused."""
    sent = {(op.interview, op.id): op for op in history.ops}
    for (interview, id), found in _effects(history).items():
        op = sent.get((interview, id))
        if op is None:
            yield f"event {found[0].seq} of {interview} comes from command {id}, which nobody sent"
            continue
        if op.refused is not None and op.promised is None:
            yield f"{op.t} {id} was refused ({op.refused.code}) and took effect as event {found[0].seq}"
        yield from _says_the_same(op, [decode_event(event.body).d for event in found])


def _says_the_same(op: Op, effects: list[Any]) -> Iterator[str]:
    effect = effects[-1]
    if not all(isinstance(one, EFFECTS[op.t]) for one in effects):
        yield f"{op.t} {op.id} is in the record as {type(effect).__name__}"
    elif isinstance(effect, events.DraftSaved):
        if effect.changes != msgspec.convert(op.d["changes"], tuple[Change, ...]) or effect.rev != op.d["base"] + 1:
            yield f"save {op.id} is in the record with another revision or another text"
        if op.checksum is not None and effect.checksum != op.checksum:
            yield f"save {op.id} left the draft otherwise than its client did"
    elif op.t == "clarify.ask" and any(one.text not in op.d["text"] for one in effects):
        yield f"{op.id} asked something else than the record says"
    elif op.t == "solution.submit" and (effect.rev, effect.checksum) != (op.d["rev"], op.d["checksum"]):
        yield f"submit {op.id} handed in another draft than its client saw"


def nothing_twice(history: History) -> Iterator[str]:
    """C3: a command has one outcome, however often it was sent and answered, and one place in the record."""
    for op in history.ops:
        outcomes = {(r.s, r.rev, r.late) for r in op.replies if r.kind == "ack" and r.durable == "record"}
        if len(outcomes) > 1:
            yield f"{op.t} {op.id} was given {len(outcomes)} outcomes: {sorted(outcomes, key=str)}"
        if op.promised is not None and op.refused is not None:
            yield f"{op.t} {op.id} was acknowledged, and then refused: {op.refused.code}"
    for interview in history.interviews.values():
        for id, n in Counter(e.command_id for e in interview.events if e.command_id is not None).items():
            if n > 1:
                yield f"command {id} of {interview.id} took effect {n} times"


def no_strange_refusals(history: History) -> Iterator[str]:
    """C3: who has the pen and resends faithfully is never told of conflicts; who has lost it is told just that."""
    newest, unsure = _newest_pens(history), _only_live(history)
    for op in history.ops:
        if op.refused is None or op.refused.code in EXPECTED_REFUSALS:
            continue
        if op.refused.code in ABOUT_A_REVISION and (op.interview, op.d.get("base", op.d.get("rev"))) in unsure:
            continue
        pen = newest.get(op.interview)
        outrun = pen is not None and op.fences and max(op.fences) < (pen.epoch, pen.n)
        if op.refused.code != "fenced" or not outrun:
            yield f"{op.t} {op.id} of {op.interview} was refused: {op.refused.code}"


def fenced(history: History) -> Iterator[str]:
    """C6: once somebody was given the pen, nothing happens that was only sent with an earlier one."""
    effects = _effects(history)
    pens: dict[str, list[Pen]] = defaultdict(list)
    for pen in history.pens:
        pens[pen.interview].append(pen)
    for op in history.ops:
        found = effects.get((op.interview, op.id))
        if not found or not op.fences:
            continue
        for pen in pens[op.interview]:
            after = op.sent_at > pen.at if pen.s is None else found[0].seq > pen.s
            if max(op.fences) < (pen.epoch, pen.n) and after:
                yield f"{op.t} {op.id} took effect by fence {max(op.fences)}; {pen.client} had {pen.epoch}:{pen.n}"
                break


def linear(history: History) -> Iterator[str]:
    """C11: of two commands, the one that was answered before the other was sent comes first; snapshots show both."""
    answered: dict[str, list[tuple[int, float, float, str]]] = defaultdict(list)
    for op in history.ops:
        if (reply := op.promised) is not None:
            answered[op.interview].append((reply.s, op.sent_at, reply.at, op.id))
    for interview, ops in answered.items():
        newest_sent, by = 0.0, ""
        for _, sent_at, at, id in sorted(ops):
            if at < newest_sent:
                yield f"{id} of {interview} was answered before {by} was sent, and comes after it"
            newest_sent, by = max((newest_sent, by), (sent_at, id))
    for feed in history.feeds:
        for seen in feed.seen:
            known = [s for s, _, at, _ in answered[feed.interview] if at < seen.asked_at]
            if seen.kind == "snapshot" and seen.s < max(known, default=0):
                yield f"{feed.client} was given a snapshot at {seen.s} after event {max(known)} was acknowledged"


def _effects(history: History) -> Effects:
    """The events of each client's command: the one that bears its id, and those after it that bear none."""
    found: Effects = defaultdict(list)
    for interview in history.interviews.values():
        id: str | None = None
        for event in interview.events:
            again = event.command_id is not None and (interview.id, event.command_id) in found
            id = event.command_id or id
            if id is not None and not id.startswith(OURS) and not again:
                found[interview.id, id].append(event)
    return found


def _rev(event: Event) -> int | None:
    body = decode_event(event.body).d
    return body.rev if isinstance(body, events.DraftSaved) else None


def _only_live(history: History) -> set[tuple[str, int | None]]:
    """The revisions (interview, rev) of saves told as live and never as recorded: Redis may have lost them."""
    return {
        (op.interview, reply.rev)
        for op in history.ops
        if op.promised is None
        for reply in op.replies
        if reply.kind == "ack" and reply.rev is not None
    }


def _newest_pens(history: History) -> dict[str, Pen]:
    newest: dict[str, Pen] = {}
    for pen in history.pens:
        held = newest.get(pen.interview)
        if held is None or (held.epoch, held.n) < (pen.epoch, pen.n):
            newest[pen.interview] = pen
    return newest
