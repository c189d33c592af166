"""`./run attacks`: what the tests of this folder do in short, at length, with the figures."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis

from engine import telemetry
from engine.embedded import Embedded, Urls
from engine.record.challenges import FAILURES_PER_DAY
from engine.record.engine import make_engine, migrate
from engine.settings import Settings, load_settings
from tests.attacks.chances import CHI_SQUARED_MAX, chances
from tests.attacks.enumeration import KINDS, measure
from tests.attacks.guessing import Guesser
from tests.clock import HandClock
from tests.stack import SECRET, Stack
from tests.until import until
from tests.web.conftest import open_parts

AT_A_TIME = 500
"""Addresses of each kind; then the limit on all who ask is as if ten minutes had passed."""


def main() -> int:
    """Attack the sign-in by enumeration, guessing and chance; 1 when any of them came to anything."""
    parser = argparse.ArgumentParser(prog="./run attacks", description=main.__doc__)
    parser.add_argument("--requests", type=int, default=500, help="known, unknown and blocked addresses, so many each")
    parser.add_argument("--days", type=int, default=30, help="of guessing at one address, on a clock that is moved")
    parser.add_argument("--codes", type=int, default=1_000_000, help="made, to see whether chance made them")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the order of the requests")
    arguments = parser.parse_args()
    telemetry.configure("console", level=logging.CRITICAL)
    stood = _chance(arguments.codes)
    stood &= asyncio.run(_on_servers(arguments.days, arguments.requests, arguments.seed))
    return 0 if stood else 1


async def _on_servers(days: int, requests: int, seed: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="attacks-") as name, Embedded(Path(name), durable=False) as servers:
        urls = servers.ensure()
        settings = load_settings(
            {}, database_url=urls.database, redis_url=urls.redis, data_dir=Path(name), secret_key=SECRET
        )
        engine = make_engine(settings)
        await migrate(engine)
        await engine.dispose()
        stood = await _guessing(settings, days)
        return await _enumeration(servers, urls, Path(name), requests, seed) and stood


def _chance(codes: int) -> bool:
    found = chances(codes)
    figures = (f"{name:10} {value:.0f}" for name, value in found._asdict().items())
    headline = f"Chance: chi squared over {codes} codes, of 999 degrees of freedom (at most {CHI_SQUARED_MAX:.0f})"
    return _told(headline, figures, max(found) < CHI_SQUARED_MAX)


async def _guessing(settings: Settings, days: int) -> bool:
    clock = HandClock()
    async with open_parts(settings, clock) as parts:
        report = await Guesser(parts, clock).run(days)
    stood = report.most_in_24_hours <= FAILURES_PER_DAY and report.owner == {"signed_in": days + 1}
    return _told(f"Guessing: {days} days at one address, no other limit in the way", report.lines(), stood)


async def _enumeration(servers: Embedded, urls: Urls, folder: Path, requests: int, seed: int) -> bool:
    """Against a node that is a process of its own, and mails by SMTP."""
    stood = True
    async with _mail_server() as port, Redis.from_url(urls.redis) as redis:
        stack = await Stack.up(
            servers, urls.database, urls.redis, folder, nodes=1, workers=0, ENGINE_TRUSTED_PROXIES="127.0.0.1",
            ENGINE_SMTP_HOST="127.0.0.1", ENGINE_SMTP_PORT=str(port), ENGINE_SMTP_TLS="none",
        )  # fmt: skip
        try:
            for begun in range(0, requests, AT_A_TIME):
                each = min(AT_A_TIME, requests - begun)
                stood &= await _indistinct(redis, urls.database, stack.nodes[0].port, each, seed + begun)
        finally:
            await stack.down()
    return stood


async def _indistinct(redis: Redis, database_url: str, port: int, each: int, seed: int) -> bool:
    """Whether nothing tells the kinds apart. A difference in time must be there twice: chance makes one in 33."""
    for turn in range(2):
        await redis.flushdb()
        measured = await measure(database_url, port, each, seed + turn)
        apart = measured.told_apart_by_bytes() or measured.told_apart_by_time()
        headline = f"Enumeration: {each} requests for each of {', '.join(KINDS)} (seed {seed + turn})"
        if _told(headline, measured.lines(), not apart) or measured.told_apart_by_bytes():
            return not apart
    return False


@asynccontextmanager
async def _mail_server() -> AsyncIterator[int]:
    """The port of an SMTP server that throws all away. A process of its own: its work is not the client's."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    sink = ("-n", "-c", "aiosmtpd.handlers.Sink", "-l", f"127.0.0.1:{port}")
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", "aiosmtpd", *sink)
    try:
        await until(lambda: _listens(port))
        yield port
    finally:
        server.terminate()
        await server.wait()


async def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _told(headline: str, figures: Iterable[str], stood: bool) -> bool:
    sys.stdout.write("\n  ".join([headline, *figures, "held" if stood else "DID NOT HOLD"]) + "\n")
    sys.stdout.flush()
    return stood


if __name__ == "__main__":
    sys.exit(main())
