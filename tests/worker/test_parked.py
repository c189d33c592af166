"""An interview that is set aside keeps nobody else from hearing how its evaluation ended."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.judging.evaluation import evaluate
from engine.record.events import driver
from engine.recorder import Lost, NotThere, Parked
from engine.worker.reapers import one_round
from protocol import events
from tests.judging.conftest import MakeBench
from tests.judging.stage import Heard, hand_in
from tests.worker.test_reapers import Bells, shift


@pytest.mark.parametrize("trouble", [Parked, NotThere, Lost])
async def test_one_that_cannot_hear_does_not_hold_up_the_next(
    engine: AsyncEngine, bench: MakeBench, heard: Heard, trouble: type[Exception]
) -> None:
    heard.away = True
    deaf, other = await hand_in(engine), await hand_in(engine)
    for interview in (deaf, other):
        assert await evaluate(bench(), interview, 1) == "done"
    heard.away = False

    async def announce(interview: UUID, command_id: str, body: events.Event) -> bool:
        if interview == deaf:
            raise trouble(str(deaf))
        return await heard.announce(interview, command_id, body)

    await shift(engine, 10)
    async with driver(engine) as connection:
        await connection.execute(
            "UPDATE evaluation_runs SET ring_at = ring_at - '1 s'::interval WHERE interview_id = $1", deaf
        )
    await one_round(engine, Bells().ring, announce)
    assert heard.completed is not None
