"""`./run drain`: a rolling update of two nodes under load, with as many sockets as you like, and what it cost whom.

Each node gets SIGTERM, ends, and is started again, one after the other, while drafts are saved at a steady rate. Who
sits at a node that drains follows the protocol (`seat`). All is written down and checked as in `./run chaos`, but for
what is only so at the end of an interview.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import telemetry
from engine.cli.serving import ask_for_descriptors
from engine.embedded import Embedded
from engine.record.engine import make_engine, migrate
from engine.settings import load_settings
from tests.chaos.checker import Violation, check
from tests.chaos.history import History
from tests.chaos.record import audit, read_record
from tests.chaos.seat import Move, Seat
from tests.chaos.seating import seat, sign_in
from tests.stack import Node, Stack
from tests.until import time_passes, until

SOCKETS, SAVES_A_SECOND = 2_000, 100
EXIT_SECONDS_MAX, WITHOUT_SECONDS_MAX = 20.0, 1.0
"""What is promised: a node is gone in 20 s, and at p99 nobody is without a live socket for more than 1 s."""
STEADY_SECONDS = 3.0
"""Of saves before the first node goes, and after the last is back: what they cost when all is well."""
ANSWER_SECONDS = 30.0
NOT_AT_THE_END = frozenset({"ends", "judged", "graded", "leaks"})
"""Clauses about how interviews end, and what is open when all have left: here nothing ends and nobody leaves."""


@dataclass
class Report:
    """What a rolling update came to. Seconds throughout."""

    sockets: int
    saves_a_second: float
    exits: list[tuple[int, float]] = field(default_factory=list)
    """Status and time of each node that drained."""
    moves: list[Move] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)
    """How long acks took while no node drained."""
    busy: list[float] = field(default_factory=list)
    history: History = field(default_factory=History)
    violations: list[Violation] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return sum(violation.clause == "lost" for violation in self.violations)

    @property
    def without(self) -> list[float]:
        return [move.without_seconds for move in self.moves]

    @property
    def kept(self) -> bool:
        """Everything that is promised."""
        in_time = all(status == 0 and seconds <= EXIT_SECONDS_MAX for status, seconds in self.exits)
        return not self.violations and in_time and share(self.without, 0.99) <= WITHOUT_SECONDS_MAX

    def lines(self) -> list[str]:
        """The figures, one a line."""
        ops = self.history.ops
        acknowledged, again = sum(op.promised is not None for op in ops), sum(len(op.fences) > 1 for op in ops)
        without = [seconds for seconds in self.without if seconds]
        return [
            f"sockets         {self.sockets}, {self.saves_a_second:g} saves a second over all",
            f"commands        {len(ops)} sent ({again} of them again), {acknowledged} acknowledged as recorded",
            f"lost            {self.lost}",
            f"moves           {len(self.moves)}, {len(without)} of them after the socket was gone",
            f"without socket  {_spread(self.without)} (promised: p99 {WITHOUT_SECONDS_MAX:g} s)",
            f"move took       {_spread([move.took_seconds for move in self.moves])}",
            f"exit            {', '.join(f'status {s} after {t:.1f} s' for s, t in self.exits)} "
            f"(promised: {EXIT_SECONDS_MAX:g} s)",
            f"acks            {_spread(self.quiet)}; while a node drained {_spread(self.busy)}",
            f"violations      {len(self.violations)}",
            *(f"  {violation.clause}: {violation.what}" for violation in self.violations[:20]),
        ]


def share(of: Sequence[float], part: float) -> float:
    """The value below which this part of them lies; 0 of none."""
    ordered = sorted(of) or [0.0]
    return ordered[min(len(ordered) - 1, round(len(ordered) * part))]


def _spread(seconds: Sequence[float]) -> str:
    p50, p99, most = (round(1000 * value) for value in (share(seconds, 0.5), share(seconds, 0.99), share(seconds, 1)))
    return f"p50 {p50} ms, p99 {p99} ms, max {most} ms, n {len(seconds)}"


class Update:
    """A rolling update of a stack, with people."""

    def __init__(
        self,
        stack: Stack,
        seed: int,
        sockets: int,
        saves_a_second: float,
        *,
        steady_seconds: float = STEADY_SECONDS,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.report, self._steady_seconds = Report(sockets, saves_a_second), steady_seconds
        self._stack, self._say, self._chance = stack, say, random.Random(seed)
        self._seats: list[Seat] = []
        self._drained: list[tuple[float, float]] = []
        """From when to when a node drained, in seconds of the Unix epoch."""

    async def run(self) -> Report:
        """All of it: come in, save, roll, settle, check."""
        await audit(self._stack.database_url)
        accounts = await sign_in(self._stack, self.report.sockets)
        self._say(f"{len(accounts)} interviews started")
        self._seats = await seat(self._stack, accounts, self.report.history, self._chance)
        self._say(f"{len(self._seats)} sockets open")
        saving = asyncio.create_task(self._saves())
        try:
            await time_passes(self._steady_seconds)
            for node in self._stack.nodes:
                await asyncio.gather(*(other.ready() for other in self._stack.nodes if other is not node))
                await self._end(node)
                node.start()
            await time_passes(self._steady_seconds)
        finally:
            saving.cancel()
        await self._settle()
        await self._check()
        return self.report

    async def _saves(self) -> None:
        """So many a second, whoever waits; nobody saves twice at a time."""
        loop, every = asyncio.get_running_loop(), 1 / self.report.saves_a_second
        due, tasks = loop.time(), set[asyncio.Task[Any]]()
        while True:
            seat = self._chance.choice(self._seats)
            if not seat.unanswered:
                task = asyncio.create_task(seat.save())
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            due += every
            await time_passes(max(0.0, due - loop.time()))

    async def _end(self, node: Node) -> None:
        """SIGTERM, and the end; whose clients must have found another node by then."""
        began = time.time()
        status = await node.stop(EXIT_SECONDS_MAX * 2)
        self._drained.append((began, time.time()))
        self.report.exits.append((status, time.time() - began))
        self._say(f"{node.name} ended after {time.time() - began:.1f} s")

    async def _settle(self) -> None:
        """Everybody has a socket and an answer, or never will."""
        try:
            await until(lambda: all(seat.seated and not seat.unanswered for seat in self._seats), ANSWER_SECONDS)
        except TimeoutError:
            self._say("somebody waits in vain")
        for one in self._seats:
            one.feed.stayed, one.feed.unanswered = True, one.unanswered
            one.leave()  # what comes now would not be in the record that is read
            self.report.moves += one.moves

    async def _check(self) -> None:
        self._say("reading the record")
        history, engine = self.report.history, make_engine(load_settings(self._stack.environ))
        try:
            history.interviews = await read_record(
                engine, self._stack.database_url, self._stack.redis_url, [seat.interview for seat in self._seats]
            )
        finally:
            await engine.dispose()
        self.report.violations = [one for one in check(history) if one.clause not in NOT_AT_THE_END]
        for op in history.ops:
            if op.promised is not None:
                drained = any(began <= op.promised.at and op.sent_at <= ended for began, ended in self._drained)
                (self.report.busy if drained else self.report.quiet).append(op.promised.at - op.sent_at)


async def _update(arguments: argparse.Namespace) -> Report:
    with (
        tempfile.TemporaryDirectory(prefix="drain-") as home,
        Embedded(Path(home) / "servers", durable=True) as servers,
    ):
        urls = servers.ensure()
        engine = make_engine(load_settings({}, database_url=urls.database, redis_url=urls.redis))
        await migrate(engine)
        await engine.dispose()
        stack = await Stack.up(servers, urls.database, urls.redis, Path(home))
        try:
            return await Update(stack, arguments.seed, arguments.sockets, arguments.saves, say=_say).run()
        finally:
            await stack.down()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """A rolling update under load; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="./run drain", description=main.__doc__)
    parser.add_argument("--sockets", type=int, default=SOCKETS, help=f"each with an interview ({SOCKETS})")
    parser.add_argument("--saves", type=float, default=SAVES_A_SECOND, help=f"a second, over all ({SAVES_A_SECOND})")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of what is random in the clients")
    arguments = parser.parse_args()
    telemetry.configure("console", level=logging.WARNING)
    ask_for_descriptors()
    report = asyncio.run(_update(arguments))
    _say("\n".join(report.lines()))
    return 0 if report.kept else 1


if __name__ == "__main__":
    sys.exit(main())
