"""From likeness to a decision: the chance of each topic or of none, and which of three zones that falls in."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.core.matcher.fitted import FEATURES, Weights
from engine.core.matcher.index import Array, Index, likeness

Zone = Literal["answer", "confirm", "fallback"]

ANSWER_SCORE_MIN: Final = 0.75
ANSWER_MARGIN_MIN: Final = 0.5
CONFIRM_SCORE_MIN: Final = 0.35


class Matched(msgspec.Struct, frozen=True, kw_only=True):
    """What one question of a message is about.

    `score`: the chance that it is `intent`, 0 to 1; `margin`: its lead over the next topic. `intent` is None in
    the zone `fallback` only; score and margin are then those of the best rule.
    """

    text: str
    zone: Zone
    intent: str | None = None
    score: float = 0.0
    margin: float = 0.0


def decide(index: Index, text: str, vector: Array, weights: Weights) -> Matched:
    """The decision on one segment."""
    if not index.rules:
        return Matched(text=text, zone="fallback")
    odds = chances(features(index, text, vector), weights)
    best = int(odds[: index.rules].argmax())
    score = float(odds[best])
    odds[best] = 0.0
    margin = score - float(odds.max())
    zone = _zone(score, margin)
    intent = None if zone == "fallback" else index.topics[best].intent
    return Matched(text=text, zone=zone, intent=intent, score=round(score, 4), margin=round(margin, 4))


def _zone(score: float, margin: float) -> Zone:
    if score >= ANSWER_SCORE_MIN and margin >= ANSWER_MARGIN_MIN:
        return "answer"
    return "confirm" if score >= CONFIRM_SCORE_MIN and margin > 0 else "fallback"


def features(index: Index, text: str, vector: Array) -> NDArray[np.float64]:
    """What is known of each topic, one row a topic, in the order of FEATURES."""
    like = np.stack(likeness(index, text, vector), axis=1)
    rows = np.empty((len(like), len(FEATURES)))
    rows[:, 0] = 1.0
    rows[:, 1] = index.declined
    rows[:, 2:9] = like
    rows[:, 9:] = _leads(like[:, :5])
    return rows


def chances(rows: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """The softmax of the topics' utilities and of none's, without none."""
    powers = np.exp(np.minimum(rows @ weights, 50.0))
    return np.asarray(powers / (1.0 + powers.sum()))


def _leads(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much each leads the best of the others, column by column."""
    if len(columns) < 2:
        return columns
    second, first = np.partition(columns, -2, axis=0)[-2:]
    leading = columns == first
    return np.asarray(columns - np.where(leading, second, first))
