"""Nodes in this process on real servers, interviews to play on them, and a clock that all of them share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from engine.record.catalog import load_packs
from engine.settings import Settings
from tests.conductor.nodes import PACKS, Nodes


@pytest.fixture
async def nodes(settings: Settings) -> AsyncIterator[Nodes]:
    """Opens nodes; they end with the test."""
    async with AsyncExitStack() as stack:
        made = Nodes(settings, stack)
        first = await made.open()
        await load_packs(first.engine, PACKS)
        yield made
