"""A queue of one reader and one writer who waits. asyncio.Queue does more, and weighs 3 KB a time."""

from __future__ import annotations

import asyncio
import sys
from typing import Generic, TypeVar

T = TypeVar("T")
Waiting = asyncio.Future[None]


class Queue(Generic[T]):
    """First in, first out. Who puts with `put_nowait` is not held back by `items_max`."""

    __slots__ = ("_items", "_items_max", "_reader", "_writer")

    def __init__(self, items_max: int = sys.maxsize) -> None:
        self._items: list[T] = []
        self._items_max = items_max
        self._reader: Waiting | None = None
        self._writer: Waiting | None = None

    def put_nowait(self, item: T) -> None:
        self._items.append(item)
        _wake(self._reader)

    async def put(self, item: T) -> None:
        """Wait for room."""
        while len(self._items) >= self._items_max:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer
        self.put_nowait(item)

    async def some(self) -> list[T]:
        """The items themselves, when there are any: the reader takes what it wants from the front."""
        while not self._items:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._items

    async def get(self) -> T:
        item = (await self.some()).pop(0)
        _wake(self._writer)
        return item

    def empty(self) -> bool:
        return not self._items

    def __len__(self) -> int:
        return len(self._items)


def _wake(waiting: Waiting | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
