"""What a matcher's answers come to: the figures of the goals, over any list of asked messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tests.bench.matcher.development import Said

COVERAGE_WRONG_MAX = 0.05


class Answer(NamedTuple):
    """What a matcher says to a message: the rules it would answer, and all it ranked, the best first.

    `score`: how sure it is that a rule answers at all.
    """

    intents: frozenset[str]
    ranked: tuple[str, ...] = ()
    score: float = 0.0


Matcher = Callable[[str], Answer]
"""A question's rules, compiled."""


class Asked(NamedTuple):
    said: Said
    answer: Answer


class Figures(NamedTuple):
    """Shares, but for n. `strict`: exactly the right rules, over all messages. Over singles in scope: `forced` (the
    best-ranked rule is right), `top1` (answered, and right), `wrong` (answered by another rule). Over messages out of
    scope: `false` (answered); `near`, those in the domain alone. `auroc`: a message in scope is surer than one out of
    it. `coverage`: share of singles answered right where at most 5 % of the answers given are not right. `double`: F1
    of the rules of messages with two questions. `utility`: right +1, wrong or false -1, silence 0.
    """

    n: int
    strict: float
    forced: float
    top1: float
    wrong: float
    false: float
    near: float
    auroc: float
    coverage: float
    double: float
    utility: float


def figures(asked: Sequence[Asked]) -> Figures:
    """All figures of these messages."""
    singles = [one for one in asked if len(one.said.intents) == 1]
    doubles = [one for one in asked if len(one.said.intents) > 1]
    outside = [one for one in asked if not one.said.intents]
    near = [one for one in outside if one.said.near]
    return Figures(
        n=len(asked),
        strict=_share(one.answer.intents == one.said.intents for one in asked),
        forced=_share(set(one.answer.ranked[:1]) == one.said.intents for one in singles),
        top1=_share(one.answer.intents == one.said.intents for one in singles),
        wrong=_share(bool(one.answer.intents - one.said.intents) for one in singles),
        false=_share(bool(one.answer.intents) for one in outside),
        near=_share(bool(one.answer.intents) for one in near),
        auroc=_auroc([one.answer.score for one in singles], [one.answer.score for one in outside]),
        coverage=_coverage(singles, outside),
        double=_f1(doubles),
        utility=sum(map(_utility, asked)) / max(1, len(asked)),
    )


def _share(found: Iterable[bool]) -> float:
    answers = list(found)
    return sum(answers) / len(answers) if answers else float("nan")


def _utility(one: Asked) -> int:
    if not one.answer.intents:
        return 0
    return 1 if one.answer.intents == one.said.intents else -1


def _auroc(inside: Sequence[float], outside: Sequence[float]) -> float:
    if not inside or not outside:
        return float("nan")
    a, b = np.array(inside)[:, None], np.array(outside)[None, :]
    return float((a > b).mean() + 0.5 * (a == b).mean())


def _coverage(singles: Sequence[Asked], outside: Sequence[Asked]) -> float:
    """The most singles answered right at any threshold on the score that keeps wrong answers within the share."""
    rows = sorted(
        ((one.answer.score, bool(one.said.intents) and set(one.answer.ranked[:1]) == one.said.intents)
         for one in (*singles, *outside)),
        reverse=True,
    )  # fmt: skip
    best = right = 0
    for at, (_, correct) in enumerate(rows, 1):
        right += correct
        if at - right <= COVERAGE_WRONG_MAX * at:
            best = right
    return best / len(singles) if singles else float("nan")


def _f1(doubles: Sequence[Asked]) -> float:
    given = sum(len(one.answer.intents) for one in doubles)
    wanted = sum(len(one.said.intents) for one in doubles)
    right = sum(len(one.answer.intents & one.said.intents) for one in doubles)
    return 2 * right / (given + wanted) if given + wanted else float("nan")
