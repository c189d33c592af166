"""Nodes in this process on real servers, interviews to play on them, and a clock that all of them share."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import asyncpg
import pytest

from engine.embedded import Embedded
from engine.record.catalog import load_packs
from engine.record.engine import make_engine
from engine.settings import Settings, load_settings
from tests.conductor.nodes import PACKS, Nodes

_numbers = itertools.count(1)
"""A session's fixture that is borrowed by another folder is made anew for it."""


@pytest.fixture(scope="session")
async def hall(servers: Embedded, template: str) -> str:
    """A database for all tests that play on nodes, one after the other: emptied before each, the packs stay."""
    admin, name = servers.ensure().database, f"hall_{next(_numbers)}"
    connection = await asyncpg.connect(admin)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    await connection.close()
    url = urlsplit(admin)._replace(path=f"/{name}").geturl()
    engine = make_engine(load_settings({}, database_url=url))
    await load_packs(engine, PACKS)
    await engine.dispose()
    return url


@pytest.fixture
async def hall_settings(hall: str, redis_url: str) -> Settings:
    """Settings that name the emptied hall and an empty Valkey."""
    connection = await asyncpg.connect(hall)
    await connection.execute("DELETE FROM evaluations; DELETE FROM evaluation_runs; DELETE FROM interview_events")
    await connection.execute("DELETE FROM clarification_logs; DELETE FROM solutions; DELETE FROM interview_sessions")
    await connection.close()
    return load_settings({}, database_url=hall, redis_url=redis_url, judge="offline")


@pytest.fixture
async def nodes(hall_settings: Settings) -> AsyncIterator[Nodes]:
    """Opens nodes; they end with the test."""
    async with AsyncExitStack() as stack:
        made = Nodes(hall_settings, stack)
        await made.open()
        yield made
