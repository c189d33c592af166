"""A task that talks to Redis can be stopped, at whatever instant it is told to; and is told when Redis is gone."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from engine.settings import Settings
from engine.wiring import make_redis
from engine.worker.broker import make_broker
from tests.until import time_passes

TRIES = 200


async def test_no_cancellation_is_swallowed(settings: Settings) -> None:
    redis, chance = make_redis(settings), random.Random(1)

    async def work() -> None:
        while True:
            await redis.get("key")

    for _ in range(TRIES):
        task = asyncio.create_task(work())
        await time_passes(chance.uniform(0, 0.002))
        task.cancel()
        _, alive = await asyncio.wait({task}, timeout=2)
        assert not alive
    await redis.aclose()


@pytest.mark.parametrize("of", ["redis", "queue"])
async def test_a_connection_that_was_reset_is_gone_and_no_mistake(settings: Settings, of: str) -> None:
    """Under uvloop, which raises RuntimeError for it; the whole process ended by that."""

    async def write_on_what_is_gone() -> None:
        pool: Any = make_redis(settings).connection_pool if of == "redis" else make_broker(settings).connection_pool
        connection = await pool.get_connection()
        connection._writer.transport.abort()
        await time_passes(0)
        try:
            with pytest.raises(RedisConnectionError):
                await connection.send_command("PING")
        finally:
            await pool.disconnect()

    await asyncio.to_thread(uvloop.run, write_on_what_is_gone())
