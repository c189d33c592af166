"""Asking about many criteria: the first alone, so that the rest find the shared prefix cached; then several at once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from engine.core.evidence import is_quotable
from engine.core.pack import Criterion, Pack
from engine.core.prompt import Answer, Submission
from engine.core.rubric import score_criterion
from engine.judging.failures import OUTAGES
from engine.judging.judge import Case, JudgeError
from engine.judging.lease import LeaseLost
from engine.judging.order import Order
from engine.record.evaluations import Handed, Landed
from engine.recorder import AWAY

MARK_BYTES: Final = 3

Land = Callable[[Landed], Awaitable[None]]


def new_case(pack: Pack, handed: Handed) -> Case:
    """The submission before a judge, under a mark of its own: it also shuffles the checks."""
    labels = {rule.intent: rule.label for rule in pack.clarification.rules}
    answers = tuple(Answer(labels.get(intent, intent), response) for intent, response in handed.answers)
    submission = Submission(fields=handed.fields, language=handed.language, answers=answers)
    return Case(pack=pack, submission=submission, mark=secrets.token_hex(MARK_BYTES))


class Panel:
    """Asks an order of judges about criteria, and lands what they say, as the `n`th judging of each."""

    def __init__(self, order: Order, land: Land, run: int, parallel: int) -> None:
        self._order, self._land, self._run, self._parallel = order, land, run, parallel

    async def ask_all(self, case: Case, criteria: Sequence[Criterion], n: int = 1) -> list[JudgeError]:
        """The first that is really asked goes alone. Returns and raises as `ask_together`."""
        asked = (i for i, criterion in enumerate(criteria, 1) if is_quotable(criterion, case.submission.fields))
        alone = next(asked, len(criteria))
        unusable = await self.ask_together(case, criteria[:alone], n)
        return unusable + await self.ask_together(case, criteria[alone:], n)

    async def ask_together(self, case: Case, criteria: Sequence[Criterion], n: int = 1) -> list[JudgeError]:
        """An outage that nobody can take over stops all. What else fails lets the others end: the retry has them."""
        return await self.at_once([(case, criterion, n) for criterion in criteria])

    async def at_once(self, questions: Sequence[tuple[Case, Criterion, int]]) -> list[JudgeError]:
        """The errors of those that failed for their answers. Raises JudgeError for an outage, and what `land` does."""
        free = asyncio.Semaphore(self._parallel)
        unusable: list[JudgeError] = []

        async def one(case: Case, criterion: Criterion, n: int) -> None:
            async with free:
                try:
                    await self._one(case, criterion, n)
                except JudgeError as error:
                    if error.code in OUTAGES:
                        raise
                    unusable.append(error)

        try:
            async with asyncio.TaskGroup() as group:
                for question in questions:
                    group.create_task(one(*question))
        except BaseExceptionGroup as errors:
            raise _worst(errors) from None
        return unusable

    async def _one(self, case: Case, criterion: Criterion, n: int) -> None:
        given = await self._order.ask(case, criterion)
        await self._land(
            Landed(
                result=score_criterion(criterion, given.judged.verdicts, self._run),
                n=n,
                judge=given.judge,
                spent=msgspec.to_builtins(given.judged.spent),
                missed=tuple(msgspec.to_builtins(spent) for spent in given.missed),
            )
        )


def _worst(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one that decides: a lost lease before anything, then Postgres, then what a judge did."""
    flat = [error for error in errors.exceptions if not isinstance(error, asyncio.CancelledError)]
    order: tuple[tuple[type[BaseException], ...], ...] = ((LeaseLost,), AWAY, (JudgeError,))
    for kinds in order:
        for error in flat:
            if isinstance(error, kinds):
                return error
    return flat[0] if flat else errors
