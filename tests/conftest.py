"""What every test may ask for: real servers, a database of its own, an empty Valkey, settings that name them.

The two servers start once a run (and once a worker of pytest-xdist), in under a second.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from urllib.parse import urlsplit

import asyncpg
import hypothesis
import pytest
from redis.asyncio import Redis

from engine import telemetry
from engine.embedded import Embedded, Urls
from engine.settings import Settings, load_settings
from tests.valkey_cluster import servers_in

# A busy machine is slow, which is no fault of the code; what is promised about time has tests of its own.
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("house")

TEMPLATE = "migrated"
NewDatabase = Callable[[], Awaitable[str]]

_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def _logs() -> None:
    telemetry.configure("json")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """The session's Postgres and Valkey. A test may kill and start them; whoever comes next finds them running."""
    with servers_in(tmp_path_factory.mktemp("servers"), durable=False) as embedded:
        yield embedded


@pytest.fixture
def server_urls(servers: Embedded) -> Urls:
    """Where both answer now: started anew if a test left one dead."""
    return servers.ensure()


@pytest.fixture(scope="session")
async def template(servers: Embedded) -> str:
    """A database with every migration applied, from which each test's own is copied (14 ms, not 300)."""
    from engine.record.engine import make_engine, migrate

    admin = servers.ensure().database
    await _execute(admin, f"CREATE DATABASE {TEMPLATE}")
    engine = make_engine(load_settings({}, database_url=_database(admin, TEMPLATE)))
    await migrate(engine)
    await engine.dispose()
    return TEMPLATE


@pytest.fixture
async def new_database(servers: Embedded, template: str) -> AsyncIterator[NewDatabase]:
    """Makes fresh migrated databases, dropped after the test whoever is still connected."""
    made: list[str] = []

    async def make() -> str:
        name = f"test_{next(_numbers)}"
        admin = servers.ensure().database
        await _execute(admin, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        made.append(name)
        return _database(admin, name)

    yield make
    for name in made:
        await _execute(servers.ensure().database, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url(new_database: NewDatabase) -> str:
    """A fresh migrated database of this test's own."""
    return await new_database()


@pytest.fixture
async def redis_url(server_urls: Urls) -> str:
    """The session's Valkey, emptied."""
    async with Redis.from_url(server_urls.redis) as client:
        await client.flushdb()
    return server_urls.redis


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Development settings on this test's servers, with the offline judge and any free port."""
    return load_settings(
        {},
        database_url=database_url,
        redis_url=redis_url,
        secret_key="a secret of the tests, long enough to pass",
        data_dir=tmp_path_factory.mktemp("data"),
        judge="offline",
        port=0,
    )


def _database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
