"""Deadlines while Postgres neither answers nor refuses: the clock acts by Redis alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from engine.conductor import deadlines
from engine.core.interview import GRACE_MS
from engine.wiring import Backbone
from tests.conductor.nodes import Candidate, Nodes, candidate
from tests.until import until

IN_TIME_SECONDS = 1.5
"""A statement that waits for the lock is given up after 4."""


@asynccontextmanager
async def postgres_hanging(node: Backbone) -> AsyncIterator[None]:
    """Whatever touches interviews waits."""
    connection = await asyncpg.connect(node.settings.database_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE interview_sessions IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def test_deadlines_act_while_the_sweep_and_the_record_hang(nodes: Nodes) -> None:
    early = await candidate(nodes.first)
    nodes.later(60_000)
    later = await candidate(nodes.first)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(deadlines.run_deadlines(nodes.first.conductor, nodes.first.engine, stop))
        async with postgres_hanging(nodes.first):
            nodes.until((await early.state()).deadline_at)
            await until(lambda: _designs(early), IN_TIME_SECONDS)
            nodes.until((await later.state()).deadline_at)
            await until(lambda: _designs(later), IN_TIME_SECONDS)
        stop.set()


async def test_the_next_deadline_does_not_wait_for_the_record_of_the_one_before(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(deadlines.run_deadlines(nodes.first.conductor, nodes.first.engine, stop))
        async with postgres_hanging(nodes.first):
            nodes.until((await tab.state()).deadline_at)
            await until(lambda: _designs(tab), IN_TIME_SECONDS)
            nodes.until((await tab.state()).deadline_at + GRACE_MS)
            await until(lambda: _is_submitted(tab), IN_TIME_SECONDS)
        stop.set()


async def _is_submitted(tab: Candidate) -> bool:
    return (await tab.state()).phase == "submitted"


async def _designs(tab: Candidate) -> bool:
    return (await tab.state()).phase == "design"
