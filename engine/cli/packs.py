"""`engine packs`: question packs from files into the catalog, checked or listed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from engine.cli import Told
from engine.cli.servers import check_servers, joined, read_settings, some_servers
from engine.core.lint import Finding
from engine.core.lint import lint as find
from engine.core.pack import Pack, PackError, parse_pack
from engine.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from engine.core.matcher import Tier

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

    Runs each pack's eval set too, by the default tier. Warnings alone leave a pack usable.
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


@command.command("ask")
@click.argument("pack")
@click.argument("texts", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each text.")
@click.option("--semantic", is_flag=True, help="Have the optional tier read them, as ENGINE_MATCHER=semantic does.")
def ask(pack: str, texts: tuple[str, ...], as_json: bool, semantic: bool) -> None:
    """Put TEXTS to the rules of PACK, a slug or a file, and say what is decided and what carried it.

    A TEXT "-" stands for the lines of the standard input. Nothing is loaded, charged or recorded.
    """
    from engine.cli.packs_print import decision, responses, shown
    from engine.core.matcher import compile_rules
    from engine.core.matcher.explain import explain

    asked = _named(pack)
    compiled = compile_rules(asked.clarification, _semantic() if semantic else None)
    for text in _lines(texts):
        explained = explain(asked.clarification, compiled, text)
        told = responses(asked, explained)
        if as_json:
            parts = [{**msgspec.to_builtins(one), "response": said} for one, said in zip(explained, told, strict=True)]
            click.echo(msgspec.json.encode({"pack": asked.id, "text": text, "parts": parts}))
            continue
        if len(explained) > 1:
            click.echo(f'"{shown(text)}" asks {len(explained)} things.')
        for one, said in zip(explained, told, strict=True):
            click.echo("\n".join(decision(one, said)) + "\n")


def _semantic() -> Tier:
    from engine import semantic

    try:
        return semantic.semantic()
    except semantic.NotInstalled as error:
        raise click.ClickException(str(error)) from None


@command.command("gaps")
@click.argument("slug", required=False)
@click.option(
    "--since",
    type=click.FloatRange(min=0, min_open=True),
    metavar="DAYS",
    help="Only what was asked in these last days.",
)
@click.option(
    "--min",
    "people_min",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="PEOPLE",
    help="Leave out what fewer people asked.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each question.")
def gaps(slug: str | None, since: float | None, people_min: int, as_json: bool) -> None:
    """List what people ask and no rule answers, on SLUG or on all questions, the most asked first.

    Reads the record: what got the fallback, and what was refused with "not what I asked", in groups that mean the
    same. Measured with the rules that are loaded now. What it prints is what candidates wrote.
    """
    if since is not None and math.isnan(since):
        raise click.BadParameter("a number of days", param_hint="--since")
    with _record(read_settings()) as settings:
        asyncio.run(_gaps(settings, slug, since, people_min, as_json=as_json))


async def _gaps(settings: Settings, slug: str | None, since: float | None, people_min: int, *, as_json: bool) -> None:
    from sqlalchemy.exc import DBAPIError, ProgrammingError

    from engine.record.engine import make_engine
    from engine.record.missed import read_slugs

    await check_servers(settings, redis=False)
    engine = make_engine(settings, name="packs")
    try:
        slugs = await read_slugs(engine)
        if slug is not None and slug not in slugs:
            raise Told(f"The record has no question `{slug}`. Questions: {', '.join(slugs) or 'none'}.")
        asked = [await _gaps_of(engine, one, since, people_min, as_json) for one in (slugs if slug is None else [slug])]
    except ProgrammingError:
        raise Told("The record has no tables yet. First: `engine migrate`.") from None
    except (DBAPIError, OSError) as error:  # a TimeoutError is an OSError
        raise Told(f"The record cannot be read ({type(error).__name__}). If it is large, try --since.") from None
    finally:
        await engine.dispose()
    if not any(asked) and not as_json:
        click.echo("Every question in the record got its answer.")


async def _gaps_of(engine: AsyncEngine, slug: str, since: float | None, people_min: int, as_json: bool) -> bool:
    """Print those of one question; whether there was anything to look at."""
    from engine.cli.packs_print import gap_lines
    from engine.core.gaps import find_gaps
    from engine.record.missed import read_missed, read_pack

    missed, more = await read_missed(engine, slug, since)
    if not missed:
        return False
    cut = f"the newest {len(missed)} alone were read" if more else ""
    click.echo(f"{slug}: grouping {len(missed)} questions ...", err=True)
    found = find_gaps((await read_pack(engine, slug)).clarification, missed)
    if as_json:
        kept = tuple(gap for gap in found.gaps if gap.people >= people_min)
        told = msgspec.to_builtins(msgspec.structs.replace(found, gaps=kept))
        click.echo(msgspec.json.encode({"question": slug, "cut": more, **told}))
    else:
        click.echo("\n".join([*gap_lines(slug, found, people_min), *([f"  {cut}"] if cut else [])]) + "\n")
    return True


@contextmanager
def _record(settings: Settings) -> Iterator[Settings]:
    """Settings that name a Postgres with a record in it: the one that is set, that runs, or of the data folder."""
    if settings.database_url:
        yield settings
    elif joined(settings) or (settings.data_dir / "postgres").exists():
        with some_servers(settings) as found:
            yield found
    else:
        raise Told(f"There is no record. Set DATABASE_URL, or run `engine up`, which keeps one in {settings.data_dir}.")


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
    found = [file for file in files if file.suffix in SUFFIXES and file.is_file()]
    if not found:
        raise Told(f"No packs ({', '.join(SUFFIXES)}) in {', '.join(str(place) for place in places)}.")
    return found


def _named(name: str) -> Pack:
    """The pack of a file, or of a slug among those that ship and ENGINE_PACKS_DIR's (which go first)."""
    if name.endswith(SUFFIXES):
        return _parsed(Path(name))
    packs = {pack.id: pack for pack in map(_parsed, _files(()))}
    if name not in packs:
        raise Told(f"There is no file and no pack `{name}`. Packs: {', '.join(sorted(packs))}.")
    return packs[name]


def _lines(texts: tuple[str, ...]) -> Iterator[str]:
    """Each text; for "-" each line of the standard input that is not blank."""
    for text in texts:
        if text == "-":
            with click.open_file("-", encoding="utf-8", errors="replace") as lines:
                yield from (line.strip() for line in lines if line.strip())
        else:
            yield text.encode("utf-8", "replace").decode()  # an argument may hold bytes of no text


def _parsed(file: Path) -> Pack:
    try:
        return parse_pack(file.read_bytes())
    except PackError as error:
        raise Told(f"{file}: {error}") from None
    except OSError as error:
        raise Told(f"{file}: {error.strerror}.") from None


def _findings(file: Path) -> tuple[Finding, ...]:
    try:
        return find(parse_pack(file.read_bytes()))
    except PackError as error:
        return (Finding(place="", message=str(error)),)
