"""uvicorn's WebSocket protocol with the bounds it lacks: on frames that never reach the socket, and on lingering.

Pings, pongs and the pieces of a message are dealt with below ASGI, so only here can anybody count them.
"""

from __future__ import annotations

import time
from asyncio import TimerHandle
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from protocol.codes import Close

PIECE_BYTES = 4_096
"""Parsed at once: some 700 of the smallest frames, a few ms. The frames of a flood must not all be parsed first."""
FRAMES = 2_000
FRAMES_SECONDS = 20.0
"""A bucket of so many frames that fills again in so long. A typing person sends a hundredth of it."""
FRAGMENTS_MAX = 1_024
"""Of one message: 256 bytes each, for the largest."""
LINGER_SECONDS = 10.0
"""What a peer leaves unread when the socket has ended is kept no longer than this."""
STILL_SENDING_SECONDS = 1.0
"""After an end from down here, how long what still comes is read and thrown away. Closed at once, the peer would see a
reset instead of the code, and come back with the same."""
TOO_BIG = 1009


class Wire(WebSocketsSansIOProtocol):
    """One connection, from the upgrade on."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._budget, self._counted_at = float(FRAMES), time.monotonic()
        self._fragments = 0
        self._ended = False
        """By a fault of the peer; the code is on its way."""
        self._linger: TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        for start in range(0, len(data), PIECE_BYTES):
            if self._ended or (self.close_sent and self.transport.is_closing()):
                return  # ended by the piece before
            super().data_received(data[start : start + PIECE_BYTES])
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # Too large to be read as an upgrade; the answer is made, and uvicorn would not send it.
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_ping(self) -> None:
        self._count()
        super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        self._count()
        super().handle_pong(event)

    def handle_text(self, event: Frame) -> None:
        self._count()
        self._fragments = 0
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        self._count()
        self._fragments = 0
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        self._count()
        self._fragments += 1
        if self._fragments > FRAGMENTS_MAX:
            self._end(TOO_BIG, "too many fragments")
        super().handle_cont(event)

    def _count(self) -> None:
        now = time.monotonic()
        self._budget = min(FRAMES, self._budget + (now - self._counted_at) * FRAMES / FRAMES_SECONDS) - 1
        self._counted_at = now
        if self._budget < 0:
            self._end(Close.RATE, "too many frames")

    def _end(self, code: int, reason: str) -> None:
        """Close from down here. What uvicorn still does with the frames that are parsed has no effect."""
        if self.close_sent or self.transport.is_closing():
            return
        self.conn.fail(code, reason)
        if self.conn.close_sent is None:  # the upgrade was not answered yet
            self.transport.abort()
        else:
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        if self._ended or self.conn.close_sent is None:
            return
        self._ended = self.close_sent = True
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(STILL_SENDING_SECONDS, self.transport.close)

    async def send(self, message: ASGISendEvent) -> None:
        await self.writable.wait()
        if self._ended:  # uvicorn would take it for a mistake of ours
            raise ClientDisconnected
        await super().send(message)

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if not self.disconnected:
            self._linger = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._linger is not None:
            self._linger.cancel()
