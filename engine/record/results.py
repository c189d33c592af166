"""What became of evaluation runs, as the record holds it: for whoever announces an end, or asks for a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.repeats import decided
from engine.record.evaluations import Error, Landed
from engine.record.events import driver
from protocol import events
from protocol.views import AppealView, EvaluationView

Ended = events.EvaluationCompleted | events.EvaluationFailed


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run as the record holds it, with its end if it has one.

    `judged`: every criterion of the submission; of an appeal, none before its end.
    """

    run: int
    attempt: int
    state: str
    judged: tuple[events.EvaluationCriterion, ...]
    ended: Ended | None = None


# One evaluation stands at a time. An appeal's takes the place of what was appealed, so it is that run's as well.
RUNS = """
SELECT r.run, r.attempt, r.state, r.verdicts, r.appeal, r.error, e.run AS ended_by, e.score, e.passed, e.judge,
       e.criteria, e.strengths, e.weaknesses, e.improvements, e.narrative, e.band, e.first_shown, e.unasked, e.appeals,
       e.appeals_left, e.receipt
FROM evaluation_runs r LEFT JOIN evaluations e ON e.interview_id = r.interview_id
"""
ONE = RUNS + "AND e.run = r.run WHERE r.interview_id = $1 AND r.run = $2"
NEWEST = RUNS + "AND e.run >= r.run WHERE r.interview_id = $1 AND r.appeal IS NULL ORDER BY r.run DESC LIMIT 1"
APPEAL = """
SELECT run, attempt, state, appeal, error FROM evaluation_runs
WHERE interview_id = $1 AND appeal IS NOT NULL ORDER BY run DESC LIMIT 1
"""


async def read_run(engine: AsyncEngine, interview: UUID, run: int) -> Run | None:
    """One run, or None."""
    async with driver(engine) as connection:
        row = await connection.fetchrow(ONE, interview, run)
    return _run(row) if row else None


async def read_view(engine: AsyncEngine, interview: UUID) -> EvaluationView | None:
    """The newest run that judges all, and the newest appeal, as candidates see them; None before the submission."""
    async with driver(engine) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow(NEWEST, interview)
        appeal = await connection.fetchrow(APPEAL, interview)
    if row is None:
        return None
    run = _run(row)
    done = run.ended if isinstance(run.ended, events.EvaluationCompleted) else None
    return EvaluationView(
        run=run.run,
        attempt=run.attempt,
        state=_state(run.state),
        judge=done.judge if done else None,
        criteria=names(run.judged),
        judged=run.judged,
        result=done,
        failure=run.ended if isinstance(run.ended, events.EvaluationFailed) else None,
        appeal=_appeal(appeal) if appeal else None,
    )


def names(judged: Sequence[events.EvaluationCriterion]) -> tuple[events.CriterionName, ...]:
    """The criteria of these results."""
    return tuple(events.CriterionName(id=one.id, name=one.name, weight=one.weight) for one in judged)


def _run(row: Mapping[str, Any]) -> Run:
    judged: tuple[events.EvaluationCriterion, ...] = ()
    ended: Ended | None = None
    if row["appeal"] is None:
        landed = msgspec.convert(row["verdicts"], dict[str, Landed])
        judged = decided({key: one.result for key, one in landed.items()})
    if row["state"] == "done" and row["score"] is not None:
        judged, ended = msgspec.convert(row["criteria"], tuple[events.EvaluationCriterion, ...]), _completed(row)
    elif row["state"] == "failed":
        ended = _failed(row)
    return Run(run=row["run"], attempt=row["attempt"], state=row["state"], judged=judged, ended=ended)


def _appeal(row: Mapping[str, Any]) -> AppealView:
    said = msgspec.convert(row["appeal"], events.EvaluationAppealed)
    return AppealView(
        run=row["run"],
        check=said.check,
        field=said.field,
        quote=said.quote,
        attempt=row["attempt"],
        state=_state(row["state"]),
        failure=_failed(row) if row["state"] == "failed" else None,
    )


def _state(stored: str) -> Any:
    return "completed" if stored == "done" else stored


def _failed(row: Mapping[str, Any]) -> events.EvaluationFailed:
    error = msgspec.convert(row["error"], Error)
    return events.EvaluationFailed(run=row["run"], code=error.code, message=error.message, retryable=error.retryable)


def _completed(row: Mapping[str, Any]) -> events.EvaluationCompleted:
    return events.EvaluationCompleted(
        run=row["ended_by"],
        score=round(row["score"], 1),  # a REAL comes back with the digits of a double
        passed=row["passed"],
        judge=row["judge"],
        strengths=msgspec.convert(row["strengths"], tuple[events.Remark, ...]),
        weaknesses=msgspec.convert(row["weaknesses"], tuple[events.Remark, ...]),
        improvements=msgspec.convert(row["improvements"], tuple[events.Remark, ...]),
        narrative=row["narrative"],
        band=msgspec.convert(row["band"], events.Band | None),
        first_shown=row["first_shown"],
        unasked=msgspec.convert(row["unasked"], tuple[events.Unasked, ...]),
        appeals=msgspec.convert(row["appeals"], tuple[events.AppealDecided, ...]),
        appeals_left=row["appeals_left"],
        receipt=row["receipt"],
    )
