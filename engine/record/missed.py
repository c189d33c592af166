"""The questions in the record that got no answer, or one that was not asked for: for those who write rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.gaps import Missed
from engine.core.pack import Pack, decode_pack
from engine.record.tables import clarification_logs, interview_sessions, question_packs, questions

MISSED_MAX: Final = 3_000
"""Of one question, the newest: grouping them takes the square of this in memory (70 MB) and some seconds."""


async def read_slugs(engine: AsyncEngine) -> list[str]:
    """Every question of the catalog."""
    async with engine.connect() as connection:
        return list(await connection.scalars(sa.select(questions.c.slug).order_by(questions.c.slug)))


async def read_pack(engine: AsyncEngine, slug: str) -> Pack:
    """The pack that new interviews of this question get."""
    body = sa.select(question_packs.c.body).join(questions).where(questions.c.slug == slug)
    async with engine.connect() as connection:
        return decode_pack((await connection.execute(body)).scalar_one())


async def read_missed(engine: AsyncEngine, slug: str, days: float | None = None) -> tuple[Sequence[Missed], bool]:
    """The newest questions on `slug` that got the fallback, or an answer or a "did you mean" that was refused.

    `days`: of so many days alone. At most MISSED_MAX; the second value says whether there are more.
    """
    logs, sessions = clarification_logs.c, interview_sessions.c
    wanted = [
        questions.c.slug == slug,
        sa.or_(logs.kind == "fallback", logs.refunded_at.is_not(None)),
    ]
    if days is not None:
        wanted.append(logs.asked_at >= sa.func.now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, days * 86_400.0))
    statement = (
        sa.select(logs.text, sa.cast(sessions.user_id, sa.Text), logs.intent)
        .join(interview_sessions, sessions.id == logs.interview_id)
        .join(questions, questions.c.id == sessions.question_id)
        .where(*wanted)
        .order_by(logs.asked_at.desc(), logs.interview_id, logs.seq)
        .limit(MISSED_MAX + 1)
    )
    async with engine.connect() as connection:
        rows = (await connection.execute(statement)).all()
    return [Missed(*row) for row in rows[:MISSED_MAX]], len(rows) > MISSED_MAX
