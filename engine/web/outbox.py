"""What waits to be sent to one client: bounded, in order. A client that does not read costs no more than this."""

from __future__ import annotations

from engine.web.queue import Queue

FRAMES_MAX = 1_024
BYTES_MAX = 1_048_576
"""Room for a full replay (256 KiB, one frame) and a snapshot of a full draft (7 x 64 KiB) at once."""
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
        self._frames: Queue[bytes] = Queue()
        self._bytes = 0

    def put(self, data: bytes) -> None:
        """Queue a frame. Raises Full."""
        cost = min(len(data), FRAME_COST_MAX)
        if len(self._frames) >= FRAMES_MAX or self._bytes + cost > BYTES_MAX:
            raise Full
        self._frames.put_nowait(data)
        self._bytes += cost

    async def get(self) -> list[bytes]:
        """The next frames, when there are any: what goes out in one write."""
        frames, count, size = await self._frames.some(), 0, 0
        while count < len(frames) and size < WRITE_BYTES:
            size += min(len(frames[count]), FRAME_COST_MAX)
            count += 1
        taken = frames[:count]
        del frames[:count]
        self._bytes -= size
        return taken

    def __len__(self) -> int:
        return len(self._frames)
