"""One socket of the load: frames made by hand, as few steps each as can be, for the load must not be what is slow."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import msgspec

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
DRAFT_CHARS = 2_000
"""Of the field that is edited: a page of code."""
AT = 1_000
INSERTS = ("def get(self, key):\n", "def put(self, key):\n")
"""What is typed between two saves. Each save puts the one in place of the other."""
_LINE = "        self.items[key] = Entry(value, self.clock() + ttl)\n"
_PAGE = (_LINE * (DRAFT_CHARS // len(_LINE) + 1))[: DRAFT_CHARS - len(INSERTS[0])]
DRAFTS = tuple(_PAGE[:AT] + insert + _PAGE[AT:] for insert in INSERTS)
CHECKSUMS = tuple(zlib.crc32(draft.encode()) for draft in DRAFTS)
DELTA, NOOP, REPLAY = b'{"t":"evaluation.delta"', b"noop", b"replay"


def draft_frame(base: int, id: str) -> dict[str, Any]:
    """The save that puts the first draft in place."""
    return {"t": "draft.save", "id": id, "d": {"base": base, "changes": [{"field": "code", "text": DRAFTS[0]}]}}


def save_bytes(socket: str, base: int) -> bytes:
    """The frame that turns one draft into the other, against revision `base`. In revision 1 the first is in place."""
    new = base % 2
    splice = {"at": AT, "del": len(INSERTS[1 - new]), "ins": INSERTS[new]}
    change = {"field": "code", "splices": [splice], "checksum": CHECKSUMS[new]}
    body = {"t": "draft.save", "id": f"{socket}-{base:08d}", "d": {"base": base, "changes": [change]}}
    return msgspec.json.encode(body)


def framed(data: bytes, opcode: int = TEXT) -> bytes:
    """A whole client frame. Its mask is zeros: right to the letter, free for us, and a server's work all the same."""
    size = len(data)
    if size < 126:
        return bytes((0x80 | opcode, 0x80 | size, 0, 0, 0, 0)) + data
    return bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big") + bytes(4) + data


class Failed(Exception):
    """The server refused, or went away."""


class Client(asyncio.Protocol):
    """Upgrade, come in, first frames; then whatever the load wants."""

    def __init__(self, number: int, *, protocols: str, first: list[dict[str, Any]], done: str, rev: int) -> None:
        loop = asyncio.get_running_loop()
        self.name = f"{number:05d}"
        self.rev, self.saves = rev, 0
        self.asked_at = self.hello_at = self.in_at = 0.0
        self.delta = b""
        """The last piece of text."""
        self.acked: Callable[[Client], None] = _nobody
        self.heard: Counter[bytes] = Counter()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.failed: asyncio.Future[None] = loop.create_future()
        self._protocols, self._done = protocols, f'{{"t":"{done}"'.encode()
        self._first = [msgspec.json.encode(frame) for frame in first]
        self._rest = b""
        self._upgraded = self._dropped = False
        self._halves = [save_bytes(self.name, base) for base in (0, 1)]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        host, port = transport.get_extra_info("peername")[:2]
        self._transport.write(
            f"GET /v1/socket HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
            "Accept: */*\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"
            f"Sec-WebSocket-Protocol: {self._protocols}\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the connection ended")
        if not self.gone.done():
            self.gone.set_result(None)

    def abort(self) -> None:
        self._dropped = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at = 0 if self._upgraded else self._answer(data)
        while (held := len(data) - at) >= 2:
            size, head = data[at + 1], 2
            if size >= 126:
                head = 4 if size == 126 else 10
                if held < head:
                    break
                size = int.from_bytes(data[at + 2 : at + head], "big")
            if held < head + size:
                break
            self._frame(data[at] & 0x0F, data, at + head, at + head + size)
            at += head + size
        self._rest = data[at:]

    def save(self) -> None:
        """The next save. Made from one of two halves that differ in what they put in place."""
        base = self.rev
        half = self._halves[base % 2]
        # Only the id and the base differ from the half: `...-00000001","d":{"base":1,`.
        data = half.replace(b'-%08d","d":{"base":%d,' % (base % 2, base % 2), b'-%08d","d":{"base":%d,' % (base, base))
        self._transport.write(framed(data))

    def _answer(self, data: bytes) -> int:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return 0
        if not data.startswith(b"HTTP/1.1 101"):
            self._fail(data[:300].decode("latin-1"))
            self._transport.abort()
            return len(data)
        self._upgraded, self.hello_at = True, time.perf_counter()
        self._next()
        return end + 4

    def _frame(self, opcode: int, data: bytes, start: int, end: int) -> None:
        if data.startswith(self._done, start) and self.ready.done():
            self.rev += 1
            self.acked(self)
        elif opcode == PING:
            self._transport.write(framed(data[start:end], PONG))
        elif opcode == CLOSE:
            self._fail(f"closed with {int.from_bytes(data[start : start + 2], 'big')} {data[start + 2 : end]!r}")
        else:
            self._other(data, start, end)

    def _other(self, data: bytes, start: int, end: int) -> None:
        kind = data[start : data.find(b'"', start + 6) + 1] if data.startswith(b'{"t":"', start) else b""
        self.heard[kind] += 1
        if kind == DELTA:
            self.delta = data[start:end]
        elif kind == b'{"t":"welcome"':
            self.heard.update(mode for mode in (NOOP, REPLAY) if b'"mode":"%b"' % mode in data[start:end])
        elif kind == b'{"t":"ping"':
            self._transport.write(framed(b'{"t":"pong"}'))
        elif kind == b'{"t":"err"':
            self._fail(data[start:end].decode())
        elif not self.ready.done() and kind in (b'{"t":"resumed"', b'{"t":"ack"', self._done):
            self._next()

    def _next(self) -> None:
        if self._first:
            self._transport.write(framed(self._first.pop(0)))
        else:
            self.in_at = time.perf_counter()
            self.ready.set_result(None)

    def _fail(self, why: str) -> None:
        if self._dropped or self.failed.done():
            return
        self.failed.set_exception(Failed(f"socket {self.name}: {why}"))
        self.failed.exception()  # whoever waits is told; nobody has to
        if not self.ready.done():
            self.ready.set_exception(Failed(f"socket {self.name}: {why}"))


def _nobody(client: Client) -> None:
    """Acks that nobody waits for."""
