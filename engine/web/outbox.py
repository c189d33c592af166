"""What waits to be sent to one client: bounded, in order. A client that does not read costs no more than this."""

from __future__ import annotations

import asyncio
from collections import deque

FRAMES_MAX = 1_024
BYTES_MAX = 1_048_576
"""Room for a full replay (500 events, 256 KiB) and a snapshot of a full draft (7 x 64 KiB) at once."""


class Full(Exception):
    """The client is too slow."""


class Outbox:
    """Frames as bytes, first in, first out."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._some = asyncio.Event()

    def put(self, data: bytes) -> None:
        """Queue a frame. Raises Full."""
        if len(self._frames) >= FRAMES_MAX or self._bytes + len(data) > BYTES_MAX:
            raise Full
        self._frames.append(data)
        self._bytes += len(data)
        self._some.set()

    async def get(self) -> bytes:
        """The next frame, when there is one."""
        while not self._frames:
            self._some.clear()
            await self._some.wait()
        data = self._frames.popleft()
        self._bytes -= len(data)
        return data

    def __len__(self) -> int:
        return len(self._frames)
