"""A TCP proxy that does to connections what networks do: on the way of clients to a node it knows WebSocket frames."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal, Self, get_args

from tests.until import time_passes

Fault = Literal["delay", "slice", "cut", "double", "half-close", "reset", "black-hole"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
FAULTS_OF_ANY = tuple(fault for fault in FAULTS if fault != "double")
"""For ways without frames."""
CHUNK_BYTES = 65_536
DELAY_SECONDS = (0.001, 0.08)
"""For each chunk, while there is a delay; their order stays."""
SLICED_BYTES_MAX = 60
"""Of each chunk, one at a time; the rest goes at once, or a test would take all day."""
CUT_BYTES_MAX = 2_000
HEAD_END, TEXT, FIN = b"\r\n\r\n", 0x1, 0x80
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: do not wait, and forget what is unsent."""


class Frames:
    """Cuts a client's half of a WebSocket into its frames: after the head of the upgrade each comes whole."""

    def __init__(self) -> None:
        self._rest = b""
        self._upgraded = False

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """(bytes, whether they are a whole text frame). What is no WebSocket goes through as it comes."""
        self._rest += data
        found: list[tuple[bytes, bool]] = []
        if not self._upgraded:
            head, end, rest = self._rest.partition(HEAD_END)
            if not end or b"upgrade: websocket" not in head.lower():
                found, self._rest = [(self._rest, False)], b""
                return found
            self._upgraded, self._rest = True, rest
            found.append((head + end, False))
        while length := _frame_length(self._rest):
            frame, self._rest = self._rest[:length], self._rest[length:]
            found.append((frame, frame[0] == FIN | TEXT))
        return found


def _frame_length(data: bytes) -> int:
    """Of the frame that `data` begins with, head and mask included; 0 while some of it is missing."""
    if len(data) < 2:
        return 0
    short, mask = data[1] & 0x7F, 4 if data[1] & 0x80 else 0
    more = {126: 2, 127: 8}.get(short, 0)
    if len(data) < 2 + more:
        return 0
    body = int.from_bytes(data[2 : 2 + more], "big") if more else short
    length = 2 + more + mask + body
    return length if len(data) >= length else 0


class Link:
    """One connection through the proxy."""

    def __init__(
        self, near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter], chance: random.Random, *, frames: bool,
    ) -> None:  # fmt: skip
        self._near, self._far, self._chance = near, far, chance
        self._frames = Frames() if frames else None
        self.faults: set[Fault] = set()
        self.left: int | None = None
        """How many more bytes get through, where it is to be cut."""

    async def run(self) -> None:
        """Carry bytes both ways until both ends have ended, or one has broken."""
        ways = [asyncio.create_task(self._to_server()), asyncio.create_task(self._to_client())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self.close()

    def close(self, *, reset: bool = False) -> None:
        """End both sides: with a FIN, or with a RST."""
        for _, writer in (self._near, self._far):
            if reset and (raw := writer.get_extra_info("socket")) is not None:
                with suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort() if reset else writer.close()

    def half_close(self) -> None:
        """The server hears that the client will say no more; what it says still arrives."""
        with suppress(OSError):
            self._far[1].write_eof()

    async def _to_server(self) -> None:
        while data := await self._near[0].read(CHUNK_BYTES):
            for part, is_text in self._frames.feed(data) if self._frames else [(data, False)]:
                await self._pass(part, self._far[1])
                if is_text and "double" in self.faults:
                    self.faults.discard("double")
                    await self._pass(part, self._far[1])
        self.half_close()

    async def _to_client(self) -> None:
        while data := await self._far[0].read(CHUNK_BYTES):
            await self._pass(data, self._near[1])
        with suppress(OSError):
            self._near[1].write_eof()

    async def _pass(self, data: bytes, to: asyncio.StreamWriter) -> None:
        if "black-hole" in self.faults:
            return
        if "delay" in self.faults:
            await time_passes(self._chance.uniform(*DELAY_SECONDS))
        if self.left is not None:
            data, self.left = data[: self.left], self.left - len(data)
        if "slice" in self.faults:
            for i in range(min(len(data), SLICED_BYTES_MAX)):
                to.write(data[i : i + 1])
                await to.drain()
                await time_passes(0)
            data = data[SLICED_BYTES_MAX:]
        if data:
            to.write(data)
            await to.drain()
        if self.left is not None and self.left <= 0:
            raise ConnectionResetError("cut")


class Proxy:
    """Listens on a port of its own and passes on to one server. `frames`: those who come speak WebSocket."""

    def __init__(self, name: str, host: str, port: int, chance: random.Random, *, frames: bool = False) -> None:
        self.name, self.port, self.frames = name, 0, frames
        self.done: Counter[str] = Counter()
        """What was done to how many connections."""
        self._to, self._chance = (host, port), chance
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lasting: set[Fault] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far = await asyncio.open_connection(*self._to)
        except OSError:  # as if nobody listened here either
            writer.transport.abort()
            return
        for one in (writer, far[1]):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link((reader, writer), far, self._chance, frames=self.frames)
        link.faults |= self._lasting
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    @property
    def open(self) -> int:
        """How many connections go through."""
        return len(self._links)

    @asynccontextmanager
    async def slow(self, fault: Literal["delay", "slice"]) -> AsyncIterator[None]:
        """Delay or slice what goes through, on all connections, also on new ones."""
        self._lasting.add(fault)
        for link in self._links:
            link.faults.add(fault)
        self.done[fault] += len(self._links)
        try:
            yield
        finally:
            self._lasting.discard(fault)
            for link in self._links:
                link.faults.discard(fault)

    def strike(self, fault: Fault, share: float = 1.0) -> list[Link]:
        """Do it to this share of the connections there are, once; the struck ones."""
        struck = [link for link in self._links if self._chance.random() < share]
        for link in struck:
            match fault:
                case "reset":
                    link.close(reset=True)
                case "half-close":
                    link.half_close()
                case "cut":
                    link.left = self._chance.randint(0, CUT_BYTES_MAX)
                case _:
                    link.faults.add(fault)
        self.done[fault] += len(struck)
        return struck

    def heal(self, links: list[Link]) -> None:
        """End what was swallowed on: the way is forgotten by now, as a middlebox would have it."""
        for link in links:
            link.close(reset=True)
