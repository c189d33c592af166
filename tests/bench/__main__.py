"""Benchmarks of the engine: `./run bench --help`."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Benchmarks, and what is fitted to data. Each prints how its figures come about."""


@main.command("matcher")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    envvar="INTENT_SETS",
    help="Folder of CLINC150 and BANKING77 (clinc150/, banking77/).  [INTENT_SETS]",
)
@click.option("--semantic", is_flag=True, help="The optional tier beside the default one, instead of the baselines.")
def matcher(data: Path | None, semantic: bool) -> None:
    """The matcher and three baselines on the development set and on public intent sets.

    Whatever is said of a question comes from a fit without it; public sets are not fitted on at all. Two minutes; with
    --semantic five.
    """
    from tests.bench.matcher import report
    from tests.bench.matcher import semantic as extra

    extra.run(data) if semantic else report.run(data)


@main.command("matcher-fit")
@click.option("--semantic", is_flag=True, help="The optional tier.")
def matcher_fit(semantic: bool) -> None:
    """Fit the matcher on all of the development set, and write what ships."""
    from tests.bench.matcher import report
    from tests.bench.matcher import semantic as extra

    if semantic:
        click.echo(
            f"wrote {extra.write_fitted()}; next: its sum in engine/semantic/model.md, VERSION, and its golden file"
        )
        return
    click.echo(f"wrote {report.write_fitted()}; next: its sum in table.md, STATIC_VERSION, and the tests' golden file")


PARTS = ("autosave", "memory", "storm", "resume", "chunks", "growth")


@main.command("speed")
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--rounds", default=5, show_default=True, help="Of each server in turn, of autosave.")
@click.option("--seconds", default=4.0, show_default=True, help="Of each of these rounds.")
def speed(parts: tuple[str, ...], rounds: int, seconds: float) -> None:
    """What the engine costs, as ratios to floors that are measured in the same run (tests/bench/speed/README.md).

    PARTS: all, unless some are named. F0 echoes by uvicorn and Starlette; F1 checks and applies a save by one script
    of Redis; F2 waits for Postgres as well. The engine is a real node with everything on. CPU is that of the servers'
    processes, from /proc, so this needs Linux. A quarter of an hour.
    """
    from tests.bench.speed import autosave, chunks, connections, growth

    for part in parts or PARTS:
        match part:
            case "autosave":
                autosave.run(rounds, seconds)
            case "chunks":
                chunks.run()
            case "growth":
                growth.run()
            case _:
                connections.run(part)


@main.command("instructions")
@click.option("--check", is_flag=True, help="Fail when it is 3 % more than what instructions.json keeps.")
@click.option("--write", is_flag=True, help="Keep the count in instructions.json.")
def instructions(check: bool, write: bool) -> None:
    """Instructions of the API process for each save, of the engine and of F1, counted by callgrind.

    Two hundred saves each; a busy machine changes the count by less than a percent. Needs valgrind. Two minutes.
    """
    from tests.bench.speed import instructions as counting

    counting.run(check=check, write=write)


if __name__ == "__main__":
    main(prog_name="./run bench")
