"""The clock's hands: an index in Redis read four times a second, a sweep of Postgres each second; commit decides."""

from __future__ import annotations

import asyncio

import asyncpg
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.conductor.conductor import Conductor
from engine.record import interviews
from engine.recorder import Lost, NotThere, Parked
from engine.telemetry import log

POLL_SECONDS = 0.25
SWEEP_SECONDS = 1.0
AT_ONCE = 64
AWAY = (RedisError, OSError, TimeoutError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError)


async def run_deadlines(conductor: Conductor, engine: AsyncEngine, stop: asyncio.Event) -> None:
    """Act on deadlines until `stop`."""
    last_sweep = 0.0
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        started = loop.time()
        await _quietly(poll(conductor))
        if started - last_sweep >= SWEEP_SECONDS:
            last_sweep = started
            await _quietly(sweep(conductor, engine))
        try:
            async with asyncio.timeout(max(0.0, started + POLL_SECONDS - loop.time())):
                await stop.wait()
        except TimeoutError:
            continue


async def poll(conductor: Conductor) -> None:
    """Act on what Redis's index says is due."""
    await _act_on(conductor, await conductor.live.due())


async def sweep(conductor: Conductor, engine: AsyncEngine) -> None:
    """Act on what the record says is due: what Redis never knew, or lost."""
    await _act_on(conductor, await interviews.due(engine, conductor.live.clock.now()))


async def _act_on(conductor: Conductor, ids: list[str]) -> None:
    """Together, so that a thousand that fell due at once share the recorder's groups."""
    for i in range(0, len(ids), AT_ONCE):
        await asyncio.gather(*(_act(conductor, id) for id in ids[i : i + AT_ONCE]))


async def _act(conductor: Conductor, id: str) -> None:
    """One interview's trouble must not hold up the next one's deadline."""
    try:
        await conductor.clock(id)
    except NotThere:
        await conductor.live.forget(id)
    except (Lost, Parked, TimeoutError) as error:
        log.warning("deadline_missed", interview=id, error=type(error).__name__)
    except AWAY:
        raise
    except Exception as error:
        log.error("deadline_failed", interview=id, exc_info=error)


async def _quietly(work: object) -> None:
    try:
        await work  # type: ignore[misc]
    except AWAY as error:
        log.warning("deadlines_away", error=type(error).__name__)
