"""Rows 71, 72 and 75: a stack in production mode, on servers that allow the least, and what it says in its logs."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

import engine.live
from engine.embedded import Embedded
from tests.attacks import least
from tests.attacks.canaries import WORD, Planter
from tests.fake_model.server import FakeModel, Step
from tests.smtp_sink import smtp_sink
from tests.stack import Stack

ROLE = "engine_least"
PASSWORD = f"{WORD}-{secrets.token_hex(8)}"
REDIS_DATABASE = 15


class Ran(NamedTuple):
    """What is left of a stack that was used and has ended."""

    logs: dict[str, str]
    planter: Planter
    secrets: list[str]


@pytest.fixture(scope="module")
async def limited(servers: Embedded, template: str) -> AsyncIterator[tuple[str, str, str]]:
    """(database URL of the owner, of the engine; its Redis URL): the engine's users may do no more than they must."""
    urls = servers.ensure()
    owner, admin = await asyncpg.connect(urls.database), Redis.from_url(urls.redis)
    await owner.execute(f'CREATE DATABASE "{ROLE}" TEMPLATE {template} STRATEGY FILE_COPY')
    await owner.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
    database = urlsplit(urls.database)._replace(path=f"/{ROLE}").geturl()
    inside = await asyncpg.connect(database)
    await inside.execute(least.POSTGRES_GRANTS.format(database=ROLE, role=ROLE))
    await inside.close()
    await command(admin, "ACL", "SETUSER", *least.redis_user(ROLE, PASSWORD))
    yield database, _as(database), _as(f"{urls.redis.rpartition('/')[0]}/{REDIS_DATABASE}")
    await owner.execute(f'DROP DATABASE "{ROLE}" WITH (FORCE)')
    await owner.execute(f"DROP ROLE {ROLE}")
    await command(admin, "ACL", "DELUSER", ROLE)
    await owner.close()
    await admin.aclose()


@pytest.fixture(scope="module")
async def ran(servers: Embedded, limited: tuple[str, str, str], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A node and a worker, planted with canaries, then stopped."""
    database, database_url, redis_url = limited
    folder = tmp_path_factory.mktemp("logs")
    return await _use(servers, database, folder, database_url=database_url, redis_url=redis_url)


async def command(redis: Redis, *words: str) -> Any:
    """A command for which redis-py has no method, or a long one."""
    return await redis.execute_command(*words)  # type: ignore[no-untyped-call]


def _as(url: str) -> str:
    """The same server, for the engine's user."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{ROLE}:{PASSWORD}@{parts.hostname}:{parts.port}").geturl()


async def _use(servers: Embedded, database: str, folder: Path, *, database_url: str, redis_url: str) -> Ran:
    keys = {name: f"{WORD}-{secrets.token_urlsafe(32)}" for name in ("secret", "model", "smtp", "metrics")}
    async with FakeModel() as model, smtp_sink(login=(f"{WORD}-mailer", keys["smtp"])) as sink:
        model.script(Step(text=f"{WORD}, not JSON"), Step(mode="fabricate"))
        stack = await Stack.up(
            servers, database, redis_url, folder, nodes=1, workers=1,
            DATABASE_URL=database_url, ENGINE_MODE="production", ENGINE_PUBLIC_URL="https://interviews.example.org",
            ENGINE_SECRET_KEY=keys["secret"], ENGINE_METRICS_TOKEN=keys["metrics"], ENGINE_TRUSTED_PROXIES="127.0.0.1",
            ENGINE_SMTP_HOST="127.0.0.1", ENGINE_SMTP_PORT=str(sink.port), ENGINE_SMTP_TLS="none",
            ENGINE_SMTP_USER=f"{WORD}-mailer", ENGINE_SMTP_PASSWORD=keys["smtp"], ENGINE_JUDGE="openai",
            OPENAI_API_KEY=keys["model"], OPENAI_BASE_URL=model.url,
        )  # fmt: skip
        planter = Planter(stack, sink)
        try:
            await planter.all()
        finally:
            await stack.down()
            logs = {process.name: process.log.read_text() for process in (*stack.nodes, *stack.workers)}
    return Ran(logs, planter, [*keys.values(), *planter.planted])


def lines(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines()]


async def test_71_nothing_that_was_planted_is_in_a_log(ran: Ran) -> None:
    for name, log in ran.logs.items():
        for secret in ran.secrets:
            assert secret.lower() not in log.lower(), (name, [line for line in log.splitlines() if secret in line][:3])


async def test_71_what_was_planted_was_met_by_errors_of_every_kind(ran: Ran) -> None:
    assert {200, 201, 202, 400, 401, 404, 405, 415, 422, 500} <= set(ran.planter.statuses)
    said = {line["event"] for log in ran.logs.values() for line in lines(log)}
    assert {"signed_in", "sign_in_failed", "mail_not_taken", "refresh_token_reused", "request_failed"} <= said
    assert "account_deleted" in said and "live_copies_left" not in said
    assert {"socket_denied", "evaluation_ended", "interview_parked", "serving", "worker_started"} <= said


async def test_72_every_line_is_one_object_that_the_engine_has_made(ran: Ran) -> None:
    for log in ran.logs.values():
        assert lines(log)
        assert "\x1b" not in log
        assert all(line.keys() >= {"event", "level", "timestamp"} for line in lines(log))


async def test_75_the_engine_asked_redis_for_nothing_that_its_user_may_not_do(ran: Ran, servers: Embedded) -> None:
    async with Redis.from_url(servers.ensure().redis) as admin:
        denied = await command(admin, "ACL", "LOG")
    assert {(entry[b"reason"], entry[b"object"]) for entry in denied if entry[b"username"] == ROLE.encode()} == set()


def test_75_every_script_keeps_to_what_the_engines_user_may_do() -> None:
    live = Path(engine.live.__path__[0])
    scripts = [path.read_text() for path in (*live.glob("*.lua"), *live.glob("*.py"))]
    called = {name.lower() for script in scripts for name in re.findall(r"redis\.p?call\(['\"](\w+)", script)}
    assert {"xadd", "publish", "time"} <= called <= set(least.REDIS_COMMANDS)


@pytest.mark.parametrize(
    "words",
    ["FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET *", "ACL LIST", "SHUTDOWN", "GET other", "MONITOR"],
)
async def test_75_the_engines_user_may_do_no_harm_to_redis(limited: tuple[str, str, str], words: str) -> None:
    async with Redis.from_url(limited[2]) as redis:
        with pytest.raises(NoPermissionError):
            await command(redis, *words.split())


@pytest.mark.parametrize(
    "sql",
    ["CREATE TABLE t (i int)", "DROP TABLE users", "ALTER TABLE users ADD x int", "CREATE ROLE r", "TRUNCATE users"],
)
async def test_75_the_engines_role_makes_and_drops_nothing_in_postgres(limited: tuple[str, str, str], sql: str) -> None:
    connection = await asyncpg.connect(limited[1])
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(sql)
    finally:
        await connection.close()
