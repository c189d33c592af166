"""The clock's hands: an index in Redis read four times a second, a sweep of Postgres each second; commit decides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.conductor.conductor import Conductor
from engine.failpoints import failpoint
from engine.record import interviews
from engine.recorder import Lost, NotThere, Parked
from engine.telemetry import log

POLL_SECONDS = 0.25
SWEEP_SECONDS = 1.0
AT_ONCE = 64
AGAIN_SECONDS = 0.5
"""Who is nominated again while it is acted on waits for the record of one deadline, and may have come to the next."""
ACTING_MAX = 256
"""Acted on, or waiting for the record, at one time; the rest are nominated again at the next round."""
AWAY = (RedisError, OSError, TimeoutError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError)


async def run_deadlines(conductor: Conductor, engine: AsyncEngine, stop: asyncio.Event) -> None:
    """Act on deadlines until `stop`. Neither hand waits for the other, nor for the record to hold what it did: while
    Postgres hangs, what Redis knows is acted on in time.
    """
    acting: set[asyncio.Task[None]] = set()
    lately: dict[str, float] = {}
    """When it was last begun to act on those that are acted on."""
    loop = asyncio.get_running_loop()

    async def act(id: str, began: float) -> None:
        try:
            await _quietly(_act(conductor, id))
        finally:
            if lately.get(id) == began:
                del lately[id]

    async def act_on(nominated: Awaitable[list[str]]) -> None:
        for id in await nominated:
            now = loop.time()
            if lately.get(id, 0.0) <= now - AGAIN_SECONDS and len(acting) < ACTING_MAX:
                lately[id] = now
                acting.add(task := asyncio.create_task(act(id, now)))
                task.add_done_callback(acting.discard)

    async with asyncio.TaskGroup() as hands:
        hands.create_task(_every(POLL_SECONDS, lambda: act_on(conductor.live.due()), stop))
        hands.create_task(_every(SWEEP_SECONDS, lambda: act_on(_by_record(conductor, engine)), stop))
    if acting:
        await asyncio.wait(acting)


async def _every(seconds: float, work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        started = loop.time()
        await _quietly(work())
        try:
            async with asyncio.timeout(max(0.0, started + seconds - loop.time())):
                await stop.wait()
        except TimeoutError:
            continue


async def poll(conductor: Conductor) -> None:
    """Act on what Redis's index says is due."""
    await _act_on(conductor, await conductor.live.due())


async def sweep(conductor: Conductor, engine: AsyncEngine) -> None:
    """Act on what the record says is due: what Redis never knew, or lost."""
    await _act_on(conductor, await _by_record(conductor, engine))


async def _by_record(conductor: Conductor, engine: AsyncEngine) -> list[str]:
    return await interviews.due(engine, conductor.live.clock.now())


async def _act_on(conductor: Conductor, ids: list[str]) -> None:
    """Together, so that a thousand that fell due at once share the recorder's groups."""
    for i in range(0, len(ids), AT_ONCE):
        await asyncio.gather(*(_act(conductor, id) for id in ids[i : i + AT_ONCE]))


async def _act(conductor: Conductor, id: str) -> None:
    """One interview's trouble must not hold up the next one's deadline."""
    try:
        failpoint("deadline")
        await conductor.clock(id)
    except NotThere:
        await conductor.live.forget(id)
    except (Lost, Parked, TimeoutError) as error:
        log.warning("deadline_missed", interview=id, error=type(error).__name__)
    except AWAY:
        raise
    except Exception as error:
        log.error("deadline_failed", interview=id, exc_info=error)


async def _quietly(work: Awaitable[None]) -> None:
    try:
        await work
    except AWAY as error:
        log.warning("deadlines_away", error=type(error).__name__)
