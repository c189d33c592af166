"""The real stack as processes: API nodes and a worker on real servers, to be killed and started by tests."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx2
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from engine.embedded import Embedded
from engine.embedded.process import launched
from engine.live.cluster import Cluster, is_cluster
from engine.settings import load_settings
from tests.loopback import http_client
from tests.until import until
from tests.valkey_cluster import ValkeyCluster

ROOT = Path(__file__).parent.parent
PROGRAM = ("engine.cli",)
READY_SECONDS = 30.0
STOP_SECONDS = 15.0
REDIS_DATABASES = 16
"""As many as Valkey has unless it is told otherwise; 0 is for tests without processes."""
SECRET = "a secret of the tests, long enough to pass"
CODE = re.compile(r"\b\d{6}\b")
_numbers = itertools.count(1)


class Process:
    """One engine process with its log. It ends with us, even when we are killed (Linux)."""

    def __init__(
        self, name: str, arguments: tuple[str, ...], environ: dict[str, str], folder: Path,
        program: tuple[str, ...] = PROGRAM,
    ) -> None:  # fmt: skip
        self.name, self.log = name, folder / f"{name}.log"
        self._command = [sys.executable, "-P", "-m", *program, *arguments]
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, environ: Mapping[str, str] | None = None) -> None:
        """Start it, this time with these variables as well; `ready` is another matter."""
        assert not self.running, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                launched(self._command, who="self", signal=SIGKILL),
                env={**self._environ, **(environ or {})}, cwd=ROOT,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def signal(self, number: Signals) -> None:
        """Send a signal, and return at once."""
        if self.running and self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.signal(SIGKILL)
        if self._process is not None:
            self._process.wait()

    async def stop(self, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM, and its exit status. Raises subprocess.TimeoutExpired."""
        self.signal(SIGTERM)
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, seconds)

    def said(self, bytes_max: int = 4_000) -> str:
        """The end of its log."""
        return self.log.read_bytes()[-bytes_max:].decode(errors="replace") if self.log.exists() else ""


class Node(Process):
    """An API node, on the same port each time it is started."""

    def __init__(
        self, name: str, environ: dict[str, str], folder: Path, program: tuple[str, ...] = PROGRAM
    ) -> None:  # fmt: skip
        self.port = _free_port()
        super().__init__(name, ("serve", "--port", str(self.port)), environ, folder, program)
        self.url = f"http://127.0.0.1:{self.port}"

    async def ready(self) -> float:
        """Wait until it takes work; when that was first seen, in seconds of the Unix epoch."""
        async with http_client() as http:

            async def answers() -> bool:
                assert self.running, f"{self.name} ended while it started:\n{self.said()}"
                try:
                    return (await http.get(f"{self.url}/readyz")).status_code == 200
                except httpx2.TransportError:
                    return False

            await until(answers, READY_SECONDS)
        return time.time()


@dataclass
class Stack:
    """Nodes and workers on one Postgres and one Redis."""

    servers: Embedded
    database_url: str
    redis_url: str
    folder: Path
    nodes: tuple[Node, ...] = ()
    workers: tuple[Process, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    doors: tuple[str, ...] = ()
    """Where clients find the nodes."""

    @classmethod
    async def up(
        cls, servers: Embedded, database_url: str, redis_url: str, folder: Path,
        *, nodes: int = 2, workers: int = 1, program: tuple[str, ...] = PROGRAM,
        first: Mapping[str, Mapping[str, str]] = MappingProxyType({}), **environ: str,
    ) -> Stack:  # fmt: skip
        """Load the questions, start all processes side by side, and wait until the nodes are ready.

        `program`: what is started in place of the engine, given the engine's arguments. `first`: by a process's name,
        what is in its environment this first time only.
        """
        environ = {
            "PATH": os.environ.get("PATH", ""), "HOME": str(folder), "PYTHONPATH": str(ROOT),
            "DATABASE_URL": database_url, "REDIS_URL": redis_url, "ENGINE_SECRET_KEY": SECRET,
            "ENGINE_DATA_DIR": str(folder / "data"), "ENGINE_JUDGE": "offline", **environ,
        }  # fmt: skip
        stack = cls(servers, database_url, redis_url, folder, environ=environ)
        stack.nodes = tuple(Node(f"node{i}", environ, folder, program) for i in range(nodes))
        stack.doors = tuple(node.url for node in stack.nodes)
        stack.workers = tuple(Process(f"worker{i}", ("worker",), environ, folder, program) for i in range(workers))
        await stack.load_packs()
        for process in (*stack.nodes, *stack.workers):
            process.start(first.get(process.name))
        await stack.ready()
        return stack

    async def load_packs(self) -> None:
        from engine.wiring import load_packs

        await load_packs(load_settings(self.environ))

    async def ready(self) -> None:
        """Wait for all nodes that run."""
        await asyncio.gather(*(node.ready() for node in self.nodes if node.running))

    async def down(self) -> None:
        """Stop all; whoever does not is killed."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.gather(*(p.stop() for p in (*self.nodes, *self.workers) if p.running))
        finally:
            for process in (*self.nodes, *self.workers):
                process.kill()

    async def restore(self) -> None:
        """Start again whatever a test has killed."""
        self.servers.ensure()
        await self.live_again()
        for process in (*self.nodes, *self.workers):
            if not process.running:
                process.start()
        await self.ready()

    def kill_valkey(self) -> None:
        """kill -9 of the Redis in use; `servers.ensure()` starts it on its port with its data."""
        self.servers.valkey.kill()

    async def live_again(self) -> None:
        """Wait until Redis, which runs, also serves: a cluster takes its time."""
        valkey = self.servers.valkey
        if isinstance(valkey, ValkeyCluster):
            await until(lambda: asyncio.to_thread(valkey.serves), READY_SECONDS)

    def logs(self) -> str:
        """The end of each log, for a test that fails."""
        return "\n".join(f"--- {p.name}\n{p.said()}" for p in (*self.nodes, *self.workers))


class Candidate:
    """A signed-in user who calls the REST interface of any node. Not made of our client's code."""

    def __init__(self, email: str, access: str) -> None:
        self.email, self.access = email, access
        self._http = http_client(timeout=10)

    @classmethod
    async def sign_in(cls, node: Node, email: str = "") -> Candidate:
        """By a code from the development mailbox; a fresh address unless one is given."""
        email = email or f"candidate{next(_numbers)}.{os.getpid()}@example.com"
        self = cls(email, "")
        sent = await self.call(node, "POST", "/v1/auth/otp", {"email": email})

        async def code() -> str | None:
            mails = await self.call(node, "GET", "/dev/mailbox.json")
            found = [CODE.search(mail["subject"]) for mail in mails if mail["to"] == email]
            return found[0].group() if found and found[0] else None

        body = {"challenge_id": sent["challenge_id"], "code": await until(code)}
        self.access = (await self.call(node, "POST", "/v1/auth/otp/verify", body))["access_token"]
        return self

    async def call(self, node: Node, method: str, path: str, body: Any = None, *, status: int = 0) -> Any:
        """The JSON of the answer, which must have succeeded, or have this status."""
        headers = {"authorization": f"Bearer {self.access}"} if self.access else {}
        answer = await self._http.request(method, node.url + path, json=body, headers=headers)
        right = answer.status_code == status if status else answer.is_success
        assert right, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def start(self, node: Node, slug: str) -> str:
        """Start an interview; its id."""
        started = await self.call(node, "POST", f"/v1/questions/{slug}/interviews")
        return str(started["id"])

    async def close(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def running_stack(
    servers: Embedded,
    template: str,
    folder: Path,
    *,
    nodes: int = 2,
    workers: int = 1,
    first: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    **environ: str,
) -> AsyncIterator[Stack]:
    """A stack with databases of its own in both servers; all of it gone in the end."""
    number = next(_numbers)
    name = f"stack_{number}"
    urls = servers.ensure()
    # Two stacks may run at a time: whoever finds an interview that its record does not know forgets it.
    redis_url = urls.redis if is_cluster(urls.redis) else f"{urls.redis}/{1 + number % (REDIS_DATABASES - 1)}"
    async with every_redis(redis_url) as redises:
        for redis in redises:
            await redis.flushdb()
    await _execute(urls.database, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    database = urlsplit(urls.database)._replace(path=f"/{name}").geturl()
    try:
        stack = await Stack.up(
            servers,
            database,
            redis_url,
            folder,
            nodes=nodes,
            workers=workers,
            program=PROGRAM,
            first=first,
            **environ,
        )
        try:
            yield stack
        finally:
            await stack.down()
    finally:
        await _execute(servers.ensure().database, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def every_redis(url: str) -> AsyncIterator[list[Redis]]:
    """The one Redis at a URL, or each primary of the cluster there."""
    if not is_cluster(url):
        async with Redis.from_url(url) as redis:
            yield [redis]
        return
    async with Cluster(url, Retry(NoBackoff(), 0)) as cluster:
        yield await cluster.primaries()


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
