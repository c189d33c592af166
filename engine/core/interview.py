"""One interview as a frozen value, and how each event changes it. Folding all its events gives it back."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec
from protocol import events
from protocol.messages import EventFrame
from protocol.views import AppealView, Clarification, DraftView, EvaluationView, Snapshot, SubmissionView
from protocol.words import Phase

from engine.core.draft import Draft, apply_changes, checksum

GRACE_MS = 2_000
"""How long after design's deadline a save or a submit that was on its way still counts."""


class Interview(msgspec.Struct, frozen=True, kw_only=True):
    """The state after event `seq`. Times in milliseconds of the Unix epoch."""

    id: str
    pack: str
    """The hash of the question pack, pinned at the start."""
    started_at: int
    deadline_at: int
    design_ms: int
    seq: int = 0
    phase: Phase = "clarifying"
    clarifications: tuple[Clarification, ...] = ()
    draft: Draft = msgspec.field(default_factory=Draft)
    submission: SubmissionView | None = None
    evaluation: EvaluationView | None = None


def due_at(interview: Interview) -> int | None:
    """When the clock acts: at clarifying's deadline, at design's plus the grace, never after submission."""
    match interview.phase:
        case "clarifying":
            return interview.deadline_at
        case "design":
            return interview.deadline_at + GRACE_MS
        case "submitted":
            return None


def used(interview: Interview, intent: str) -> int:
    """How much of the rule's quota is used."""
    return sum(said.intent == intent and is_charged(said) for said in interview.clarifications)


def is_charged(said: Clarification) -> bool:
    """Whether this answer counts against a quota."""
    return said.kind == "answered" and said.state != "refunded"


def previous_question(interview: Interview) -> str:
    """What was asked last, which the next question may refer to; "" at first."""
    return interview.clarifications[-1].text if interview.clarifications else ""


def evolve(interview: Interview, frame: EventFrame) -> Interview:
    """The interview after the event. The event must be the next one."""
    if frame.s != interview.seq + 1:
        raise ValueError(f"event {frame.s} does not follow {interview.seq}")
    return msgspec.structs.replace(interview, seq=frame.s, **_changes(interview, frame))


def snapshot(interview: Interview) -> Snapshot:
    """What a candidate may see of it."""
    draft = interview.draft
    return Snapshot(
        id=interview.id,
        s=interview.seq,
        phase=interview.phase,
        started_at=interview.started_at,
        deadline_at=interview.deadline_at,
        clarifications=interview.clarifications,
        draft=DraftView(rev=draft.rev, language=draft.language, checksum=checksum(draft.fields), fields=draft.fields),
        submission=interview.submission,
        evaluation=interview.evaluation,
    )


def _changes(interview: Interview, frame: EventFrame) -> dict[str, Any]:
    event: events.Event = frame.d
    match event:
        case events.ClarificationAnswered():
            return {"clarifications": (*_settle(interview, event.ref, "confirmed"), _said(frame, event))}
        case events.ClarificationRefunded():
            return {"clarifications": _settle(interview, event.ref, "refunded")}
        case events.DraftSaved(rev=rev, changes=changes, language=language):
            return {"draft": apply_changes(interview.draft, changes, rev=rev, language=language)}
        case events.PhaseChanged(phase=phase, deadline_at=deadline_at):
            return {"phase": phase, "deadline_at": deadline_at}
        case events.SolutionSubmitted(by=by, rev=rev, late=late, run=run):
            return {
                "phase": "submitted",
                "submission": SubmissionView(by=by, at=frame.ts, rev=rev, late=late),
                "evaluation": EvaluationView(run=run, attempt=0, state="queued"),
            }
        case _:
            return {"evaluation": _judged(interview.evaluation, event)}


def _with(
    judged: tuple[events.EvaluationCriterion, ...], new: events.EvaluationCriterion
) -> tuple[events.EvaluationCriterion, ...]:
    """The results with a new one, in the place of what was said of its criterion before."""
    if all(one.id != new.id for one in judged):
        return (*judged, new)
    return tuple(new if one.id == new.id else one for one in judged)


def _settle(interview: Interview, ref: int | None, state: str) -> tuple[Clarification, ...]:
    if ref is None:
        return interview.clarifications
    return tuple(
        msgspec.structs.replace(said, state=state) if said.ref == ref else said for said in interview.clarifications
    )


def _said(frame: EventFrame, event: events.ClarificationAnswered) -> Clarification:
    return Clarification(
        ref=frame.s,
        asked_at=frame.ts,
        text=event.text,
        kind=event.kind,
        response=event.response,
        intent=event.intent,
        label=event.label,
        remaining=event.remaining,
    )


def _judged(
    view: EvaluationView | None,
    event: events.EvaluationRequested
    | events.EvaluationAppealed
    | events.EvaluationStarted
    | events.EvaluationCriterion
    | events.EvaluationCompleted
    | events.EvaluationFailed,
) -> EvaluationView:
    if isinstance(event, events.EvaluationRequested):
        return EvaluationView(run=event.run, attempt=0, state="queued")
    if view is None:
        raise ValueError("an evaluation's event before the submission")
    if view.appeal is not None and event.run == view.appeal.run:
        return _appealed(view, view.appeal, event)
    match event:
        case events.EvaluationAppealed(run=run, check=check, field=field, quote=quote):
            changes: dict[str, Any] = {"appeal": AppealView(run=run, check=check, field=field, quote=quote)}
        case events.EvaluationStarted(attempt=attempt, judge=judge, criteria=criteria):
            changes = {
                "attempt": attempt,
                "state": "running",
                "judge": judge,
                "criteria": criteria,
                "text": "",
            }
        case events.EvaluationCriterion():
            changes = {"judged": _with(view.judged, event)}
        case events.EvaluationCompleted():
            changes = {"state": "completed", "result": event, "judge": event.judge}
        case events.EvaluationFailed():
            changes = {"state": "failed", "failure": event}
        case _:
            assert_never(event)
    return msgspec.structs.replace(view, **changes)


def _appealed(view: EvaluationView, appeal: AppealView, event: events.Event) -> EvaluationView:
    """A word of the run that judges an appeal. Its failure leaves the result as it is."""
    changes: dict[str, Any] = {}
    match event:
        case events.EvaluationStarted(attempt=attempt):
            appeal = msgspec.structs.replace(appeal, attempt=attempt, state="running")
        case events.EvaluationCriterion():
            changes = {"judged": _with(view.judged, event)}
        case events.EvaluationCompleted():
            appeal = msgspec.structs.replace(appeal, state="completed")
            changes = {"result": event}
        case events.EvaluationFailed():
            appeal = msgspec.structs.replace(appeal, state="failed", failure=event)
    return msgspec.structs.replace(view, appeal=appeal, **changes)
