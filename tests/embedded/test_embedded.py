"""The two servers as children: data that stays, ports that stay, nobody left behind, nobody let in."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis.exceptions
from redis.asyncio import Redis

from engine.embedded import Embedded, FolderInUse, Missing, StartError
from engine.embedded import postgres as postgres_module
from engine.embedded.process import born
from tests.until import until_now

STOP_SECONDS_MAX = 2.0

SUPERVISOR = """
import signal, sys
from engine.embedded import Embedded
embedded = Embedded(sys.argv[1], durable=False)
print(*embedded.start(), embedded.postgres.pid, embedded.valkey.pid, flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the module: only its first start pays for initdb."""
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture
def embedded(home: Path) -> Iterator[Embedded]:
    with Embedded(home, durable=False) as running:
        yield running


async def _set(url: str, value: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
    await connection.execute("INSERT INTO kept VALUES ($1)", value)
    await connection.close()


async def _kept(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT value FROM kept ORDER BY value")
    await connection.close()
    return [row["value"] for row in rows]


async def test_restart_keeps_data_addresses_and_passwords(embedded: Embedded) -> None:
    before = embedded.ensure()
    await _set(before.database, "restart")
    async with Redis.from_url(before.redis) as client:
        await client.set("kept", "yes")

    began = time.monotonic()
    embedded.stop()
    assert time.monotonic() - began < STOP_SECONDS_MAX
    after = embedded.start()

    assert after == before
    assert "restart" in await _kept(after.database)
    async with Redis.from_url(after.redis, decode_responses=True) as client:
        assert await client.get("kept") == "yes"


async def test_a_killed_server_comes_back_with_what_it_had(embedded: Embedded) -> None:
    urls = embedded.ensure()
    await _set(urls.database, "killed")
    async with Redis.from_url(urls.redis) as client:
        await client.set("killed", "yes")

    embedded.postgres.kill()
    embedded.valkey.kill()
    with pytest.raises(OSError):  # noqa: PT011 - refused, reset: as the system likes
        await asyncpg.connect(urls.database)
    assert embedded.ensure() == urls

    assert "killed" in await _kept(urls.database)
    async with Redis.from_url(urls.redis) as client:
        assert await client.exists("killed")


async def test_wipe_loses_everything_in_valkey(embedded: Embedded) -> None:
    async with Redis.from_url(embedded.ensure().redis) as client:
        await client.set("lost", "yes")
    with pytest.raises(RuntimeError, match="stop or kill"):
        embedded.valkey.wipe()
    embedded.valkey.kill()
    embedded.valkey.wipe()
    async with Redis.from_url(embedded.ensure().redis) as client:
        assert await client.dbsize() == 0


async def test_a_wrong_password_is_refused(embedded: Embedded) -> None:
    urls = embedded.ensure()
    database = urlsplit(urls.database)
    wrong = database._replace(netloc=f"engine:guess@127.0.0.1:{database.port}").geturl()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)
    for password in (":guess@", ""):
        guess = Redis.from_url(f"redis://{password}127.0.0.1:{urlsplit(urls.redis).port}/0")
        with pytest.raises(redis.exceptions.AuthenticationError):
            await guess.ping()
        await guess.aclose()


def test_secrets_are_for_their_owner_only(embedded: Embedded) -> None:
    for name in ("postgres.password", "valkey.password", "valkey.conf"):
        assert (embedded.home / name).stat().st_mode & 0o077 == 0, name
    command = Path(f"/proc/{embedded.valkey.pid}/cmdline")
    if command.exists():
        assert (embedded.home / "valkey.password").read_text() not in command.read_text()


def test_a_second_supervisor_is_refused_and_told_what_to_do(embedded: Embedded) -> None:
    with pytest.raises(FolderInUse, match=rf"process {os.getpid()}\).*ENGINE_DATA_DIR"):
        Embedded(embedded.home, durable=False).start()
    assert embedded.postgres.pid and embedded.valkey.pid


def test_kill_9_of_the_parent_leaves_no_orphan_and_the_next_start_works(home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(home)], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout
        *urls, postgres, valkey = supervisor.stdout.readline().split()
        supervisor.send_signal(signal.SIGKILL)
    if sys.platform == "linux":
        until_now(lambda: born(int(postgres)) is None and born(int(valkey)) is None)
    with Embedded(home, durable=False) as again:
        assert list(again.ensure()) == urls


def test_what_outlived_its_supervisor_is_ended_by_the_next(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there is no death signal: the old servers still run when the new supervisor begins."""
    first = Embedded(home, durable=False)
    first.start()
    postgres, valkey = first.postgres.pid, first.valkey.pid
    assert postgres and valkey and first._lock
    first._lock.close()  # what the end of that process would do
    with Embedded(home, durable=False) as second:
        assert born(second.postgres.pid or 0) and born(second.valkey.pid or 0)
        assert second.postgres.pid != postgres and second.valkey.pid != valkey
        assert first.postgres.pid is None and first.valkey.pid is None


def test_a_taken_port_is_left_alone(home: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", int((home / "valkey.port").read_text())))
        stranger.listen()
        with Embedded(home, durable=False, postgres=False) as embedded:
            assert urlsplit(embedded.ensure().redis).port != stranger.getsockname()[1]


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root has to become another")
async def test_root_without_namespaces_becomes_nobody(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)  # as /root is: nobody could not walk there without our help
    monkeypatch.setattr(postgres_module, "FOR_ROOT", ("nobody",))
    with Embedded(home, durable=False, valkey=False) as embedded:
        status = Path(f"/proc/{embedded.postgres.pid}/status").read_text()
        assert "Uid:\t65534\t65534" in status
        assert await _kept(embedded.ensure().database)
    monkeypatch.undo()
    with Embedded(home, durable=False, valkey=False) as embedded:  # and back again
        assert await _kept(embedded.ensure().database)


def test_missing_programs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_PG_BINDIR", str(tmp_path))
    with pytest.raises(Missing, match="ENGINE_PG_BINDIR"):
        Embedded(tmp_path / "home").start()


def test_data_of_another_version_is_not_touched(home: Path) -> None:
    version = home / "postgres" / "PG_VERSION"
    ours = version.read_text()
    version.write_text("9\n")
    with pytest.raises(StartError, match="made by Postgres 9"):
        Embedded(home, durable=False).start()
    version.write_text(ours)


def test_a_failed_start_leaves_nothing_running(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = Embedded(home, durable=False)
    monkeypatch.setenv("ENGINE_REDIS_BIN", sys.executable)  # a program that is no server: exits at once
    with pytest.raises(StartError, match="valkey stopped while it started"):
        embedded.start()
    assert embedded.postgres.pid is None
    monkeypatch.undo()
    with embedded:
        assert embedded.valkey.pid
