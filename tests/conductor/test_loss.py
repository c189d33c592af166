"""Redis loses everything, or dies and comes back: nothing acknowledged as recorded is lost or applied twice."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import msgspec
import pytest
from redis.exceptions import RedisError

from engine.conductor import StateReset
from engine.core.pack import parse_pack
from engine.embedded import Embedded
from engine.record import interviews
from engine.record.catalog import load_packs
from engine.recorder import Lost, NotThere
from engine.settings import Settings
from engine.wiring import Backbone
from protocol import events as e
from protocol.messages import Ack, Refusal
from protocol.words import Cursor
from tests.conductor.nodes import Candidate, Listener, Nodes, ask, candidate, execute, proceed, save, start
from tests.core.playing import criterion
from tests.core.shipped import SMALL
from tests.stack import every_redis
from tests.until import until

MANY = 400
EPOCHS_MAX = 3
"""That one loss may cost when many come at once on two nodes; one is the rule."""


async def test_an_interview_goes_on_after_the_loss_of_everything(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    asked = ask()
    await tab.does(asked)
    await tab.does(proceed())
    await tab.does(save(0, "kept", field="code"))
    before = await tab.loaded()
    await first.redis.flushdb()

    there = Candidate(second, tab.interview)
    arrival = (await there.hello(resume=Cursor(epoch=before.epoch, s=3), fence=tab.fence)).arrival
    assert (arrival.mode, arrival.loaded.interview) == ("snapshot", before.interview)
    assert arrival.loaded.epoch == before.epoch + 1
    again = await there.does(asked)
    assert (again.s, again.dup, again.durable) == (1, True, "record")
    assert (await there.does(save(1, "and more", field="code"))).s == 4
    assert len(await there.recorded()) == 4


async def test_all_who_come_back_at_once_after_a_loss_come_in(
    hall_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few are rebuilt at a time: else the last wait too long for a connection to Postgres, and are turned away."""
    monkeypatch.setattr("engine.record.engine.POOL_WAIT_SECONDS", 0.1)
    async with AsyncExitStack() as stack:
        nodes = Nodes(msgspec.structs.replace(hall_settings, postgres_pool_size=3), stack)
        node = await nodes.open()
        seats = [Candidate(node, await start(node)) for _ in range(MANY)]
        arrivals = await asyncio.gather(*(seat.hello() for seat in seats))
    assert [greeting.arrival.loaded.epoch for greeting in arrivals] == [1] * MANY


async def test_ids_that_were_used_stay_used(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    await tab.does(ask(id="used-once"))
    await nodes.first.redis.flushdb()
    await tab.hello()
    assert await tab.refused(save(0, "x", id="used-once")) == "id_reused"
    greeting = await tab.hello(pending=("used-once", "never-used"))
    assert list(greeting.acks) == ["used-once"]


async def test_a_fence_from_before_the_loss_opens_nothing(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    await tab.does(ask())
    await first.redis.flushdb()
    with pytest.raises(StateReset):
        await tab.says(ask())
    there = Candidate(second, tab.interview)
    there.fence = tab.fence
    with pytest.raises(StateReset):
        await there.says(save(9, "refused anyway"))
    assert len(await tab.recorded()) == 1


async def test_sockets_of_the_old_epoch_are_told(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    watcher = Listener()
    before = (await watcher.join(second, tab.interview)).arrival.loaded.epoch
    await first.redis.flushdb()
    await tab.hello()
    await until(lambda: watcher.news and watcher.news[-1].bell.epoch > before)


async def test_the_pack_that_was_pinned_stays_so(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    pinned = (await tab.state()).pack
    await load_packs(nodes.first.engine, [parse_pack(SMALL.replace("version: 2", "version: 3"))])
    await nodes.first.redis.flushdb()
    assert (await tab.state()).pack == pinned


async def test_a_crowd_after_the_loss_makes_one_new_copy_or_hardly_more(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    await tab.does(ask())
    await first.redis.flushdb()
    crowd = [Candidate((first, second)[i % 2], tab.interview, tab=f"tab{i}") for i in range(40)]
    greetings = await asyncio.gather(*(one.hello(write=False) for one in crowd))
    assert {greeting.arrival.loaded.interview.seq for greeting in greetings} == {1}
    assert (await tab.loaded()).epoch <= 1 + EPOCHS_MAX


async def test_an_interview_that_never_was_is_not_there(nodes: Nodes) -> None:
    with pytest.raises(NotThere):
        await Candidate(nodes.first, "7e57ab1e-0000-4000-8000-00000000dead").hello()


async def test_a_finished_interview_comes_back_whole(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    await tab.does(proceed())
    await tab.submits()
    announce = nodes.first.conductor.announce
    started = e.EvaluationStarted(run=1, attempt=1, judge="offline", criteria=())
    assert await announce(tab.interview, "eval:1:started:1", started)
    assert await announce(tab.interview, "eval:1:C1", criterion(1, "C1"))
    completed = e.EvaluationCompleted(run=1, score=50, passed=True, judge="offline")
    assert await announce(tab.interview, "eval:1:end", completed)
    before = await tab.state()
    await nodes.first.redis.flushdb()
    assert await tab.state() == before
    assert not await announce(tab.interview, "eval:1:end", completed)
    row = await interviews.read(nodes.first.engine, tab.interview)
    assert row is not None and row.recorded_seq == 5


# --- Valkey dies -------------------------------------------------------------------------------------------


async def test_valkey_killed_and_started_again_loses_nothing(nodes: Nodes, servers: Embedded) -> None:
    tab = await candidate(nodes.first)
    await tab.does(ask())
    before = await tab.loaded()
    watcher = Listener()
    await watcher.join(nodes.first, tab.interview)
    servers.valkey.kill()
    servers.valkey.start()
    assert await until(lambda: patient(tab.does(save(0, "after")))) == [2]
    after = await tab.loaded()
    assert (after.epoch, after.interview.seq) == (before.epoch, 2)
    await until(lambda: watcher.position == 2)


async def patient(reply: object) -> list[int]:
    """The seq of the ack; nothing while Redis is not back."""
    try:
        return [(await reply).s]  # type: ignore[misc]
    except (RedisError, OSError):
        return []


async def test_a_redis_without_room_refuses_and_keeps_what_it_has(nodes: Nodes) -> None:
    """Row 19 of what may break: nothing is evicted, nothing changes, and with room again it goes on."""
    tab = await candidate(nodes.first)
    await tab.does(ask())
    before = await tab.loaded()
    async with every_redis(nodes.settings.redis_url) as redises:
        for redis in redises:
            await redis.config_set("maxmemory", "1mb")
        try:
            with pytest.raises(RedisError, match="maxmemory"):
                await tab.does(ask(id="no-room"))
            assert await tab.loaded() == before
        finally:
            for redis in redises:
                await redis.config_set("maxmemory", "0")
    assert not (await tab.does(ask(id="no-room"))).dup
    assert len(await tab.recorded()) == 2


async def test_valkey_that_comes_back_empty_is_filled_from_the_record(nodes: Nodes, servers: Embedded) -> None:
    tab = await candidate(nodes.first)
    await tab.does(save(0, "kept"))
    servers.valkey.kill()
    servers.valkey.wipe()
    servers.valkey.start()
    assert (await until(lambda: arrived(tab)))[0] == 2
    assert (await tab.does(save(1, "and more"))).s == 2


async def arrived(tab: Candidate) -> list[int]:
    try:
        return [(await tab.hello()).arrival.loaded.epoch]
    except (RedisError, OSError):
        return []


# --- whenever it happens -----------------------------------------------------------------------------------


COUNT = 80


class Stubborn:
    """A client that sends each question until it is acknowledged, to either node, coming in again if it must."""

    def __init__(self, nodes: tuple[Backbone, ...], interview: str) -> None:
        self.seats = [Candidate(node, interview) for node in nodes]
        self.acks: dict[str, Ack] = {}

    async def asks(self, count: int) -> None:
        chance = random.Random(2)
        for _ in range(count):
            command = ask()
            while command.id not in self.acks:
                seat = chance.choice(self.seats)
                reply = await self.sent(seat, command)
                if isinstance(reply, Ack):
                    self.acks[command.id] = reply
                elif reply is None or reply.code in ("fenced", "observer"):
                    await seat.hello(take=True)

    async def sent(self, seat: Candidate, command: object) -> Ack | Refusal | None:
        try:
            return await seat.says(command)  # type: ignore[arg-type]
        except (StateReset, Lost):
            return None


async def test_whatever_instant_redis_forgets_at_each_acknowledged_command_stands_once(nodes: Nodes) -> None:
    first, second = await nodes.two()
    client = Stubborn((first, second), await start(first))
    asking = asyncio.create_task(client.asks(COUNT))
    chance, losses = random.Random(1), 0
    while not asking.done():
        await asyncio.wait({asking}, timeout=chance.uniform(0.005, 0.05))
        await first.redis.flushdb()
        losses += 1
    await asking
    rows = await execute(first, "SELECT seq, command_id FROM interview_events ORDER BY seq")
    assert losses > 3
    assert [row["seq"] for row in rows] == list(range(1, COUNT + 1))
    assert {row["command_id"]: row["seq"] for row in rows} == {id: ack.s for id, ack in client.acks.items()}
    assert {ack.durable for ack in client.acks.values()} == {"record"}
