"""Turn the table towards interviews: one linear map, learnt on the development set.

A message should lie nearer to the rule that answers it than to the question's other rules. The map is kept close to
the identity, for it must serve questions nobody has written yet.
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
PHRASINGS_MIN, PHRASINGS_MAX = 2, 7
SEED = 3


class Lesson(NamedTuple):
    """One question: its rules' phrasings, what was said of one rule each, and of which."""

    phrasings: list[Map]
    said: Map
    right: NDArray[np.intp]


def lesson(question: Question, encode: Encode) -> Lesson:
    """What a question teaches."""
    names = list(question.rules)
    singles = [one for one in question.said if len(one.intents) == 1]
    return Lesson(
        [encode(question.rules[name]).astype(np.float64) for name in names],
        encode([one.text for one in singles]).astype(np.float64),
        np.array([names.index(next(iter(one.intents))) for one in singles]),
    )


def learn(lessons: Sequence[Lesson]) -> Map:
    """The map, by Adam on the cross-entropy of the right rule among a question's, by cosine."""
    chance, dims = np.random.default_rng(SEED), lessons[0].said.shape[1]
    turned, first, second = np.eye(dims), np.zeros((dims, dims)), np.zeros((dims, dims))
    for step in range(1, STEPS + 1):
        slope = STAY * (turned - np.eye(dims))
        for one in lessons:
            slope += _slope(turned, one, int(chance.integers(PHRASINGS_MIN, PHRASINGS_MAX)), chance) / len(lessons)
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
        turned = turned - RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
    return turned


def _slope(map: Map, one: Lesson, phrasings: int, chance: np.random.Generator) -> Map:
    """How the cross-entropy of one question changes with the map."""
    middles = np.stack([chance.permutation(texts)[:phrasings].mean(axis=0) for texts in one.phrasings])
    said, rules = one.said @ map.T, middles @ map.T
    odds = np.exp(_unit(said) @ _unit(rules).T / TEMPERATURE)
    odds /= odds.sum(axis=1, keepdims=True)
    odds[np.arange(len(one.right)), one.right] -= 1.0
    pull = odds / TEMPERATURE / len(one.right)
    return np.asarray(
        _through(pull @ _unit(rules), said).T @ one.said + _through(pull.T @ _unit(said), rules).T @ middles
    )


def _through(slope: Map, rows: Map) -> Map:
    """A slope by rows of unit length as one by the rows as they are."""
    unit = _unit(rows)
    length = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return np.asarray((slope - unit * (slope * unit).sum(axis=1, keepdims=True)) / length)


def _unit(rows: Map) -> Map:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9))
