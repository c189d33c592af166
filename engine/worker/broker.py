"""The queue: a stock taskiq stream that carries names of runs. Losing it, or ringing twice, costs nothing."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Final
from uuid import UUID

from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from engine.failpoints import failpoint
from engine.live.cluster import follow, is_cluster, node_url
from engine.live.connection import make_forthright
from engine.settings import Settings
from engine.telemetry import log

if TYPE_CHECKING:
    from taskiq_redis import RedisStreamBroker

QUEUE: Final = "{evaluations}"
"""A hash tag: what the broker keeps beside its stream is named after it, and must be in its slot of a cluster."""
GROUP: Final = "workers"
EVALUATE: Final = "evaluation.run.1"
"""The task's name carries a version: a worker drops what it does not know, and the reapers ring again."""
STREAM_MAX: Final = 10_000
"""Read messages stay in a stream until it is trimmed; beyond this the oldest go, and the reapers ring again."""
BLOCK_MS: Final = 2_000
SOCKET_SECONDS: Final = 10.0
"""Longer than a blocking read."""
CONNECT_SECONDS: Final = 3.0
RECLAIM_MS: Final = 60_000
RETRIES: Final = 5
BACKOFF_SECONDS: Final = 0.05
BACKOFF_SECONDS_MAX: Final = 1.0
POOL_MAX: Final = 16
RING_SECONDS: Final = 2.0


def make_broker(settings: Settings) -> RedisStreamBroker:
    """A broker that has not connected yet. Workers and those who ring make their own."""
    from taskiq_redis import RedisStreamBroker

    broker = RedisStreamBroker(
        node_url(settings.redis_url),
        queue_name=QUEUE,
        consumer_group_name=GROUP,
        consumer_name=uuid.uuid4().hex,
        consumer_id="0",  # a group made late still sees what was rung before
        maxlen=STREAM_MAX,
        xread_block=BLOCK_MS,
        xread_count=1,  # a worker takes what it can start now
        idle_timeout=RECLAIM_MS,
        unacknowledged_lock_timeout=SOCKET_SECONDS,
        max_connection_pool_size=POOL_MAX,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(ExponentialWithJitterBackoff(base=BACKOFF_SECONDS, cap=BACKOFF_SECONDS_MAX), RETRIES),
    )
    if is_cluster(settings.redis_url):
        follow(broker.connection_pool, settings.redis_url, QUEUE)
    make_forthright(broker.connection_pool)
    return broker


async def ring(broker: RedisStreamBroker, interview: UUID | str, run: int) -> bool:
    """Say that a run waits. False: nobody heard; a reaper rings again within seconds."""
    from taskiq.exceptions import SendTaskError
    from taskiq.kicker import AsyncKicker

    # By name: whoever rings knows no tasks.
    kicker: AsyncKicker[..., None] = AsyncKicker(task_name=EVALUATE, broker=broker, labels={})
    try:
        failpoint("ring")
        async with asyncio.timeout(RING_SECONDS):
            await kicker.kiq(str(interview), run)
    except (SendTaskError, RedisError, OSError, TimeoutError) as error:
        log.warning("not_rung", interview=interview, run=run, error=type(error).__name__)
        return False
    return True


async def leave(broker: RedisStreamBroker) -> None:
    """Take this worker's name off the group: names of workers that are gone would stay for ever."""
    from redis.asyncio import Redis

    try:
        async with asyncio.timeout(RING_SECONDS), Redis(connection_pool=broker.connection_pool) as client:
            await client.xgroup_delconsumer(QUEUE, GROUP, broker.consumer_name)
    except (RedisError, OSError, TimeoutError) as error:
        log.info("queue_not_left", error=type(error).__name__)
