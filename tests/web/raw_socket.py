"""A WebSocket client made of bytes, which can say what no library would: for tests of bad frames and bad manners."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
ANSWER_SECONDS = 5.0
CUT = 1006
"""What a client calls a connection that ended without a close frame."""


def frame(opcode: int, data: bytes = b"", *, flags: int = FIN, masked: bool = True, length: int | None = None) -> bytes:
    """One frame. `length`: what the header claims, where that is not the truth."""
    size = len(data) if length is None else length
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes([flags | opcode, bit | size])
    elif size < 65_536:
        head = bytes([flags | opcode, bit | 126]) + struct.pack(">H", size)
    else:
        head = bytes([flags | opcode, bit | 127]) + struct.pack(">Q", size)
    return head + bytes(4) + data if masked else head + data  # a mask of zeros changes nothing


def fragments(pieces: Iterable[bytes], opcode: int = TEXT) -> bytes:
    """One message in as many frames."""
    pieces = list(pieces)
    last = len(pieces) - 1
    return b"".join(
        frame(CONT if i else opcode, piece, flags=FIN if i == last else 0) for i, piece in enumerate(pieces)
    )


class Answer(NamedTuple):
    """An HTTP answer to an upgrade that was not one."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Events(msgspec.Struct):
    events: list[msgspec.Raw]


class _Replay(msgspec.Struct):
    d: _Events


def events_of(message: dict[str, Any], data: bytes) -> list[bytes]:
    """The events that a frame brings, each in its own bytes: of `replay` all that are in it, else at most itself."""
    if message["t"] == "replay":
        return [bytes(event) for event in msgspec.json.decode(data, type=_Replay).d.events]
    return [data] if "s" in message and message["t"] != "ack" else []


class Closed(Exception):
    """The server ended the connection, with this code."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class RawSocket:
    """One connection. `upgrade` gives the answer to the handshake; 101 means that frames may go."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.events: list[dict[str, Any]] = []
        """Every numbered event that was read so far."""

    @classmethod
    async def connect(cls, port: int, **options: Any) -> RawSocket:
        """A TCP connection to the node. `options` are asyncio.open_connection's."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, **options))

    async def upgrade(
        self, *protocols: str, path: str = "/v1/socket", headers: Mapping[str, str | None] = {}, line: str = ""
    ) -> Answer:
        """Ask for a WebSocket; `headers` add to, replace or (None) take away the usual ones."""
        usual: dict[str, str | None] = {
            "Host": "127.0.0.1",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Protocol": ", ".join(protocols) or None,
        }
        said = [f"{name}: {value}" for name, value in {**usual, **headers}.items() if value is not None]
        self.send_bytes("\r\n".join([line or f"GET {path} HTTP/1.1", *said, "", ""]).encode("latin-1"))
        return await self.answer()

    async def answer(self) -> Answer:
        """The next HTTP answer."""
        async with asyncio.timeout(ANSWER_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, *lines = head.decode("latin-1").split("\r\n")[:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = b""
            if not status.split()[1].startswith("1"):
                body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(status.split()[1]), headers, body)

    def send_bytes(self, data: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(data)

    def send(self, t: str, d: Any = None, **more: Any) -> None:
        """A frame of the protocol, as JSON."""
        self.send_bytes(frame(TEXT, json.dumps({"t": t, **({} if d is None else {"d": d}), **more}).encode()))

    async def frame(self) -> tuple[int, bytes]:
        """(opcode, data) of the next frame, which must come soon. Raises Closed."""
        async with asyncio.timeout(ANSWER_SECONDS):
            opcode, data = await self.next_frame()
        if opcode == TEXT:
            self.events += [json.loads(event) for event in events_of(json.loads(data), data)]
        return opcode, data

    async def next_frame(self) -> tuple[int, bytes]:
        """The same whenever it comes, and whatever it holds."""
        try:
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", await self.reader.readexactly(8))
            data = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Closed(CUT) from None
        assert first & 0x70 == 0, "no extension was negotiated"
        opcode = first & 0x0F
        if opcode == CLOSE:
            raise Closed(int.from_bytes(data[:2], "big") if data else 1005, data[2:].decode())
        return opcode, data

    async def receive(self, *types: str, **having: Any) -> dict[str, Any]:
        """The next message of one of `types` (any, if none is named) with these values."""
        while True:
            opcode, data = await self.frame()
            if opcode in (PING, PONG):
                continue
            message: dict[str, Any] = json.loads(data)
            if (not types or message["t"] in types) and having.items() <= message.items():
                return message

    async def end(self) -> Closed:
        """Read to the end of the connection, and how it came."""
        while True:
            try:
                await self.frame()
            except Closed as closed:
                return closed

    async def hello(self, **d: Any) -> dict[str, Any]:
        """Say hello, and give back the welcome's body once all missed events are in."""
        self.send("hello", {"proto": 1, "tab": f"t{id(self)}", **d})
        welcome = await self.receive("welcome")
        await self.receive("resumed")
        body: dict[str, Any] = welcome["d"]
        return body

    async def alive(self) -> None:
        """The socket still answers: nothing before this broke it."""
        self.send("time", {"t0": 1})
        assert (await self.receive("time"))["d"]["t0"] == 1

    async def ping(self) -> None:
        """The node still reads and writes this connection. Costs none of the socket's budget."""
        self.send_bytes(frame(PING, b"ping"))
        while await self.frame() != (PONG, b"ping"):
            continue

    async def command(self, t: str, d: Any = None, id: str = "") -> dict[str, Any]:
        """Send a command, and give back its ack or refusal."""
        id = id or base64.urlsafe_b64encode(os.urandom(9)).decode()
        self.send(t, {} if d is None else d, id=id)
        return await self.receive("ack", "err", id=id)

    def close(self) -> None:
        """Go, without a word."""
        self.writer.transport.abort()
