"""What a user's judging may cost in a day, kept with the runs: more of it is refused before a model is asked."""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.judging.judge import JudgeError, Spent
from engine.judging.lease import patiently
from engine.judging.prices import Prices
from engine.record import past_runs
from engine.record.evaluations import Fence


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """In any 24 hours, for one user: tokens in and out together, and money in the prices' currency. 0: no limit."""

    tokens: int = 0
    cost: float = 0.0


NO_LIMIT: Final = Budget()


class Purse:
    """The purse of one run's user. Whoever pays looks into it first; what runs meanwhile may go beyond by its calls."""

    def __init__(self, engine: AsyncEngine, fence: Fence, budget: Budget, prices: Prices) -> None:
        self._engine, self._fence = engine, fence
        self._budget, self._prices = budget, prices

    async def check(self) -> None:
        """Raises JudgeError `over_budget`."""
        if not (self._budget.tokens or self._budget.cost):
            return
        used = await patiently(self._fence, lambda: past_runs.used_of_late(self._engine, self._fence.interview))
        tokens_gone = 0 < self._budget.tokens <= used.tokens
        cost_gone = 0 < self._budget.cost <= used.cost
        if tokens_gone or cost_gone:
            raise JudgeError("over_budget")

    async def pay(self, spent: Spent) -> None:
        """Keep what was spent, also by a worker that has lost the run: the provider's bill does not ask."""
        tokens = spent.input_tokens + spent.output_tokens
        if tokens:
            cost = self._prices.cost(spent) or 0.0
            await patiently(self._fence, lambda: past_runs.add_used(self._engine, self._fence, tokens, cost))
