"""What a candidate may see of an interview, as values: the parts of a snapshot."""

from __future__ import annotations

from typing import Literal

from protocol import events
from protocol.words import Field, Language, Millis, Phase, Seq, Value


class Clarification(Value, frozen=True, kw_only=True):
    """One answer as a snapshot shows it; `ref` is the seq to confirm or reject it by."""

    ref: Seq
    asked_at: Millis
    text: str
    kind: events.AnswerKind
    response: str
    intent: str | None = None
    label: str | None = None
    remaining: int | None = None
    state: Literal["open", "confirmed", "refunded"] = "open"


class DraftView(Value, frozen=True, kw_only=True):
    rev: int
    language: Language
    checksum: int
    fields: dict[Field, str]


class SubmissionView(Value, frozen=True, kw_only=True):
    by: Literal["candidate", "clock"]
    at: Millis
    rev: int
    late: bool


class AppealView(Value, frozen=True, kw_only=True):
    """The newest appeal: what it points at, and how far it is. What it decided is in the result."""

    run: int
    check: str
    field: Field
    quote: str
    attempt: int = 0
    state: Literal["queued", "running", "completed", "failed"] = "queued"
    failure: events.EvaluationFailed | None = None


class EvaluationView(Value, frozen=True, kw_only=True):
    """The newest run that judges all: what has been judged so far, and the result when there is one.

    An appeal has a run of its own, and does not touch `state`: the result stands until there is another.
    """

    run: int
    attempt: int
    state: Literal["queued", "running", "completed", "failed"]
    judge: events.Judge | None = None
    criteria: tuple[events.CriterionName, ...] = ()
    judged: tuple[events.EvaluationCriterion, ...] = ()
    result: events.EvaluationCompleted | None = None
    failure: events.EvaluationFailed | None = None
    appeal: AppealView | None = None
    text: str = ""
    """The narrative so far, while it is being written."""


class Snapshot(Value, frozen=True, kw_only=True):
    """All a candidate may see of an interview, at event `s`."""

    id: str
    s: Seq
    phase: Phase
    started_at: Millis
    deadline_at: Millis
    clarifications: tuple[Clarification, ...]
    draft: DraftView
    submission: SubmissionView | None = None
    evaluation: EvaluationView | None = None
