"""The pool of connections to Postgres, and bringing its tables up to date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from engine.record import tables
from engine.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config

CONNECT_SECONDS = 3.0
COMMAND_SECONDS = 5.0
STATEMENT_MS = 4_000
"""The server gives up before the client does, so that an abandoned statement holds no lock."""
IDLE_IN_TRANSACTION_MS = 10_000
POOL_WAIT_SECONDS = 1.0
"""A full pool means that Postgres is behind; callers are told soon rather than queued long."""
OVERFLOW = 2
MIGRATION_LOCK = 7_312
"""Any number, as long as every version of the engine uses the same one."""
MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def database_url(url: str) -> URL:
    """A URL as people and hosts write it, as one for asyncpg: driver named, `sslmode` by its own word."""
    parsed = make_url(url).set(drivername="postgresql+asyncpg")
    mode = parsed.query.get("sslmode")
    if mode is None:
        return parsed
    return parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})


def make_engine(settings: Settings, *, name: str = "engine") -> AsyncEngine:
    """A pool of at most `postgres_pool_size` + 2 connections; nothing connects before its first use.

    A server that is away raises OSError; a slow statement, DBAPIError; a pool that stays empty, TimeoutError.
    """
    return create_async_engine(
        database_url(settings.database_url),
        pool_size=settings.postgres_pool_size,
        max_overflow=OVERFLOW,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,  # candidate text never gets into an error message
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": COMMAND_SECONDS,
            "server_settings": {
                "application_name": name,
                "statement_timeout": str(STATEMENT_MS),
                "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
                "jit": "off",
            },
        },
    )


async def migrate(engine: AsyncEngine) -> None:
    """Bring the tables to the newest revision. Any number of processes may call this; one does the work."""
    # A connection of its own: a migration, and the wait for another's, may take longer than a request may.
    waits = {"timeout": CONNECT_SECONDS}
    patient = create_async_engine(engine.url, poolclass=sa.NullPool, connect_args=waits)
    async with patient.begin() as connection:
        await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        if not await connection.run_sync(_is_newest):
            await connection.run_sync(_upgrade)


async def identity(engine: AsyncEngine) -> str:
    """What tells this record from every other."""
    async with engine.connect() as connection:
        return str(await connection.scalar(sa.select(tables.record_identity.c.id)))


def newest_revision() -> str:
    """What the tables are at when nothing is left to do: the number that begins the last file's name."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _is_newest(connection: sa.Connection) -> bool:
    # Alembic is a third of a second to import, which a start with nothing to do need not wait for.
    if connection.scalar(sa.text("SELECT to_regclass('alembic_version')")) is None:
        return False
    at = connection.scalars(sa.text("SELECT version_num FROM alembic_version")).all()
    return list(at) == [newest_revision()]


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def alembic_config() -> Config:
    """Alembic without an ini file: where the migrations are, and nothing else."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
