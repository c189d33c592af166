"""A submission judged by itself: the same steps as an evaluation, with no record, lease or socket around them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Final

import msgspec

from engine.core.evidence import Triviality, Verdict, triviality
from engine.core.pack import Criterion, Pack
from engine.core.rubric import Facts, Total, count_criterion, score_criterion, total
from engine.judging.judge import Case, Judge, Judged, Spent
from engine.judging.submissions import Paper, submission_of
from engine.judging.verified import judge_verified
from protocol.events import EvaluationCriterion

MARK_BYTES: Final = 3
RUN: Final = 1

OnCriterion = Callable[[EvaluationCriterion], None]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The results in the rubric's order, the score, what was spent, and why nobody was asked if nobody was."""

    results: tuple[EvaluationCriterion, ...]
    total: Total
    spent: tuple[Spent, ...]
    trivial: Triviality | None = None


async def judge_paper(
    judge: Judge, pack: Pack, paper: Paper, *, parallel: int = 1, on_criterion: OnCriterion = lambda result: None
) -> Outcome:
    """Judge a paper; each criterion is given to `on_criterion` as it lands.

    The first criterion for the judge goes alone, so that the others find its prefix cached; then `parallel` at a time.
    Raises JudgeError, at once: nobody stands in.
    """
    landed: dict[str, EvaluationCriterion] = {}
    spent: list[Spent] = []

    def land(criterion: Criterion, judged: Judged) -> None:
        landed[criterion.id] = score_criterion(criterion, judged.verdicts, RUN)
        spent.append(judged.spent)
        on_criterion(landed[criterion.id])

    trivial = triviality(paper.fields, pack)
    if trivial is not None:
        for criterion in pack.rubric.criteria:
            land(criterion, Judged(tuple(_nothing(criterion, trivial))))
    else:
        facts = Facts(answered=frozenset(paper.asked), fields=paper.fields)
        for criterion in pack.rubric.criteria:
            if criterion.kind == "counted":
                land(criterion, Judged(count_criterion(criterion, facts, pack)))
        case = Case(pack=pack, submission=submission_of(paper, pack), mark=token_hex(MARK_BYTES))
        await _judge_all(judge, case, parallel, land)
    results = tuple(landed[criterion.id] for criterion in pack.rubric.criteria)
    return Outcome(results=results, total=total(pack.rubric, results), spent=tuple(spent), trivial=trivial)


def _nothing(criterion: Criterion, why: Triviality) -> Sequence[Verdict]:
    return [Verdict(check=check.id, verdict="not_met", flag=why) for check in criterion.checks]


async def _judge_all(judge: Judge, case: Case, parallel: int, land: Callable[[Criterion, Judged], None]) -> None:
    judged = [criterion for criterion in case.pack.rubric.criteria if criterion.kind == "judged"]
    free = asyncio.Semaphore(parallel)

    async def one(criterion: Criterion) -> None:
        async with free:
            land(criterion, await judge_verified(judge, case, criterion))

    for criterion in judged[:1]:
        await one(criterion)
    try:
        async with asyncio.TaskGroup() as group:
            for criterion in judged[1:]:
                group.create_task(one(criterion))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
