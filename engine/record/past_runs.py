"""What earlier runs tell: what a user has used up, what was judged already, and what is set aside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.record.evaluations import EXHAUSTED, Fence, Landed
from engine.record.events import driver
from protocol.events import EvaluationCriterion, Remark


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What a user's runs of the last 24 hours took."""

    tokens: int
    cost: float


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier run of the same user on the same material: what landed, and its result if it came to its end."""

    interview: UUID
    run: int
    landed: dict[str, Landed]
    criteria: tuple[EvaluationCriterion, ...]
    strengths: tuple[Remark, ...] = ()
    weaknesses: tuple[Remark, ...] = ()
    improvements: tuple[Remark, ...] = ()
    narrative: str | None


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """A submission whose workers died too often. `judged` of its criteria were kept before the last one died."""

    interview: UUID
    question: str
    run: int
    attempts: int
    judged: int
    chars: int
    submitted_at: datetime
    given_up_at: datetime
    last_worker: str | None
    lease_until: datetime | None
    error: str


REMARKS = ("strengths", "weaknesses", "improvements")
OF_THE_USER = (
    "evaluation_runs r JOIN interview_sessions i ON i.id = r.interview_id "
    "AND i.user_id = (SELECT user_id FROM interview_sessions WHERE id = $1)"
)


async def used_of_late(engine: AsyncEngine, interview: UUID) -> Used:
    """By the user whose interview this is, in the last 24 hours."""
    async with driver(engine) as connection:
        row = await connection.fetchrow(
            "SELECT coalesce(sum(r.tokens), 0)::bigint AS tokens, coalesce(sum(r.cost), 0) AS cost "
            f"FROM {OF_THE_USER} WHERE r.created_at > now() - interval '24 hours'",
            interview,
        )
    return Used(tokens=row["tokens"], cost=row["cost"])


async def add_used(engine: AsyncEngine, fence: Fence, tokens: int, cost: float) -> None:
    """Not fenced: what was bought was bought, whoever holds the run by now."""
    async with driver(engine) as connection:
        await connection.execute(
            "UPDATE evaluation_runs SET tokens = tokens + $3, cost = cost + $4 WHERE interview_id = $1 AND run = $2",
            fence.interview,
            fence.run,
            tokens,
            cost,
        )


async def known(engine: AsyncEngine, fence: Fence, material: str) -> list[Known]:
    """Say what this run judges, and find the same user's other runs on the same, the newest first.

    Of this user only: nobody is ever served from what another wrote, be it the same text.
    """
    async with driver(engine) as connection:
        await connection.execute(
            "UPDATE evaluation_runs SET material = $4 WHERE interview_id = $1 AND run = $2 AND attempt = $3",
            *fence,
            material,
        )
        rows = await connection.fetch(
            f"""
            SELECT r.interview_id, r.run, r.verdicts, coalesce(e.criteria, '[]') AS criteria, e.strengths, e.weaknesses,
                   e.improvements, e.narrative
            FROM {OF_THE_USER} LEFT JOIN evaluations e ON e.interview_id = r.interview_id AND e.run = r.run
            WHERE r.material = $3 AND (r.interview_id, r.run) <> ($1, $2) ORDER BY r.created_at DESC LIMIT 10
            """,
            fence.interview,
            fence.run,
            material,
        )
    return [
        Known(
            interview=row["interview_id"],
            run=row["run"],
            landed=msgspec.convert(row["verdicts"], dict[str, Landed]),
            criteria=msgspec.convert(row["criteria"], tuple[EvaluationCriterion, ...]),
            **{name: msgspec.convert(row[name] or [], tuple[Remark, ...]) for name in REMARKS},
            narrative=row["narrative"],
        )
        for row in rows
    ]


SET_ASIDE = f"""
SELECT r.interview_id AS interview, q.slug AS question, r.run, s.submitted_at, r.finished_at AS given_up_at,
       r.lease_owner AS last_worker, r.lease_until, r.error ->> 'code' AS error,
       (SELECT sum(o.attempt) FROM evaluation_runs o WHERE o.interview_id = r.interview_id)::int AS attempts,
       (SELECT count(*) FROM jsonb_object_keys(r.verdicts) AS kept WHERE kept NOT LIKE '%:%')::int AS judged,
       length(concat(s.functional_req, s.non_functional_req, s.entities, s.classes_and_relationships, s.apis, s.code,
                     s.extra)) AS chars
FROM evaluation_runs r JOIN interview_sessions i ON i.id = r.interview_id JOIN questions q ON q.id = i.question_id
JOIN solutions s ON s.interview_id = r.interview_id
WHERE r.state = 'failed' AND r.error ->> 'code' = '{EXHAUSTED.code}'
  AND r.run = (SELECT max(n.run) FROM evaluation_runs n WHERE n.interview_id = r.interview_id)
ORDER BY r.finished_at
"""


async def set_aside(engine: AsyncEngine) -> list[SetAside]:
    """The submissions that are set aside, the oldest first."""
    async with driver(engine) as connection:
        return [msgspec.convert(dict(row), SetAside) for row in await connection.fetch(SET_ASIDE)]


async def strikes(engine: AsyncEngine, interview: UUID) -> int:
    """How many workers may have died on it."""
    async with driver(engine) as connection:
        sql = "SELECT coalesce(sum(attempt - forgiven), 0)::int FROM evaluation_runs WHERE interview_id = $1"
        found: int = await connection.fetchval(sql, interview)
    return found


async def forgive(engine: AsyncEngine, interviews: Sequence[UUID]) -> None:
    """Workers that died on these do not count any more: the next run has all its attempts again."""
    async with driver(engine) as connection:
        await connection.execute(
            "UPDATE evaluation_runs SET forgiven = attempt WHERE interview_id = ANY($1::uuid[])", list(interviews)
        )
