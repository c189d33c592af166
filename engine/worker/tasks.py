"""What a worker has in hand: evaluations, as many as it may, each ending by itself or with the worker."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Final
from uuid import UUID

from engine.failpoints import failpoint
from engine.judging.evaluation import evaluate
from engine.judging.keeping import Bench
from engine.record.past_runs import strikes
from engine.recorder import AWAY
from engine.telemetry import log
from engine.worker.broker import EVALUATE

if TYPE_CHECKING:
    from taskiq_redis import RedisStreamBroker

EVALUATIONS_MAX: Final = 8
"""At once, in one worker: mostly they wait for a model."""
SUSPECT_FROM: Final = 2
"""Workers that died on a submission. Such are evaluated one at a time: whoever kills a worker again shall take no other
with it that is as suspect, or all of them would be set aside together. Once is what befalls all when a worker dies.
The others stand in line, and hold no place meanwhile."""


class Workshop:
    """The evaluations of this worker. They outlive the doorbell's connection."""

    def __init__(self, bench: Bench, evaluations_max: int = EVALUATIONS_MAX) -> None:
        self._bench = bench
        self._free = asyncio.Semaphore(evaluations_max)
        self._alone = asyncio.Lock()
        self._suspects: set[UUID] = set()
        """The one that is evaluated, and the line behind it."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def work(self, interview: UUID, run: int) -> None:
        """Evaluate, and return when that is over, however it ends; at once, if it must stand in line."""
        try:
            suspect = await strikes(self._bench.engine, interview) >= SUSPECT_FROM
        except AWAY as error:
            log.warning("evaluation_dropped", interview=interview, run=run, error=type(error).__name__)
            return
        if suspect and interview in self._suspects:
            return  # rung for again
        waits = suspect and bool(self._suspects)
        if suspect:
            self._suspects.add(interview)
        task = asyncio.create_task(self._one(interview, run, self._alone if suspect else nullcontext()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not waits:
            await asyncio.wait({task})

    async def _one(self, interview: UUID, run: int, turn: AbstractAsyncContextManager[None]) -> None:
        try:
            async with turn, self._free:
                failpoint("unclaimed")
                ending = await evaluate(self._bench, interview, run)
        except AWAY as error:
            log.warning("evaluation_dropped", interview=interview, run=run, error=type(error).__name__)
        except Exception as error:
            log.error("evaluation_broke", interview=interview, run=run, exc_info=error)
        else:
            log.info("evaluation_ended", interview=interview, run=run, outcome=ending)
        finally:
            self._suspects.discard(interview)

    async def drain(self, seconds: float) -> None:
        """Let what runs end; give back to the queue what does not end in time."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))


def register(broker: RedisStreamBroker, shop: Workshop) -> None:
    """Give the broker its one task."""

    async def run(interview: str, run: int) -> None:
        await shop.work(UUID(interview), run)

    broker.register_task(run, task_name=EVALUATE)
