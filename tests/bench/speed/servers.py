"""What is measured: the floors and a real node, each with its load, on a real Postgres and Valkey.

The floors and the engine have two of these each, for a node that idles polls its own.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import msgspec
from redis.asyncio import Redis

from engine.embedded import Embedded
from engine.embedded.process import launched
from engine.live import tickets
from engine.live.tickets import Ticket
from engine.settings import load_settings
from engine.wiring import load_packs, migrate
from protocol.words import SUBPROTOCOL_JSON, TICKET_PREFIX
from tests.bench.speed.client import draft_frame
from tests.bench.speed.processes import cpu_seconds
from tests.loopback import http_client
from tests.stack import ROOT, SECRET
from tests.until import until

QUESTION = "lru-cache-ttl"
FLOORS = {"F0": "floor_echo", "F1": "floor_live", "F2": "floor_record"}
ENGINE = "engine"
TICKETS_AT_ONCE = 100
"""A ticket is good for 30 s: no more of them than can be used by then, on a busy machine too."""
PARALLEL = 8
HOUR_MS = 3_600_000
READY_SECONDS, ANSWER_SECONDS = 300.0, 5.0
LOG_CHARS = 3_000
PORT = "PORT"
"""Stands for the port in a command."""
PLANT_USERS = """
INSERT INTO users (id, email, email_key)
SELECT u, u || '@example.com', u || '@example.com' FROM unnest($1::uuid[]) u
"""
PLANT_INTERVIEWS = """
INSERT INTO interview_sessions (id, user_id, question_id, pack_hash, phase, started_at, deadline_at, clarify_seconds,
                                design_seconds)
SELECT p.id, p.user_id, q.id, q.pack_hash, 'clarifying', now(), now() + make_interval(secs => q.clarify_seconds),
       q.clarify_seconds, q.design_seconds
FROM unnest($1::uuid[], $2::uuid[]) p(id, user_id), questions q WHERE q.slug = $3
"""


class Load:
    """The load's process, as the harness sees it."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.speed.load",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=2**20,
        )  # fmt: skip

    async def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """One command, and its answer. Raises RuntimeError with what went wrong."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(msgspec.json.encode({"do": do, **more}) + b"\n")
        line = await process.stdout.readline()
        answer: dict[str, Any] = msgspec.json.decode(line) if line else {"error": "the load ended"}
        if "error" in answer:
            raise RuntimeError(f"{do}: {answer['error']}")
        return answer

    async def stop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()


@dataclass
class Place:
    """Where servers live: one Postgres, one Valkey."""

    embedded: Embedded
    database_url: str
    redis_url: str
    folder: Path

    def cpu(self) -> tuple[float, float]:
        """(Redis, Postgres), in seconds since they started."""
        valkey, postgres = self.embedded.valkey.pid, self.embedded.postgres.pid
        assert valkey is not None and postgres is not None
        return cpu_seconds(valkey), cpu_seconds(postgres)


@dataclass
class Server:
    """One server under load: `name` is F0, F1, F2 or the engine."""

    name: str
    place: Place
    pid: int
    port: int
    load: Load = field(default_factory=Load)
    interviews: list[tuple[UUID, UUID]] = field(default_factory=list)
    """(interview, user), the engine's only."""

    head: int = 0
    """The last event of each interview, where all have had the same."""

    @property
    def is_engine(self) -> bool:
        return self.name.startswith(ENGINE)

    def cpu(self) -> tuple[float, float, float]:
        """(API, Redis, Postgres), in seconds since they started."""
        return cpu_seconds(self.pid), *self.place.cpu()

    async def plant(self, count: int, tag: str = "") -> list[str]:
        """So many new interviews, each of a user of its own; their ids. A floor's interview is just a name."""
        if not self.is_engine:
            return [f"{self.name}-{tag}{number}" for number in range(count)]
        interviews, users = [uuid4() for _ in range(count)], [uuid4() for _ in range(count)]
        connection = await asyncpg.connect(self.place.database_url)
        try:
            await connection.execute(PLANT_USERS, users)
            await connection.execute(PLANT_INTERVIEWS, interviews, users, QUESTION)
        finally:
            await connection.close()
        self.interviews += zip(interviews, users, strict=True)
        return [str(one) for one in interviews]

    async def connect(
        self,
        ids: Sequence[str],
        first: Sequence[dict[str, Any]] | None = None,
        *,
        rev: int = 1,
        parallel: int = PARALLEL,
        batch: int = TICKETS_AT_ONCE,
    ) -> list[dict[str, Any]]:
        """Sockets of these interviews, in batches; what the load tells of each. First a draft is put in place."""
        frames = self.first_frames() if first is None else list(first)
        done = "draft.save" if self.name == "F0" else "ack"
        told = []
        for start in range(0, len(ids), batch):
            sockets = [
                {"protocols": protocols, "first": frames, "done": done, "rev": rev}
                for protocols in await self._protocols(ids[start : start + batch])
            ]
            told.append(
                await self.load.ask("connect", host="127.0.0.1", port=self.port, sockets=sockets, parallel=parallel)
            )
        return told

    def first_frames(self) -> list[dict[str, Any]]:
        """What brings an interview to where its code is edited."""
        if self.name == "F0":
            return []
        self.head = 2 if self.is_engine else 1
        proceed = [{"t": "phase.proceed", "id": "first-proceed", "d": {}}] if self.is_engine else []
        return [hello(), *proceed, draft_frame(0, "first-save")]

    def resumed(self, behind: int = 0) -> list[dict[str, Any]]:
        """What a client says that comes back: it has all but the last so many events of `heads`."""
        s = self.head - behind
        return [hello(resume={"epoch": 1, "s": s})]

    async def _protocols(self, ids: Sequence[str]) -> list[str]:
        if not self.is_engine:
            return [f"{SUBPROTOCOL_JSON}, {TICKET_PREFIX}{id}" for id in ids]
        users = {str(interview): str(user) for interview, user in self.interviews}
        ends = time.time_ns() // 1_000_000 + HOUR_MS
        async with Redis.from_url(self.place.redis_url) as redis:
            given = [
                await tickets.issue(
                    redis,
                    Ticket(user=users[id], interview=id, role="writer", origin="", login=str(uuid4()), expires_at=ends),
                )
                for id in ids
            ]
        return [f"{SUBPROTOCOL_JSON}, {TICKET_PREFIX}{ticket}" for ticket in given]


def hello(**more: Any) -> dict[str, Any]:
    """A tab comes in."""
    return {"t": "hello", "d": {"proto": 1, "tab": "bench", "write": True, **more}}


@asynccontextmanager
async def running(folder: Path, names: Sequence[str], *flags: str) -> AsyncIterator[dict[str, Server]]:
    """These servers, started and ready, each with its load. `flags` go to the floors."""
    folder.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        places: dict[str, Place] = {}
        servers: dict[str, Server] = {}
        for name in names:
            kind = ENGINE if name.startswith(ENGINE) else "floor"
            if kind not in places:
                places[kind] = await stack.enter_async_context(a_place(folder / kind))
            command = node_command() if kind == ENGINE else floor_command(name, *flags)
            servers[name] = await stack.enter_async_context(a_server(name, places[kind], command))
        yield servers


def floor_command(name: str, *flags: str) -> tuple[str, ...]:
    """F1b is a second F1."""
    return (sys.executable, "-P", "-m", f"tests.bench.speed.{FLOORS[name[:2]]}", *flags, PORT)


def node_command(module: str = "engine.cli") -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", module, "serve", "--port", PORT)


@asynccontextmanager
async def a_place(folder: Path, packs: Sequence[Path] = ()) -> AsyncIterator[Place]:
    """Postgres and Valkey as `engine up` has them: durable; with the tables, and the questions that ship."""
    with Embedded(folder, durable=True) as embedded:
        urls = embedded.ensure()
        settings = load_settings({}, database_url=urls.database)
        await migrate(settings)
        await load_packs(settings, packs)
        yield Place(embedded, urls.database, urls.redis, folder)


@asynccontextmanager
async def a_server(name: str, place: Place, command: Sequence[str]) -> AsyncIterator[Server]:
    """One server and its load, until the end of the block. If that fails, what the server said is told as well."""
    port = _free_port()
    log = place.folder / f"{name}.log"
    process = _started([str(port) if word == PORT else word for word in command], place, log)
    server = Server(name, place, process.pid, port)
    try:
        await until(lambda: _ready(process, port), READY_SECONDS)
        await server.load.start()
        yield server
    except (AssertionError, RuntimeError, TimeoutError) as error:
        error.add_note(f"{name} said:\n{log.read_text(errors='replace')[-LOG_CHARS:]}")
        raise
    finally:
        await server.load.stop()
        process.kill()
        process.wait()


def _started(command: Sequence[str], place: Place, log: Path) -> subprocess.Popen[bytes]:
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(place.folder), "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0",
        "DATABASE_URL": place.database_url, "REDIS_URL": place.redis_url, "ENGINE_SECRET_KEY": SECRET,
        "ENGINE_DATA_DIR": str(place.folder / "data"), "ENGINE_JUDGE": "offline",
    }  # fmt: skip
    with log.open("wb") as said:
        return subprocess.Popen(
            launched(command, who="self", signal=SIGKILL),
            env=environ, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip


async def _ready(process: subprocess.Popen[bytes], port: int) -> bool:
    """A node says so; a floor answers that it knows no such page."""
    assert process.poll() is None, "it ended while it started"
    async with http_client(timeout=ANSWER_SECONDS) as http:
        try:
            return (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code in (200, 404)
        except httpx2.TransportError:
            return False


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
