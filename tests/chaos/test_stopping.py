"""SIGTERM while somebody does not answer: a node ends all the same, in time and cleanly."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from socket import SO_RCVBUF, SOL_SOCKET
from socket import socket as plain_socket
from typing import Any

from starlette.applications import Starlette

from engine.cli import serving
from engine.embedded import Embedded
from engine.settings import Settings, load_settings
from tests.chaos.drain import EXIT_SECONDS_MAX
from tests.stack import Candidate, Node, running_stack
from tests.until import time_passes
from tests.web.raw_socket import RawSocket

DRAIN_SECONDS = 0.5
END_SECONDS_MAX = EXIT_SECONDS_MAX - Settings().drain_seconds + DRAIN_SECONDS
"""What is left of the promise for this drain."""
AT_ONCE = 16
"""More than a pool has connections to Postgres."""
FIELD_BYTES, SAVES = 60_000, 6
"""More than the system keeps for a client that does not read, and less than what ends its socket; within its budget."""


async def test_a_node_ends_in_time_whoever_does_not_answer(servers: Embedded, template: str, tmp_path: Path) -> None:
    drain = str(DRAIN_SECONDS)
    async with running_stack(servers, template, tmp_path, nodes=3, workers=0, ENGINE_DRAIN_SECONDS=drain) as stack:
        guests = [await Guest.come(node) for node in stack.nodes]
        try:
            for guest, server in zip(guests, (None, servers.postgres, servers.valkey), strict=True):
                await guest.use_much()
                with stopped(server.pid if server else None):
                    guest.save()
                    assert await guest.stop() == (0, True), stack.logs()
        finally:
            for guest in guests:
                await guest.leave()


async def test_a_node_that_is_told_to_stop_while_it_starts_does_so() -> None:
    @asynccontextmanager
    async def slow(app: Starlette) -> AsyncIterator[None]:
        await time_passes(0.1)
        yield

    settings, stop = load_settings({}, port=0), asyncio.Event()
    stop.set()
    await serving.serve(Starlette(lifespan=slow), settings, serving.listen(settings), stop)


class Guest:
    """Somebody with an interview at one node, who saves by one socket and reads nothing of another."""

    def __init__(self, node: Node, person: Candidate, interview: str) -> None:
        self._node, self._person, self._interview = node, person, interview
        self._writer: RawSocket
        self._deaf: RawSocket

    @classmethod
    async def come(cls, node: Node) -> Guest:
        person = await Candidate.sign_in(node)
        guest = cls(node, person, await person.start(node, "lru-cache-ttl"))
        guest._writer, guest._deaf = await guest._socket(), await guest._socket(write=False)
        guest._deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        return guest

    async def use_much(self) -> None:
        """All connections of the pool, and what the system has room for in the deaf one's socket."""
        listed = [self._person.call(self._node, "GET", "/v1/interviews") for _ in range(AT_ONCE)]
        await asyncio.gather(*listed)
        for rev in range(SAVES):
            ack = await self._writer.command("draft.save", _save(rev, chr(ord("a") + rev) * FIELD_BYTES))
            assert ack["t"] == "ack", ack

    def save(self) -> None:
        """Ask for something, and do not wait for it."""
        self._writer.send("draft.save", _save(SAVES, "last words"), id="last-words")

    async def stop(self) -> tuple[int, bool]:
        """Exit status, and whether it came in time."""
        began = time.monotonic()
        status = await self._node.stop(2 * EXIT_SECONDS_MAX)
        return status, time.monotonic() - began < END_SECONDS_MAX

    async def leave(self) -> None:
        self._writer.close()
        self._deaf.close()
        await self._person.close()

    async def _socket(self, **hello: Any) -> RawSocket:
        path = f"/v1/interviews/{self._interview}/ticket"
        ticket = (await self._person.call(self._node, "POST", path, {}))["ticket"]
        line = plain_socket()
        line.setsockopt(SOL_SOCKET, SO_RCVBUF, 4_096)
        line.setblocking(False)
        await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", self._node.port))
        socket = RawSocket(*await asyncio.open_connection(sock=line))
        await socket.upgrade("sdi.v1.json", f"ticket.{ticket}")
        await socket.hello(**hello)
        return socket


def _save(base: int, text: str) -> dict[str, Any]:
    return {"base": base, "changes": [{"field": "functional_req", "text": text}]}


@contextmanager
def stopped(pid: int | None) -> Iterator[None]:
    """It and its children answer nothing and close nothing: the worst way to be away."""
    pids = list(_family(pid)) if pid is not None else []
    for one in pids:
        os.kill(one, SIGSTOP)
    try:
        yield
    finally:
        for one in reversed(pids):
            os.kill(one, SIGCONT)


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _family(int(child))
