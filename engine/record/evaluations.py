"""Evaluation runs in Postgres: who works on one, what has landed, how it ended, and who must be told.

A worker holds a run by attempt and lease; every write of it is fenced by both, on the database's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.repeats import key
from engine.record.events import driver, millis
from protocol import events
from protocol.words import FIELDS, Field, Language

ATTEMPTS_MAX: Final = 5
"""A submission that so many workers died on is set aside: it may be what kills them."""
RING_SECONDS_MAX: Final = 30
AT_ONCE: Final = 100
TELL_SECONDS: Final = 2.0
"""Whoever ended a run has this long to announce it before the reapers do."""

RunKey = tuple[UUID, int]


class Landed(msgspec.Struct, frozen=True, kw_only=True):
    """One criterion's result as it is kept, who judged it (None: code counted), and what that took.

    `n`: which of the criterion's judgings this is. `missed`: what those took who were asked before in vain.
    `reused`: the run (interview:run) that bought it.
    """

    result: events.EvaluationCriterion
    n: int = 1
    judge: events.Judge | None = None
    spent: dict[str, Any] = {}
    missed: tuple[dict[str, Any], ...] = ()
    reused: str | None = None

    @property
    def key(self) -> str:
        """What it is kept under."""
        return key(self.result.id, self.n)


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The right to work on a run, until the lease ends, and what earlier attempts left."""

    attempt: int
    landed: dict[str, Landed]
    appeal: events.EvaluationAppealed | None = None


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """What was handed in, with the pack and the answers it goes by."""

    solution_id: UUID
    pack_hash: str
    pack_body: bytes
    fields: dict[Field, str]
    language: Language
    checksum: int
    answers: tuple[tuple[str, str], ...]
    """(intent, response) of each answer that stands."""
    started_at: int
    """When the interview began, in milliseconds of the Unix epoch."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended well: the row of `evaluations`."""

    completed: events.EvaluationCompleted
    criteria: tuple[events.EvaluationCriterion, ...]
    rubric_version: str


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run failed: a code, a sentence for the candidate, whether asking again makes sense."""

    code: str
    message: str
    retryable: bool


EXHAUSTED: Final = Error(
    code="attempts_exhausted",
    message="The evaluation was interrupted too often and is set aside. Your submission is safe; whoever runs this "
    "site can let it go on.",
    retryable=True,
)


class Fence(NamedTuple):
    """By what a worker's writes are known: they count while this attempt is the newest and its lease runs."""

    interview: UUID
    run: int
    attempt: int


HELD = "interview_id = $1 AND run = $2 AND attempt = $3 AND state = 'running' AND lease_until > now()"
STRIKES = "(SELECT sum(o.attempt - o.forgiven) FROM evaluation_runs o WHERE o.interview_id = r.interview_id)"
"""Attempts at a submission, in all its runs, that ended in silence. Those given back, or that ended a run, are
forgiven: a drain is no crash, and a new run that is asked for is no new chance to kill."""
_NEXT_RING = f"now() + make_interval(secs => least({RING_SECONDS_MAX}, power(2, least(rings, 10))))"


def _json(value: Any) -> str:
    """For a JSONB parameter; a column of that type comes back decoded."""
    return msgspec.json.encode(value).decode()


async def _held(engine: AsyncEngine, sql: str, fence: Fence, *args: object) -> bool:
    """Run one fenced statement; False when the fence did not hold."""
    async with driver(engine) as connection:
        status: str = await connection.execute(sql, *fence, *args)
    return not status.endswith(" 0")


# --- a worker's run ----------------------------------------------------------------------------------------


async def claim(engine: AsyncEngine, interview: UUID, run: int, *, owner: str, lease_seconds: float) -> Claim | None:
    """Take a run that waits or whose lease ended. None when somebody has it, or it has ended."""
    async with driver(engine) as connection:
        row = await connection.fetchrow(
            f"""
            UPDATE evaluation_runs r
            SET state = 'running', attempt = attempt + 1, lease_owner = $3,
                lease_until = now() + make_interval(secs => $4), rings = 0, ring_at = now()
            WHERE interview_id = $1 AND run = $2 AND {STRIKES} < $5
              AND (state = 'queued' OR (state = 'running' AND lease_until <= now()))
            RETURNING attempt, verdicts, appeal
            """,
            interview,
            run,
            owner,
            lease_seconds,
            ATTEMPTS_MAX,
        )
    if row is None:
        return None
    return Claim(
        attempt=row["attempt"],
        landed=msgspec.convert(row["verdicts"], dict[str, Landed]),
        appeal=msgspec.convert(row["appeal"], events.EvaluationAppealed | None),
    )


async def renew(engine: AsyncEngine, fence: Fence, lease_seconds: float) -> bool:
    """Extend the lease. False: it is over, or the run is another's."""
    sql = f"UPDATE evaluation_runs SET lease_until = now() + make_interval(secs => $4) WHERE {HELD}"
    return await _held(engine, sql, fence, lease_seconds)


async def release(engine: AsyncEngine, fence: Fence) -> bool:
    """Give the run back to the queue; what has landed stays."""
    sql = (
        "UPDATE evaluation_runs SET state = 'queued', forgiven = forgiven + 1, lease_until = NULL, ring_at = now() "
        f"WHERE {HELD}"
    )
    return await _held(engine, sql, fence)


async def land(engine: AsyncEngine, fence: Fence, landed: Landed) -> bool:
    """Keep one judging of a criterion. False: the lease is lost, and nothing was written."""
    sql = f"UPDATE evaluation_runs SET verdicts = verdicts || jsonb_build_object($4::text, $5::jsonb) WHERE {HELD}"
    return await _held(engine, sql, fence, landed.key, _json(landed))


async def finish(engine: AsyncEngine, fence: Fence, handed: Handed, result: Result) -> bool:
    """End the run with its one stored evaluation, both or none. True also when this attempt had done so before."""
    async with driver(engine) as connection, connection.transaction():
        status = await connection.execute(
            f"UPDATE evaluation_runs SET state = 'done', forgiven = attempt, finished_at = now(), rings = 0, "
            f"ring_at = now() + make_interval(secs => $4) WHERE {HELD}",
            *fence,
            TELL_SECONDS,
        )
        if status == "UPDATE 0":
            return await _ended_as(connection, fence, "done")
        await connection.execute(INSERT_EVALUATION, *_evaluation(fence, handed, result))
    return True


async def fail(engine: AsyncEngine, fence: Fence, error: Error) -> bool:
    """End the run without a result. True also when this attempt had done so before."""
    async with driver(engine) as connection:
        status = await connection.execute(
            "UPDATE evaluation_runs SET state = 'failed', forgiven = attempt, error = $4, finished_at = now(), "
            f"rings = 0, ring_at = now() + make_interval(secs => $5) WHERE {HELD}",
            *fence,
            _json(error),
            TELL_SECONDS,
        )
        return status != "UPDATE 0" or await _ended_as(connection, fence, "failed")


async def _ended_as(connection: Any, fence: Fence, state: str) -> bool:
    """Whether this attempt itself ended the run so: the answer to a COMMIT may be lost."""
    sql = "SELECT 1 FROM evaluation_runs WHERE interview_id = $1 AND run = $2 AND attempt = $3 AND state = $4"
    return bool(await connection.fetchval(sql, *fence, state))


INSERT_EVALUATION = """
INSERT INTO evaluations (id, solution_id, interview_id, run, score, passed, judge, criteria, strengths, weaknesses,
                         improvements, narrative, band, first_shown, unasked, appeals, appeals_left, receipt,
                         rubric_version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (solution_id) DO UPDATE SET
  run = excluded.run, score = excluded.score, passed = excluded.passed, judge = excluded.judge,
  criteria = excluded.criteria, strengths = excluded.strengths, weaknesses = excluded.weaknesses,
  improvements = excluded.improvements, narrative = excluded.narrative, band = excluded.band,
  first_shown = excluded.first_shown, unasked = excluded.unasked, appeals = excluded.appeals,
  appeals_left = excluded.appeals_left, receipt = excluded.receipt,
  rubric_version = excluded.rubric_version, created_at = now()
WHERE evaluations.run < excluded.run
"""


def _evaluation(fence: Fence, handed: Handed, result: Result) -> tuple[object, ...]:
    said = result.completed
    return (
        uuid4(), handed.solution_id, fence.interview, fence.run, said.score, said.passed, said.judge,
        _json(result.criteria), _json(said.strengths), _json(said.weaknesses), _json(said.improvements),
        said.narrative, _json(said.band) if said.band else None, _json(said.first_shown), _json(said.unasked),
        _json(said.appeals), said.appeals_left, _json(said.receipt), result.rubric_version,
    )  # fmt: skip


async def handed_in(engine: AsyncEngine, interview: UUID) -> Handed | None:
    """What the interview handed in; None while it has not."""
    async with driver(engine) as connection:
        row = await connection.fetchrow(
            f"""
            SELECT s.id, s.language, s.checksum, {", ".join(f"s.{field}" for field in FIELDS)}, p.hash, p.body,
                   i.started_at
            FROM solutions s JOIN interview_sessions i ON i.id = s.interview_id
            JOIN question_packs p ON p.hash = i.pack_hash
            WHERE s.interview_id = $1 AND s.submitted_at IS NOT NULL
            """,
            interview,
        )
        answers = await connection.fetch(
            "SELECT intent, response FROM clarification_logs WHERE interview_id = $1 AND kind = 'answered' "
            "AND refunded_at IS NULL AND intent IS NOT NULL ORDER BY seq",
            interview,
        )
    if row is None:
        return None
    return Handed(
        solution_id=row["id"],
        pack_hash=row["hash"],
        pack_body=bytes(row["body"]),
        fields={field: row[field] for field in FIELDS},
        language=row["language"],
        checksum=row["checksum"],
        answers=tuple((answer["intent"], answer["response"]) for answer in answers),
        started_at=millis(row["started_at"]),
    )


# --- the reapers' rounds -----------------------------------------------------------------------------------


async def to_ring(engine: AsyncEngine) -> list[RunKey]:
    """Runs that wait or whose lease ended, each given to one caller only, and again after 1, 2, 4 ... 30 s."""
    return await _next(
        engine,
        f"(state = 'queued' OR (state = 'running' AND lease_until <= now())) AND {STRIKES} < {ATTEMPTS_MAX}",
    )


async def to_announce(engine: AsyncEngine) -> list[RunKey]:
    """Runs that ended and of which the interview does not know; handed out as `to_ring` does."""
    return await _next(engine, "state IN ('done', 'failed') AND NOT announced")


async def _next(engine: AsyncEngine, condition: str) -> list[RunKey]:
    async with driver(engine) as connection:
        rows = await connection.fetch(
            f"""
            UPDATE evaluation_runs AS r SET rings = rings + 1, ring_at = {_NEXT_RING}
            FROM (SELECT interview_id, run FROM evaluation_runs r WHERE {condition} AND ring_at <= now()
                  ORDER BY ring_at LIMIT {AT_ONCE} FOR UPDATE SKIP LOCKED) AS due
            WHERE r.interview_id = due.interview_id AND r.run = due.run
            RETURNING r.interview_id, r.run
            """
        )
    return [(row["interview_id"], row["run"]) for row in rows]


async def soon(engine: AsyncEngine, keys: Sequence[RunKey], seconds: float = 1.0) -> None:
    """Hand these out again after `seconds`: they could not be served, through no fault of theirs."""
    async with driver(engine) as connection:
        await connection.execute(
            "UPDATE evaluation_runs AS r "
            "SET rings = greatest(0, rings - 1), ring_at = now() + make_interval(secs => $3) "
            "FROM unnest($1::uuid[], $2::int[]) AS v(interview_id, run) "
            "WHERE r.interview_id = v.interview_id AND r.run = v.run",
            [interview for interview, _ in keys],
            [run for _, run in keys],
            seconds,
        )


async def give_up(engine: AsyncEngine) -> list[RunKey]:
    """End the runs of submissions that ATTEMPTS_MAX workers died on; they are announced as failed."""
    async with driver(engine) as connection:
        rows = await connection.fetch(
            "UPDATE evaluation_runs r SET state = 'failed', error = $1, finished_at = now(), rings = 0, "
            f"ring_at = now() WHERE {STRIKES} >= {ATTEMPTS_MAX} "
            "AND (state = 'queued' OR (state = 'running' AND lease_until <= now())) RETURNING interview_id, run",
            _json(EXHAUSTED),
        )
    return [(row["interview_id"], row["run"]) for row in rows]
