"""From likeness to a decision: the chance of each topic or of none, and which of three zones that falls in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from engine.core.matcher.index import Index, Likeness, likeness

Zone = Literal["answer", "confirm", "fallback"]

ANSWER_SCORE_MIN: Final = 0.6
ANSWER_MARGIN_MIN: Final = 0.2
CONFIRM_SCORE_MIN: Final = 0.3


class Weights(NamedTuple):
    """A conditional logit with a "none of these" of utility 0; see tests/bench/matcher_fit.py for the fit."""

    bias: float
    declined: float
    bm25: float
    grams: float
    cover: float
    keyword: float
    exact: float
    bm25_lead: float
    grams_lead: float
    cover_lead: float


WEIGHTS: Final = Weights(
    bias=-3.73, declined=-0.89, bm25=2.1, grams=4.5, cover=4.84, keyword=1.3, exact=8.0,
    bm25_lead=-0.72, grams_lead=-0.07, cover_lead=3.11,
)  # fmt: skip


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


def decide(index: Index, text: str) -> Matched:
    """The decision on one segment."""
    chances = _chances(index, likeness(index, text))
    rules = [n for n, topic in enumerate(index.topics) if topic.intent is not None]
    if not rules:
        return Matched(text=text, zone="fallback")
    best = max(rules, key=lambda n: (chances[n], -n))
    score = chances[best]
    margin = score - max((chance for n, chance in enumerate(chances) if n != best), default=0.0)
    zone = _zone(score, margin)
    intent = None if zone == "fallback" else index.topics[best].intent
    return Matched(text=text, zone=zone, intent=intent, score=round(score, 4), margin=round(margin, 4))


def _zone(score: float, margin: float) -> Zone:
    if score >= ANSWER_SCORE_MIN and margin >= ANSWER_MARGIN_MIN:
        return "answer"
    return "confirm" if score >= CONFIRM_SCORE_MIN and margin > 0 else "fallback"


def _chances(index: Index, likenesses: Sequence[Likeness]) -> list[float]:
    """The softmax of the topics' utilities and of none's, without none."""
    leads = [_leads([like[n] for like in likenesses]) for n in range(3)]
    powers = [
        math.exp(_utility(like, index.topics[n].intent is None, leads[0][n], leads[1][n], leads[2][n]))
        for n, like in enumerate(likenesses)
    ]
    total = 1.0 + sum(powers)
    return [power / total for power in powers]


def _leads(values: Sequence[float]) -> list[float]:
    """By how much each leads the best of the others."""
    if len(values) < 2:
        return list(values)
    first, second = sorted(values, reverse=True)[:2]
    return [value - (second if value == first else first) for value in values]


def _utility(like: Likeness, declined: bool, bm25_lead: float, grams_lead: float, cover_lead: float) -> float:
    w = WEIGHTS
    return (
        w.bias
        + w.declined * declined
        + w.bm25 * like.bm25
        + w.grams * like.grams
        + w.cover * like.cover
        + w.keyword * like.keyword
        + w.exact * like.exact
        + w.bm25_lead * bm25_lead
        + w.grams_lead * grams_lead
        + w.cover_lead * cover_lead
    )
