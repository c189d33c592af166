"""Autosave: what a save costs, at saturation and at a fixed rate, F0 F1 F2 and the engine in turn."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.speed.figures import Goal, Round, against, autosave_table, ratios, spread
from tests.bench.speed.saying import say
from tests.bench.speed.servers import ENGINE, FLOORS, Server, running

NAMES = (*FLOORS, ENGINE)
SOCKETS = 400
"""A socket may send 60 frames at once and 6 a second after that: so many that this budget is never what slows."""
SECONDS = 4.0
WARM_SECONDS = 1.0
ROUNDS = 5
RATES = (2_000.0, 1_000.0, 500.0, 250.0, 100.0)
HEADROOM = 1.25
"""A fixed rate is one that each server can carry with so much to spare, or latency tells of a queue."""

SATURATED = (
    Goal("saturation: API CPU / F1", 0.45, 0.35),
    Goal("saturation: API + Redis + Postgres CPU / F2", 0.60, 0.45),
)
FIXED = (
    Goal("fixed rate: API CPU / F1", 0.70, 0.55),
    Goal("fixed rate: ack p99 (recorded)", 50, 30, " ms"),
    Goal("fixed rate: Redis CPU / F1", 0.70, 0.60),
)
Rounds = Mapping[str, Sequence[Round]]


async def autosave(rounds: int = ROUNDS, seconds: float = SECONDS, sockets: int = SOCKETS) -> None:
    """Start everything, measure, print."""
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        async with running(Path(folder), NAMES) as servers:
            say(f"{sockets} sockets a server; load average {os.getloadavg()[0]:.1f} before")
            for server in servers.values():
                await server.connect(await server.plant(sockets))
                await server.load.ask("run", seconds=WARM_SECONDS, rate=None)
            saturated = await _rounds(servers, rounds, seconds, None)
            say(f"\nAt saturation, {rounds} rounds of {seconds:g} s, medians\n{autosave_table(saturated)}\n")
            say(_saturated(saturated))
            rate = _carried(saturated)
            fixed = await _rounds(servers, rounds, seconds, rate)
            say(f"\nAt {rate:g} saves/s{_lower(rate)}, medians\n{autosave_table(fixed)}\n")
            say(_fixed(fixed))


async def measured(server: Server, seconds: float, rate: float | None) -> Round:
    """One round of one server."""
    before = server.cpu()
    told = await server.load.ask("run", seconds=seconds, rate=rate)
    api, redis, postgres = (after - then for after, then in zip(server.cpu(), before, strict=True))
    return Round(told["n"], told["seconds"], api, redis, postgres, told["p50_ms"], told["p99_ms"], told["generator"])


async def _rounds(servers: Mapping[str, Server], rounds: int, seconds: float, rate: float | None) -> Rounds:
    found: dict[str, list[Round]] = {name: [] for name in servers}
    for number in range(rounds):
        for name, server in servers.items():
            found[name].append(await measured(server, seconds, rate))
        say(f"  round {number + 1} of {rounds}: " + ", ".join(f"{n} {r[-1].api_us:.0f} us" for n, r in found.items()))
    return found


def _carried(rounds: Rounds) -> float:
    least = min(spread([one.rate for one in of]).middle for of in rounds.values())
    return next((rate for rate in RATES if rate * HEADROOM <= least), RATES[-1])


def _lower(rate: float) -> str:
    if rate == RATES[0]:
        return ""
    return f" (not {RATES[0]:g}: this machine does not carry that with {HEADROOM - 1:.0%} to spare)"


def _saturated(rounds: Rounds) -> str:
    f1, f2, engine = rounds["F1"], rounds["F2"], rounds[ENGINE]
    found = (ratios(engine, f1, lambda r: r.api_us), ratios(engine, f2, lambda r: r.all_us))
    return "\n".join(against(goal, one) for goal, one in zip(SATURATED, found, strict=True))


def _fixed(rounds: Rounds) -> str:
    f1, engine = rounds["F1"], rounds[ENGINE]
    found = (
        ratios(engine, f1, lambda r: r.api_us),
        spread([one.p99_ms for one in engine]),
        ratios(engine, f1, lambda r: r.redis_us),
    )
    return "\n".join(against(goal, one) for goal, one in zip(FIXED, found, strict=True))


def run(rounds: int, seconds: float) -> None:
    asyncio.run(autosave(rounds, seconds))
