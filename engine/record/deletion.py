"""An account leaves the record: one transaction, after which nothing in Postgres is theirs.

Of each evaluation a row of numbers stays in `past_results`, so that a question's acceptance rate does not change.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.record.tables import users

AT_ONCE = 20
"""Interviews a statement: with all their events, it must end within a statement's usual time."""


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """By what else the account is known: access tokens by their logins, live copies by their interviews."""

    email: str
    logins: tuple[UUID, ...]
    interviews: tuple[UUID, ...]


# Rows are taken in the order in which others take them: a sign-in its code, then the user; the recorder an interview,
# then its runs; a worker a run, then (shared, for its foreign keys) the interview.
FORGET_CODES = "DELETE FROM email_otps WHERE email_key = (SELECT email_key FROM users WHERE id = :user)"
# Codes asked for since. One that is being tried is passed over, for who tries it waits for the user: it has a new
# account then.
FORGET_LATE_CODES = """
DELETE FROM email_otps WHERE id IN (
  SELECT o.id FROM email_otps o JOIN users u ON u.email_key = o.email_key WHERE u.id = :user
  FOR UPDATE OF o SKIP LOCKED
)
"""
TAKE_USER = "SELECT email FROM users WHERE id = :user FOR UPDATE"
TAKE_INTERVIEWS = "SELECT id FROM interview_sessions WHERE user_id = :user ORDER BY id FOR NO KEY UPDATE"
TAKE_RUNS = """
SELECT r.run FROM evaluation_runs r JOIN interview_sessions i ON i.id = r.interview_id
WHERE i.user_id = :user ORDER BY r.interview_id, r.run FOR UPDATE OF r
"""
LOGINS = "SELECT id FROM user_auth_sessions WHERE user_id = :user"

# The first attempt is the one the catalog counts (browsing._acceptance): of a question's submitted ones, the earliest.
KEEP_RESULTS = """
INSERT INTO past_results (question_id, pack_hash, rubric_version, judge, score, passed, criteria, first_attempt,
                          judged_on)
SELECT i.question_id, i.pack_hash, e.rubric_version, e.judge, e.score, e.passed,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                 'id', c -> 'id', 'points', c -> 'points', 'points_max', c -> 'points_max', 'score', c -> 'score'
               ) ORDER BY n), '[]')
        FROM jsonb_array_elements(e.criteria) WITH ORDINALITY AS judged(c, n)),
       i.first, (e.created_at AT TIME ZONE 'UTC')::date
FROM (SELECT id, question_id, pack_hash,
             row_number() OVER (PARTITION BY question_id ORDER BY started_at) = 1 AS first
      FROM interview_sessions WHERE user_id = :user AND phase = 'submitted') AS i
JOIN evaluations e ON e.interview_id = i.id
"""
FORGET_INTERVIEWS = "DELETE FROM interview_sessions WHERE id = ANY(:ids)"
FORGET_USER = "DELETE FROM users WHERE id = :user"


async def user_with(connection: AsyncConnection, email_key: str) -> UUID | None:
    """Whose address this is, normalised."""
    found: UUID | None = await connection.scalar(sa.select(users.c.id).where(users.c.email_key == email_key))
    return found


async def delete_user(connection: AsyncConnection, user: UUID) -> Deleted | None:
    """Delete all that is a user's, in the caller's transaction; None when there is no such user."""

    async def run(sql: str, **more: Any) -> sa.CursorResult[Any]:
        return await connection.execute(sa.text(sql), {"user": user, **more})

    await run(FORGET_CODES)
    email = (await run(TAKE_USER)).scalar_one_or_none()
    if email is None:
        return None
    interviews = tuple((await run(TAKE_INTERVIEWS)).scalars())
    await run(TAKE_RUNS)
    logins = tuple((await run(LOGINS)).scalars())
    await run(KEEP_RESULTS)
    for i in range(0, len(interviews), AT_ONCE):
        await run(FORGET_INTERVIEWS, ids=list(interviews[i : i + AT_ONCE]))
    await run(FORGET_LATE_CODES)
    await run(FORGET_USER)
    return Deleted(email=email, logins=logins, interviews=interviews)
