"""What the tests themselves stand on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests import until
from tests.until import cancelled, where_tasks_wait


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(until, "CANCEL_SECONDS", 0.01)

    async def deaf() -> None:
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(asyncio.Event().wait())]
    await asyncio.wait(tasks, timeout=0.01)
    async with asyncio.timeout(5):
        await cancelled(tasks)
    assert all(task.cancelled() for task in tasks)


async def test_what_does_not_end_says_where_it_waits() -> None:
    async def inner() -> None:
        await asyncio.Event().wait()

    async def outer() -> None:
        await inner()

    task = asyncio.create_task(outer(), name="the one that hangs")
    await asyncio.wait([task], timeout=0.01)
    (said,) = [line for line in where_tasks_wait().splitlines() if line.startswith("the one that hangs")]
    assert said.index("outer") < said.index("inner") < said.index("Event.wait")
    await cancelled([task])
