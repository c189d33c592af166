"""After another Redis took the place of the one there was (started again, or a replica of it), what it holds is
compared with the record: a replica that lagged, or a file that lacks its end, has lost what nobody may ask for again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.live.store import Live
from engine.record import interviews
from engine.recorder.rebuilder import NotThere, Parked, Rebuilder
from engine.recorder.recorder import AWAY
from engine.telemetry import log

LOOK_SECONDS = 0.5
"""So long, at most, may a tab that comes in be shown what Redis has not lost."""


async def run_comparing(engine: AsyncEngine, live: Live, rebuilder: Rebuilder, stop: asyncio.Event) -> None:
    """Look which Redis there is until `stop`, and compare whenever it is another; the first time as well."""
    seen: frozenset[str] = frozenset()
    while not stop.is_set():
        try:
            servers = await live.servers()
            if servers != seen:
                await compare(engine, live, rebuilder)
                seen = servers
        except (RedisError, *AWAY) as error:
            log.info("not_compared", error=type(error).__name__)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await stop.wait()


async def compare(engine: AsyncEngine, live: Live, rebuilder: Rebuilder) -> None:
    """Make anew every live interview that lacks what the record holds. Raises, in the end, what kept it from some."""
    unseen: RedisError | None = None
    async for page in interviews.maybe_live(engine):
        positions = await live.positions([id for id, *_ in page])
        for (id, epoch, recorded), held in zip(page, positions, strict=True):
            if isinstance(held, RedisError):
                unseen = held
                continue
            if held is None or held >= (epoch, recorded):
                continue
            log.error("live_behind", interview=id, live=held, record=(epoch, recorded))
            with suppress(NotThere, Parked):
                await rebuilder.rebuild(id, stale=held[0])
    if unseen is not None:
        raise unseen
