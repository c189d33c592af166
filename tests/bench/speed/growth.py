"""Growth: what a save costs with more interviews, longer ones, and more nodes. Each line should be flat."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.speed.figures import MICROSECONDS, Spread, spread
from tests.bench.speed.saying import say
from tests.bench.speed.servers import ENGINE, Server, running
from tests.until import time_passes

LIVE = (40, 200, 1_000)
EVENTS = (10, 200, 1_000)
NODES = (1, 2)
SAVERS, ON_A_NODE = 20, 40
EACH, ROUNDS = 12, 4
"""Saves of each socket in a round: all rounds together are less than the 60 that a socket may send at once."""
RUN_SECONDS = 60.0
IDLE_SECONDS = 5.0
BAR_COLUMNS = 40


class Cost(NamedTuple):
    """CPU of all processes, and of the API's alone, in us a save; what they use when nobody saves is taken off."""

    whole: Spread
    api: Spread
    idle: float
    """In cores: heartbeats, and looking for deadlines."""


async def growth(folder: Path) -> None:
    """Three lines, each with a plot."""
    folder.mkdir(exist_ok=True)
    async with running(folder / "live", (ENGINE,)) as servers:
        await _live(servers[ENGINE])
    async with running(folder / "events", (ENGINE,)) as servers:
        await _events(servers[ENGINE])
    async with running(folder / "nodes", (ENGINE, f"{ENGINE} 2")) as servers:
        await _nodes(list(servers.values()))


async def _live(server: Server) -> None:
    """The same few save, so that the work is the same; the others are open and loaded."""
    costs, there = [], 0
    for count in LIVE:
        new = await server.plant(count - there)
        await server.connect(new)
        costs.append(await _cost([server], LIVE[0], first=there))
        there = count
    plot("interviews live", LIVE, costs)


async def _events(server: Server) -> None:
    """The same interviews, again and again."""
    ids = await server.plant(SAVERS)
    await server.connect(ids)
    costs = []
    for count in EVENTS:
        while server.head < count:
            each = min(EACH * ROUNDS, count - server.head)
            await server.load.ask("run", seconds=RUN_SECONDS, each=each)
            await _fresh(server, ids, each)
        costs.append(await _cost([server], SAVERS))
        await _fresh(server, ids, EACH * ROUNDS)
    plot("events an interview", EVENTS, costs)


async def _nodes(servers: Sequence[Server]) -> None:
    """As many sockets on each node, all saving at once."""
    costs = []
    for count in NODES:
        for server in servers[:count]:
            await server.load.ask("drop")
            await server.connect(await server.plant(ON_A_NODE))
        costs.append(await _cost(servers[:count], ON_A_NODE))
    plot("nodes", NODES, costs)


async def _fresh(server: Server, ids: Sequence[str], saved: int) -> None:
    """New sockets in place of those that have saved so often, and used up their budgets."""
    server.head += saved
    await server.load.ask("drop")
    await server.connect(ids, server.resumed(), rev=server.head - 1)


async def _cost(servers: Sequence[Server], sockets: int, first: int = 0) -> Cost:
    before = _used(servers)
    await time_passes(IDLE_SECONDS)
    idle = [used / IDLE_SECONDS for used in _since(servers, before)]
    whole, api = [], []
    for _ in range(ROUNDS):
        before = _used(servers)
        runs = (
            server.load.ask("run", seconds=RUN_SECONDS, each=EACH, first=first, sockets=sockets) for server in servers
        )
        told = await asyncio.gather(*runs)
        saves, seconds = sum(one["n"] for one in told), max(one["seconds"] for one in told)
        own, stores = (
            max(0.0, used - rest * seconds) for used, rest in zip(_since(servers, before), idle, strict=True)
        )
        api.append(own / saves * MICROSECONDS)
        whole.append((own + stores) / saves * MICROSECONDS)
    return Cost(spread(whole), spread(api), sum(idle))


def _used(servers: Sequence[Server]) -> tuple[float, float]:
    """(all nodes, the stores they share), in seconds of CPU."""
    used = [server.cpu() for server in servers]
    return sum(api for api, _, _ in used), used[0][1] + used[0][2]


def _since(servers: Sequence[Server], before: tuple[float, float]) -> tuple[float, float]:
    nodes, stores = _used(servers)
    return nodes - before[0], stores - before[1]


def plot(of: str, at: Sequence[int], costs: Sequence[Cost]) -> None:
    """A bar each, on one scale from zero."""
    most = max(cost.whole.middle for cost in costs)
    say(f"\nCPU a save, all processes (API alone), by {of}")
    for count, cost in zip(at, costs, strict=True):
        bar = "#" * round(cost.whole.middle / most * BAR_COLUMNS)
        told = f"{cost.whole.told(0)} us ({cost.api.middle:.0f}), idle {cost.idle:.3f} cores"
        say(f"{count:>6,}  {bar:<{BAR_COLUMNS}}  {told}")
    say(f"{at[-1]:,} / {at[0]:,}: {costs[-1].whole.middle / costs[0].whole.middle:.2f} times")


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        asyncio.run(growth(Path(folder)))
