"""A load balancer as small as can be: each connection goes to the first node that takes it; the cable can be cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol

CHUNK_BYTES = 65_536


class Target(Protocol):
    """Something that listens on a port of this machine."""

    port: int


class Front:
    """Listens on one port for all nodes. `cut` is a pulled cable: nothing moves, and nobody is told."""

    def __init__(self) -> None:
        self.targets: Sequence[Target] = ()
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.url = ""

    async def __aenter__(self) -> Front:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """From now on no byte gets through, in either direction."""
        self._open.clear()

    def mend(self) -> None:
        """New connections get through. What was on its way when the cable was cut never arrives."""
        if not self._open.is_set():
            for task in self._tasks:
                task.cancel()
        self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._open.wait()
            await self._join(reader, writer)
        except asyncio.CancelledError:
            pass  # the test is over; asyncio's own callback would call this an error
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for target in self.targets:
            with contextlib.suppress(OSError):
                there = await asyncio.open_connection("127.0.0.1", target.port)
                break
        else:
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, there[1]))
                both.create_task(self._pump(there[0], writer))
        finally:
            there[1].close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(CHUNK_BYTES):
                await self._open.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # a node was killed, or a page closed
        finally:
            sink.close()
