"""Row 76: nothing is older than the version that repaired a known hole in it. Works without a network."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from engine.embedded import Urls

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-semantic.lock", "requirements-dev.lock")
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)([^\n]*(?:\n {4}--hash=[^\n]*)*)", re.MULTILINE)


class Floor(NamedTuple):
    """The first version without a hole, where the hole is described, and what it was."""

    version: str
    id: str
    hole: str


FLOORS = {
    "aiohttp": Floor("3.12.14", "CVE-2025-53643", "request smuggling by trailers"),
    "cryptography": Floor("44.0.1", "CVE-2024-12797", "wheels with an OpenSSL that takes a peer without its key"),
    "h11": Floor("0.16.0", "GHSA-vqfr-h8mv-ghfj", "request smuggling by chunked bodies"),
    "idna": Floor("3.7", "CVE-2024-3651", "quadratic time for a made-up name"),
    "pyjwt": Floor("2.13.0", "CVE-2026-48526", "and CVE-2022-29217: which algorithm is taken for a key"),
    "pyyaml": Floor("5.4", "CVE-2020-14343", "code run by a document"),
    "redis": Floor("4.5.5", "CVE-2023-28859", "another's answer after a cancellation"),
    "starlette": Floor("1.0.1", "PYSEC-2026-161", "poisoned hosts; and CVE-2025-62727, quadratic time for ranges"),
    "uvicorn": Floor("0.11.7", "CVE-2020-7695", "headers split by a line break; and CVE-2020-7694, forged log lines"),
    "websockets": Floor("9.1", "CVE-2021-33880", "passwords told by time"),
}
VALKEY = Floor("7.2.11", "CVE-2025-49844", "code run by a script")


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.split("+")[0])[:4])


@pytest.mark.parametrize("name", FLOORS)
def test_76_what_is_installed_has_no_hole_we_know_of(name: str) -> None:
    assert numbers(version(name)) >= numbers(FLOORS[name].version), FLOORS[name]


@pytest.mark.parametrize("lock", LOCKS)
def test_76_what_will_be_installed_has_none_either_and_is_pinned_by_its_hash(lock: str) -> None:
    pinned = {name: (pin, rest) for name, pin, rest in PINNED.findall((ROOT / lock).read_text())}
    assert len(pinned) > 30
    assert not [name for name, (_, rest) in pinned.items() if "--hash=sha256:" not in rest]
    old = {name: pinned[name][0] for name, floor in FLOORS.items() if numbers(pinned[name][0]) < numbers(floor.version)}
    assert not old


async def test_76_the_server_that_runs_our_scripts_has_none(server_urls: Urls) -> None:
    async with Redis.from_url(server_urls.redis) as redis:
        info = await redis.info("server")
    assert numbers(str(info["valkey_version"])) >= numbers(VALKEY.version), VALKEY
