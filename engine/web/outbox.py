"""What waits to be sent to one client: bounded, in order. A client that does not read costs no more than this."""

from __future__ import annotations

import asyncio
from collections import deque

FRAMES_MAX = 1_024
BYTES_MAX = 1_048_576
"""Room for a full replay (500 events, 256 KiB) and a snapshot of a full draft (7 x 64 KiB) at once."""
FRAME_COST_MAX = BYTES_MAX // 2
"""What one frame counts at most. Only a snapshot is larger, for JSON writes some characters as six: there is one a
connection, and whoever owns such a draft must be let in."""

WRITE_BYTES = 65_536
"""Written at once, or a frame more: what the transport holds of it counts no longer, so it must not be much."""


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
        cost = min(len(data), FRAME_COST_MAX)
        if len(self._frames) >= FRAMES_MAX or self._bytes + cost > BYTES_MAX:
            raise Full
        self._frames.append(data)
        self._bytes += cost
        self._some.set()

    async def get(self) -> list[bytes]:
        """The next frames, when there are any: what goes out in one write."""
        while not self._frames:
            self._some.clear()
            await self._some.wait()
        taken, size = [], 0
        while self._frames and size < WRITE_BYTES:
            taken.append(self._frames.popleft())
            size += min(len(taken[-1]), FRAME_COST_MAX)
        self._bytes -= size
        return taken

    def __len__(self) -> int:
        return len(self._frames)
