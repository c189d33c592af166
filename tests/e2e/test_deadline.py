"""Deadlines that pass while nobody runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg

from tests.e2e.conftest import SignIn
from tests.e2e.contract import Wire
from tests.stack import Stack, every_redis
from tests.until import until

SLUG = "parking-garage"
LONG_AGO = timedelta(hours=6)
WITHIN_SECONDS = 1.0
TEXT = "Written before the lights went out."


async def test_with_all_nodes_down_over_the_deadline_the_first_one_submits(
    stack: Stack, sign_in: SignIn, postgres: asyncpg.Connection
) -> None:
    candidate = await sign_in()
    interview = await candidate.start(stack.nodes[0], SLUG)
    ticket = await candidate.call(stack.nodes[0], "POST", f"/v1/interviews/{interview}/ticket", {})
    async with Wire.open(ticket) as wire:
        await wire.ack("draft.save", {"base": 0, "changes": [{"field": "functional_req", "text": TEXT}]})
    for process in (*stack.nodes, *stack.workers):
        process.kill()
    await _long_ago(stack, postgres, interview)
    stack.nodes[1].start()
    ready = await stack.nodes[1].ready()

    async def submitted() -> Any:
        return await postgres.fetchrow(
            "SELECT * FROM solutions WHERE interview_id = $1 AND submitted_at IS NOT NULL", interview
        )

    solution = await until(submitted)
    row = await postgres.fetchrow("SELECT phase, submitted_at FROM interview_sessions WHERE id = $1", interview)
    assert row["phase"] == "submitted"
    assert row["submitted_at"].timestamp() <= ready + WITHIN_SECONDS
    assert (solution["submitted_by"], solution["functional_req"], solution["rev"]) == ("clock", TEXT, 1)
    types = await postgres.fetch("SELECT type FROM interview_events WHERE interview_id = $1 ORDER BY seq", interview)
    assert [entry["type"] for entry in types][:3] == ["draft.saved", "phase.changed", "solution.submitted"]
    await _is_judged(stack, postgres, interview)


async def _long_ago(stack: Stack, postgres: asyncpg.Connection, interview: str) -> None:
    """Let the interview have begun hours ago; its live copy, which says otherwise, is lost with all of Redis."""
    await postgres.execute(
        "UPDATE interview_sessions SET started_at = started_at - $2::interval, "
        "deadline_at = deadline_at - $2::interval WHERE id = $1",
        interview,
        LONG_AGO,
    )
    async with every_redis(stack.redis_url) as redises:
        for redis in redises:
            await redis.flushdb()


async def _is_judged(stack: Stack, postgres: asyncpg.Connection, interview: str) -> None:
    """The worker, when there is one again, judges what the clock submitted."""
    stack.workers[0].start()

    async def judged() -> Any:
        return await postgres.fetchval("SELECT count(*) FROM evaluations WHERE interview_id = $1", interview)

    assert await until(judged) == 1
