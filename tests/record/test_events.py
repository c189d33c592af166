"""A group of events into Postgres: whole or not at all, next in line or not at all, and what it means elsewhere."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.draft import checksum
from engine.core.interview import Interview
from engine.core.machine import Announce, Asked, ClockRan, Command, Decided, decide
from engine.core.matcher import Matched
from engine.record import events as record
from engine.record import interviews
from engine.record.catalog import load_packs
from engine.record.events import Batch, Recorded, at, driver, millis, read_events
from protocol import commands as c
from protocol import events as e
from protocol.codec import encode
from protocol.words import Change
from tests.core.playing import happen
from tests.core.test_machine import CHANGE, PACK
from tests.record.test_interviews import CLARIFY_MS, NOW, new_user


class Written:
    """One interview, and its events as the recorder would hand them on."""

    def __init__(self, row: interviews.Row) -> None:
        self.id, self.epoch = str(row.id), row.epoch
        self.interview = Interview(
            id=self.id, pack=row.pack_hash, started_at=NOW, deadline_at=NOW + CLARIFY_MS, design_ms=600_000
        )
        self._entries: list[Recorded] = []
        self._commands = 0

    def does(self, *commands: Command, now: int = NOW) -> Written:
        for command in commands:
            decided = decide(self.interview, PACK, command, now)
            assert isinstance(decided, Decided), decided
            self.interview, frames = happen(self.interview, decided, now)
            self._commands += 1
            named: list[Any] = [f"command-{self._commands}", b"h" * 16, b"[1]"]
            for frame in frames:
                self._entries.append(Recorded(frame.s, encode(frame), *named))
                named = [None, None, None]
        return self

    def batch(self) -> Batch:
        entries, self._entries = tuple(self._entries), []
        return Batch(epoch=self.epoch, interview=self.interview, entries=entries)


@pytest.fixture
async def one(engine: AsyncEngine) -> Written:
    await load_packs(engine, [PACK])
    return await begun(engine)


async def begun(engine: AsyncEngine) -> Written:
    row, _ = await interviews.start(engine, await new_user(engine), PACK.id, NOW)
    return Written(row)


async def write(engine: AsyncEngine, *batches: Batch) -> set[str]:
    return await record.write(engine, list(batches))


async def fetch(engine: AsyncEngine, sql: str) -> list[tuple[Any, ...]]:
    async with driver(engine) as connection:
        return [tuple(row) for row in await connection.fetch(sql)]


async def seqs(engine: AsyncEngine, one: Written) -> list[int]:
    return [event.seq for event in await read_events(engine, one.id)]


def asked(*intents: str) -> Asked:
    return Asked(tuple(Matched(text="Does it?", zone="answer", intent=intent, score=0.9) for intent in intents))


def save(base: int, text: str) -> c.Save:
    return c.Save(base=base, changes=(Change(field="functional_req", text=text),), language="go")


async def test_events_read_back_as_they_were_written(engine: AsyncEngine, one: Written) -> None:
    batch = one.does(asked(CHANGE, CHANGE), save(0, "pays"), c.Proceed()).batch()
    assert await write(engine, batch) == {one.id}
    assert await read_events(engine, one.id) == list(batch.entries)
    assert [event.seq for event in await read_events(engine, one.id, after=2)] == [3, 4]
    row = await interviews.read(engine, one.id)
    assert row is not None
    assert (row.recorded_seq, row.phase, millis(row.deadline_at)) == (4, "design", one.interview.deadline_at)


async def test_only_the_next_events_of_this_epoch_are_written(engine: AsyncEngine, one: Written) -> None:
    first, second = one.does(save(0, "a")).batch(), one.does(save(1, "b")).batch()
    assert await write(engine, second) == set()
    assert await write(engine, first) == {one.id}
    assert await write(engine, first) == set()
    stale = Batch(epoch=one.epoch + 1, interview=second.interview, entries=second.entries)
    assert await write(engine, stale) == set()
    assert await write(engine, second) == {one.id}
    assert await seqs(engine, one) == [1, 2]


async def test_one_that_is_not_next_does_not_keep_the_others_back(engine: AsyncEngine, one: Written) -> None:
    others = [await begun(engine) for _ in range(3)]
    one.does(save(0, "never written")).batch()
    batches = [written.does(save(written.interview.draft.rev, "x")).batch() for written in (one, *others)]
    assert await write(engine, *batches) == {other.id for other in others}
    assert await seqs(engine, one) == []


async def test_a_group_is_written_whole_or_not_at_all(engine: AsyncEngine, one: Written) -> None:
    other = await begun(engine)
    batch = one.does(asked(CHANGE)).batch()
    (entry,) = batch.entries
    sick = Recorded(entry.seq, entry.body.replace(b"Does it?", b"\\u0000"), *entry_names(entry))
    with pytest.raises(asyncpg.DataError):
        await write(
            engine,
            other.does(save(0, "well")).batch(),
            Batch(epoch=batch.epoch, interview=batch.interview, entries=(sick,)),
        )
    assert (await seqs(engine, one), await seqs(engine, other)) == ([], [])


def entry_names(entry: Recorded) -> tuple[Any, ...]:
    return entry.command_id, entry.body_hash, entry.outcome


async def test_a_command_stands_once_in_an_interview(engine: AsyncEngine, one: Written) -> None:
    (first,) = one.does(save(0, "a")).batch().entries
    second = one.does(save(1, "b")).batch()
    twice = Recorded(2, second.entries[0].body, *entry_names(first))
    with pytest.raises(asyncpg.UniqueViolationError):
        await write(engine, Batch(epoch=0, interview=one.interview, entries=(first, twice)))
    assert await seqs(engine, one) == []


async def test_a_parked_interview_takes_no_more(engine: AsyncEngine, one: Written) -> None:
    await interviews.park(engine, one.id, "DataError")
    assert await write(engine, one.does(save(0, "a")).batch()) == set()


# --- what events mean for other tables ---------------------------------------------------------------------


async def test_the_draft_is_the_solution_that_is_not_handed_in(engine: AsyncEngine, one: Written) -> None:
    await write(engine, one.does(save(0, "a"), save(1, "b")).batch())
    await write(engine, one.does(save(2, "c")).batch())
    columns = "functional_req, rev, language, checksum, submitted_at, submitted_by"
    assert await fetch(engine, f"SELECT {columns} FROM solutions") == [
        ("c", 3, "go", checksum(one.interview.draft.fields), None, None)
    ]


async def test_what_is_handed_in_is_the_draft_and_waits_for_its_run(engine: AsyncEngine, one: Written) -> None:
    one.does(save(0, "a"), c.Proceed())
    deadline = one.interview.deadline_at
    one.does(c.Submit(rev=1, checksum=checksum(one.interview.draft.fields)), now=deadline + 5)
    await write(engine, one.batch())
    assert await fetch(engine, "SELECT functional_req, rev, submitted_by, late, submitted_at FROM solutions") == [
        ("a", 1, "candidate", True, at(deadline + 5))
    ]
    assert await fetch(engine, "SELECT run, state, announced FROM evaluation_runs") == [(1, "queued", False)]
    assert await fetch(engine, "SELECT phase, submitted_at FROM interview_sessions") == [
        ("submitted", at(deadline + 5))
    ]


async def test_the_clock_hands_in_a_draft_that_was_never_written(engine: AsyncEngine, one: Written) -> None:
    far = NOW + 10_000_000
    await write(engine, one.does(ClockRan(), ClockRan(), now=far).batch())
    assert await fetch(engine, "SELECT rev, submitted_by, code, late FROM solutions") == [(0, "clock", "", False)]


async def test_questions_are_logged_and_refunds_marked(engine: AsyncEngine, one: Written) -> None:
    await write(engine, one.does(asked(CHANGE), c.Reject(ref=1)).batch())
    await write(engine, one.does(asked(CHANGE)).batch())
    await write(engine, one.does(c.Reject(ref=3)).batch())
    logs = await fetch(
        engine, "SELECT seq, text, kind, intent, charged, refunded_at FROM clarification_logs ORDER BY 1"
    )
    assert logs == [(seq, "Does it?", "answered", CHANGE, True, at(NOW)) for seq in (1, 3)]


async def test_runs_are_queued_and_their_end_is_marked_as_told(engine: AsyncEngine, one: Written) -> None:
    one.does(c.Proceed(), c.Submit(rev=0, checksum=checksum(one.interview.draft.fields)))
    failed = e.EvaluationFailed(run=1, code="model_away", message="Later.", retryable=True)
    await write(engine, one.does(Announce(failed), c.Retry()).batch())
    assert await fetch(engine, "SELECT run, state, announced FROM evaluation_runs ORDER BY run") == [
        (1, "queued", True), (2, "queued", False),
    ]  # fmt: skip
    completed = e.EvaluationCompleted(run=2, score=10, passed=False, judge="offline")
    await write(engine, one.does(Announce(completed)).batch())
    assert await fetch(engine, "SELECT announced FROM evaluation_runs ORDER BY run") == [(True,), (True,)]


@pytest.mark.parametrize("ms", [0, 1, NOW, NOW + 999, 253_402_300_799_000])
def test_instants_keep_their_milliseconds(ms: int) -> None:
    assert millis(at(ms)) == ms


async def test_nothing_is_read_of_an_interview_that_never_was(engine: AsyncEngine) -> None:
    assert await read_events(engine, str(UUID(int=7))) == []
