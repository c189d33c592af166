"""An account leaves the record: one transaction, after which nothing in Postgres is theirs.

Of each evaluation a row of numbers stays in `past_results`, so that a question's acceptance rate does not change.
"""

from __future__ import annotations

from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.record.events import driver

DELETE_SECONDS = 30
"""Years of interviews, with all their events, go in one statement; a request's usual bound would be too short."""


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What else knows of the account by these: access tokens by their logins, live copies by their interviews."""

    email: str
    logins: tuple[UUID, ...]
    interviews: tuple[UUID, ...]


# Rows are taken in the order in which others take them: a sign-in its code, then the user; the recorder an interview,
# then its runs; a worker a run, then (shared, for its foreign keys) the interview.
FORGET_CODES = """
DELETE FROM email_otps WHERE email_key = (SELECT email_key FROM users WHERE id = $1)
"""
TAKE_USER = "SELECT email FROM users WHERE id = $1 FOR UPDATE"
TAKE_INTERVIEWS = "SELECT id FROM interview_sessions WHERE user_id = $1 ORDER BY id FOR NO KEY UPDATE"
TAKE_RUNS = """
SELECT 1 FROM evaluation_runs WHERE interview_id = ANY($1::uuid[]) ORDER BY interview_id, run FOR UPDATE
"""
LOGINS = "SELECT id FROM user_auth_sessions WHERE user_id = $1"

# The first attempt is the one the catalog counts (browsing._acceptance): of a question's submitted ones, the earliest.
KEEP_RESULTS = """
INSERT INTO past_results (question_id, pack_hash, rubric_version, judge, score, passed, criteria, first_attempt,
                          judged_on)
SELECT i.question_id, i.pack_hash, e.rubric_version, e.judge, e.score, e.passed,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                 'id', c -> 'id', 'points', c -> 'points', 'points_max', c -> 'points_max', 'score', c -> 'score'
               ) ORDER BY n), '[]')
        FROM jsonb_array_elements(e.criteria) WITH ORDINALITY AS of(c, n)),
       i.first, (e.created_at AT TIME ZONE 'UTC')::date
FROM (SELECT id, question_id, pack_hash,
             row_number() OVER (PARTITION BY question_id ORDER BY started_at) = 1 AS first
      FROM interview_sessions WHERE user_id = $1 AND phase = 'submitted') AS i
JOIN evaluations e ON e.interview_id = i.id
"""
FORGET_USER = "DELETE FROM users WHERE id = $1"


async def delete_user(engine: AsyncEngine, user: UUID) -> Deleted | None:
    """Delete all that is a user's; None when there is no such user. Raises what Postgres raises, and did nothing."""
    async with driver(engine) as connection, connection.transaction():
        await connection.execute(f"SET LOCAL statement_timeout = {DELETE_SECONDS * 1000}")
        await connection.execute(FORGET_CODES, user)
        email = await connection.fetchval(TAKE_USER, user)
        if email is None:
            return None
        interviews = tuple(row["id"] for row in await connection.fetch(TAKE_INTERVIEWS, user))
        await connection.execute(TAKE_RUNS, interviews)
        logins = tuple(row["id"] for row in await connection.fetch(LOGINS, user))
        await connection.execute(KEEP_RESULTS, user)
        await connection.execute(FORGET_USER, user, timeout=DELETE_SECONDS)
    return Deleted(email=email, logins=logins, interviews=interviews)
