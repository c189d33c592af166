"""`engine packs`: question packs from files into the catalog, checked or listed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from engine.cli import Told
from engine.cli.servers import check_servers, read_settings, some_servers
from engine.core.lint import Finding
from engine.core.lint import lint as find
from engine.core.pack import Pack, PackError, parse_pack
from engine.settings import Settings

SHIPPED = Path(__file__).parent.parent / "packs"
SUFFIXES = (".yaml", ".yml")


@click.group("packs")
def command() -> None:
    """Question packs: YAML files that hold a question, its clarification rules and its rubric."""


PATHS = click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))


@command.command("lint")
@PATHS
def lint(paths: tuple[Path, ...]) -> None:
    """Check packs and name every fault by its place. Without PATHS: those that ship, and ENGINE_PACKS_DIR's.

    Runs each pack's eval set too. Warnings alone leave a pack usable.
    """
    bad = 0
    for file in _files(paths):
        found = _findings(file)
        errors = [one for one in found if one.severity == "error"]
        bad += bool(errors)
        click.echo(f"{'BAD' if errors else 'ok '} {file}")
        for one in found:
            click.echo(f"    {one.severity}: {one.place}: {one.message}" if one.place else f"    {one.message}")
    if bad:
        raise Told(f"{bad} pack{'s' if bad > 1 else ''} cannot be used.")


@command.command("list")
@PATHS
def list_(paths: tuple[Path, ...]) -> None:
    """List packs: name, kind, difficulty, clarification rules, checks."""
    for file in _files(paths):
        pack = _parsed(file)
        rules, criteria = len(pack.clarification.rules), pack.rubric.criteria
        checks = sum(len(criterion.checks) for criterion in criteria)
        click.echo(
            f"{pack.id:32} {pack.type:4} {pack.difficulty:7} v{pack.version:<3} "
            f"{rules:3} rules {checks:4} checks  {pack.title}"
        )


@command.command("load")
@PATHS
def load(paths: tuple[Path, ...]) -> None:
    """Bring packs into the catalog. A pack that is there unchanged stays; interviews under way keep theirs."""
    packs = [_parsed(file) for file in _files(paths)]
    with some_servers(read_settings()) as settings:
        asyncio.run(_load(settings, packs))


async def _load(settings: Settings, packs: list[Pack]) -> None:
    from engine.record.catalog import load_packs
    from engine.record.engine import make_engine, migrate

    await check_servers(settings, redis=False)
    engine = make_engine(settings, name="packs")
    try:
        await migrate(engine)
        loaded = await load_packs(engine, packs)
    finally:
        await engine.dispose()
    fates = {"new": loaded.new, "changed": loaded.changed, "unchanged": loaded.same}
    for fate, slugs in (*fates.items(), ("left alone, the catalog has a later version", loaded.older)):
        if slugs:
            click.echo(f"{fate}: {', '.join(slugs)}")


def _files(paths: tuple[Path, ...]) -> list[Path]:
    """The packs among `paths` and in their folders, in the order of their names."""
    extra = read_settings().packs_dir
    places = paths or ((SHIPPED, extra) if extra else (SHIPPED,))
    files = [file for place in places for file in (sorted(place.iterdir()) if place.is_dir() else [place])]
    found = [file for file in files if file.suffix in SUFFIXES]
    if not found:
        raise Told(f"No packs ({', '.join(SUFFIXES)}) in {', '.join(str(place) for place in places)}.")
    return found


def _parsed(file: Path) -> Pack:
    try:
        return parse_pack(file.read_bytes())
    except PackError as error:
        raise Told(f"{file}: {error}") from None


def _findings(file: Path) -> tuple[Finding, ...]:
    try:
        return find(parse_pack(file.read_bytes()))
    except PackError as error:
        return (Finding(place="", message=str(error)),)
