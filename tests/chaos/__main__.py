"""`./run chaos --kills N --seed S`: kills and restarts while interviews are played, and what came of it."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from functools import partial
from pathlib import Path

from engine import telemetry
from tests.chaos.nemesis import Nemesis
from tests.chaos.trial import Report, Trial, durable_stack

PEOPLE = 8


def main() -> int:
    """Run one trial; 1 when anything was lost, doubled, late or otherwise wrong."""
    parser = argparse.ArgumentParser(prog="./run chaos", description=main.__doc__)
    parser.add_argument("--kills", type=int, default=30, help="kill -9 of nodes, worker and Valkey, a third each")
    parser.add_argument("--flushes", type=int, help="how often Redis loses everything (default: kills / 10)")
    parser.add_argument("--people", type=int, default=PEOPLE, help="interviews at once")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of all that is random in the trial")
    arguments = parser.parse_args()
    telemetry.configure("console")
    flushes = arguments.kills // 10 if arguments.flushes is None else arguments.flushes
    report = asyncio.run(_trial(arguments.seed, -(-arguments.kills // 3), flushes, arguments.people))
    sys.stdout.write("\n".join(report.lines()) + "\n")
    if report.violations:
        command = f"./run chaos --kills {arguments.kills} --flushes {flushes} --people {arguments.people}"
        sys.stdout.write(f"again         {command} --seed {report.seed}\n")
    return 1 if report.violations else 0


async def _trial(seed: int, each: int, flushes: int, people: int) -> Report:
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        async with durable_stack(Path(folder)) as stack:
            return await Trial(stack, seed).run(partial(Nemesis.kills, each=each, flushes=flushes), people=people)


if __name__ == "__main__":
    sys.exit(main())
