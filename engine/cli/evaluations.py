"""`engine evaluations`: submissions that are set aside because workers died on them, and how they go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from engine.cli import Told
from engine.cli.servers import check_servers, read_settings, some_servers
from engine.settings import Settings

if TYPE_CHECKING:
    from engine.record.past_runs import SetAside


@click.group("evaluations")
def command() -> None:
    """Evaluations of submissions."""


@command.command("parked")
def parked() -> None:
    """List the submissions whose workers died again and again: nobody works on them until `retry` says so."""
    with some_servers(read_settings()) as settings:
        found = asyncio.run(_parked(settings))
    for one in found:
        for line in _lines(one):
            click.echo(line)
    click.echo(f"{len(found)} set aside." if found else "None is set aside.")


@command.command("retry")
@click.argument("interviews", nargs=-1, type=click.UUID)
@click.option("--all", "every", is_flag=True, help="All that `parked` lists.")
def retry(interviews: tuple[UUID, ...], every: bool) -> None:
    """Ask for a new evaluation of these INTERVIEWS, whose last one failed, and forget the workers that died on them."""
    if bool(interviews) == every:
        raise Told("Name the interviews to be judged again, or say --all.")

    async def run(settings: Settings) -> tuple[list[UUID], list[UUID]]:
        await check_servers(settings)
        from engine import wiring

        wanted = [one.interview for one in await wiring.set_aside(settings)] if every else list(interviews)
        return wanted, await wiring.ask_again(settings, wanted)

    with some_servers(read_settings()) as settings:
        wanted, asked = asyncio.run(run(settings))
    for interview in asked:
        click.echo(f"{interview} will be judged again.")
    if left := [str(interview) for interview in wanted if interview not in asked]:
        raise Told(f"Not failed, or not there: {', '.join(left)}.")


async def _parked(settings: Settings) -> list[SetAside]:
    await check_servers(settings, redis=False)
    from engine import wiring

    return await wiring.set_aside(settings)


def _lines(one: SetAside) -> Iterator[str]:
    yield f"{one.interview}  {one.question}, handed in {_when(one.submitted_at)}, {one.chars:,} characters"
    yield f"    run {one.run} given up {_when(one.given_up_at)} after {one.attempts} attempts: {one.error}"
    if one.last_worker and one.lease_until:
        worker = f"worker {one.last_worker} was last heard of before {_when(one.lease_until)}"
        yield f"    {worker}, with {one.judged} criteria judged"


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
