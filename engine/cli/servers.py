"""The two servers a command works on: named by the user, running under `engine up`, or started for this."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from engine.cli import Told
from engine.settings import Settings, load_settings

if TYPE_CHECKING:
    from engine.embedded import Embedded

POSTGRES_MIN, REDIS_MIN = 15, (7, 0)
CONNECT_SECONDS = 3.0


def read_settings(**changes: Any) -> Settings:
    """The settings, with the options that were given; in development with a secret that is made and kept."""
    given = {name: value for name, value in changes.items() if value is not None}
    settings = load_settings(None, **given)
    if settings.secret_key or settings.production:
        return settings
    from engine.identity.keys import secret_of

    return msgspec.structs.replace(settings, secret_key=secret_of(settings))


@contextmanager
def own_servers(settings: Settings) -> Iterator[tuple[Settings, Embedded | None]]:
    """Start those servers that no URL names, for as long as the block runs; (settings with all URLs, servers)."""
    if settings.database_url and settings.redis_url:
        yield settings, None
        return
    if sys.platform == "win32":
        raise Told("There are no such servers for Windows. Use WSL 2, or set DATABASE_URL and REDIS_URL.")
    from engine.embedded import Embedded, FolderInUse, Missing, StartError

    embedded = Embedded(settings.data_dir, postgres=not settings.database_url, valkey=not settings.redis_url)
    try:
        urls = embedded.start()
    except (FolderInUse, Missing, StartError) as error:
        raise Told(str(error)) from None
    try:
        yield _with_urls(settings, urls.database, urls.redis), embedded
    finally:
        embedded.stop()


def joined(settings: Settings) -> Settings | None:
    """The settings with the URLs of the servers that `engine up` runs in the same folder; None if it does not."""
    if settings.database_url and settings.redis_url:
        return settings
    if sys.platform == "win32":
        return None
    from engine.embedded import running_urls

    urls = running_urls(settings.data_dir)
    return _with_urls(settings, urls.database, urls.redis) if urls else None


def needed(settings: Settings) -> Settings:
    """As `joined`, for a node that cannot do without. Raises Told."""
    found = joined(settings)
    if found is None or not (found.database_url and found.redis_url):
        raise Told(
            "No servers to work on. Set DATABASE_URL and REDIS_URL, or run `engine up` in another terminal: "
            f"this node then joins it (they share {settings.data_dir})."
        )
    return found


@contextmanager
def some_servers(settings: Settings) -> Iterator[Settings]:
    """Those of `joined`, else started for the block: for a short command."""
    if found := joined(settings):
        yield found
        return
    with own_servers(settings) as (started, _):
        yield started


def _with_urls(settings: Settings, database: str, redis: str) -> Settings:
    return msgspec.structs.replace(
        settings,
        database_url=settings.database_url or database,
        redis_url=settings.redis_url or redis,
    )


async def check_servers(settings: Settings, *, redis: bool = True) -> None:
    """See that both answer and are new enough. Raises Told, which says what is wrong and where."""
    await _check_postgres(settings.database_url)
    if redis:
        await check_redis(settings.redis_url)


async def _check_postgres(url: str) -> None:
    import asyncpg
    from sqlalchemy.exc import ArgumentError

    from engine.record.engine import database_url

    where = f"Postgres at {_host(url, 'DATABASE_URL')} (DATABASE_URL)"
    try:
        plain = database_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    except (ArgumentError, ValueError):
        raise _no_url("DATABASE_URL") from None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await asyncpg.connect(plain)
            version = connection.get_server_version().major
            await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Told(f"{where} cannot be used: {_reason(error)}.") from None
    if version < POSTGRES_MIN:
        raise Told(f"{where} is version {version}; the engine needs {POSTGRES_MIN} or newer.")


async def check_redis(url: str) -> None:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import ConstantBackoff
    from redis.exceptions import RedisError

    from engine.live.cluster import Cluster, is_cluster

    where = f"Redis at {_host(url, 'REDIS_URL')} (REDIS_URL)"
    try:
        redis = Cluster(url, Retry(ConstantBackoff(0.1), 5)) if is_cluster(url) else Redis.from_url(url)
        async with asyncio.timeout(CONNECT_SECONDS), redis as client:
            about = {**await client.info("server"), **await client.info("memory")}
    except (OSError, TimeoutError, RedisError, ValueError, TypeError) as error:
        raise Told(f"{where} cannot be used: {_reason(error)}.") from None
    version = str(about["redis_version"])
    if about.get("server_mode", about.get("redis_mode")) == "cluster" and not is_cluster(url):  # Valkey's word, Redis's
        raise Told(f"{where} is a node of a cluster. Then write redis+cluster:// (or rediss+cluster://) for redis://.")
    if tuple(int(part) for part in version.split(".")[:2]) < REDIS_MIN:
        raise Told(f"{where} is version {version}; the engine needs Redis 7.0 or Valkey 7.2, or newer.")
    if about["maxmemory_policy"] != "noeviction" and about["maxmemory"]:
        raise Told(f"{where} would drop interviews to make room. Set its maxmemory-policy to noeviction.")


def _host(url: str, variable: str) -> str:
    """Where a URL points, without what is secret in it. Raises Told."""
    from engine.live.cluster import is_cluster, seeds_of

    if is_cluster(url):
        try:
            return ", ".join(f"{host}:{port}" for host, port in seeds_of(url))
        except ValueError as error:
            raise Told(f"{variable}: {error}.") from None
    try:
        parts = urlsplit(url)
        return f"{parts.hostname or 'localhost'}:{parts.port}" if parts.port else parts.hostname or "localhost"
    except ValueError:
        raise _no_url(variable) from None


def _no_url(variable: str) -> Told:
    """Says nothing of what is there: half a password may be in what looks like a port."""
    return Told(f"{variable} is not a URL. In a name or a password, write / ? # @ : % as %2F %3F %23 %40 %3A %25.")


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_SECONDS:.0f} s"
    return (str(error) or type(error).__name__).strip().rstrip(".")
