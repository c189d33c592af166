"""uvicorn's WebSocket protocol with the bounds it lacks: on frames that never reach the socket, and on lingering.

Pings, pongs and the pieces of a message are dealt with below ASGI, so only here can anybody count them. And with a
short way for what nearly all traffic is: whole short messages. Whatever is anything else goes the long way.
"""

from __future__ import annotations

import time
from asyncio import TimerHandle
from collections.abc import Sequence
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State
from websockets.streams import StreamReader

from engine.web.queue import Queue
from protocol.codes import Close

try:
    from websockets.speedups import apply_mask
except ImportError:  # not made for this system
    from websockets.utils import apply_mask

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
TEXT, BINARY = 0x81, 0x82
"""The first byte of a whole message."""
MASKED, LENGTH_OF_16_BITS, LENGTH_OF_64_BITS = 0x80, 126, 127
KEY = "engine.wire"
"""Where the socket finds this, among the extensions of its scope."""


class Wire(WebSocketsSansIOProtocol):
    """One connection, from the upgrade on."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.queue: Queue[Any] = Queue()  # type: ignore[assignment]  # a lighter one
        self._budget, self._counted_at = float(FRAMES), time.monotonic()
        self._fragments = 0
        self._ended = False
        """By a fault of the peer; the code is on its way."""
        self._between = False
        """The long way waits for a frame to begin, within no message."""
        self._linger: TimerHandle | None = None

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            self.scope["extensions"][KEY] = self  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        start = 0
        while self._between and self.conn.state is State.OPEN and (end := self._short_way(data, start)):
            start = end
        if start == len(data):
            return
        for piece in range(start, len(data), PIECE_BYTES):
            if self._ended or (self.close_sent and self.transport.is_closing()):
                return  # ended by the piece before
            super().data_received(data[piece : piece + PIECE_BYTES])
        self._between = self.conn.current_size is None and _awaits_a_frame(self.conn.parser)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # Too large to be read as an upgrade; the answer is made, and uvicorn would not send it.
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def _short_way(self, data: bytes, at: int) -> int:
        """Take the message that begins at `at`, if it is whole, short and well-formed; where it ends, or else 0."""
        if len(data) - at < 8 or data[at] not in (TEXT, BINARY) or not data[at + 1] & MASKED:
            return 0
        size, start = data[at + 1] ^ MASKED, at + 6
        if size == LENGTH_OF_16_BITS:
            size, start = data[at + 2] << 8 | data[at + 3], at + 8
            if size < LENGTH_OF_16_BITS:
                return 0
        elif size == LENGTH_OF_64_BITS:
            return 0
        if start + size > len(data):
            return 0
        said = apply_mask(data[start : start + size], data[start - 4 : start])
        try:
            message: Any = (
                {"type": "websocket.receive", "text": said.decode()}
                if data[at] == TEXT
                else {"type": "websocket.receive", "bytes": said}
            )
        except UnicodeDecodeError:
            return 0
        self._count()
        if not self.close_sent:
            self.queue.put_nowait(message)
            if not self.read_paused:
                self.read_paused = True
                self.transport.pause_reading()
        return start + size

    def say(self, messages: Sequence[bytes], *, text: bool) -> bool:
        """Send whole messages, all in one write. False: nobody is there any more."""
        if self.conn.state is not State.OPEN or self.disconnected or self.transport.is_closing():
            return False
        pieces: list[bytes] = []
        for said in messages:
            pieces += (_head(TEXT if text else BINARY, len(said)), said)
        self.transport.write(b"".join(pieces))
        return True

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
        if self._ended:
            return
        if self.conn.close_sent is None:
            if self.handshake_initiated:  # a bad frame before the upgrade was answered
                self.transport.abort()
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
        if self.close_sent and not self.handshake_complete:
            self.handshake_complete = True  # denied, and told so: uvicorn would log it as an error of the application
        if message["type"] == "websocket.accept":  # what was asked is answered, and need not be kept
            del self.request, self.response
            del self.scope["headers"][:]  # type: ignore[attr-defined]  # in place: Starlette holds the same list
            if not self.conn.eof_sent and _awaits_a_frame(self.conn.parser):
                # What it runs in still holds the request; a new one does not.
                self.conn.parser = self.conn.parse()
                next(self.conn.parser)

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if not self.disconnected:
            self._linger = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._linger is not None:
            self._linger.cancel()


def _head(first: int, size: int) -> bytes:
    if size < LENGTH_OF_16_BITS:
        return bytes((first, size))
    if size < 1 << 16:
        return bytes((first, LENGTH_OF_16_BITS)) + size.to_bytes(2)
    return bytes((first, LENGTH_OF_64_BITS)) + size.to_bytes(8)


def _awaits_a_frame(parser: Any) -> bool:
    """Whether websockets' parser, a generator, has read nothing of the next frame yet."""
    while parser.gi_yieldfrom is not None:
        parser = parser.gi_yieldfrom
    return bool(parser.gi_code is StreamReader.at_eof.__code__)
