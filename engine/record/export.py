"""All that the record holds of one user, as one JSON document: from one snapshot, written piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.repeats import decided
from engine.record.evaluations import Error, Landed
from engine.record.events import driver, millis
from protocol import events
from protocol.events import AnswerKind, Judge
from protocol.words import FIELDS, Actor, Field, Language, Millis, Phase

T = TypeVar("T")

Format = Literal["interview-engine-export/1"]
EVENTS_AT_ONCE = 64
"""An event may be a quarter of a MiB."""


class ExportedProfile(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    email: str
    name: str
    avatar_url: str | None
    google: bool
    """Whether a Google account is a way in."""
    created_at: Millis
    updated_at: Millis


class ExportedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in on one device."""

    method: Literal["code", "google"]
    created_at: Millis
    rotated_at: Millis
    """When it was last refreshed."""
    expires_at: Millis
    revoked_at: Millis | None
    revoked_why: str | None


class ExportedCode(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time code that was asked for, by whomever; they are kept for a day."""

    created_at: Millis
    expires_at: Millis
    consumed_at: Millis | None
    failures: int


class ExportedClarification(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    text: str
    kind: AnswerKind
    intent: str | None
    response: str
    charged: bool
    asked_at: Millis
    refunded_at: Millis | None


class ExportedSolution(msgspec.Struct, frozen=True, kw_only=True):
    """The draft, or, with `submitted_at`, what was handed in."""

    fields: dict[Field, str]
    language: Language
    rev: int
    updated_at: Millis
    submitted_at: Millis | None
    submitted_by: Actor | None
    late: bool


class ExportedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the evaluation, and what it has found."""

    run: int
    state: Literal["queued", "running", "done", "failed"]
    attempt: int
    created_at: Millis
    finished_at: Millis | None
    error: Error | None
    appeal: events.EvaluationAppealed | None
    judged: tuple[events.EvaluationCriterion, ...]


class ExportedEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    run: int
    score: float
    passed: bool
    judge: Judge
    criteria: tuple[events.EvaluationCriterion, ...]
    strengths: tuple[events.Remark, ...]
    weaknesses: tuple[events.Remark, ...]
    improvements: tuple[events.Remark, ...]
    narrative: str
    band: events.Band | None
    first_shown: dict[str, int]
    unasked: tuple[events.Unasked, ...]
    appeals: tuple[events.AppealDecided, ...]
    appeals_left: int
    receipt: dict[str, Any]
    rubric_version: str
    created_at: Millis


class ExportedInterview(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    slug: str
    title: str
    pack_hash: str
    phase: Phase
    started_at: Millis
    deadline_at: Millis
    submitted_at: Millis | None
    clarifications: tuple[ExportedClarification, ...]
    solution: ExportedSolution | None
    runs: tuple[ExportedRun, ...]
    evaluation: ExportedEvaluation | None
    events: tuple[dict[str, Any], ...] = ()
    """Each as the socket sent it; see /asyncapi.json."""


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. Times in milliseconds of the Unix epoch."""

    format: Format
    exported_at: Millis
    profile: ExportedProfile
    logins: tuple[ExportedLogin, ...]
    codes: tuple[ExportedCode, ...]
    interviews: tuple[ExportedInterview, ...] = ()


PROFILE = """
SELECT id, email, name, avatar_url, google_sub IS NOT NULL AS google, created_at, updated_at FROM users WHERE id = $1
"""
LOGINS = """
SELECT method, created_at, rotated_at, expires_at, revoked_at, revoked_why FROM user_auth_sessions
WHERE user_id = $1 ORDER BY created_at, id
"""
CODES = """
SELECT o.created_at, o.expires_at, o.consumed_at, o.failures FROM email_otps o JOIN users u USING (email_key)
WHERE u.id = $1 ORDER BY o.created_at, o.id
"""
INTERVIEWS = """
SELECT i.id, q.slug, q.title, i.pack_hash, i.phase, i.started_at, i.deadline_at, i.submitted_at
FROM interview_sessions i JOIN questions q ON q.id = i.question_id WHERE i.user_id = $1 ORDER BY i.started_at, i.id
"""
CLARIFICATIONS = """
SELECT seq, text, kind, intent, response, charged, asked_at, refunded_at FROM clarification_logs
WHERE interview_id = $1 ORDER BY seq
"""
SOLUTION = f"""
SELECT {", ".join(FIELDS)}, language, rev, updated_at, submitted_at, submitted_by, late FROM solutions
WHERE interview_id = $1
"""
RUNS = """
SELECT run, state, attempt, created_at, finished_at, error, appeal, verdicts FROM evaluation_runs
WHERE interview_id = $1 ORDER BY run
"""
EVALUATION = """
SELECT run, score, passed, judge, criteria, strengths, weaknesses, improvements, narrative, band, first_shown,
       unasked, appeals, appeals_left, receipt, rubric_version, created_at
FROM evaluations WHERE interview_id = $1
"""
EVENTS = "SELECT body FROM interview_events WHERE interview_id = $1 ORDER BY seq"


async def export(engine: AsyncEngine, user: UUID, now: datetime, write: Callable[[bytes], object]) -> bool:
    """Write the JSON of an Export, in pieces of bounded size. False, and nothing written: there is no such user.

    Raises what Postgres raises.
    """
    async with driver(engine) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        profile = await connection.fetchrow(PROFILE, user)
        if profile is None:
            return False
        head = Export(
            format="interview-engine-export/1",
            exported_at=millis(now),
            profile=_as(ExportedProfile, profile),
            logins=tuple(_as(ExportedLogin, row) for row in await connection.fetch(LOGINS, user)),
            codes=tuple(_as(ExportedCode, row) for row in await connection.fetch(CODES, user)),
        )
        write(_open(head))
        between = b""
        for row in await connection.fetch(INTERVIEWS, user):
            write(between + _open(await _interview(connection, row)))
            await _events(connection, row["id"], write)
            write(b"]}")
            between = b","
        write(b"]}")
    return True


async def _interview(connection: Any, row: Mapping[str, Any]) -> ExportedInterview:
    id = row["id"]
    solution = await connection.fetchrow(SOLUTION, id)
    evaluation = await connection.fetchrow(EVALUATION, id)
    return _as(
        ExportedInterview,
        row,
        clarifications=[_plain(one) for one in await connection.fetch(CLARIFICATIONS, id)],
        solution=solution and {**_plain(solution), "fields": {field: solution[field] for field in FIELDS}},
        runs=[{**_plain(run), "judged": _judged(run["verdicts"])} for run in await connection.fetch(RUNS, id)],
        evaluation=evaluation and {**_plain(evaluation), "score": round(evaluation["score"], 1)},  # from a REAL
    )


async def _events(connection: Any, interview: UUID, write: Callable[[bytes], object]) -> None:
    between = b""
    async for row in connection.cursor(EVENTS, interview, prefetch=EVENTS_AT_ONCE):
        write(between + row["body"])
        between = b","


def _judged(verdicts: Any) -> list[Any]:
    landed = msgspec.convert(verdicts, dict[str, Landed])
    return [msgspec.to_builtins(one) for one in decided({key: one.result for key, one in landed.items()})]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its moments as milliseconds."""
    return {name: millis(value) if isinstance(value, datetime) else value for name, value in row.items()}


def _as(shape: type[T], row: Mapping[str, Any], **more: Any) -> T:
    return msgspec.convert({**_plain(row), **more}, shape)


def _open(value: msgspec.Struct) -> bytes:
    """A value's JSON, open at its end: what belongs into its last field, an empty list, follows."""
    encoded = msgspec.json.encode(value)
    assert encoded.endswith(b"[]}")
    return encoded[:-2]
