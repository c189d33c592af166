"""The queue between two tasks: order, room, and who stops waiting."""

from __future__ import annotations

import asyncio

import pytest

from engine.web.queue import Queue


async def test_first_in_is_first_out_whether_or_not_the_reader_waits() -> None:
    queue: Queue[int] = Queue()
    queue.put_nowait(1)
    queue.put_nowait(2)
    assert [await queue.get(), await queue.get()] == [1, 2]
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait(3)
    assert await reading == 3
    assert queue.empty()


async def test_who_puts_waits_for_room() -> None:
    queue: Queue[int] = Queue(2)
    putting = asyncio.create_task(_put_all(queue, 5))
    await asyncio.sleep(0)
    assert len(queue) == 2
    assert [await queue.get() for _ in range(5)] == [0, 1, 2, 3, 4]
    await putting


async def test_nothing_goes_with_a_reader_who_stopped_waiting() -> None:
    queue: Queue[int] = Queue()
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    reading.cancel()
    queue.put_nowait(1)
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await queue.get() == 1


async def _put_all(queue: Queue[int], count: int) -> None:
    for item in range(count):
        await queue.put(item)
