"""Instructions of the API process for each save, by callgrind: the figure that a busy machine does not change."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path
from subprocess import DEVNULL

import click
import msgspec

from tests.bench.speed.figures import Goal, Spread, against
from tests.bench.speed.servers import ENGINE, Place, Server, a_place, a_server, floor_command, node_command
from tests.stack import ROOT

SOCKETS, AT_ONCE = 40, 10
EACH = {ENGINE: 2, "F1": 10}
WARM_EACH, SPANS = 3, 3
"""Saves of each socket to warm up and in each span; the span with the least count is told. A machine
that stalls makes groups smaller and loops more, never fewer."""
RUN_SECONDS = 300.0
GROWTH_MAX = 0.03
KEPT = Path(__file__).with_name("instructions.json")
PACKS = (ROOT / "engine" / "packs" / "lru-cache-ttl.yaml",)
GOAL = Goal("instructions of the API process a save / F1", 0.45, 0.35)
SLOW_NODE = "tests.bench.speed.slow_node"


class Count(msgspec.Struct, frozen=True):
    """Instructions a save, and of which Python."""

    engine: int
    floor: int
    python: str

    @property
    def ratio(self) -> float:
        return self.engine / self.floor

    def growth(self, kept: Count) -> float:
        """Of the ratio to F1, which another Python or machine changes less than the count."""
        return self.ratio / kept.ratio - 1


def run(*, check: bool, write: bool) -> None:
    """Count, print, and compare with what is kept. Raises ClickException when valgrind is not there."""
    for program in ("valgrind", "callgrind_control"):
        if shutil.which(program) is None:
            raise click.ClickException(f"{program} is not on the PATH (Debian, Ubuntu: apt-get install valgrind)")
    found = asyncio.run(_both())
    click.echo(f"instructions of the API process a save: engine {found.engine:,}, F1 {found.floor:,}")
    click.echo(against(GOAL, Spread(found.ratio, found.ratio, found.ratio)))
    if write:
        KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    kept = msgspec.json.decode(KEPT.read_bytes(), type=Count)
    grown = found.growth(kept)
    click.echo(f"{grown:+.1%} of what {KEPT.name} keeps: {kept.ratio:.2f} F1 (CPython {kept.python})")
    if check and grown > GROWTH_MAX:
        raise click.ClickException(
            f"a save takes {grown:.1%} more instructions than it did; at most {GROWTH_MAX:.0%} is let pass. If it is "
            "worth it, say why where you commit what `./run bench instructions --write` writes."
        )
    if check and grown < -GROWTH_MAX:
        click.echo("It has become cheaper: keep that with `./run bench instructions --write`.")


async def _both() -> Count:
    with tempfile.TemporaryDirectory(prefix="instructions-") as folder:
        async with a_place(Path(folder) / "servers", PACKS) as place:
            engine, floor = await asyncio.gather(
                _counted(ENGINE, place, node_command(SLOW_NODE)), _counted("F1", place, floor_command("F1"))
            )
    return Count(engine, floor, ".".join(map(str, sys.version_info[:2])))


async def _counted(name: str, place: Place, command: tuple[str, ...]) -> int:
    out = place.folder / f"{name}.out"
    callgrind = ("--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}")
    async with a_server(name, place, (*_found("valgrind"), *callgrind, *command)) as server:
        return await _count(server, out)


async def _count(server: Server, out: Path) -> int:
    await server.connect(await server.plant(SOCKETS), parallel=AT_ONCE, batch=AT_ONCE)
    each = EACH[server.name]
    await server.load.ask("run", seconds=RUN_SECONDS, each=WARM_EACH)
    await _control(server, "-i", "on")
    counts = []
    for span in range(1, SPANS + 1):
        told = await server.load.ask("run", seconds=RUN_SECONDS, each=each)
        await _control(server, "-d")
        counts.append(_total(out.with_name(f"{out.name}.{span}")) / int(told["n"]))
    click.echo(f"  {server.name}: " + ", ".join(f"{one:,.0f}" for one in counts))
    return round(min(counts))


def _total(dump: Path) -> int:
    return next(int(line.split()[1]) for line in dump.read_text().splitlines() if line.startswith("totals:"))


def _found(program: str) -> tuple[str, ...]:
    return (shutil.which(program) or program,)


async def _control(server: Server, *words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *_found("callgrind_control"),
        *words,
        str(server.pid),
        stdout=DEVNULL,
        stderr=DEVNULL,
        env={"PATH": os.environ["PATH"]},
    )
    if await process.wait():
        raise RuntimeError(f"callgrind_control {' '.join(words)} failed")
