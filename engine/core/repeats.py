"""Judged more than once: what most judgings say of each check, and how far apart their totals lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from protocol.events import Band, CheckVerdict, EvaluationCriterion

from engine.core.pack import Rubric
from engine.core.rubric import Level, rescored, total

REPEATS: Final = 3
"""Judgings that decide together. Of independent ones a majority of three takes 14 % of flips to 5 %; five to 2 %."""
NEAR_POINTS: Final = 5
"""So near to the pass mark, two judgings of one submission often pass it once and fail it once."""
PASS_LEVEL: Final[Level] = "mid"
"""The level whose pass mark `passed` speaks of, and to which a total may be near."""
SPLIT: Final = "split"
"""The flag of a check on which no two judgings agree."""


def key(criterion: str, n: int) -> str:
    """What the `n`th judging of a criterion is kept under. No criterion has a colon in its id."""
    return criterion if n == 1 else f"{criterion}:{n}"


def is_near(score: float, rubric: Rubric) -> bool:
    """Whether chance may decide between passing and not."""
    marks: dict[Level, int] = {"mid": rubric.pass_mark.mid, "senior": rubric.pass_mark.senior}
    return abs(score - marks[PASS_LEVEL]) <= NEAR_POINTS


def majority(judgings: Sequence[EvaluationCriterion]) -> EvaluationCriterion:
    """One criterion, each check as more than half of its judgings have it; without such a half, it is not met."""
    columns = zip(*(judging.verdicts for judging in judgings), strict=True)
    first = msgspec.structs.replace(judgings[0], times=len(judgings))
    return rescored(first, map(_agreed, columns))


def _agreed(verdicts: Sequence[CheckVerdict]) -> CheckVerdict:
    """The verdict of most, with the quote of the first who says so."""
    ((word, votes),) = Counter(verdict.verdict for verdict in verdicts).most_common(1)
    said = next(verdict for verdict in verdicts if verdict.verdict == word)
    if 2 * votes > len(verdicts):
        return msgspec.structs.replace(said, votes=votes)
    votes = sum(verdict.verdict == "not_met" for verdict in verdicts)
    return msgspec.structs.replace(said, verdict="not_met", section=None, quote="", reason="", flag=SPLIT, votes=votes)


def decided(landed: Mapping[str, EvaluationCriterion]) -> tuple[EvaluationCriterion, ...]:
    """Each criterion once, from results by `key`: by majority where all its judgings are there, else its first."""
    firsts = [id for id in landed if ":" not in id]
    whole = {id: [landed[key(id, n)] for n in range(1, REPEATS + 1) if key(id, n) in landed] for id in firsts}
    return tuple(majority(some) if len(some) == REPEATS else landed[id] for id, some in whole.items())


def band(rubric: Rubric, landed: Mapping[str, EvaluationCriterion]) -> Band | None:
    """From the lowest to the highest total of the judgings and of what they decide; None unless there are several.

    What was not judged again counts in each total as it is. A majority may lie outside the totals it was made of.
    """
    results = decided(landed)
    times = min((result.times for result in results if result.times > 1), default=1)
    if times == 1:
        return None
    totals = [total(rubric, results).score]
    for n in range(1, times + 1):
        one = [landed[key(result.id, n)] if result.times > 1 else result for result in results]
        totals.append(total(rubric, one).score)
    return Band(low=min(totals), high=max(totals), times=times)
