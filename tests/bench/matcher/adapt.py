"""Turn the table towards interviews: one linear map, learnt on the development set.

A message should lie nearer to the rule that answers it than to the question's other rules; one that no rule answers,
if the lesson has any, nearer to none than some learnt likeness. The map is kept close to the identity, for it must
serve questions nobody has written yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.core.matcher.fitted import Encode
from tests.bench.matcher.development import Question

Map = NDArray[np.float64]
TEMPERATURE, STAY, RATE, STEPS = 0.1, 0.3, 0.01, 80
"""STAY: how dear each step away from the identity is."""
OUTSIDE_WEIGHT, LIKENESS = 0.6, 0.5
"""How much a message counts that no rule answers; where the likeness begins that it should keep below."""
PHRASINGS_MIN, PHRASINGS_MAX = 2, 7
SEED = 3


class Lesson(NamedTuple):
    """One question: its rules' phrasings, what was said of one rule each, and of which; then what was said of none."""

    phrasings: list[Map]
    said: Map
    right: NDArray[np.intp]

    @property
    def weights(self) -> Map:
        """How much each message counts."""
        weights = np.ones(len(self.said))
        weights[len(self.right) :] = OUTSIDE_WEIGHT
        return np.asarray(weights[:, None] / weights.sum())


def lesson(question: Question, encode: Encode, *, outside: bool) -> Lesson:
    """What a question teaches; with `outside`, also by what no rule answers."""
    names = list(question.rules)
    singles = [one for one in question.said if len(one.intents) == 1]
    said = [*singles, *(one for one in question.said if outside and not one.intents)]
    return Lesson(
        [encode(question.rules[name]).astype(np.float64) for name in names],
        encode([one.text for one in said]).astype(np.float64),
        np.array([names.index(next(iter(one.intents))) for one in singles]),
    )


class _Learnt(NamedTuple):
    """The map, and the likeness below which a message is about no rule: what is learnt, or a step of it."""

    map: Map
    likeness: Map


def learn(lessons: Sequence[Lesson], stay: float = STAY) -> Map:
    """The map, by Adam on the cross-entropy of the right rule, or none, among a question's, by cosine."""
    chance, dims = np.random.default_rng(SEED), lessons[0].said.shape[1]
    now = _Learnt(np.eye(dims), np.array(LIKENESS))
    first, second = ([np.zeros_like(part) for part in now] for _ in "12")
    for step in range(1, STEPS + 1):
        slopes = [_slope(now, one, int(chance.integers(PHRASINGS_MIN, PHRASINGS_MAX)), chance) for one in lessons]
        slope = _Learnt(
            stay * (now.map - np.eye(dims)) + sum(one.map for one in slopes) / len(lessons),
            np.array(sum(one.likeness for one in slopes) / len(lessons)),
        )
        first = [0.9 * was + 0.1 * new for was, new in zip(first, slope, strict=True)]
        second = [0.99 * was + 0.01 * new**2 for was, new in zip(second, slope, strict=True)]
        now = _Learnt(*(
            part - RATE * (one / (1 - 0.9**step)) / (np.sqrt(two / (1 - 0.99**step)) + 1e-8)
            for part, one, two in zip(now, first, second, strict=True)
        ))  # fmt: skip
    return now.map


def _slope(now: _Learnt, one: Lesson, phrasings: int, chance: np.random.Generator) -> _Learnt:
    """How the cross-entropy of one question changes with what is learnt."""
    middles = np.stack([chance.permutation(texts)[:phrasings].mean(axis=0) for texts in one.phrasings])
    said, rules = one.said @ now.map.T, middles @ now.map.T
    outside = len(said) > len(one.right)
    odds = np.exp(_unit(said) @ _unit(rules).T / TEMPERATURE)
    none = np.full((len(said), 1), np.exp(now.likeness / TEMPERATURE) if outside else 0.0)
    odds = np.hstack([odds, none])
    odds /= odds.sum(axis=1, keepdims=True)
    odds[np.arange(len(one.right)), one.right] -= 1.0
    odds[len(one.right) :, -1] -= 1.0
    pull = odds / TEMPERATURE * one.weights
    among = pull[:, :-1]
    return _Learnt(
        _through(among @ _unit(rules), said).T @ one.said + _through(among.T @ _unit(said), rules).T @ middles,
        np.array(pull[:, -1].sum()),
    )


def _through(slope: Map, rows: Map) -> Map:
    """A slope by rows of unit length as one by the rows as they are."""
    unit = _unit(rows)
    length = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return np.asarray((slope - unit * (slope * unit).sum(axis=1, keepdims=True)) / length)


def _unit(rows: Map) -> Map:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9))
