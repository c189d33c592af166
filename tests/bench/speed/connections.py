"""Connections: what one weighs that is idle, a storm of them that come back, and one that has missed much."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import asyncpg

from tests.bench.speed.figures import MICROSECONDS, Goal, Spread, against, spread, table
from tests.bench.speed.processes import family, pss_kib
from tests.bench.speed.saying import say
from tests.bench.speed.servers import ENGINE, Server, running
from tests.until import time_passes

WARM = 200
IDLE, MANY = 2_000, 10_000
STORMS = (2_000, 5_000)
AT_ONCE, STORM_BATCH = 200, 1_000
MISSED, MISSED_EACH, BEHIND = 100, 50, 200
"""Interviews; saves a socket, which has a budget of 60 at once; events behind."""
RESUMES = 3
STATISTICS_SECONDS = 11.0
"""By then each backend of Postgres has told what it read."""

MEMORY = Goal("KiB an idle connection, interview loaded / F1", 1.1, 0.83)
STORM = Goal("reconnect storm: API CPU a connection / F1", 1.0, 0.75)
READS = Goal("reconnect storm: reads of Postgres", 0, 0)
RESUME = (
    Goal(f"resume, {BEHIND} events behind: API CPU / F1", 0.5, 0.35),
    Goal(f"resume, {BEHIND} events behind: p50 one at a time / F1", 1.0, 0.8),
)

# What the node reads each second by itself is not counted: the sweep of deadlines, by its index or none.
READS_SQL = """
SELECT coalesce(sum(idx_scan) FILTER (WHERE indexrelname <> 'ix_interview_sessions_due'), 0)::bigint
     + (SELECT coalesce(sum(seq_scan), 0) FROM pg_stat_user_tables WHERE relname <> 'interview_sessions')::bigint
FROM pg_stat_user_indexes
"""


class Weighed(NamedTuple):
    """PSS of the API process with so many connections."""

    connections: int
    kib: int


async def memory(folder: Path) -> None:
    """F1 and the engine with idle sockets; then the engine alone with many."""
    say(f"\nMemory: PSS of the API process, {IDLE} idle sockets that offered permessage-deflate, interview loaded")
    async with running(folder, ("F1", ENGINE)) as servers:
        each = {name: await _weigh(server, IDLE) for name, server in servers.items()}
        say(", ".join(f"{name} {kib:.1f} KiB a connection" for name, kib in each.items()))
        ratio = each[ENGINE] / each["F1"]
        say(against(MEMORY, Spread(ratio, ratio, ratio)))
        engine = servers[ENGINE]
        kib = await _weigh(engine, MANY - IDLE - WARM)
        whole = pss_kib(family(engine.pid)) / 1024
        say(
            f"{MANY} idle sockets on one process: {kib:.1f} KiB for each after the first {IDLE}, {whole:.0f} MiB in all"
        )


async def _weigh(server: Server, count: int) -> float:
    if not server.head:
        await server.connect(await server.plant(WARM, "warm"))
    before = pss_kib(family(server.pid))
    await server.connect(await server.plant(count, f"idle{count}-"))
    return (pss_kib(family(server.pid)) - before) / count


async def storm(folder: Path, sizes: Sequence[int] = STORMS) -> None:
    """All sockets are cut, and come back at once, with all that they had."""
    async with running(folder, ("F1", ENGINE)) as servers:
        ids: dict[str, list[str]] = {name: [] for name in servers}
        for size in sizes:
            for name, server in servers.items():
                new = await server.plant(size - len(ids[name]), f"storm{size}-")
                await server.connect(new)
                ids[name] += new
            found = {name: await _storm(server, ids[name]) for name, server in servers.items()}
            say(f"\nReconnect storm: {size} sockets, {AT_ONCE} at a time, by hello with the last seq")
            say(table(("server", "API us/conn", "Redis us", "conn/s", "p99 ms", "resumed", "Postgres reads"),
                      [(name, *one.told()) for name, one in found.items()]))  # fmt: skip
            ratio = found[ENGINE].api_us / found["F1"].api_us
            say(against(STORM, Spread(ratio, ratio, ratio)))
            say(against(READS, Spread(found[ENGINE].reads, 0, found[ENGINE].reads)))


class Storm(NamedTuple):
    """What a storm came to."""

    n: int
    seconds: float
    api_us: float
    redis_us: float
    p99_ms: float
    resumed: int
    reads: int

    def told(self) -> tuple[str, ...]:
        return (
            f"{self.api_us:.0f}", f"{self.redis_us:.0f}", f"{self.n / self.seconds:.0f}", f"{self.p99_ms:.0f}",
            f"{self.resumed} of {self.n}", str(self.reads),
        )  # fmt: skip


async def _storm(server: Server, ids: Sequence[str]) -> Storm:
    await server.load.ask("drop")
    await time_passes(STATISTICS_SECONDS)
    reads, before = await _reads(server), server.cpu()
    told = await server.connect(ids, server.resumed(), parallel=AT_ONCE, batch=STORM_BATCH)
    api, redis, _ = (after - then for after, then in zip(server.cpu(), before, strict=True))
    await time_passes(STATISTICS_SECONDS)
    return Storm(
        n=len(ids),
        seconds=sum(one["seconds"] for one in told),
        api_us=api / len(ids) * MICROSECONDS,
        redis_us=redis / len(ids) * MICROSECONDS,
        p99_ms=max(one["p99_ms"] for one in told),
        resumed=sum(one["noop"] for one in told),
        reads=await _reads(server) - reads,
    )


async def _reads(server: Server) -> int:
    """Scans of tables and indexes so far, of whoever serves."""
    connection = await asyncpg.connect(server.place.database_url)
    try:
        return int(await connection.fetchval(READS_SQL))
    finally:
        await connection.close()


async def resume(folder: Path) -> None:
    """Clients that have missed 200 events, one at a time and all at once."""
    async with running(folder, ("F1", ENGINE)) as servers:
        found: dict[str, list[tuple[float, float]]] = {}
        for name, server in servers.items():
            ids = await server.plant(MISSED, "missed")
            await server.connect(ids)
            await _save_much(server, ids)
            found[name] = [await _resumed(server, ids) for _ in range(RESUMES)]
        say(f"\nResume, {BEHIND} events behind: {MISSED} clients one after the other, {RESUMES} times")
        for name, of in found.items():
            cpu, p50 = (spread([one[i] for one in of]) for i in (0, 1))
            say(f"{name:<8} API {cpu.told(0)} us, hello to resumed p50 {p50.told()} ms")
        for i, goal in enumerate(RESUME):
            pairs = zip(found[ENGINE], found["F1"], strict=True)
            say(against(goal, spread([engine[i] / floor[i] for engine, floor in pairs])))


async def _save_much(server: Server, ids: Sequence[str]) -> None:
    """More events than a client will be behind, from new sockets, for a socket's budget is 60 at once."""
    while server.head <= BEHIND + 2:
        await server.load.ask("run", seconds=60.0, each=MISSED_EACH)
        server.head += MISSED_EACH
        await server.load.ask("drop")
        await server.connect(ids, server.resumed(), rev=server.head - (1 if server.is_engine else 0))


async def _resumed(server: Server, ids: Sequence[str]) -> tuple[float, float]:
    """(API CPU in us, p50 in ms) of a resume."""
    await server.load.ask("drop")
    before = server.cpu()[0]
    (told,) = await server.connect(ids, server.resumed(BEHIND), parallel=1, batch=len(ids))
    assert told["replay"] == len(ids), f"{told['replay']} of {len(ids)} were sent what they had missed"
    return (server.cpu()[0] - before) / len(ids) * MICROSECONDS, float(told["resume_p50_ms"])


WORKS = {"memory": memory, "storm": storm, "resume": resume}


def run(part: str) -> None:
    """One of memory, storm and resume."""
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        asyncio.run(WORKS[part](Path(folder)))
