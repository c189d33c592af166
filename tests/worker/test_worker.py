"""Workers on a real queue: whatever becomes of doorbells, each run is evaluated once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from taskiq_redis import RedisStreamBroker

from engine.embedded import Embedded
from engine.record.events import driver
from engine.settings import Settings
from engine.worker.broker import GROUP, QUEUE, make_broker, ring
from tests.fake_model import FakeModel, Step
from tests.judging.stage import JUDGED, Heard, hand_in
from tests.until import until
from tests.worker.conftest import Working


@pytest.fixture
async def bell(settings: Settings) -> AsyncIterator[RedisStreamBroker]:
    """The broker of whoever rings."""
    broker = make_broker(settings)
    yield broker
    await broker.shutdown()


async def no_reaper(engine: AsyncEngine) -> None:
    """Nothing is rung again for a long time: what happens now happens by the queue alone."""
    async with driver(engine) as connection:
        await connection.execute("UPDATE evaluation_runs SET ring_at = now() + interval '1 hour'")


async def queue_there(client: Redis) -> bool:
    return bool(await client.exists(QUEUE))


async def evaluations(engine: AsyncEngine) -> int:
    async with driver(engine) as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM evaluations")
    return count


async def test_a_doorbell_starts_the_work(
    engine: AsyncEngine, bell: RedisStreamBroker, working: Working, heard: Heard
) -> None:
    interview = await hand_in(engine)
    await no_reaper(engine)
    async with working():
        assert await ring(bell, interview, 1)
        await until(lambda: heard.completed)


async def test_rung_before_any_worker_was_there(
    engine: AsyncEngine, bell: RedisStreamBroker, working: Working, heard: Heard
) -> None:
    interview = await hand_in(engine)
    await no_reaper(engine)
    await ring(bell, interview, 1)
    async with working():
        await until(lambda: heard.completed)


async def test_rung_too_often(
    engine: AsyncEngine, bell: RedisStreamBroker, working: Working, heard: Heard, model: FakeModel
) -> None:
    interview = await hand_in(engine)
    for _ in range(5):
        await ring(bell, interview, 1)
    async with working(), working():
        await until(lambda: heard.completed)
    assert all(model.asked(criterion.name) == 1 for criterion in JUDGED)
    assert await evaluations(engine) == 1


async def test_never_rung(engine: AsyncEngine, working: Working, heard: Heard) -> None:
    await hand_in(engine)
    async with working():
        await until(lambda: heard.completed)


async def test_queue_is_lost(
    engine: AsyncEngine, settings: Settings, bell: RedisStreamBroker, working: Working, heard: Heard
) -> None:
    interview = await hand_in(engine)
    await no_reaper(engine)
    async with working(), Redis.from_url(settings.redis_url) as client:
        await until(lambda: queue_there(client))
        await client.flushdb()
        await until(lambda: queue_there(client))  # the worker made its group anew
        await ring(bell, interview, 1)
        await until(lambda: heard.completed)


async def test_messages_that_are_none(
    engine: AsyncEngine, settings: Settings, bell: RedisStreamBroker, working: Working, heard: Heard
) -> None:
    interview = await hand_in(engine)
    await no_reaper(engine)
    async with working(), Redis.from_url(settings.redis_url) as client:
        await client.xadd(QUEUE, {"data": b"\xff not JSON"})
        await client.xadd(QUEUE, {"data": b'{"task_id": "1", "task_name": "of.another.version", "args": []}'})
        await ring(bell, "not-a-uuid", 1)
        await ring(bell, interview, 1)
        await until(lambda: heard.completed)


async def test_redis_dies_while_work_goes_on(
    engine: AsyncEngine,
    servers: Embedded,
    bell: RedisStreamBroker,
    working: Working,
    heard: Heard,
    model: FakeModel,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The evaluation that runs is finished; the outage is a few lines in the log; the next doorbell is heard."""
    first = await hand_in(engine)
    model.script(Step(hold=0))
    async with working():
        await ring(bell, first, 1)
        await until(lambda: model.calls)
        servers.valkey.kill()
        capsys.readouterr()
        assert not await ring(bell, first, 1)
        model.release()
        await until(lambda: heard.completed)
        assert len(capsys.readouterr().err.splitlines()) < 20
        servers.ensure()
        heard.said.clear()
        second = await hand_in(engine)
        assert await ring(bell, second, 1)
        await until(lambda: heard.completed)
    assert await evaluations(engine) == 2


async def test_drain_lets_work_end(
    engine: AsyncEngine, bell: RedisStreamBroker, working: Working, heard: Heard, model: FakeModel
) -> None:
    interview = await hand_in(engine)
    model.script(Step(hold=0))
    async with working(drain_seconds=10.0):
        await ring(bell, interview, 1)
        await until(lambda: model.calls)
        asyncio.get_running_loop().call_later(0.1, model.release)
    assert heard.completed


async def test_drain_gives_back_what_does_not_end(
    engine: AsyncEngine, bell: RedisStreamBroker, working: Working, heard: Heard, model: FakeModel
) -> None:
    interview = await hand_in(engine)
    model.script(Step(hold=0))
    async with working(drain_seconds=0.1):
        await ring(bell, interview, 1)
        await until(lambda: model.calls)
    assert "eval:1:end" not in heard.said
    async with working():
        await until(lambda: heard.completed)
    assert max(model.asked(criterion.name) for criterion in JUDGED) == 2
    assert heard.completed is not None
    assert heard.completed.receipt["attempt"] == 2


async def test_a_worker_that_left_leaves_no_name(settings: Settings, working: Working) -> None:
    async with Redis.from_url(settings.redis_url) as client:
        async with working():
            await until(lambda: queue_there(client))
        assert await client.xinfo_consumers(QUEUE, GROUP) == []
