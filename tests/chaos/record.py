"""What the record holds in the end, and the live copies beside it, as the checker wants them."""

from __future__ import annotations

from typing import Any

import asyncpg
from redis.asyncio import Redis

from engine.core.draft import checksum
from engine.live.clock import Clock
from engine.live.store import Live
from protocol.words import FIELDS
from tests.chaos.history import Event, Interview

INTERVIEWS = """
SELECT i.id::text, i.phase, extract(epoch FROM i.started_at) * 1000 AS started, i.clarify_seconds, i.design_seconds,
       i.recorded_seq, i.parked, s.rev, s.submitted_by, to_jsonb(s) AS solution,
       (SELECT count(*) FROM evaluations e WHERE e.interview_id = i.id) AS evaluations,
       (SELECT array_agg(r.state ORDER BY r.run) FROM evaluation_runs r WHERE r.interview_id = i.id) AS runs
FROM interview_sessions i LEFT JOIN solutions s ON s.interview_id = i.id
"""
EVENTS = "SELECT seq, body, command_id FROM interview_events WHERE interview_id = $1::text::uuid ORDER BY seq"


async def read_record(database_url: str, redis_url: str) -> dict[str, Interview]:
    """Every interview there is."""
    connection = await asyncpg.connect(database_url)
    try:
        async with Redis.from_url(redis_url) as redis:
            live = Live(redis, Clock())
            rows = await connection.fetch(INTERVIEWS)
            return {row["id"]: await _interview(connection, live, row) for row in rows}
    finally:
        await connection.close()


async def settled(database_url: str) -> bool:
    """Nothing is under way any more: all interviews ended, all runs were told."""
    connection = await asyncpg.connect(database_url)
    try:
        open_ones: int = await connection.fetchval(
            "SELECT (SELECT count(*) FROM interview_sessions WHERE phase <> 'submitted') + "
            "(SELECT count(*) FROM evaluation_runs WHERE NOT announced)"
        )
    finally:
        await connection.close()
    return open_ones == 0


async def _interview(connection: Any, live: Live, row: Any) -> Interview:
    import json

    solution = json.loads(row["solution"]) if row["solution"] else {}
    loaded = await live.load(row["id"])
    return Interview(
        id=row["id"],
        phase=row["phase"],
        started_at=round(row["started"]),
        clarify_ms=row["clarify_seconds"] * 1000,
        design_ms=row["design_seconds"] * 1000,
        recorded_seq=row["recorded_seq"],
        events=tuple(Event(**event) for event in await connection.fetch(EVENTS, row["id"])),
        fields={field: solution.get(field, "") for field in FIELDS},
        rev=row["rev"] or 0,
        submitted_by=row["submitted_by"],
        evaluations=row["evaluations"],
        runs=tuple(row["runs"] or ()),
        parked=row["parked"],
        live=(loaded.interview.seq, checksum(loaded.interview.draft.fields)) if loaded else None,
    )
