"""Each second: ring again for runs nobody works on, and announce ends nobody was told of. Any number may run."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from engine.judging.announcing import Announce, announce_end
from engine.record import evaluations
from engine.recorder import AWAY
from engine.telemetry import log

EVERY_SECONDS: Final = 1.0
JITTER: Final = 0.2
"""So that workers that started together do not ask together."""

Ring = Callable[[UUID, int], Awaitable[bool]]


async def reap(engine: AsyncEngine, ring: Ring, announce: Announce, stop: asyncio.Event) -> None:
    """Rounds until `stop`. An outage is logged when it begins and when it ends."""
    away = False
    while not stop.is_set():
        try:
            await one_round(engine, ring, announce)
        except AWAY as error:
            if not away:
                log.warning("reaper_waits", error=type(error).__name__)
            away = True
        except Exception as error:
            log.error("reaper_broke", exc_info=error)
        else:
            if away:
                log.info("reaper_goes_on")
            away = False
        with suppress(TimeoutError):
            async with asyncio.timeout(EVERY_SECONDS * random.uniform(1 - JITTER, 1 + JITTER)):
                await stop.wait()


async def one_round(engine: AsyncEngine, ring: Ring, announce: Announce) -> None:
    """Give up what killed too many, announce what ended, ring for what waits. Raises what Postgres raises."""
    for interview, run in await evaluations.give_up(engine):
        log.error("evaluation_given_up", interview=interview, run=run)
    await _each(engine, await evaluations.to_announce(engine), lambda key: announce_end(engine, announce, *key))
    await _each(engine, await evaluations.to_ring(engine), lambda key: ring(*key))


async def _each(
    engine: AsyncEngine, keys: list[evaluations.RunKey], serve: Callable[[evaluations.RunKey], Awaitable[bool]]
) -> None:
    """Serve one after the other; at the first that fails Redis is away, and the rest come again soon."""
    for i, key in enumerate(keys):
        if not await serve(key):
            await evaluations.soon(engine, keys[i:])
            return
