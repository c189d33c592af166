"""uvicorn's HTTP protocol with bounds on the head of a request, which it lacks: in bytes, headers and time, and on
how many heads one address may keep us waiting for."""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from asyncio.transports import BaseTransport
from collections import Counter
from http import HTTPStatus
from typing import Any, ClassVar, cast
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from engine.web.problems import Kind, Problem, answer

HEAD_BYTES_MAX = 65_536
"""Request line and headers. Browsers send some 2 KiB; the headers of a proxy may double that."""
HEADERS_MAX = 128
TARGET_BYTES_MAX = 8_192
"""Of the path and query. Ours come to some hundreds; RFC 9110 (4.1) asks for 8,000 to be borne."""
HEAD_SECONDS = 10.0
"""From connecting, or from the first byte of a later request, to the end of the headers."""
WAITING_MAX = 512
"""Connections of one address whose head has not come: more than an office that comes back at once. Not counted where
there are trusted proxies: all come from theirs, and it is they who wait."""
PIECE_BYTES = 16_384


class Refused(Exception):
    """The head breaks a bound. httptools ends the parsing, and uvicorn asks for the answer."""


class Head(HttpToolsProtocol):
    """One connection, until it is upgraded."""

    waiting: ClassVar[Counter[str]] = Counter()
    """By address, the connections of this process whose head is awaited."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_bytes: int | None = 0
        """Of the head that is coming in; None while none is."""
        self._deadline: TimerHandle | None = None
        self._fault = Kind.BAD_REQUEST
        """What a head that cannot be read is answered."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast(Transport, transport))  # uvloop's are of no such class
        self._expect()
        if not self.config.forwarded_allow_ips and self.waiting[self._address] > WAITING_MAX:
            self._refuse(Kind.TOO_MANY)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            super().data_received(piece)
            if self._head_bytes is not None:
                self._head_bytes += len(piece)
                if self._head_bytes > HEAD_BYTES_MAX:
                    self._refuse(Kind.HEAD_TOO_LARGE)
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > TARGET_BYTES_MAX:
            self._fault = Kind.TARGET_TOO_LONG
            raise Refused

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > HEADERS_MAX:
            self._fault = Kind.HEAD_TOO_LARGE
            raise Refused

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._fault)

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        self._forget()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _expect(self) -> None:
        self._head_bytes = 0
        if self._deadline is None:
            self.waiting[self._address] += 1
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._refuse, Kind.TIMEOUT)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self.waiting[self._address] -= 1
            if not self.waiting[self._address]:
                del self.waiting[self._address]

    def _refuse(self, kind: Kind) -> None:
        request_id = uuid4().hex
        response = answer(Problem(kind), request_id)
        headers = {**response.headers, "x-request-id": request_id, "connection": "close"}
        lines = [f"HTTP/1.1 {response.status_code} {HTTPStatus(response.status_code).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + bytes(response.body))
        self.transport.close()
