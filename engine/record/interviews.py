"""Interviews in Postgres: starting one, finding those that are due, and the epoch that says which copy is live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.interview import GRACE_MS
from engine.record.events import at, driver
from protocol.words import Phase

SWEEP_AT_ONCE = 500
START_TRIES_MAX = 3
COMPARED_AT_ONCE = 1_000
MAYBE_LIVE = timedelta(days=2)
"""Twice as long as a live copy stays after the last event, which comes after the submission."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One interview as `interview_sessions` holds it."""

    id: UUID
    user_id: UUID
    slug: str
    title: str
    pack_hash: str
    phase: Phase
    started_at: datetime
    deadline_at: datetime
    clarify_seconds: int
    design_seconds: int
    submitted_at: datetime | None
    epoch: int
    recorded_seq: int
    parked: str | None
    score: float | None
    passed: bool | None


class NotStartable(Exception):
    """This question cannot be started now: it is unknown, locked or coming soon."""

    def __init__(self, why: Literal["unknown", "locked", "coming_soon"]) -> None:
        super().__init__(why)
        self.why = why


class KeyReused(Exception):
    """The user started another question with this idempotency key."""


READ = """
SELECT i.id, i.user_id, q.slug, q.title, i.pack_hash, i.phase, i.started_at, i.deadline_at, i.clarify_seconds,
       i.design_seconds, i.submitted_at, i.epoch, i.recorded_seq, i.parked, e.score, e.passed
FROM interview_sessions i JOIN questions q ON q.id = i.question_id
LEFT JOIN evaluations e ON e.interview_id = i.id
"""


START = """
INSERT INTO interview_sessions (id, user_id, question_id, pack_hash, phase, started_at, deadline_at, clarify_seconds,
                                design_seconds, idempotency_key)
SELECT $1, $2, id, pack_hash, 'clarifying', $4::timestamptz,
       $4::timestamptz + make_interval(secs => clarify_seconds), clarify_seconds, design_seconds, $5
FROM questions WHERE slug = $3 AND status = 'published' AND access = 'free'
ON CONFLICT (user_id, question_id) WHERE phase <> 'submitted' DO NOTHING
RETURNING id
"""

ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended($1::uuid || ':' || $2::text, 0))"

OF_ANOTHER = """
SELECT EXISTS (SELECT FROM interview_sessions i JOIN questions q ON q.id = i.question_id
               WHERE i.user_id = $1 AND i.idempotency_key = $2 AND q.slug <> $3)
"""

ACTIVE = """WHERE i.user_id = $1 AND q.slug = $2 AND (i.phase <> 'submitted' OR i.idempotency_key = $3)
ORDER BY (i.idempotency_key = $3) DESC NULLS LAST, i.phase = 'submitted', i.started_at DESC LIMIT 1"""

REMEMBER = "UPDATE interview_sessions SET idempotency_key = $2 WHERE id = $1 AND idempotency_key IS NULL"


async def start(engine: AsyncEngine, user: UUID, slug: str, now: int, key: str | None = None) -> tuple[Row, bool]:
    """Start an interview at `now` (ms), or give back the user's active one of this question; True: it is new.

    The idempotency key that started an interview gives it back, active or not; so does the first key that an
    interview started without one was given back to. Raises NotStartable, KeyReused.
    """
    async with driver(engine) as connection, connection.transaction():
        if key is not None:
            await connection.execute(ONE_AT_A_TIME, user, key)
            if await connection.fetchval(OF_ANOTHER, user, key, slug):
                raise KeyReused
        for _ in range(START_TRIES_MAX):
            found = await connection.fetchrow(READ + ACTIVE, user, slug, key)
            if found is not None:
                if key is not None:
                    await connection.execute(REMEMBER, found["id"], key)
                return Row(**found), False
            id = await connection.fetchval(START, uuid4(), user, slug, at(now), key)
            if id is not None:
                return Row(**await connection.fetchrow(READ + "WHERE i.id = $1", id)), True
            await _startable(connection, slug)
    raise TimeoutError("the active interview kept changing")


async def _startable(connection: Any, slug: str) -> None:
    question = await connection.fetchrow("SELECT status, access FROM questions WHERE slug = $1", slug)
    if question is None or question["status"] in ("draft", "retired"):
        raise NotStartable("unknown")
    if question["status"] == "coming_soon":
        raise NotStartable("coming_soon")
    if question["access"] == "locked":
        raise NotStartable("locked")


async def history(
    engine: AsyncEngine, user: UUID, limit: int, before: tuple[datetime, UUID] | None = None
) -> list[Row]:
    """The user's interviews, the newest first; those `before` a start and an id, which settles ties."""
    started_at, id = before or (None, None)
    async with driver(engine) as connection:
        rows = await connection.fetch(
            READ + "WHERE i.user_id = $1 AND ($2::timestamptz IS NULL OR (i.started_at, i.id) < ($2, $3)) "
            "ORDER BY i.started_at DESC, i.id DESC LIMIT $4",
            user,
            started_at,
            id,
            limit,
        )
    return [Row(**row) for row in rows]


async def read(engine: AsyncEngine, id: str) -> Row | None:
    """The interview's row, or None."""
    async with driver(engine) as connection:
        row = await connection.fetchrow(READ + "WHERE i.id = $1", UUID(id))
    return Row(**row) if row else None


async def raise_epoch(engine: AsyncEngine, id: str, seen: int, to: int) -> bool:
    """Begin the numbering `to`, if nobody has begun one since `seen`. True for the one who may install it."""
    async with driver(engine) as connection:
        status: str = await connection.execute(
            "UPDATE interview_sessions SET epoch = $3 WHERE id = $1 AND epoch = $2", UUID(id), seen, to
        )
    return status == "UPDATE 1"


async def due(engine: AsyncEngine, now: int) -> list[str]:
    """Interviews that the clock should look at: their deadline (with design's grace) is over at `now` (ms)."""
    async with driver(engine) as connection:
        rows = await connection.fetch(
            "SELECT id FROM interview_sessions WHERE phase <> 'submitted' AND parked IS NULL AND deadline_at <= "
            "CASE phase WHEN 'clarifying' THEN $1::timestamptz ELSE $2::timestamptz END ORDER BY deadline_at LIMIT $3",
            at(now),
            at(now - GRACE_MS),
            SWEEP_AT_ONCE,
        )
    return [str(row["id"]) for row in rows]


async def maybe_live(engine: AsyncEngine) -> AsyncIterator[list[tuple[str, int, int]]]:
    """(id, epoch, what is recorded) of all that Redis may hold, in pages: those that go on, and those that ended
    lately. An interview whose evaluation ended later than that is made anew when somebody touches it.
    """
    after = UUID(int=0)
    while True:
        async with driver(engine) as connection:
            rows = await connection.fetch(
                "SELECT id, epoch, recorded_seq FROM interview_sessions WHERE id > $1 AND parked IS NULL "
                "AND (phase <> 'submitted' OR submitted_at > now() - $2::interval) ORDER BY id LIMIT $3",
                after,
                MAYBE_LIVE,
                COMPARED_AT_ONCE,
            )
        if not rows:
            return
        yield [(str(row["id"]), row["epoch"], row["recorded_seq"]) for row in rows]
        after = rows[-1]["id"]


async def park(engine: AsyncEngine, id: str, reason: str) -> None:
    """Set an interview aside whose events the record refuses; people must look at it."""
    async with driver(engine) as connection:
        await connection.execute("UPDATE interview_sessions SET parked = $2 WHERE id = $1", UUID(id), reason)
