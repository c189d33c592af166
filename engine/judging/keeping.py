"""What one attempt at a run has landed: kept under its lease first, then said. Kept is what counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.afterwards import FirstShown, quotes
from engine.core.repeats import decided
from engine.failpoints import failpoint
from engine.judging.announcing import Announce, tell, word_of
from engine.judging.budget import NO_LIMIT, Budget, Purse
from engine.judging.judge import Judge
from engine.judging.lease import LeaseLost, patiently
from engine.judging.narrative import Narrate
from engine.judging.prices import NO_PRICES, Prices
from engine.record import evaluations
from engine.record.evaluations import Error, Fence, Handed, Landed, Result
from engine.record.events import replay
from engine.telemetry import Metrics, log
from protocol import events
from protocol.codec import decode_event

Ending = Literal["done", "failed", "lost", "not_claimed"]
Repeat = Literal["never", "near", "always"]
SAVES: Final = "draft.saved"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What evaluations need. `fallbacks`: who is asked when `judge` cannot, in order; with none left the run fails."""

    engine: AsyncEngine
    judge: Judge
    announce: Announce
    narrate: Narrate
    metrics: Metrics
    owner: str
    lease_seconds: float
    job_seconds: float
    calls_parallel: int
    fallbacks: tuple[Judge, ...] = ()
    prices: Prices = NO_PRICES
    budget: Budget = NO_LIMIT
    repeat: Repeat = "never"
    appeals: int = 0
    """How many a result leaves to the candidate."""


class Keeper:
    """One attempt's hold on a run. Whatever it writes raises LeaseLost when the hold is gone."""

    def __init__(self, bench: Bench, fence: Fence, landed: Mapping[str, Landed]) -> None:
        self.bench, self.fence = bench, fence
        self.landed = dict(landed)
        """By `Landed.key`."""
        self.purse = Purse(bench.engine, fence, bench.budget, bench.prices)
        self.until = asyncio.get_running_loop().time() + bench.job_seconds
        """When calls must have ended, by the loop's clock."""
        self._heard = True
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long this attempt has taken."""
        return time.monotonic() - self._began

    @property
    def results(self) -> dict[str, events.EvaluationCriterion]:
        """What has landed, each criterion as all its judgings have it."""
        return {result.id: result for result in decided({key: one.result for key, one in self.landed.items()})}

    async def keep(self, landed: Landed) -> None:
        failpoint("verdict.before")
        if not await patiently(self.fence, partial(evaluations.land, self.bench.engine, self.fence, landed)):
            raise LeaseLost
        failpoint("verdict.after")
        self.landed[landed.key] = landed

    async def finish(self, handed: Handed, result: Result) -> Ending:
        failpoint("end.before")
        if not await patiently(self.fence, partial(evaluations.finish, self.bench.engine, self.fence, handed, result)):
            raise LeaseLost
        failpoint("end.after")
        return "done"

    async def fail(self, error: Error) -> Ending:
        log.warning("evaluation_failed", interview=self.fence.interview, run=self.fence.run, code=error.code)
        if not await patiently(self.fence, partial(evaluations.fail, self.bench.engine, self.fence, error)):
            raise LeaseLost
        return "failed"

    async def say_landed(self) -> None:
        """All that has landed, as it stands by now. Earlier attempts may not have said what they kept."""
        for result in self.results.values():
            await self.say(word_of(result), result)

    async def say(self, what: str, body: events.Event) -> None:
        """Once nobody could be told, the work goes on in silence: all is said at the end."""
        if self._heard:
            id = f"eval:{self.fence.run}:{what}"
            self._heard = await tell(self.bench.announce, self.fence.interview, id, body) is not None

    async def first_shown(self, results: tuple[events.EvaluationCriterion, ...], handed: Handed) -> dict[str, int]:
        """Since which minute the quotes stood in the draft."""
        wanted = quotes(results)

        async def look() -> dict[str, int]:
            shown = FirstShown(wanted, handed.started_at)
            if wanted:
                await replay(
                    self.bench.engine, str(self.fence.interview), SAVES, lambda body: shown.read(decode_event(body))
                )
            return shown.found()

        return await patiently(self.fence, look)
