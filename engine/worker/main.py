"""A worker's life: listen for doorbells, reap, and leave nothing half done when told to stop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from engine.judging.keeping import Bench
from engine.telemetry import log
from engine.worker.broker import leave, ring
from engine.worker.reapers import reap
from engine.worker.tasks import EVALUATIONS_MAX, Workshop, register

if TYPE_CHECKING:
    from taskiq_redis import RedisStreamBroker

AGAIN_SECONDS: Final = 0.5
AGAIN_SECONDS_MAX: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class WorkerParts:
    """What a worker is made of. The broker is its own: nobody else listens on it."""

    broker: RedisStreamBroker
    bench: Bench
    drain_seconds: float
    evaluations_max: int = EVALUATIONS_MAX


async def run(parts: WorkerParts, stop: asyncio.Event) -> None:
    """Work until `stop`, then drain: what runs may end for `drain_seconds`, the rest goes back to the queue."""
    broker, bench = parts.broker, parts.bench
    shop = Workshop(bench, parts.evaluations_max)
    register(broker, shop)
    broker.is_worker_process = True
    log.info("worker_started", judge=bench.judge.name)
    async with asyncio.TaskGroup() as group:
        group.create_task(_listen(parts, stop))
        group.create_task(reap(bench.engine, lambda interview, run: ring(broker, interview, run), bench.announce, stop))
        await stop.wait()
        await shop.drain(parts.drain_seconds)
    await leave(broker)
    await broker.shutdown()
    log.info("worker_stopped")


async def _listen(parts: WorkerParts, stop: asyncio.Event) -> None:
    """Listen, and again when Redis went away or lost the queue: with pauses, and one line in the log an outage."""
    pause = AGAIN_SECONDS
    while not stop.is_set():
        began = asyncio.get_running_loop().time()
        try:
            await _listen_once(parts, stop)
        except* (RedisError, OSError) as errors:
            if asyncio.get_running_loop().time() - began > AGAIN_SECONDS_MAX:
                pause = AGAIN_SECONDS
            if pause == AGAIN_SECONDS:
                log.warning("queue_away", error=type(errors.exceptions[0]).__name__)
        if not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await stop.wait()
            pause = min(AGAIN_SECONDS_MAX, pause * 2)


async def _listen_once(parts: WorkerParts, stop: asyncio.Event) -> None:
    """Until `stop`, or until the connection breaks; evaluations that run go on either way."""
    from taskiq.acks import AcknowledgeType
    from taskiq.receiver import Receiver

    await parts.broker.startup()
    receiver = Receiver(
        parts.broker,
        max_async_tasks=parts.evaluations_max,
        run_startup=False,
        ack_type=AcknowledgeType.WHEN_RECEIVED,
        wait_tasks_timeout=parts.drain_seconds,
    )
    await receiver.listen(stop)
