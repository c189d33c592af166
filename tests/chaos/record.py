"""What the record holds in the end, and the live copies beside it, as the checker wants them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.interview import Interview as Folded
from engine.judging.reuse import submission_hash
from engine.live.clock import Clock
from engine.live.keys import keys_of
from engine.live.state import fields_of
from engine.live.store import Live
from engine.record import evaluations
from engine.recorder.rebuilder import Rebuilder
from engine.settings import load_settings
from engine.telemetry import make_metrics
from engine.wiring import make_redis
from protocol.words import FIELDS
from tests.chaos.history import Copy, Event, Interview, Result

AUDIT = """
CREATE TABLE IF NOT EXISTS chaos_ends (
  at timestamptz NOT NULL DEFAULT clock_timestamp(), interview_id uuid, run int, state text
);
CREATE OR REPLACE FUNCTION chaos_ended() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO chaos_ends (interview_id, run, state) VALUES (NEW.interview_id, NEW.run, NEW.state);
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER chaos_ended AFTER UPDATE ON evaluation_runs FOR EACH ROW
  WHEN (NEW.finished_at IS DISTINCT FROM OLD.finished_at) EXECUTE FUNCTION chaos_ended();
"""
"""Writes down each end of a run, whoever made it, in the very transaction."""

INTERVIEWS = """
SELECT i.id::text, i.phase, extract(epoch FROM i.started_at) * 1000 AS started, i.clarify_seconds, i.design_seconds,
       i.recorded_seq, i.parked, i.epoch, s.rev, s.submitted_by, to_jsonb(s) AS solution,
       (SELECT jsonb_agg(jsonb_build_object('score', e.score, 'receipt', e.receipt, 'criteria', e.criteria))
        FROM evaluations e WHERE e.interview_id = i.id) AS evaluations,
       (SELECT array_agg(c.run || ' ' || c.state ORDER BY c.at) FROM chaos_ends c WHERE c.interview_id = i.id) AS ends,
       (SELECT array_agg(r.state ORDER BY r.run) FROM evaluation_runs r WHERE r.interview_id = i.id) AS runs
FROM interview_sessions i LEFT JOIN solutions s ON s.interview_id = i.id WHERE i.id::text = ANY($1::text[])
"""
EVENTS = """
SELECT seq, body, command_id, body_hash, outcome FROM interview_events WHERE interview_id = $1::text::uuid ORDER BY seq
"""


async def audit(database_url: str) -> None:
    """Have Postgres write down what `read_record` asks for and the engine does not keep."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(AUDIT)
    await connection.close()


async def read_record(
    engine: AsyncEngine, database_url: str, redis_url: str, ids: Collection[str]
) -> dict[str, Interview]:
    """These interviews."""
    connection = await asyncpg.connect(database_url)
    try:
        async with make_redis(load_settings({}, redis_url=redis_url)) as redis:
            reader = _Reader(connection, engine, Live(redis, Clock()))
            rows = await connection.fetch(INTERVIEWS, list(ids))
            return {row["id"]: await reader.interview(row) for row in rows}
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


class _Reader:
    """Reads interviews, one at a time."""

    def __init__(self, connection: Any, engine: AsyncEngine, live: Live) -> None:
        self._connection, self._engine, self._live = connection, engine, live
        self._rebuilder = Rebuilder(engine, live, make_metrics())

    async def interview(self, row: Any) -> Interview:
        solution = json.loads(row["solution"]) if row["solution"] else {}
        rows = await self._connection.fetch(EVENTS, row["id"])
        handed = await evaluations.handed_in(self._engine, UUID(row["id"]))
        commands = {e["command_id"]: (e["body_hash"] or b"") + (e["outcome"] or b"") for e in rows if e["command_id"]}
        rebuilt = await self._rebuilder.read(row["id"])
        return Interview(
            id=row["id"],
            phase=row["phase"],
            started_at=round(row["started"]),
            clarify_ms=row["clarify_seconds"] * 1000,
            design_ms=row["design_seconds"] * 1000,
            recorded_seq=row["recorded_seq"],
            events=tuple(Event(seq=e["seq"], body=e["body"], command_id=e["command_id"]) for e in rows),
            fields={field: solution.get(field, "") for field in FIELDS},
            rev=row["rev"] or 0,
            submitted_by=row["submitted_by"],
            evaluations=tuple(map(_result, json.loads(row["evaluations"] or "[]"))),
            runs=tuple(row["runs"] or ()),
            ends=tuple((int(run), state) for run, _, state in (end.partition(" ") for end in row["ends"] or ())),
            handed_in=submission_hash(handed) if handed else "",
            parked=row["parked"],
            live=await self._live_copy(row["id"]),
            rebuilt=_copy(row["epoch"], rebuilt, commands),
        )

    async def _live_copy(self, id: str) -> Copy | None:
        loaded = await self._live.load(id)
        held: Any = await self._live.redis.hgetall(keys_of(id).commands)
        commands = {name.decode(): value for name, value in held.items()}
        return _copy(loaded.epoch, loaded.interview, commands) if loaded else None


def _copy(epoch: int, interview: Folded, commands: dict[str, bytes]) -> Copy:
    state = hashlib.sha256(repr(sorted(fields_of(interview).items())).encode()).hexdigest()[:16]
    named = {id: hashlib.sha256(value).hexdigest()[:16] for id, value in commands.items()}
    return Copy(epoch=epoch, seq=interview.seq, state=state, commands=named)


def _result(row: dict[str, Any]) -> Result:
    receipt, names = row["receipt"], {criterion["id"]: criterion["name"] for criterion in row["criteria"]}
    asked = [id for id, how in receipt["criteria"].items() if how["judge"] == "openai" and not how.get("reused")]
    return Result(score=row["score"], graded=receipt["submission"], asked=tuple(names[id] for id in asked))
