"""A task that talks to Redis can be stopped, at whatever instant it is told to."""

from __future__ import annotations

import asyncio
import random

from engine.settings import Settings
from engine.wiring import make_redis
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
