"""Breaks things at random instants: kills processes and servers, and starts them again, by wrong clocks; empties Redis;
cuts off doorbells; stops, locks and exhausts what serves; has a worker sleep until its lease is over."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from tempfile import TemporaryDirectory

import asyncpg
from redis.exceptions import RedisError

from engine.live.cluster import is_cluster
from engine.recorder import AWAY
from tests.chaos.history import History, Outage
from tests.chaos.outages import LOCKS, frozen, locked, no_connections
from tests.chaos.proxy import FAULTS, FAULTS_OF_ANY
from tests.chaos.skew import VARIABLE, WRONG_MS
from tests.chaos.ways import Ways
from tests.stack import Node, Process, Stack, every_redis
from tests.until import cancelled, time_passes, until

REST_SECONDS = (0.2, 1.2)
"""Between two faults of the same service."""
STORM_REST_SECONDS = (0.5, 3.0)
"""Longer: a node takes seconds to start, and what befalls nobody at work shows nothing."""
DOWN_SECONDS = (0.0, 0.4)
"""How long a process stays dead; starting it takes longer."""
START_SECONDS = 90.0
"""A worker that starts while Valkey is away ends, and is started again; on a busy machine each start takes seconds."""
LAG_SECONDS = 0.3
"""This process runs on the same machine: when it cannot get on, neither can the engine."""

PAUSE_SECONDS = 4.5
"""Twice a trial's lease: another worker has found the run, and ended it, before the sleeper wakes."""
BUSY_SECONDS = 3.0
BELL_SECONDS = (0.1, 0.5)
FROZEN_SECONDS = (0.3, 5.0)
LAG_SECONDS_OF_REPLICA = (0.1, 1.0)
"""Around the timeouts: 4 s of a statement, 5 s of an answer of Redis."""
WAY_REST_SECONDS, WAY_SECONDS = (0.1, 0.8), (0.2, 2.0)
STRUCK = 0.5
"""The share of a way's connections that a fault strikes."""
DIGITS = "0123456789"

Fault = Callable[[random.Random], Awaitable[None]]


@dataclass
class Nemesis:
    """Faults of one stack, until each service has had its share."""

    stack: Stack
    history: History
    chance: random.Random
    ways: Ways | None = None
    done: list[str] = field(default_factory=list)
    """What was broken and is well again, in order."""
    exits: list[tuple[int, float]] = field(default_factory=list)
    """Status and seconds of each drained node."""
    _rest_seconds: tuple[float, float] = REST_SECONDS
    _began: dict[str, float] = field(default_factory=dict)
    _hands: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """Of a process: one starts it at a time."""
    _lasting: list[asyncio.Future[None]] = field(default_factory=list)

    async def kills(self, each: int, flushes: int) -> None:
        """Kill nodes, workers and Valkey `each` times, and empty Redis `flushes` times; all of them side by side."""
        nodes, workers = self.stack.nodes, self.stack.workers
        shares: list[tuple[Fault, int]] = [(self._valkey, each), (self._flush, flushes)]
        for kind in (nodes, workers):
            shares += [(partial(self._kill, process), _share(each, i, kind)) for i, process in enumerate(kind)]
        async with asyncio.TaskGroup() as group:
            for fault, times in shares:
                group.create_task(self._again_and_again(fault, times, random.Random(self.chance.random())))

    async def storm(self, each: int, flushes: int, pauses: int) -> None:
        """The same, and workers fall asleep over their work, and servers are there and do not serve. From now until
        `calm`, no doorbell rings for long, and every way has its troubles.
        """
        self._rest_seconds = STORM_REST_SECONDS
        self._last(self._cut_doorbells)
        if self.ways is not None:
            self._last(self._trouble_on_the_way)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.kills(each, flushes))
            group.create_task(self._pauses(pauses, random.Random(self.chance.random())))
            group.create_task(self._others(each, random.Random(self.chance.random())))

    def _last(self, trouble: Fault) -> None:
        self._lasting.append(asyncio.ensure_future(trouble(random.Random(self.chance.random()))))

    async def calm(self) -> None:
        """End what goes on when the rest is over."""
        await cancelled(self._lasting)
        for lasting in self._lasting:
            if not lasting.cancelled():
                lasting.result()
        self._lasting.clear()

    async def _others(self, times: int, chance: random.Random) -> None:
        """Other faults, one at a time, each kind before any comes again."""
        kinds = [self._postgres, self._freeze_postgres, self._freeze_valkey, self._freeze_node, self._term,
                 self._lock, self._take_connections]  # fmt: skip
        if not is_cluster(self.stack.redis_url):
            kinds += [self._lose_valkey, self._fail_over]
        for i in range(times):
            if i % len(kinds) == 0:
                chance.shuffle(kinds)
            await time_passes(chance.uniform(*REST_SECONDS))
            with suppress(*AWAY):  # of two faults at once the other was first
                await kinds[i % len(kinds)](chance)

    async def _postgres(self, chance: random.Random) -> None:
        self.stack.servers.postgres.kill()
        self._down("postgres")
        await time_passes(chance.uniform(*DOWN_SECONDS))
        self.stack.servers.ensure()
        self._note("postgres")

    async def _lose_valkey(self, chance: random.Random) -> None:
        """It comes back without its append-only file."""
        await self._come_back(chance, "valkey empty", lambda: self.stack.servers.valkey.wipe())

    async def _fail_over(self, chance: random.Random) -> None:
        """A replica that lags takes its place: all that came after a moment is forgotten."""
        data = self.stack.servers.home / "valkey"
        with TemporaryDirectory() as folder:
            lagging = Path(folder) / "valkey"
            with suppress(shutil.Error, FileNotFoundError):  # it writes a file anew just now
                shutil.copytree(data, lagging)
                await time_passes(chance.uniform(*LAG_SECONDS_OF_REPLICA))

                def take_its_place() -> None:
                    shutil.rmtree(data)
                    shutil.copytree(lagging, data)

                await self._come_back(chance, "valkey fails over", take_its_place)

    async def _come_back(self, chance: random.Random, what: str, changed: Callable[[], None]) -> None:
        async with self._hands["valkey"], self._away(what, "valkey"):
            self.stack.kill_valkey()
            await until(lambda: self.stack.servers.valkey.pid is None)
            changed()
            await time_passes(chance.uniform(*DOWN_SECONDS))
            self.stack.servers.ensure()
            await self.stack.live_again()

    async def _freeze_postgres(self, chance: random.Random) -> None:
        pid = self.stack.servers.postgres.pid
        if pid is not None:
            async with self._away("freeze postgres", "postgres"), frozen(pid):
                await time_passes(chance.uniform(*FROZEN_SECONDS))

    async def _freeze_valkey(self, chance: random.Random) -> None:
        pid = self.stack.servers.valkey.pid
        if pid is not None:
            async with self._away("freeze valkey", "valkey"), frozen(pid):
                await time_passes(chance.uniform(*FROZEN_SECONDS))

    async def _freeze_node(self, chance: random.Random) -> None:
        node = chance.choice(self.stack.nodes)
        if node.running:
            async with self._away("freeze node", node.name), frozen(node.pid):
                await time_passes(chance.uniform(*FROZEN_SECONDS))

    async def _term(self, chance: random.Random) -> None:
        """SIGTERM under load, as when the version changes."""
        process = chance.choice([*self.stack.nodes, *self.stack.workers])
        async with self._hands[process.name]:
            if process.running:
                began = time.monotonic()
                self.exits.append((await process.stop(), time.monotonic() - began))
                async with self._away(f"term {process.name.rstrip(DIGITS)}", process.name):
                    await self._start(process)

    async def _lock(self, chance: random.Random) -> None:
        async with self._away("lock", "postgres"), locked(self.stack.database_url, chance.choice(LOCKS)):
            await time_passes(chance.uniform(*FROZEN_SECONDS))

    async def _take_connections(self, chance: random.Random) -> None:
        async with self._away("no connections", "postgres"), no_connections(self.stack.database_url):
            await time_passes(chance.uniform(*FROZEN_SECONDS))

    async def _trouble_on_the_way(self, chance: random.Random) -> None:
        """Of one way after the other, drawn by lot."""
        assert self.ways is not None
        while True:
            await time_passes(chance.uniform(*WAY_REST_SECONDS))
            proxy = chance.choice(list(self.ways))
            fault = chance.choice(FAULTS if proxy.frames else FAULTS_OF_ANY)
            if fault in ("delay", "slice"):
                async with proxy.slow(fault), self._away("", proxy.name):
                    await time_passes(chance.uniform(*WAY_SECONDS))
            elif fault == "black-hole":
                struck = proxy.strike(fault, STRUCK)
                async with self._away("", proxy.name):
                    try:
                        await time_passes(chance.uniform(*WAY_SECONDS))
                    finally:
                        proxy.heal(struck)
            else:
                proxy.strike(fault, STRUCK)

    @asynccontextmanager
    async def _away(self, what: str, of: str) -> AsyncIterator[None]:
        """Count it, and note that this service was away for so long."""
        began = time.time()
        try:
            yield
        finally:
            if what:
                self.done.append(what)
            self.history.outages.append(Outage(of=of, began=began, ended=time.time()))

    async def _cut_doorbells(self, chance: random.Random) -> None:
        while True:
            await time_passes(chance.uniform(*BELL_SECONDS))
            with suppress(RedisError):  # it is away itself
                async with every_redis(self.stack.redis_url) as redises:
                    for redis in redises:
                        await redis.client_kill_filter(_type="pubsub")
                self.done.append("doorbells")

    async def _pauses(self, times: int, chance: random.Random) -> None:
        for _ in range(times):
            await time_passes(chance.uniform(*REST_SECONDS))
            worker: Process | None = None
            with suppress(TimeoutError):
                worker = await until(self._judging, BUSY_SECONDS)
            worker = worker or chance.choice(self.stack.workers)
            worker.signal(SIGSTOP)
            await time_passes(PAUSE_SECONDS)
            worker.signal(SIGCONT)
            self.done.append("pause")

    async def _judging(self) -> Process | None:
        """A worker that has a run in hand, by its log."""
        sql = "SELECT interview_id::text FROM evaluation_runs WHERE state = 'running' AND lease_until > now()"
        try:
            connection = await asyncpg.connect(self.stack.database_url, timeout=BUSY_SECONDS)
            ids = [row[0].encode() for row in await connection.fetch(sql, timeout=BUSY_SECONDS)]
            connection.terminate()
        except AWAY:
            return None
        for worker in self.stack.workers:
            said = worker.log.read_bytes().rpartition(b"worker_started")[2].splitlines()
            if any(b"evaluation_claimed" in line and id in line for line in said for id in ids):
                return worker
        return None

    async def drains(self, rounds: int) -> None:
        """SIGTERM to one node after the other, as a rolling update does; how each ended is noted."""
        for node in self.stack.nodes * rounds:
            await time_passes(self.chance.uniform(*REST_SECONDS))
            began = time.monotonic()
            self.exits.append((await node.stop(), time.monotonic() - began))
            self.done.append(node.name)
            node.start()
            await node.ready()

    async def _again_and_again(self, fault: Fault, times: int, chance: random.Random) -> None:
        for _ in range(times):
            await time_passes(chance.uniform(*self._rest_seconds))
            await fault(chance)

    async def again(
        self, process: Process, down_seconds: float = 0.0, environ: Mapping[str, str] | None = None
    ) -> None:
        """kill -9, unless it is dead; started again, this time with these variables; and wait until it is at work."""
        async with self._hands[process.name]:
            process.kill()
            self._down(process.name)
            await time_passes(down_seconds)
            await self._start(process, environ)
            self._note(process.name)

    async def _start(self, process: Process, environ: Mapping[str, str] | None = None) -> None:
        said = process.log.stat().st_size
        process.start(environ)
        await (self._ready(process) if isinstance(process, Node) else self._at_work(process, said))

    async def _ready(self, node: Node) -> None:
        while True:
            try:
                await node.ready()
                break
            except AssertionError:  # it ended, for Valkey was away as well: a supervisor would start it again
                node.start()

    async def _at_work(self, worker: Process, said: int) -> None:
        def at_work() -> bool:
            if not worker.running:
                worker.start()
            return b"worker_started" in worker.log.read_bytes()[said:]

        await until(at_work, START_SECONDS)

    async def _kill(self, process: Process, chance: random.Random) -> None:
        await self.again(process, chance.uniform(*DOWN_SECONDS), {VARIABLE: str(chance.choice(WRONG_MS))})

    async def _valkey(self, chance: random.Random) -> None:
        async with self._hands["valkey"]:
            self.stack.kill_valkey()
            self._down("valkey")
            await time_passes(chance.uniform(*DOWN_SECONDS))
            self.stack.servers.ensure()
            await self.stack.live_again()
            self._note("valkey")

    async def _flush(self, chance: random.Random) -> None:
        while True:
            with suppress(RedisError):  # killed at this very instant
                self._down("flush")
                async with every_redis(self.stack.redis_url) as redises:
                    for redis in redises:
                        await redis.flushall()
                break
        self._note("flush")

    def _down(self, name: str) -> None:
        self._began[name] = time.time()

    def _note(self, name: str) -> None:
        """It serves again: an outage is over."""
        self.done.append(name)
        self.history.outages.append(Outage(of=name, began=self._began[name], ended=time.time()))

    async def watch_this_machine(self) -> None:
        """Note when even this loop had to wait."""
        while True:
            began = time.time()
            await time_passes(0.05)
            if (ended := time.time()) - began > 0.05 + LAG_SECONDS:
                self.history.outages.append(Outage(of="machine", began=began, ended=ended))


def _share(count: int, i: int, among: Sequence[object]) -> int:
    """Of `count`, as evenly as it goes."""
    return count // len(among) + (i < count % len(among))
