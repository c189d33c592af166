"""The pool's limits hold, and URLs are taken as people write them."""

from __future__ import annotations

import asyncio
import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.record.engine import database_url, identity, make_engine
from engine.settings import load_settings


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("postgres://u:p@h:5/d", "postgresql+asyncpg://u:p@h:5/d"),
        ("postgresql://u:p@h/d?sslmode=require", "postgresql+asyncpg://u:p@h/d?ssl=require"),
        ("postgresql+asyncpg://u:p%40@h/d", "postgresql+asyncpg://u:p%40@h/d"),
    ],
)
def test_urls_as_hosts_write_them(written: str, meant: str) -> None:
    assert database_url(written).render_as_string(hide_password=False) == meant


async def test_a_statement_that_takes_too_long_is_ended(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text("SET statement_timeout = 20"))
        with pytest.raises(DBAPIError) as slow:
            await connection.execute(sa.text("SELECT pg_sleep(5)"))
    assert getattr(slow.value.orig, "sqlstate", None) == "57014"


async def test_a_server_that_is_away_is_an_os_error() -> None:
    away = make_engine(load_settings({}, database_url="postgresql://u:p@127.0.0.1:1/d"))
    async with asyncio.timeout(5):
        with pytest.raises(OSError, match=r"Connect call failed|refused"):
            async with away.connect():
                pass
    await away.dispose()


async def test_an_error_never_shows_what_was_written(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError) as refused:
            await connection.execute(sa.text("SELECT CAST(:secret AS integer) / 0"), {"secret": 700_007})
    assert "700007" not in str(refused.value)


async def test_a_record_has_one_identity_for_good(engine: AsyncEngine) -> None:
    found = await identity(engine)
    assert uuid.UUID(found)
    async with engine.begin() as connection:
        with pytest.raises(DBAPIError):
            await connection.execute(sa.text(f"INSERT INTO record_identity VALUES ('{found}')"))
    assert await identity(engine) == found
