"""Working under a lease: it is renewed while the work goes on, and losing it ends the work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from engine.record import evaluations
from engine.record.evaluations import Fence
from engine.recorder import AWAY
from engine.telemetry import log

RENEWALS = 3
"""In the life of a lease: one may fail without harm."""
RELEASE_SECONDS = 1.0
RETRY_SECONDS = 0.5

T = TypeVar("T")


class LeaseLost(Exception):
    """The run is another worker's now, or nobody's."""


async def while_leased(engine: AsyncEngine, fence: Fence, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Do the work and keep the lease. Raises LeaseLost; the work has stopped then."""
    working = asyncio.create_task(work)
    keeping = asyncio.create_task(_keep(engine, fence, seconds))
    try:
        await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise LeaseLost
        return working.result()
    finally:
        for task in (working, keeping):
            task.cancel()
        await asyncio.gather(working, keeping, return_exceptions=True)


async def _keep(engine: AsyncEngine, fence: Fence, seconds: float) -> None:
    """Returns when the lease is lost, or may be."""
    renewed = time.monotonic()
    while time.monotonic() - renewed < seconds:
        await asyncio.sleep(seconds / RENEWALS)
        asked = time.monotonic()
        try:
            if not await evaluations.renew(engine, fence, seconds):
                return
            renewed = asked
        except AWAY as error:
            log.warning("record_away", interview=fence.interview, run=fence.run, error=type(error).__name__)


async def patiently(fence: Fence, call: Callable[[], Awaitable[T]]) -> T:
    """Call, again and again while Postgres is away: the lease, once lost, ends this."""
    while True:
        try:
            return await call()
        except AWAY as error:
            log.warning("record_away", interview=fence.interview, error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)


async def give_back(engine: AsyncEngine, fence: Fence) -> None:
    """Let another worker have the run at once, not when the lease ends."""
    try:
        async with asyncio.timeout(RELEASE_SECONDS):
            await evaluations.release(engine, fence)
    except AWAY as error:
        log.warning("evaluation_not_released", interview=fence.interview, run=fence.run, error=type(error).__name__)
