"""A trial of whatever judge is configured. A judge that cannot be asked ends it; an answer it cannot use is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from engine.core.pack import Pack
from engine.judging.failures import OUTAGES
from engine.judging.judge import FailureCode, Judge, JudgeError
from engine.judging.submissions import Paper
from engine.judging.trial.gold import Attack, GoldPaper, GoldSet, attacked, gold_score
from engine.judging.trial.odd import ODD, odd
from engine.judging.unrecorded import Outcome, judge_paper

VICTIM: Final = "weak"
"""The paper attacks are added to: short, and most of its checks are not met, so that much can be gained."""
HONEST: Final = ("middling", "strong")
"""The papers that are judged again in odd forms."""

T = TypeVar("T")
Given = Outcome | FailureCode
"""A result, or why there was none."""


class Written(NamedTuple):
    """A paper of the gold set, what people say of it, and what the judge said each time."""

    pack: Pack
    paper: GoldPaper
    score: float
    runs: tuple[Given, ...]


class Odd(NamedTuple):
    written: Written
    how: str
    given: Given


class Attacked(NamedTuple):
    victim: Written
    attack: Attack
    given: Given


class Trial(NamedTuple):
    """All that came out."""

    written: tuple[Written, ...]
    odd: tuple[Odd, ...]
    attacked: tuple[Attacked, ...]


@dataclass(frozen=True, kw_only=True)
class Court:
    """Who judges, and how much at once: `papers` at a time, `calls` of each."""

    judge: Judge
    papers: int
    calls: int
    paper_seconds: float
    progress: Callable[[], None] = lambda: None


def papers_of(sets: Sequence[GoldSet], repeat: int, attacks: int) -> int:
    """How many papers a trial judges."""
    papers = [paper for gold in sets for paper in gold.submissions]
    return repeat * len(papers) + len(ODD) * sum(paper.name in HONEST for paper in papers) + attacks


async def try_judge(
    court: Court,
    packs: Mapping[str, Pack],
    sets: Sequence[GoldSet],
    attacks: Sequence[Attack],
    repeat: int,
    forms: Collection[str] = tuple(ODD),
) -> Trial:
    """The whole trial; `forms`: the odd ones. Raises JudgeError when the judge cannot be asked."""
    free = asyncio.Semaphore(court.papers)

    async def give(pack: Pack, paper: Paper) -> Given:
        async with free:
            return await _given(court, pack, paper)

    async def write(pack: Pack, paper: GoldPaper) -> Written:
        runs = await _all([give(pack, paper) for _ in range(repeat)])
        return Written(pack, paper, gold_score(paper, pack), tuple(runs))

    written = await _all([write(packs[gold.pack], paper) for gold in sets for paper in gold.submissions])
    victims = [one for one in written if one.paper.name == VICTIM]

    async def dress(one: Written, how: str) -> Odd:
        return Odd(one, how, await give(one.pack, odd(one.paper, how)))

    async def strike(i: int, attack: Attack) -> Attacked:
        victim = victims[i % len(victims)]
        paper = attacked(victim.paper, attack, victim.pack, victim.paper.met)
        return Attacked(victim, attack, await give(victim.pack, paper))

    dressed = await _all([dress(one, how) for one in written if one.paper.name in HONEST for how in forms])
    struck = await _all([strike(i, attack) for i, attack in enumerate(attacks)]) if victims else []
    return Trial(tuple(written), tuple(dressed), tuple(struck))


async def _given(court: Court, pack: Pack, paper: Paper) -> Given:
    try:
        async with asyncio.timeout(court.paper_seconds):
            return await judge_paper(court.judge, pack, paper, parallel=court.calls)
    except JudgeError as error:
        if error.code in OUTAGES:
            raise
        return error.code
    except TimeoutError:
        raise JudgeError("job_timeout") from None
    finally:
        court.progress()


async def _all(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order; the first failure ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as errors:
        raise _innermost(errors) from None
    return [task.result() for task in tasks]


def _innermost(error: BaseException) -> BaseException:
    return _innermost(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
