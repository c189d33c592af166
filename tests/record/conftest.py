"""The record's own fixtures: a pool on a fresh database, and packs small enough to read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.record.engine import make_engine
from engine.settings import Settings


@pytest.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """A pool on this test's own database."""
    pool = make_engine(settings)
    yield pool
    await pool.dispose()


@pytest.fixture
def now() -> datetime:
    """An instant that stands still."""
    return datetime(2030, 1, 1, 12, tzinfo=UTC)
