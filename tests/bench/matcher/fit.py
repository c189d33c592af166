"""Fit the weights of the matcher's logit: of none, of each rule. Every figure on a question is from a fit without it.

    python -m tests.bench.matcher fit

prints the weights for engine/core/matcher/decide.py, fitted on all of the development set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.core.matcher import compile_topics
from engine.core.matcher.decide import chances, features
from engine.core.matcher.fitted import FEATURES
from engine.core.matcher.index import Encode
from tests.bench.matcher.development import Question

Array = NDArray[np.float64]
STEPS, RATE, L2 = 200, 0.1, 1e-3
PHRASINGS = (3, 5, 8)
"""Rules have few phrasings or many: the fit sees both, so that it holds for both."""
NONE = -1
SET = {"keyword": 1.3, "exact": 8.0}
"""Weights of what the development set does not show: its rules have no keywords, and nobody says a phrasing."""


class Example(NamedTuple):
    """A message as features (topics by weights), the topics that are declined, and the right one (or NONE)."""

    features: Array
    declined: NDArray[np.bool_]
    right: int


def examples(question: Question, encode: Encode, phrasings: int, *, declines: bool) -> list[Example]:
    """What was said of one thing or of none, before rules that have this many phrasings."""
    rules = {intent: texts[:phrasings] for intent, texts in question.rules.items()}
    index = compile_topics(rules, question.declines if declines else {}, encode=encode).index
    names = [topic.intent for topic in index.topics]
    declined = np.array([name is None for name in names])
    said = [one for one in question.said if len(one.intents) < 2]
    vectors = encode([one.text for one in said])
    return [
        Example(
            features(index, one.text, vector), declined, names.index(next(iter(one.intents))) if one.intents else NONE
        )
        for one, vector in zip(said, vectors, strict=True)
    ]


def settled(found: Sequence[Example], weights: Array) -> list[Example]:
    """A message that no rule answers may go to a declined topic or to none: take what it already leans to."""
    return [one if one.right != NONE else one._replace(right=_leaning(one, weights)) for one in found]


def _leaning(one: Example, weights: Array) -> int:
    odds = chances(one.features, weights)
    open_ones = np.append(np.where(one.declined, odds, 0.0), 1.0 - odds.sum())
    best = int(np.argmax(open_ones))
    return NONE if best == len(one.declined) else best


def train(found: Sequence[Example]) -> Array:
    """Weights by maximum likelihood; what is declined settles as they become known."""
    weights = np.zeros(len(FEATURES))
    for _ in range(3):
        weights = _fit(settled(found, weights), weights)
    for name, weight in SET.items():
        weights[FEATURES.index(name)] = weight
    return weights


def _fit(found: Sequence[Example], start: Array) -> Array:
    """A conditional logit with "none" of utility 0, by Adam (Kingma and Ba, 2015)."""
    widest = max(len(one.features) for one in found)
    rows = np.zeros((len(found), widest, len(start)))
    closed = np.full((len(found), widest + 1), -1e9)
    wanted = np.zeros((len(found), widest + 1))
    for at, one in enumerate(found):
        rows[at, : len(one.features)] = one.features
        closed[at, : len(one.features)] = closed[at, -1] = 0.0
        wanted[at, one.right] = 1.0
    weights, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for step in range(1, STEPS + 1):
        utilities = np.hstack([rows @ weights, np.zeros((len(rows), 1))]) + closed
        powers = np.exp(utilities - utilities.max(axis=1, keepdims=True))
        error = powers / powers.sum(axis=1, keepdims=True) - wanted
        slope = np.einsum("nt,ntf->f", error[:, :-1], rows) / len(rows) + L2 * weights
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
        weights = weights - RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
    return weights
