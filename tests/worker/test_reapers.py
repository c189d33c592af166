"""The reapers' rounds: who is rung again and when, who is told late, who is given up."""

from __future__ import annotations

import asyncio
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from engine.judging.evaluation import evaluate
from engine.record import evaluations
from engine.record.evaluations import ATTEMPTS_MAX
from engine.record.events import driver
from engine.worker.reapers import one_round
from tests.judging.conftest import MakeBench
from tests.judging.stage import Heard, hand_in


class Bells:
    """Who was rung; `broken`: nobody can be."""

    def __init__(self) -> None:
        self.rung: list[UUID] = []
        self.broken = False

    async def ring(self, interview: UUID, run: int) -> bool:
        if not self.broken:
            self.rung.append(interview)
        return not self.broken


async def shift(engine: AsyncEngine, seconds: float) -> None:
    """So much time passes for all runs."""
    async with driver(engine) as connection:
        await connection.execute(
            "UPDATE evaluation_runs SET ring_at = ring_at - make_interval(secs => $1), "
            "lease_until = lease_until - make_interval(secs => $1)",
            seconds,
        )


async def test_rings_again_after_longer_and_longer(engine: AsyncEngine, heard: Heard) -> None:
    bells = Bells()
    await hand_in(engine)
    waits = []
    for _ in range(8):
        await one_round(engine, bells.ring, heard.announce)
        async with driver(engine) as connection:
            wait = await connection.fetchval("SELECT extract(epoch FROM ring_at - now()) FROM evaluation_runs")
        waits.append(round(float(wait) + 0.4))
        await one_round(engine, bells.ring, heard.announce)
        await shift(engine, float(wait))
    assert len(bells.rung) == 8
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


async def test_many_reapers_ring_once(engine: AsyncEngine, heard: Heard) -> None:
    bells = Bells()
    interviews = [await hand_in(engine) for _ in range(3)]
    await asyncio.gather(*(one_round(engine, bells.ring, heard.announce) for _ in range(5)))
    assert sorted(bells.rung) == sorted(interviews)


async def test_a_run_in_work_is_not_rung_until_its_lease_ends(engine: AsyncEngine, heard: Heard) -> None:
    bells = Bells()
    interview = await hand_in(engine)
    await evaluations.claim(engine, interview, 1, owner="a", lease_seconds=10)
    await one_round(engine, bells.ring, heard.announce)
    assert bells.rung == []
    await shift(engine, 10)
    await one_round(engine, bells.ring, heard.announce)
    assert bells.rung == [interview]


async def test_an_outage_does_not_count(engine: AsyncEngine, heard: Heard) -> None:
    """Rings that nobody could hear do not put off the next."""
    bells = Bells()
    await hand_in(engine)
    bells.broken = True
    for _ in range(10):
        await one_round(engine, bells.ring, heard.announce)
        await shift(engine, 1)
    bells.broken = False
    await one_round(engine, bells.ring, heard.announce)
    assert len(bells.rung) == 1


async def test_tells_what_nobody_was_told(engine: AsyncEngine, bench: MakeBench, heard: Heard) -> None:
    heard.away = True
    interview = await hand_in(engine)
    assert await evaluate(bench(), interview, 1) == "done"
    await shift(engine, 2)
    await one_round(engine, Bells().ring, heard.announce)
    assert "eval:1:end" not in heard.said
    heard.away = False
    await shift(engine, 1)
    await asyncio.gather(*(one_round(engine, Bells().ring, heard.announce) for _ in range(3)))
    assert heard.completed is not None
    order = list(heard.order)
    await shift(engine, 60)
    await one_round(engine, Bells().ring, heard.announce)
    assert heard.order == order


async def test_gives_up_what_outlived_too_many_workers(engine: AsyncEngine, heard: Heard) -> None:
    interview = await hand_in(engine)
    bells = Bells()
    for attempt in range(1, ATTEMPTS_MAX + 1):
        await shift(engine, 100)
        await one_round(engine, bells.ring, heard.announce)
        assert heard.failed is None
        claim = await evaluations.claim(engine, interview, 1, owner="a", lease_seconds=1)
        assert claim is not None
        assert claim.attempt == attempt
    await shift(engine, 100)
    assert await evaluations.claim(engine, interview, 1, owner="a", lease_seconds=1) is None
    await one_round(engine, bells.ring, heard.announce)
    assert heard.failed is not None
    assert (heard.failed.code, heard.failed.retryable) == ("attempts_exhausted", True)
    assert len(bells.rung) == ATTEMPTS_MAX
