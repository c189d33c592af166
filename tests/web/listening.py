"""The whole API node in this process, on a port, as `engine serve` runs it; and people who use it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx2
import msgspec
from redis.asyncio import Redis
from starlette.applications import Starlette

from engine.cli import serving
from engine.embedded import Embedded
from engine.identity.logins import Client
from engine.identity.tokens import Access
from engine.live import tickets
from engine.live.tickets import Ticket
from engine.record import accounts
from engine.record.accounts import Address
from engine.settings import Settings, load_settings
from engine.web.parts import Parts
from engine.wiring import build_app, load_packs
from protocol.words import Role
from tests.loopback import http_client
from tests.until import until
from tests.web.documented import checking
from tests.web.raw_socket import RawSocket

QUESTION = "lru-cache-ttl"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in."""

    node: Node
    http: httpx2.AsyncClient
    access: Access
    refresh: str = field(default="", repr=False)

    async def start(self, slug: str = QUESTION) -> str:
        """Start an interview, or go back to the one that runs; its id."""
        answer = await self.http.post(f"/v1/questions/{slug}/interviews")
        assert answer.status_code in (200, 201), answer.text
        id: str = answer.json()["id"]
        return id

    async def ticket(self, interview: str, role: str = "writer", **headers: str) -> str:
        answer = await self.http.post(f"/v1/interviews/{interview}/ticket", json={"role": role}, headers=headers)
        assert answer.status_code == 200, answer.text
        ticket: str = answer.json()["ticket"]
        return ticket

    async def own_ticket(self, interview: str, role: Role = "writer", seconds: float = 900, origin: str = "") -> str:
        """A ticket as the route gives it, past its limit; the login behind it ends in `seconds`."""
        made = Ticket(
            user=str(self.access.user),
            interview=interview,
            role=role,
            origin=origin,
            login=str(self.access.login),
            expires_at=round((time.time() + seconds) * 1000),
        )
        return await tickets.issue(self.node.parts.redis, made)

    async def open(
        self, interview: str, role: Role = "writer", protocol: str = "sdi.v1.json", seconds: float = 900
    ) -> RawSocket:
        """A socket that was accepted and has not said hello."""
        socket = await self.node.connect()
        answer = await socket.upgrade(protocol, "ticket." + await self.own_ticket(interview, role, seconds))
        assert answer.status == 101, answer
        return socket

    async def join(self, interview: str, role: Role = "writer", **hello: Any) -> RawSocket:
        """A socket that was welcomed."""
        socket = await self.open(interview, role)
        await socket.hello(**hello)
        return socket


@dataclass
class Node:
    """A node that listens on `settings.port`."""

    settings: Settings
    app: Starlette
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    sockets: list[RawSocket] = field(default_factory=list)
    clients: list[httpx2.AsyncClient] = field(default_factory=list)

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.state.parts
        return parts

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    async def connect(self, **options: Any) -> RawSocket:
        self.sockets.append(await RawSocket.connect(self.settings.port, **options))
        return self.sockets[-1]

    async def person(self) -> Person:
        """A new user with an access token: signing in has tests of its own."""
        email = f"user{next(_numbers)}@example.com"
        async with self.parts.engine.begin() as connection:
            user = await accounts.user_by_address(connection, Address(email, email), datetime.now(UTC))
            tokens = await self.parts.logins.open(connection, user, Client(browser="", address=""), "code")
        headers = {"authorization": f"Bearer {tokens.access}"}
        self.clients.append(http_client(base_url=self.url, headers=headers, event_hooks=checking(self.settings)))
        return Person(self, self.clients[-1], await self.parts.logins.who(tokens.access), tokens.refresh)

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        """Rows of the record."""
        connection = await asyncpg.connect(self.settings.database_url)
        try:
            return list(await connection.fetch(sql, *args))
        finally:
            await connection.close()

    def closed_with(self, code: int) -> float:
        """How many sockets this node has closed with `code`."""
        return float(self.parts.metrics.sockets_closed.labels(str(code))._value.get())

    @property
    def open_sockets(self) -> float:
        return float(self.parts.metrics.sockets_open._value.get())

    async def forget(self) -> None:
        """Let go of everybody who came."""
        for socket in self.sockets:
            socket.close()
        for client in self.clients:
            await client.aclose()


@asynccontextmanager
async def fresh_settings(servers: Embedded, template: str, data_dir: Path, **changes: Any) -> AsyncIterator[Settings]:
    """Settings on a database of its own, with the questions loaded, and an emptied Valkey."""
    urls, name = servers.ensure(), f"listening_{next(_numbers)}"
    admin = await asyncpg.connect(urls.database)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    async with Redis.from_url(urls.redis) as redis:
        await redis.flushdb()
    settings = load_settings(
        {},
        database_url=urlsplit(urls.database)._replace(path=f"/{name}").geturl(),
        redis_url=urls.redis,
        secret_key="a secret of the tests, long enough to pass",
        data_dir=data_dir,
        judge="offline",
        **{"drain_seconds": 2.0, **changes},
    )
    await load_packs(settings)
    try:
        yield settings
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[Node]:
    """One node on any free port, ready; stopped cleanly at the end."""
    async with AsyncExitStack() as stack:
        socket = serving.listen(msgspec.structs.replace(settings, port=0))
        settings = msgspec.structs.replace(settings, port=socket.getsockname()[1])
        node = Node(settings, build_app(settings))
        task = asyncio.create_task(serving.serve(node.app, settings, socket, node.stop))
        stack.push_async_callback(asyncio.wait, {task})
        stack.callback(node.stop.set)
        stack.push_async_callback(node.forget)
        async with http_client(base_url=node.url) as client:
            await until(lambda: _ready(client, task))
        yield node
    task.result()


async def _ready(client: httpx2.AsyncClient, task: asyncio.Task[None]) -> bool:
    if task.done():
        task.result()
    return (await client.get("/readyz")).status_code == 200
