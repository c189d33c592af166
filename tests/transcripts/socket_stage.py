"""A real server on a port, and a client of the `websockets` package that knows the protocol and nothing of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.asyncio.client import ClientConnection, connect

from engine.cli import serving
from engine.conductor import deadlines
from engine.core.interview import Interview
from engine.live import tickets
from engine.live.tickets import Ticket
from engine.web.routes_socket import SOCKET_PATH, upgrades
from engine.web.sockets import Sockets
from engine.wiring import Backbone
from protocol.words import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, TICKET_PREFIX
from tests.conductor.nodes import Nodes, start
from tests.transcripts.core_stage import event
from tests.transcripts.script import PACK

HEAR_SECONDS = 10.0
FOR_EVER = 2**53


@asynccontextmanager
async def listening(node: Backbone) -> AsyncIterator[str]:
    """The socket's route of this node on a port; its address."""
    sockets = Sockets(node.settings, node.conductor, node.fanout, node.metrics)
    app = Starlette(routes=[Mount("/", upgrades(sockets))])
    settings = msgspec.structs.replace(node.settings, port=0)
    stop, socket = asyncio.Event(), serving.listen(settings)
    task = asyncio.create_task(serving.serve(app, settings, socket, stop))
    try:
        yield f"ws://127.0.0.1:{socket.getsockname()[1]}{SOCKET_PATH}"
    finally:
        stop.set()
        await task


class SocketStage:
    """One client, in either encoding; the connection that is cut comes back to the other node."""

    def __init__(self, nodes: Nodes, addresses: list[str], interview: str, subprotocol: str) -> None:
        self._nodes, self._addresses, self._interview = nodes, addresses, interview
        self._subprotocol, self._binary = subprotocol, subprotocol == SUBPROTOCOL_MSGPACK
        self._socket: ClientConnection | None = None
        self._fence: Any = None
        self._cursor: Any = None
        self._announced = 0

    @classmethod
    async def open(cls, nodes: Nodes, addresses: list[str], subprotocol: str = SUBPROTOCOL_JSON) -> SocketStage:
        """A fresh interview, and a client in it."""
        stage = cls(nodes, addresses, await start(nodes.first, slug=PACK.id), subprotocol)
        welcome = await stage._come_in()
        assert (welcome["mode"], welcome["role"], welcome["head"]) == ("snapshot", "writer", 0)
        return stage

    async def says(self, frame: dict[str, Any]) -> None:
        assert self._socket is not None
        if self._binary:
            await self._socket.send(msgspec.msgpack.encode(frame))
        else:
            await self._socket.send(msgspec.json.encode(frame).decode())

    async def hears(self) -> dict[str, Any]:
        assert self._socket is not None
        async with asyncio.timeout(HEAR_SECONDS):
            data = await self._socket.recv()
        assert isinstance(data, bytes) == self._binary
        frame: dict[str, Any] = msgspec.msgpack.decode(data) if isinstance(data, bytes) else msgspec.json.decode(data)
        if "s" in frame and frame["t"] != "ack":
            assert frame["s"] == self._cursor["s"] + 1
            self._cursor["s"] = frame["s"]
        return frame

    async def hears_nothing(self) -> None:
        """What is asked now is answered next."""
        await self.says({"t": "time", "d": {"t0": 12.5}})
        answer = await self.hears()
        assert answer["t"] == "time" and answer["d"]["t0"] == 12.5, answer

    async def works(self, kind: str, body: dict[str, Any]) -> None:
        self._announced += 1
        id = f"eval:{self._announced}"
        await self._nodes.all[0].conductor.announce(self._interview, id, event(kind, body))

    async def waits(self, ms: int, *, from_deadline: bool) -> None:
        if from_deadline:
            self._nodes.until((await self.ends()).deadline_at + ms)
        else:
            self._nodes.later(ms)
        await deadlines.poll(self._nodes.first.conductor)

    async def is_cut(self) -> None:
        assert self._socket is not None
        self._socket.transport.abort()
        self._addresses.reverse()
        assert (await self._come_in())["mode"] == "noop"

    async def ends(self) -> Interview:
        return (await self._nodes.first.conductor.load(self._interview)).interview

    async def _come_in(self) -> dict[str, Any]:
        opaque = await tickets.issue(self._nodes.first.redis, self._ticket())
        offered: Any = [self._subprotocol, TICKET_PREFIX + opaque]
        self._socket = await connect(self._addresses[0], subprotocols=offered, compression=None)
        hello = {"proto": 1, "tab": "tab", "fence": self._fence, "resume": self._cursor}
        await self.says({"t": "hello", "d": hello})
        welcome = (await self.hears())["d"]
        self._fence, self._cursor = welcome["fence"], {"epoch": welcome["epoch"], "s": welcome["head"]}
        resumed = await self.hears()
        assert resumed == {"t": "resumed", "d": {"s": welcome["head"]}}
        found: dict[str, Any] = welcome
        return found

    def _ticket(self) -> Ticket:
        return Ticket(
            user="nobody in particular", interview=self._interview, role="writer", origin="", login=str(uuid4()),
            expires_at=FOR_EVER,
        )  # fmt: skip

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()
