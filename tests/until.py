"""Waiting for a condition: the one place of the tests where time passes."""

from __future__ import annotations

import asyncio
import inspect
import time
import types
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar, overload

T = TypeVar("T")

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.01
CANCEL_SECONDS = 1.0


@overload
async def until(condition: Callable[[], Awaitable[T]], seconds: float = ...) -> T: ...
@overload
async def until(condition: Callable[[], T | None], seconds: float = ...) -> T: ...
async def until(condition: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """Wait until `condition()` (or what it awaits) is true, and return that. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(POLL_SECONDS)


def until_now(condition: Callable[[], T | None], seconds: float = WAIT_SECONDS) -> T:
    """The same for tests without a loop."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"not so after {seconds} s: {condition}")
        time.sleep(POLL_SECONDS)
    return found


async def time_passes(seconds: float) -> None:
    """For people who think and faults that come at some instant: never to wait for a condition."""
    await asyncio.sleep(seconds)


async def cancelled(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel them until they have ended: redis-py may swallow it once."""
    rest = set(tasks)
    while rest:
        for task in rest:
            task.cancel()
        _, rest = await asyncio.wait(rest, timeout=CANCEL_SECONDS)


def where_tasks_wait() -> str:
    """Each task of this loop, and the lines that it waits at, innermost last: for what does not end."""
    return "\n".join(f"{task.get_name()}: {' > '.join(_lines(task.get_coro()))}" for task in asyncio.all_tasks())


def _lines(awaited: Any) -> list[str]:
    found = []
    while isinstance(awaited, types.CoroutineType):
        frame = awaited.cr_frame
        if frame is not None:
            found.append(f"{frame.f_code.co_qualname} {frame.f_code.co_filename}:{frame.f_lineno}")
        awaited = awaited.cr_await
    return found
