"""Work beside a block, and an end that comes soon: for the parts of a process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from engine.telemetry import log

END_SECONDS = 0.5
"""How long a part may take to end, or to be closed, when the process goes. What it waits for may never answer, and
what it leaves undone others do."""


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
        _, late = await asyncio.wait({task}, timeout=END_SECONDS)
        if late:
            log.warning("background_work_cancelled", task=name)
            task.cancel()
            await asyncio.wait({task}, timeout=END_SECONDS)  # a connection may take its time to break off, too


async def closed(close: Callable[[], Awaitable[object]]) -> None:
    """Close something, or leave that to the end of the process."""
    try:
        async with asyncio.timeout(END_SECONDS):
            await close()
    except TimeoutError:
        log.warning("left_open")


def _failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("background_work_failed", task=task.get_name(), exc_info=error)
        signal.raise_signal(signal.SIGTERM)
