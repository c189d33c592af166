"""Puts the parts together: the only file that names concrete ones."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.conductor import Conductor
from engine.conductor.shelf import Shelf
from engine.live.clock import Clock
from engine.live.fanout import Fanout
from engine.live.store import Live
from engine.record.catalog import Catalog
from engine.record.engine import make_engine
from engine.recorder import Recorder
from engine.settings import Settings
from engine.telemetry import Metrics, log, make_metrics

REDIS_SECONDS = 5.0
REDIS_CONNECT_SECONDS = 2.0
REDIS_RETRIES = 3
"""A commit sent twice is one commit: its id is looked up first."""
Ring = Callable[[str, int], Awaitable[None]]


@dataclass(frozen=True)
class Backbone:
    """What an API process and a worker both stand on."""

    settings: Settings
    metrics: Metrics
    engine: AsyncEngine
    redis: Redis
    live: Live
    fanout: Fanout
    recorder: Recorder
    catalog: Catalog
    conductor: Conductor


def make_redis(settings: Settings) -> Redis:
    """A pool of connections that waits for a free one, and tries again when a server has restarted."""
    pool = BlockingConnectionPool.from_url(
        settings.redis_url,
        max_connections=settings.redis_pool_size,
        timeout=REDIS_SECONDS,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_CONNECT_SECONDS,
        retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.5), REDIS_RETRIES),
        legacy_responses=False,
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def open_backbone(settings: Settings, ring: Ring, clock_offset_ms: int = 0) -> AsyncIterator[Backbone]:
    """Everything below the doors, running; `ring` tells the queue that a run waits."""
    async with AsyncExitStack() as stack:
        metrics = make_metrics()
        engine = make_engine(settings)
        stack.push_async_callback(engine.dispose)
        redis = make_redis(settings)
        stack.push_async_callback(redis.aclose)
        live = Live(redis, Clock(clock_offset_ms))
        fanout = Fanout(redis, live)
        recorder = Recorder(engine, live, metrics)
        catalog = Catalog(engine)
        conductor = Conductor(live, recorder, fanout, Shelf(catalog.pack), ring, metrics)
        await live.time()
        await stack.enter_async_context(running(fanout.run, "fanout"))
        await stack.enter_async_context(running(recorder.run, "recorder"))
        yield Backbone(settings, metrics, engine, redis, live, fanout, recorder, catalog, conductor)


@asynccontextmanager
async def running(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]], name: str) -> AsyncIterator[None]:
    """Work beside the block, told to stop at its end. If it fails, the process cannot keep its promises: it goes."""
    stop = asyncio.Event()
    task = asyncio.create_task(work(stop), name=name)
    task.add_done_callback(_failed)
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait({task})


def _failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("background_work_failed", task=task.get_name(), exc_info=error)
        signal.raise_signal(signal.SIGTERM)
