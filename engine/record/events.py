"""The events of interviews in Postgres, and what they mean for its other tables.

Writing is the hot path of the engine: plain asyncpg under SQLAlchemy's pool, one statement a table and group.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.draft import checksum
from engine.core.interview import Interview
from engine.failpoints import failpoint
from protocol import events
from protocol.codec import decode_event, event_type
from protocol.words import FIELDS

REPLAY_AT_ONCE = 64
"""An event may be a quarter of a MiB."""


class Recorded(msgspec.Struct, frozen=True):
    """One event as the record holds it."""

    seq: int
    body: bytes
    command_id: str | None
    body_hash: bytes | None
    outcome: bytes | None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One interview's next events, without a gap, and the interview after the last."""

    epoch: int
    interview: Interview
    entries: tuple[Recorded, ...]

    @property
    def first(self) -> int:
        return self.entries[0].seq

    @property
    def last(self) -> int:
        return self.entries[-1].seq


@asynccontextmanager
async def driver(engine: AsyncEngine) -> AsyncIterator[Any]:
    """A plain asyncpg connection from the pool."""
    async with engine.connect() as connection:
        yield (await connection.get_raw_connection()).driver_connection


def at(ms: int) -> datetime:
    """Milliseconds of the Unix epoch as a moment."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def millis(moment: datetime) -> int:
    """A moment as milliseconds of the Unix epoch."""
    return round(moment.timestamp() * 1000)


ADVANCE = """
UPDATE interview_sessions AS s
SET recorded_seq = v.last, phase = v.phase, deadline_at = v.deadline_at,
    submitted_at = coalesce(s.submitted_at, v.submitted_at)
FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::text[], $6::timestamptz[], $7::timestamptz[])
  AS v(id, epoch, first, last, phase, deadline_at, submitted_at)
WHERE s.id = v.id AND s.epoch = v.epoch AND s.recorded_seq = v.first - 1 AND s.parked IS NULL
RETURNING s.id
"""

INSERT_EVENTS = """
INSERT INTO interview_events (interview_id, seq, at, type, body, command_id, body_hash, outcome)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::bytea[], $6::text[], $7::bytea[],
                     $8::bytea[])
"""

UPSERT_SOLUTIONS = f"""
INSERT INTO solutions (id, interview_id, {", ".join(FIELDS)}, language, rev, checksum,
                       submitted_at, submitted_by, late, updated_at)
SELECT gen_random_uuid(), v.*, now()
FROM unnest($1::uuid[], {", ".join(f"${i}::text[]" for i in range(2, 9))}, $9::text[], $10::int[], $11::bigint[],
            $12::timestamptz[], $13::text[], $14::bool[]) AS v
ON CONFLICT (interview_id) DO UPDATE SET
  {", ".join(f"{field} = excluded.{field}" for field in FIELDS)}, language = excluded.language, rev = excluded.rev,
  checksum = excluded.checksum, submitted_at = excluded.submitted_at, submitted_by = excluded.submitted_by,
  late = excluded.late, updated_at = now()
"""

INSERT_LOGS = """
INSERT INTO clarification_logs (interview_id, seq, text, kind, intent, response, charged, score, margin, matcher,
                                asked_at)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bool[],
                     $8::real[], $9::real[], $10::text[], $11::timestamptz[])
"""

REFUND = """
UPDATE clarification_logs AS l SET refunded_at = v.at
FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS v(interview_id, seq, at)
WHERE l.interview_id = v.interview_id AND l.seq = v.seq
"""

# The conductor rings at once; the reaper only for what nobody took within a second.
QUEUE_RUNS = """
INSERT INTO evaluation_runs (interview_id, run, appeal, state, ring_at)
SELECT v.id, v.run, v.appeal::jsonb, 'queued', now() + interval '1 second'
FROM unnest($1::uuid[], $2::int[], $3::text[]) AS v(id, run, appeal) ON CONFLICT DO NOTHING
"""

ANNOUNCED = """
UPDATE evaluation_runs AS r SET announced = true
FROM unnest($1::uuid[], $2::int[]) AS v(interview_id, run)
WHERE r.interview_id = v.interview_id AND r.run = v.run
"""


async def write(engine: AsyncEngine, batches: Sequence[Batch]) -> set[str]:
    """Write a group of interviews' events in one transaction.

    Returns the ids that were written; another's epoch or position was not as expected, and nothing of it was.
    Raises what asyncpg raises; then nothing was written, or a lost COMMIT left it unknown.
    """
    ordered = sorted(batches, key=lambda batch: batch.interview.id)
    async with driver(engine) as connection, connection.transaction():
        advanced = await connection.fetch(ADVANCE, *_columns(map(_session, ordered), 7))
        written = {str(row["id"]) for row in advanced}
        rows = _Rows()
        for batch in ordered:
            if batch.interview.id in written:
                rows.add(batch)
        for statement, columns in rows.statements():
            await connection.execute(statement, *columns)
        failpoint("record.before")
    failpoint("record.after")
    return written


def _session(batch: Batch) -> tuple[Any, ...]:
    interview = batch.interview
    submitted_at = at(interview.submission.at) if interview.submission else None
    return (
        UUID(interview.id), batch.epoch, batch.first, batch.last, interview.phase, at(interview.deadline_at),
        submitted_at,
    )  # fmt: skip


class _Rows:
    """What a group of events means for each table, as rows."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.solutions: list[tuple[Any, ...]] = []
        self.logs: list[tuple[Any, ...]] = []
        self.refunds: list[tuple[Any, ...]] = []
        self.queued: list[tuple[Any, ...]] = []
        self.announced: list[tuple[Any, ...]] = []

    def add(self, batch: Batch) -> None:
        id = UUID(batch.interview.id)
        drafted = False
        for entry in batch.entries:
            frame = decode_event(entry.body)
            when = at(frame.ts)
            self.events.append(
                (id, entry.seq, when, event_type(frame.d), entry.body, entry.command_id, entry.body_hash,
                 entry.outcome)
            )  # fmt: skip
            match frame.d:
                case events.ClarificationAnswered() as said:
                    self.logs.append(
                        (id, entry.seq, said.text, said.kind, said.intent, said.response, said.charged, said.score,
                         said.margin, said.matcher, when)
                    )  # fmt: skip
                case events.ClarificationRefunded(ref=ref):
                    self.refunds.append((id, ref, when))
                case events.DraftSaved():
                    drafted = True
                case events.SolutionSubmitted(run=run):
                    drafted = True
                    self.queued.append((id, run, None))
                case events.EvaluationRequested(run=run):
                    self.queued.append((id, run, None))
                case events.EvaluationAppealed(run=run) as appeal:
                    self.queued.append((id, run, msgspec.json.encode(appeal).decode()))
                case events.EvaluationCompleted(run=run) | events.EvaluationFailed(run=run):
                    self.announced.append((id, run))
        if drafted:
            self.solutions.append(_solution(id, batch.interview))

    def statements(self) -> list[tuple[str, list[list[Any]]]]:
        """Each statement that has rows, with its columns; logs go before the refunds that may name them."""
        tables = [
            (INSERT_EVENTS, self.events),
            (UPSERT_SOLUTIONS, self.solutions),
            (INSERT_LOGS, self.logs),
            (REFUND, self.refunds),
            (QUEUE_RUNS, self.queued),
            (ANNOUNCED, self.announced),
        ]
        return [(statement, _columns(rows, len(rows[0]))) for statement, rows in tables if rows]


def _solution(id: UUID, interview: Interview) -> tuple[Any, ...]:
    draft, submission = interview.draft, interview.submission
    submitted = (at(submission.at), submission.by, submission.late) if submission else (None, None, False)
    texts = [draft.fields[field] for field in FIELDS]
    return (id, *texts, draft.language, draft.rev, checksum(draft.fields), *submitted)


def _columns(rows: Any, width: int) -> list[list[Any]]:
    columns: list[list[Any]] = [[] for _ in range(width)]
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return columns


async def replay(engine: AsyncEngine, id: str, type: str, read: Callable[[bytes], object]) -> None:
    """Hand the interview's events of one type to `read`, in order, a few in memory at a time."""
    sql = "SELECT body FROM interview_events WHERE interview_id = $1 AND type = $2 ORDER BY seq"
    async with driver(engine) as connection, connection.transaction(readonly=True):
        async for row in connection.cursor(sql, UUID(id), type, prefetch=REPLAY_AT_ONCE):
            read(row["body"])


async def read_events(engine: AsyncEngine, id: str, after: int = 0) -> list[Recorded]:
    """The interview's events after seq `after`, in order."""
    async with driver(engine) as connection:
        rows = await connection.fetch(
            "SELECT seq, body, command_id, body_hash, outcome FROM interview_events "
            "WHERE interview_id = $1 AND seq > $2 ORDER BY seq",
            UUID(id),
            after,
        )
    return [Recorded(*row) for row in rows]
