"""The bench of tests/judging, and workers that run in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from engine.settings import Settings
from engine.worker.broker import make_broker
from engine.worker.main import WorkerParts, run
from tests.judging.conftest import (
    MakeBench,
    bench,
    database_url,
    engine,
    heard,
    judge,
    judging_database,
    model,
    model_server,
    offline,
)

__all__ = ["bench", "database_url", "engine", "heard", "judge", "judging_database", "model", "model_server", "offline"]

Working = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture
def working(settings: Settings, bench: MakeBench) -> Working:
    """`async with working(...)`: a worker runs; changes go to its bench. It drains at the end of the block."""

    @asynccontextmanager
    async def worker(drain_seconds: float = 5.0, **changes: Any) -> AsyncIterator[None]:
        stop = asyncio.Event()
        parts = WorkerParts(broker=make_broker(settings), bench=bench(**changes), drain_seconds=drain_seconds)
        task = asyncio.create_task(run(parts, stop))
        try:
            yield
        finally:
            stop.set()
            await task

    return worker
