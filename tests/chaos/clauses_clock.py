"""C8: the clock's hands, and when they were tied."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from engine.core.interview import GRACE_MS
from protocol import events
from protocol.codec import decode_event
from tests.chaos.history import History

LATE_MS_MAX = 1_000
HANDS = ("valkey", "flush", "redis", "machine")
"""Without these nobody can act. Without Postgres everybody can, on what Redis holds."""
REBUILT_SECONDS_MAX = 1.0
"""What Redis has lost is back by then, if the record is there: the sweep looks each second."""
LOSSES = ("flush", "valkey")
"""After these Redis may hold nothing: then the record must be there, for the interview is nowhere else."""


def on_time(history: History) -> Iterator[str]:
    """C8: the clock acts never early, at most 1 s late where it could act, and gives nobody more time than there is."""
    for interview in history.interviews.values():
        deadline = interview.started_at + interview.clarify_ms
        grace = 0
        for event in interview.events:
            frame = decode_event(event.body)
            due, body = deadline + grace, frame.d
            by_clock = getattr(body, "by", "") == "clock"
            if by_clock and frame.ts < due:
                yield f"the clock ended a phase of {interview.id} {due - frame.ts} ms early"
            if by_clock and late_ms(history, due, frame.ts, interview.id) > LATE_MS_MAX:
                meanwhile = ", ".join(_meanwhile(history, due, frame.ts))
                late = f"{frame.ts - due} ms late, {_when(due)}; meanwhile {meanwhile}"
                yield f"the clock ended a phase of {interview.id} {late}"
            written = isinstance(body, events.DraftSaved | events.SolutionSubmitted) and not by_clock
            if written and (frame.ts >= due, body.late) != (False, frame.ts >= deadline):
                yield f"event {event.seq} of {interview.id} came {frame.ts - deadline} ms after the deadline"
            if isinstance(body, events.ClarificationAnswered) and frame.ts >= deadline:
                yield f"event {event.seq} of {interview.id} came {frame.ts - deadline} ms after the deadline"
            if isinstance(body, events.PhaseChanged):
                begins = deadline if by_clock else frame.ts
                if body.deadline_at != begins + interview.design_ms:
                    yield f"{interview.id} was given {body.deadline_at - begins} ms to design"
                deadline, grace = body.deadline_at, GRACE_MS


def lateness(history: History) -> list[float]:
    """How late the clock was each time it acted, in milliseconds."""
    found = []
    for interview in history.interviews.values():
        deadline, grace = interview.started_at + interview.clarify_ms, 0
        for event in interview.events:
            frame = decode_event(event.body)
            if getattr(frame.d, "by", "") == "clock":
                found.append(late_ms(history, deadline + grace, frame.ts, interview.id))
            if isinstance(frame.d, events.PhaseChanged):
                deadline, grace = frame.d.deadline_at, GRACE_MS
    return found


def late_ms(history: History, due: float, acted: float, interview: str = "") -> float:
    """How late something was (all in ms), not counting until Redis and a node were there (again)."""
    since = due
    for began, ended in sorted(_nobody_could(history, interview)):
        if began <= since + LATE_MS_MAX and since < ended:
            since = min(ended, acted)
    return acted - since


def _when(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def _meanwhile(history: History, due: float, acted: float) -> Iterator[str]:
    """What was away between: from and until when, in ms after it was due."""
    for outage in history.outages:
        began, ended = outage.began * 1000 - due, outage.ended * 1000 - due
        if began < acted - due and ended > 0:
            yield f"{outage.of} {began:.0f}..{ended:.0f}"


def _nobody_could(history: History, interview: str) -> Iterator[tuple[float, float]]:
    """When the clock had no hands, in milliseconds: Redis, or every node, or this machine was away; or Postgres, after
    Redis had lost what it held, or before it held this interview at all."""
    live_at = history.started.get(interview, 0.0)
    losses = [outage for outage in history.outages if outage.of in LOSSES]
    down = [outage for outage in history.outages if outage.of in history.nodes]
    for outage in history.outages:
        if outage.of in HANDS:
            yield outage.began * 1000, outage.ended * 1000
        elif outage.of == "postgres":
            if outage.began < live_at:
                yield outage.began * 1000, min(outage.ended, live_at) * 1000
            for loss in losses:
                if outage.began - REBUILT_SECONDS_MAX <= loss.began < outage.ended:
                    yield max(outage.began, loss.began) * 1000, outage.ended * 1000
        elif outage.of in history.nodes:
            for other in down:
                if other.of != outage.of and other.began < outage.ended and outage.began < other.ended:
                    yield max(outage.began, other.began) * 1000, min(outage.ended, other.ended) * 1000
