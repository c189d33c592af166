"""The scripts one by one: what each writes, what it leaves alone, and what it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from engine.core.interview import Interview
from engine.core.machine import Command, Decided, decide
from engine.live.clock import Clock
from engine.live.keys import PARTITIONS, keys_of
from engine.live.store import FINISHED_TTL_MS, NARRATIVE_BYTES_MAX, ForeignRecord, Live
from engine.live.values import Applied, Change, Loaded, Miss, Seen
from protocol import commands as c
from protocol.codec import encode
from protocol.words import Fence
from tests.core.playing import fresh, happen
from tests.core.test_machine import CHANGE, PACK, asked, save, submit

HASH = b"h" * 16


@pytest.fixture
async def live(redis_url: str) -> AsyncIterator[Live]:
    async with Redis.from_url(redis_url) as redis:
        made = Live(redis, Clock())
        await made.time()
        yield made


class Desk:
    """One interview in Redis, and commands on it without a conductor."""

    def __init__(self, live: Live, interview: Interview) -> None:
        self.live, self.loaded = live, Loaded(interview=interview, epoch=1, recorded=0)
        self.keys, self.count = keys_of(interview.id), 0

    @classmethod
    async def begin(cls, live: Live) -> Desk:
        desk = cls(live, fresh(PACK, started_at=live.clock.now()))
        assert await live.rebuild(desk.loaded, [])
        return desk

    @property
    def id(self) -> str:
        return self.loaded.interview.id

    def change(self, command: Command, **more: Any) -> Change:
        """What the command would commit."""
        self.count += 1
        now, before = self.live.clock.now(), self.loaded.interview
        decided = decide(before, PACK, command, now)
        assert isinstance(decided, Decided), decided
        after, frames = happen(before, decided, now)
        made = Change(
            before=self.loaded,
            after=after,
            events=tuple(map(encode, frames)),
            command_id=f"command-{self.count}",
            body_hash=HASH,
            outcome=b"[1]",
            fence=None,
            now=now,
        )
        return replace(made, **more)

    async def does(self, command: Command, **more: Any) -> Change:
        change = self.change(command, **more)
        assert await self.live.commit(change) == Applied()
        self.loaded = replace(self.loaded, interview=change.after, last=change.last)
        return change

    async def ttl(self) -> set[bool]:
        """Which of the interview's keys expire."""
        redis = self.live.redis
        return {await redis.pttl(key) > 0 for key in (self.keys.state, self.keys.events, self.keys.commands)}


@pytest.fixture
async def desk(live: Live) -> Desk:
    return await Desk.begin(live)


# --- commit ------------------------------------------------------------------------------------------------


async def test_a_commit_is_read_back_whole(desk: Desk) -> None:
    change = await desk.does(asked(CHANGE, CHANGE))
    loaded = await desk.live.load(desk.id)
    assert loaded == desk.loaded
    assert [body for _, body in await desk.live.events(desk.id, 0, 9)] == list(change.events)
    unrecorded = await desk.live.unrecorded(desk.id, 0)
    assert unrecorded == (loaded, list(change.entries()))


async def test_a_commit_that_is_refused_leaves_no_trace(desk: Desk) -> None:
    await desk.does(c.Proceed())
    before = await everything(desk.live.redis)
    command = save(desk.loaded.interview, code="x")
    stale = replace(desk.loaded, epoch=2)
    for miss, more in (
        (Miss.FENCED, {"fence": Fence(epoch=1, n=7)}),
        (Miss.ID_REUSED, {"command_id": "command-1", "body_hash": b"x" * 16}),
        (Miss.STALE, {"before": stale}),
        (Miss.STALE, {"before": replace(desk.loaded, last="another past")}),
        (Miss.STALE, {"before": replace(desk.loaded, interview=replace(desk.loaded.interview, seq=0))}),
        (Miss.CLOCK, {"now": 5}),
    ):
        assert await desk.live.commit(desk.change(command, **more)) is miss
    seen = await desk.live.commit(desk.change(command, command_id="command-1"))
    assert seen == Seen(outcome=b"[1]", epoch=1, recorded=0)
    assert await everything(desk.live.redis) == before


async def everything(redis: Any) -> dict[bytes, Any]:
    """Not as Redis dumps it: 7.0 does that in another order each time."""
    read = {
        b"hash": redis.hgetall,
        b"stream": redis.xrange,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
    }
    return {key: await read[await redis.type(key)](key) for key in await redis.keys("*")}


async def test_a_commit_on_what_is_gone_says_so(desk: Desk) -> None:
    change = desk.change(c.Proceed())
    await desk.live.redis.flushdb()
    assert await desk.live.commit(change) is Miss.GONE
    assert await desk.live.look(desk.id, "command-1") is None
    assert await desk.live.load(desk.id) is None


async def test_a_look_tells_where_it_stands_and_what_became_of_a_command(desk: Desk) -> None:
    change = await desk.does(c.Proceed())
    look = await desk.live.look(desk.id, "command-1")
    assert look is not None
    assert (look.epoch, look.head, look.recorded, look.seen) == (1, 1, 0, HASH + b"[1]")
    assert (look.last, abs(look.now - desk.live.clock.now()) < 1_000) == (change.last, True)
    unknown = await desk.live.look(desk.id, "command-9")
    assert unknown is not None and unknown.seen is None


async def test_deadlines_follow_the_phase(desk: Desk) -> None:
    redis, interview = desk.live.redis, desk.loaded.interview
    assert await redis.zscore(desk.keys.due, desk.id) == interview.deadline_at
    await desk.does(c.Proceed())
    assert await redis.zscore(desk.keys.due, desk.id) == desk.loaded.interview.deadline_at + 2_000
    await desk.does(submit(desk.loaded.interview))
    assert await redis.zscore(desk.keys.due, desk.id) is None


async def test_only_a_finished_interview_fades(desk: Desk) -> None:
    await desk.does(c.Proceed())
    assert await desk.ttl() == {False}
    await desk.does(submit(desk.loaded.interview))
    assert await desk.ttl() == {True}
    assert await desk.live.redis.pttl(desk.keys.state) > FINISHED_TTL_MS - 10_000


# --- recorded ----------------------------------------------------------------------------------------------


async def test_what_is_recorded_in_part_stays_dirty(desk: Desk) -> None:
    live = desk.live
    await desk.does(asked(CHANGE, CHANGE))
    assert await live.dirty(-1_000) == [desk.id]
    assert await live.dirty(60_000) == []
    assert await live.recorded(desk.id, 1, 1)
    assert await live.dirty(-1_000) == [desk.id]
    assert await live.recorded(desk.id, 1, 2)
    assert await live.dirty(-1_000) == []


async def test_what_is_recorded_is_never_less_than_it_was(desk: Desk) -> None:
    await desk.does(asked(CHANGE, CHANGE))
    for seq in (2, 1):
        assert await desk.live.recorded(desk.id, 1, seq)
        assert await desk.live.position(desk.id) == (1, 2, 0)


async def test_another_epochs_record_and_one_that_live_has_forgotten_are_not_believed(desk: Desk) -> None:
    await desk.does(asked(CHANGE))
    assert not await desk.live.recorded(desk.id, 2, 1)
    assert not await desk.live.recorded(desk.id, 1, 2)
    assert await desk.live.position(desk.id) == (1, 0, 0)
    await desk.live.redis.delete(desk.keys.state)
    assert not await desk.live.recorded(desk.id, 1, 1)
    assert await desk.live.dirty(-1_000) == []


# --- rebuild -----------------------------------------------------------------------------------------------


async def test_a_copy_goes_over_an_older_epoch_and_takes_its_place_whole(desk: Desk) -> None:
    await desk.does(asked(CHANGE))
    await desk.live.hello(desk.id, "tab", write=True)
    await desk.live.narrate(desk.id, 1, 1, 0, "words")
    anew = replace(desk.loaded, interview=fresh(PACK, started_at=5), epoch=2)
    assert await desk.live.rebuild(anew, [("known-id", HASH + b"[7]")])
    assert await desk.live.load(desk.id) == replace(anew, last="", fence=0, tab="")
    assert await desk.live.events(desk.id, 0, 9) == []
    assert await desk.live.dirty(-1_000) == []
    assert await desk.live.narrative(desk.id) is None
    known, forgotten = [await desk.live.look(desk.id, id) for id in ("known-id", "command-1")]
    assert known is not None and forgotten is not None
    assert (known.seen, forgotten.seen) == (HASH + b"[7]", None)


@pytest.mark.parametrize("epoch", [1, 2, 3])
async def test_a_copy_never_goes_over_the_same_epoch_or_a_newer_one(desk: Desk, epoch: int) -> None:
    assert await desk.live.rebuild(replace(desk.loaded, epoch=3), [])
    before = await everything(desk.live.redis)
    assert not await desk.live.rebuild(replace(desk.loaded, interview=fresh(PACK, started_at=5), epoch=epoch), [])
    assert await everything(desk.live.redis) == before


# --- narrative and indexes ---------------------------------------------------------------------------------


async def test_the_narrative_grows_from_where_it_is_and_a_later_attempt_begins_anew(desk: Desk) -> None:
    live, id = desk.live, desk.id
    assert await live.narrate(id, 1, 1, 0, "Grüß")
    assert not await live.narrate(id, 1, 1, 4, " again")
    assert await live.narrate(id, 1, 1, 6, " Gott")
    assert await live.narrative(id) == (1, 1, "Grüß Gott")
    assert await live.narrate(id, 1, 2, 0, "Anew")
    assert not await live.narrate(id, 1, 1, 11, " late")
    assert await live.narrative(id) == (1, 2, "Anew")
    assert await live.narrate(id, 2, 1, 0, "A new run")
    assert await live.narrative(id) == (2, 1, "A new run")


async def test_the_narrative_is_bounded(desk: Desk) -> None:
    await desk.live.narrate(desk.id, 1, 1, 0, "ü" * NARRATIVE_BYTES_MAX)
    narrative = await desk.live.narrative(desk.id)
    assert narrative is not None and len(narrative[2].encode()) <= NARRATIVE_BYTES_MAX


async def test_every_partition_is_looked_through(live: Live) -> None:
    ids = [f"interview-{i}" for i in range(400)]
    tags = {keys_of(id).due for id in ids}
    for id in ids:
        await live.redis.zadd(keys_of(id).due, {id: 1})
    found: list[str] = []
    while batch := await live.due():
        found += batch
        for id in batch:
            await live.forget(id)
    assert sorted(found) == sorted(ids)
    assert len(tags) > PARTITIONS / 2


def test_all_keys_of_an_interview_are_in_one_slot() -> None:
    keys = keys_of("7e57ab1e-0000-4000-8000-000000000001")
    assert {key[key.index("{") : key.index("}") + 1] for key in keys} == {keys.due.split(":")[0]}
    assert len(set(keys)) == len(keys)


async def test_a_database_is_live_for_one_record_and_keeps_its_interviews(live: Live) -> None:
    await live.belong_to("one")
    await live.belong_to("one")
    desk = await Desk.begin(live)
    with pytest.raises(ForeignRecord, match="another Postgres database"):
        await live.belong_to("two")
    assert await live.load(desk.id) is not None
