"""`./run chaos`: faults while interviews are played, and what came of it; or the same done to broken engines."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from engine import telemetry
from tests.chaos.mutants import MUTANTS
from tests.chaos.nemesis import Nemesis
from tests.chaos.points import Points, batches, cases
from tests.chaos.trial import PATIENCE_SECONDS, Report, Trial, durable_stack
from tests.chaos.ways import Ways
from tests.fake_model.server import FakeModel
from tests.until import where_tasks_wait

PEOPLE = 8
KILLS = 30
MUTANT_KILLS, MUTANT_FLUSHES, MUTANT_PAUSES, MUTANT_PEOPLE = 9, 6, 6, 6
"""Of a trial for a mutant: under a minute each."""
MUTANT_PROGRAM, SKEWED_PROGRAM = "tests.chaos.mutant_node", "tests.chaos.skew"
MUTANT_TRIALS = 3
START_SECONDS_MAX, KILL_SECONDS_MAX = 60, 6
"""Far more than a trial takes, for its start and end and for each kill. One that takes longer hangs, and says where."""
POINT_PEOPLE, POINT_SECONDS_MAX = 2, 120
MUTANT_PATIENCE_SECONDS = 20.0
"""For a trial that is expected to leave somebody waiting."""


def main() -> int:
    """Run one trial, or one after the other for some minutes; 1 when anything was lost, doubled, late or wrong."""
    parser = argparse.ArgumentParser(prog="./run chaos", description=main.__doc__)
    parser.add_argument("--kills", type=int, help=f"kill -9 of nodes, workers and Valkey, a third each ({KILLS})")
    parser.add_argument("--flushes", type=int, help="how often Redis loses everything (default: kills / 10)")
    parser.add_argument("--people", type=int, help=f"interviews at once ({PEOPLE})")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of all that is random in the trial")
    parser.add_argument("--minutes", type=float, help="trials with seed, seed + 1, ... until so much time has passed")
    parser.add_argument("--failpoints", action="store_true", help="break every process at each of its failpoints")
    parser.add_argument("--only", default="", help="with --failpoints: just the cases in whose name this is")
    parser.add_argument("--mutant", choices=[*MUTANTS, "all"], help="a broken engine, which must be caught")
    parser.add_argument("--trials", type=int, default=MUTANT_TRIALS, help="within how many a mutant must be caught")
    arguments = parser.parse_args()
    telemetry.configure("console", level=logging.WARNING)
    usual = (MUTANT_KILLS, MUTANT_FLUSHES, MUTANT_PEOPLE) if arguments.mutant else (KILLS, None, PEOPLE)
    for name, value in zip(("kills", "flushes", "people"), usual, strict=True):
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if arguments.failpoints:
        return asyncio.run(_failpoints(arguments.seed, arguments.only))
    if arguments.mutant:
        names = list(MUTANTS) if arguments.mutant == "all" else [arguments.mutant]
        return 0 if all([_caught(name, arguments) for name in names]) else 1
    return _trials(arguments)


def _trials(arguments: argparse.Namespace) -> int:
    ends = time.monotonic() + 60 * (arguments.minutes or 0)
    seed = arguments.seed
    reports: list[Report] = []
    while not reports or time.monotonic() < ends:
        report = _ended(_trial(seed, arguments), arguments)
        reports.append(report)
        _say(*report.lines())
        if report.violations:
            _say(f"again         {_command(arguments)} --seed {seed}")
        seed += 1
    if len(reports) > 1:
        _say("", *Report.sum(reports).lines())
    return 1 if any(report.violations for report in reports) else 0


def _caught(name: str, arguments: argparse.Namespace) -> bool:
    """Whether one of some trials finds the mutant out. What it says is told."""
    for seed in range(arguments.seed, arguments.seed + arguments.trials):
        report = _ended(_trial(seed, arguments, name), arguments)
        if report.violations:
            found = ", ".join(f"{n} {clause}" for clause, n in report.by_clause().items())
            _say(
                f"{name}: caught in trial {seed - arguments.seed + 1} (seed {seed}, {report.seconds:.0f} s) by {found}",
                f"  {report.violations[0].what}",
            )
            return True
    _say(f"{name}: NOT CAUGHT in {arguments.trials} trials from seed {arguments.seed}")
    return False


async def _failpoints(seed: int, only: str) -> int:
    """All cases, trial after trial on one stack; 1 when anything was lost, doubled or wrong."""
    given = batches(case for case in cases() if only in str(case))
    reports: list[Report] = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with durable_stack(Path(folder)) as stack:
            for number, batch in enumerate(given, 1):
                points, seed = Points(batch), seed + 1
                await points.arm(stack)
                patient = any(case.point == "deadline" for case in batch)
                report = await Trial(stack, seed).run(
                    points, people=POINT_PEOPLE, patient=patient, seconds_max=POINT_SECONDS_MAX
                )
                reports.append(report)
                _say(f"{number:3}/{len(given)}  {', '.join(map(str, batch))}: {report.summary()}")
                for violation in report.violations:
                    _say(f"  {violation.clause}: {violation.what}")
    _say("", *Report.sum(reports).lines())
    return 1 if any(report.violations for report in reports) else 0


def _ended(trial: Coroutine[Any, Any, Report], arguments: argparse.Namespace) -> Report:
    """The trial's report. One that hangs says where, and is given up."""
    seconds = START_SECONDS_MAX + KILL_SECONDS_MAX * arguments.kills

    async def watched() -> Report:
        task = asyncio.create_task(trial)
        done, _ = await asyncio.wait([task], timeout=seconds)
        if not done:
            _say(f"the trial has not ended after {seconds} s:", where_tasks_wait())
            task.cancel()
        return await task

    faulthandler.dump_traceback_later(2 * seconds, exit=True)  # when not even that was said
    try:
        return asyncio.run(watched())
    finally:
        faulthandler.cancel_dump_traceback_later()


async def _trial(seed: int, arguments: argparse.Namespace, mutant: str = "") -> Report:
    program = (MUTANT_PROGRAM, mutant) if mutant else (SKEWED_PROGRAM,)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with (
            FakeModel() as model,
            Ways(seed) as ways,
            durable_stack(Path(folder), model, program, ways) as stack,
        ):
            report = await Trial(stack, seed, model, ways).run(
                partial(_faults, arguments), people=arguments.people,
                patience_seconds=MUTANT_PATIENCE_SECONDS if mutant else PATIENCE_SECONDS,
            )  # fmt: skip
            if report.violations and not mutant:
                kept = Path(tempfile.mkdtemp(prefix="chaos-logs-"))
                for log in Path(folder).glob("*.log"):
                    shutil.copy(log, kept)
                _say(f"logs          {kept}")
            return report


async def _faults(arguments: argparse.Namespace, nemesis: Nemesis) -> None:
    each = -(-arguments.kills // 3)
    pauses = MUTANT_PAUSES if arguments.mutant else each
    await nemesis.storm(each, _flushes(arguments), pauses)


def _flushes(arguments: argparse.Namespace) -> int:
    return int(arguments.kills // 10 if arguments.flushes is None else arguments.flushes)


def _command(arguments: argparse.Namespace) -> str:
    flushes = _flushes(arguments)
    return f"./run chaos --kills {arguments.kills} --flushes {flushes} --people {arguments.people}"


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
