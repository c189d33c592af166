"""Fit the weights of the matcher: of what is known of a topic, and of the readings of a message. Every figure on a
question is from a fit without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.core.matcher import Tier, compile_topics, read
from engine.core.matcher.decide import Reading, chances, readings
from engine.core.matcher.fitted import FEATURES, READINGS, Weights
from engine.core.matcher.index import features
from tests.bench.matcher.development import Question

Array = NDArray[np.float64]
STEPS, RATE, L2 = 200, 0.1, 1e-3
PHRASINGS = (3, 5, 8)
"""Rules have few phrasings or many: the fit sees both, so that it holds for both."""
Slope = Callable[[Array], Array]
NONE = -1
SET = {"exact": 8.0}
"""The weight of what the development set does not show: nobody says a phrasing word for word."""


class Heard(NamedTuple):
    """A message as it is read, what is known of each topic in each of its texts, and which rules it asks for.

    `declined`: of each topic; the rules come first.
    """

    features: Array
    reading: Reading
    declined: NDArray[np.bool_]
    wanted: tuple[int, ...]


def heard(question: Question, tier: Tier, phrasings: int, *, declines: bool) -> list[Heard]:
    """What was said, before rules that have this many phrasings."""
    rules = {intent: texts[:phrasings] for intent, texts in question.rules.items()}
    compiled = compile_topics(rules, question.declines if declines else {}, tier)
    declined = np.array([topic.intent is None for topic in compiled.index.topics])
    found = []
    for said in question.said:
        reading = read(said.text)
        rows = features(compiled.index, reading.texts, tier.message(reading.texts))
        wanted = tuple(sorted(compiled.intents.index(intent) for intent in said.intents))
        found.append(Heard(rows, reading, declined, wanted))
    return found


def train(found: Sequence[Heard]) -> Weights:
    """Weights by maximum likelihood: of features first, on messages of one question or none; then of readings."""
    single = [one for one in found if len(one.wanted) < 2]
    weights = np.zeros(len(FEATURES))
    for _ in range(3):  # what is declined settles as the weights become known
        weights = _fit_features(single, [_right(one, weights) for one in single], weights)
    for name, weight in SET.items():
        weights[FEATURES.index(name)] = weight
    return Weights(weights, _fit_readings(found, weights))


def _right(one: Heard, weights: Array) -> int:
    """The topic a message is about. One that no rule answers may be of a declined topic or of none: it is of the one
    to which it already leans."""
    if one.wanted:
        return one.wanted[0]
    odds = chances(one.features[0], weights)
    open_ones = np.append(np.where(one.declined, odds, 0.0), 1.0 - odds.sum())
    best = int(np.argmax(open_ones))
    return NONE if best == len(one.declined) else best


def _fit_features(found: Sequence[Heard], right: Sequence[int], start: Array) -> Array:
    """A conditional logit with "none" of utility 0."""
    widest = max(len(one.declined) for one in found)
    rows = np.zeros((len(found), widest, len(start)))
    closed = np.full((len(found), widest + 1), -1e9)
    wanted = np.zeros((len(found), widest + 1))
    for at, (one, topic) in enumerate(zip(found, right, strict=True)):
        rows[at, : len(one.declined)] = one.features[0]
        closed[at, : len(one.declined)] = closed[at, -1] = 0.0
        wanted[at, topic] = 1.0

    def slope(weights: Array) -> Array:
        utilities = np.hstack([rows @ weights, np.zeros((len(rows), 1))]) + closed
        powers = np.exp(utilities - utilities.max(axis=1, keepdims=True))
        error = powers / powers.sum(axis=1, keepdims=True) - wanted
        return np.asarray(np.einsum("nt,ntf->f", error[:, :-1], rows) / len(rows))

    return _descend(slope, start)


def _fit_readings(found: Sequence[Heard], weights: Array) -> Array:
    """A logit a rule, over every rule of every message."""
    rows, wanted = [], []
    for one in found:
        odds = chances(one.features, weights)[:, ~one.declined]
        rows.append(readings(odds, one.reading))
        wanted.append(np.isin(np.arange(odds.shape[1]), one.wanted))
    known, right = np.concatenate(rows), np.concatenate(wanted)

    def slope(weights: Array) -> Array:
        return np.asarray(known.T @ (1 / (1 + np.exp(-(known @ weights))) - right) / len(known))

    return _descend(slope, np.zeros(len(READINGS)))


def _descend(slope: Slope, start: Array) -> Array:
    """Adam (Kingma and Ba 2015)."""
    weights, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for step in range(1, STEPS + 1):
        down = slope(weights) + L2 * weights
        first, second = 0.9 * first + 0.1 * down, 0.99 * second + 0.01 * down**2
        weights = weights - RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
    return weights
