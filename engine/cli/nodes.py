"""`engine serve`, `engine worker`, `engine migrate`: one process of many, as in production."""

from __future__ import annotations

import asyncio

import click
import msgspec

from engine.cli.servers import check_servers, needed, read_settings, some_servers
from engine.settings import Settings


@click.command("serve")
@click.option("--host", help="Address to listen on.  [ENGINE_HOST, default 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port, 0 for any.  [ENGINE_PORT, default 8000]")
def serve(host: str | None, port: int | None) -> None:
    """Run one API node; any number may run on the same servers, and any of them serves any interview.

    Works on DATABASE_URL and REDIS_URL or, without them, on the servers of an `engine up` that runs in the same
    data folder. The tables must be there: `engine migrate`. SIGTERM drains: clients are told to go elsewhere.
    """
    settings = needed(read_settings(host=host, port=port))

    from engine import telemetry, wiring
    from engine.cli import serving
    from engine.telemetry import log

    telemetry.configure("json" if settings.production else "console")
    listening = serving.listen(settings)
    settings = msgspec.structs.replace(settings, port=listening.getsockname()[1])

    async def node(stop: asyncio.Event) -> None:
        await check_servers(settings)
        log.info("serving", host=settings.host, port=settings.port)
        await serving.serve(wiring.build_app(settings), settings, listening, stop)

    serving.run(node)


@click.command("worker")
def worker() -> None:
    """Run one worker; any number may run on the same servers. SIGTERM lets it finish or hand over its work."""
    settings = needed(read_settings())

    from engine import telemetry, wiring
    from engine.cli import serving
    from engine.telemetry import log

    telemetry.configure("json" if settings.production else "console")

    async def node(stop: asyncio.Event) -> None:
        await check_servers(settings)
        log.info("working", judge=settings.judge_name)
        work = asyncio.create_task(wiring.run_worker(settings))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if stop.is_set():
            work.cancel()
        await asyncio.gather(work, return_exceptions=stop.is_set())

    serving.run(node)


@click.command("migrate")
def migrate() -> None:
    """Bring the tables up to date; safe to run again, and by many at once."""

    async def bring(settings: Settings) -> None:
        await check_servers(settings, redis=False)
        from engine import wiring

        await wiring.migrate(settings)

    with some_servers(read_settings()) as settings:
        asyncio.run(bring(settings))
    click.echo("The tables are up to date.")
