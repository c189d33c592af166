"""The arithmetic of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, pstdev
from typing import Final

Z: Final = 1.6449
"""One-sided 95 %: how often something may happen that happened so seldom."""

Pair = tuple[bool, bool]
"""(people say met, the judge says met)."""


def agreement(pairs: Sequence[Pair]) -> float | None:
    """The share of checks on which both say the same; None without checks."""
    return fmean(people == judge for people, judge in pairs) if pairs else None


def kappa(pairs: Sequence[Pair]) -> float | None:
    """Cohen's kappa (1960): agreement beyond chance, 1 at most; None where chance alone makes them agree."""
    observed = agreement(pairs)
    if observed is None:
        return None
    people, judge = (fmean(pair[i] for pair in pairs) for i in (0, 1))
    expected = people * judge + (1 - people) * (1 - judge)
    return None if expected == 1 else (observed - expected) / (1 - expected)


def at_most(happened: int, tries: int) -> float | None:
    """The upper bound of Wilson's interval (1927): the true share is below it with 95 % confidence."""
    if tries == 0:
        return None
    share = happened / tries
    middle = share + Z**2 / (2 * tries)
    margin = Z * sqrt(share * (1 - share) / tries + Z**2 / (4 * tries**2))
    return min(1.0, (middle + margin) / (1 + Z**2 / tries))


def spread(totals: Sequence[Sequence[float]]) -> float | None:
    """The mean standard deviation of the totals of papers that were judged more than once."""
    repeated = [pstdev(of_one) for of_one in totals if len(of_one) > 1]
    return fmean(repeated) if repeated else None


def flipped(runs: Sequence[Sequence[frozenset[str]]], checks: Sequence[int]) -> float | None:
    """The share of checks on which repeats differ. `runs`: of a paper, what each found met; `checks`: of how many."""
    repeated = [(of_one, count) for of_one, count in zip(runs, checks, strict=True) if len(of_one) > 1]
    if not repeated:
        return None
    differing = sum(len(frozenset.union(*of_one) - frozenset.intersection(*of_one)) for of_one, _ in repeated)
    return differing / sum(count for _, count in repeated)


def mean(values: Sequence[float]) -> float | None:
    """None without values."""
    return fmean(values) if values else None
