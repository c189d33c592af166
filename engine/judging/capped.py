"""The bytes of a reply, and no more than so many: a server that never ends a line must not fill a worker's memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import httpx2

from engine.judging.judge import JudgeError

REPLY_BYTES_MAX: Final = 8 * 1024 * 1024
"""Each token may come as a chunk of some 300 bytes; the longest reply has 8,192 tokens."""


class Capped(httpx2.AsyncByteStream):
    """Another stream, until it has given REPLY_BYTES_MAX. Raises JudgeError `too_large`."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = REPLY_BYTES_MAX
        async for piece in self._stream:
            left -= len(piece)
            if left < 0:
                raise JudgeError("too_large")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


async def cap(response: httpx2.Response) -> None:
    """An event hook of a client. It asks for no compression: what is counted is what would be kept."""
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = Capped(response.stream)
