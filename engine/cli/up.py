"""`engine up`: everything on one machine, in one process beside the two servers, which cannot outlive it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import signal
import socket
import sys
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import click
import msgspec

from engine.cli.servers import check_servers, own_servers, read_settings
from engine.settings import Settings

if TYPE_CHECKING:
    from engine.embedded import Embedded

DRAIN_SECONDS = 0.5
"""There is no other node to go to: clients are told, and reconnect when this one is back."""

WATCH_SECONDS = 0.25
"""How often the two servers are looked at; one that died is started again on its port."""


@click.command("up")
@click.option("--host", help="Address to listen on.  [ENGINE_HOST, default 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port, 0 for any.  [ENGINE_PORT, default 8000]")
def command(host: str | None, port: int | None) -> None:
    """Start everything on this machine and stay until Ctrl-C.

    Postgres and Valkey run as children of this process and keep their data in .data (ENGINE_DATA_DIR).
    DATABASE_URL or REDIS_URL, where set, name servers of yours to use instead. Then: tables, questions, API,
    worker and the page. Nothing else has to be installed, and no key is needed: without OPENAI_API_KEY
    (or OPENAI_BASE_URL) submissions are judged offline.
    """
    from engine import telemetry
    from engine.cli import serving

    settings = read_settings(host=host, port=port)
    telemetry.configure("json" if settings.production else "console")
    listening = serving.listen(settings)
    settings = msgspec.structs.replace(
        settings,
        port=listening.getsockname()[1],
        drain_seconds=min(DRAIN_SECONDS, settings.drain_seconds),
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # until the loop takes over
    threading.Thread(target=_import_ahead, daemon=True).start()
    with own_servers(settings) as (settings, embedded):
        serving.run(lambda stop: _everything(settings, embedded, listening, stop))
    click.echo("Stopped. The data is kept.")


def _import_ahead() -> None:
    """A second of importing, while the servers start. An error comes again where it can be told."""
    with contextlib.suppress(Exception):
        importlib.import_module("engine.wiring")


async def _everything(
    settings: Settings, embedded: Embedded | None, listening: socket.socket, stop: asyncio.Event
) -> None:
    from engine import wiring
    from engine.cli import serving

    if embedded is None or not (embedded.postgres.pid and embedded.valkey.pid):
        await check_servers(settings)
    await wiring.migrate(settings)
    await wiring.load_packs(settings)
    app = wiring.build_app(settings)
    await _until_first(
        stop,
        serving.serve(app, settings, listening, stop),
        wiring.run_worker(settings),
        _keep_alive(embedded),
        _announce(settings, embedded),
    )


async def _until_first(stop: asyncio.Event, *parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts until `stop`, or until one fails, which stops the others and is raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    stopped = asyncio.create_task(stop.wait())
    try:
        running = {stopped, *tasks}
        while not stopped.done():
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        stop.set()  # by which the API ends, in its own time
        for task in (*tasks[1:], stopped):
            task.cancel()
        await asyncio.gather(*tasks, stopped, return_exceptions=True)


async def _keep_alive(embedded: Embedded | None) -> None:
    """Start a server that died again, on its port and with its data."""
    from engine.telemetry import log

    if embedded is None:
        return
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        if dead := embedded.dead():
            log.error("server_died", service=dead)
            embedded.ensure()  # on this thread: Linux ties a child to the thread that made it


async def _announce(settings: Settings, embedded: Embedded | None) -> None:
    """Say where it is and how to sign in, once it answers."""
    await _answers(settings)
    url = settings.base_url
    mail = f"by mail, through {settings.smtp_host}" if settings.smtp_host else f"here, and at {url}/dev/mailbox"
    judge = "the offline judge; set OPENAI_API_KEY for a real one"
    judged = f"{settings.openai_model}" if settings.judge_name == "openai" else judge
    click.echo(
        f"\n  Interviews   {url}\n"
        f"  Sign in      with any e-mail address; the code arrives {mail}\n"
        f"  Judged by    {judged}\n"
        f"  Data         {settings.data_dir if embedded else 'in your servers'}\n"
        "  Stop         Ctrl-C\n"
    )


async def _answers(settings: Settings) -> None:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "") else settings.host
    while True:
        reader, writer = await asyncio.open_connection(host, settings.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            status = await reader.readline()
            writer.close()
            if b" 200 " in status:
                return
        await asyncio.sleep(WATCH_SECONDS)
