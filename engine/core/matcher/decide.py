"""From likeness to a decision: the chance of each topic or of none in a text, of each rule in a message, and which of
three zones that falls in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

from engine.core.matcher.fitted import Floats64
from engine.core.matcher.segments import asks, clauses, content, leans, sentences
from engine.core.matcher.words import TEXT_CHARS_MAX

Zone = Literal["answer", "confirm", "fallback"]

ANSWER_SCORE_MIN: Final = 0.65
CONFIRM_SCORE_MIN: Final = 0.35
JOINED_SCORE_MIN: Final = 0.5
"""Of a rule that shows only together with the question before. With any question before it, 2 % of messages that need
none are then asked back for nothing; of those that do, twice as many find their rule."""
SECOND_SCORE_MIN: Final = 0.5
"""Of a second rule in the same sentence: one question is likelier than two."""
ODDS_MIN: Final = 0.05
"""Chances nearer to 0 or 1 say no more: a second question has next to none in the message as a whole."""


class Matched(msgspec.Struct, frozen=True, kw_only=True):
    """What one question of a message is about.

    `score`: the chance that it asks for `intent`, 0 to 1; `margin`: its lead over the next topic. `intent` is None in
    the zone `fallback` only; score and margin are then those of the best rule.
    """

    text: str
    zone: Zone
    intent: str | None = None
    score: float = 0.0
    margin: float = 0.0


class Reading(NamedTuple):
    """A message as it is read: whole, its sentences and its clauses where it has more than one, and, where it
    leans on the question before, that and the message together."""

    text: str
    sentences: tuple[str, ...]
    clauses: tuple[str, ...]
    joined: str

    @property
    def texts(self) -> list[str]:
        """What is to be encoded, in the order of the rows that `decide` wants."""
        return [self.text[:TEXT_CHARS_MAX], *self.sentences, *self.clauses, *([self.joined] if self.joined else ())]


def read(text: str, previous: str = "") -> Reading:
    """Cut a message."""
    scored = text[:TEXT_CHARS_MAX]
    parts, finer = sentences(scored), clauses(scored)
    return Reading(
        text,
        parts if parts != (scored,) else (),
        finer if finer not in ((scored,), parts) else (),
        f"{previous} {scored}" if previous and leans(scored) else "",
    )


def chances(rows: Floats64, weights: Floats64) -> Floats64:
    """Of each text, the softmax of the topics' utilities and of none's, without none."""
    powers = np.exp(np.minimum(rows @ weights, 50.0))
    return np.asarray(powers / (1.0 + powers.sum(axis=-1, keepdims=True)))


def asked(odds: Floats64, reading: Reading, weights: Floats64) -> Floats64:
    """The chance of each rule in the message; `odds`: in each of its texts."""
    return np.asarray(1.0 / (1.0 + np.exp(-(readings(odds, reading) @ weights))))


def readings(odds: Floats64, reading: Reading) -> Floats64:
    """What is known of each rule in the message, in the order of READINGS."""
    end = 1 + len(reading.sentences)
    finer = odds[end : end + len(reading.clauses)]
    known = np.clip([odds[0], _best(odds[1:end], odds[0]), _best(finer, _best(odds[1:end], odds[0]))],
                    ODDS_MIN, 1 - ODDS_MIN)  # fmt: skip
    rows = np.ones((odds.shape[1], 6))
    rows[:, 1:4] = np.log(known / (1 - known)).T
    rows[:, 4:] = bool(reading.sentences), bool(reading.clauses)
    return rows


def _best(odds: Floats64, coarser: Floats64) -> Floats64:
    return np.asarray(odds.max(axis=0)) if len(odds) else coarser


class Named(NamedTuple):
    """A rule of a message: its number, its chance, and the sentence that carries it (0: the message as a whole)."""

    rule: int
    score: float
    sentence: int


def named(odds: Floats64, reading: Reading, scores: Floats64, score_min: float) -> list[Named]:
    """The rules that a message asks for, the likeliest first: at most one a clause."""
    most = max(1, len(reading.sentences), len(reading.clauses))
    order = [int(rule) for rule in np.argsort(-scores, kind="stable")[:most] if scores[rule] >= score_min]
    end = 1 + len(reading.sentences)
    return [
        Named(rule, float(scores[rule]), 1 + int(odds[1:end, rule].argmax()) if reading.sentences else 0)
        for rule in order
    ]


def decide(intents: tuple[str, ...], odds: Floats64, reading: Reading, weights: Floats64) -> tuple[Matched, ...]:
    """The decision on a message. `odds`: texts by topics, the rules (`intents`) first."""
    if not intents:
        return (Matched(text=reading.text, zone="fallback"),)
    own = odds[: len(odds) - bool(reading.joined), : len(intents)]
    scores = asked(own, reading, weights)
    found = [*_apart(named(own, reading, scores, CONFIRM_SCORE_MIN))]
    texts = reading.texts
    texts[0] = reading.text
    entries = [(one.sentence, _matched(intents, odds[one.sentence], one, texts[one.sentence])) for one in found]
    if not entries:
        return (_by_what_was_said(intents, odds, reading) or _unknown(intents, odds[0], scores, reading.text),)
    carrying = {sentence for sentence, _ in entries}
    for at, sentence in enumerate(reading.sentences, 1):
        if at not in carrying and asks(sentence) and own[at].max() < CONFIRM_SCORE_MIN:
            entries.append((at, _unknown(intents, odds[at], own[at], sentence)))
    return tuple(entry for _, entry in sorted(entries, key=lambda entry: entry[0]))


def _apart(found: list[Named]) -> Iterator[Named]:
    """Without what is only the second best of a sentence, and not sure."""
    taken: set[int] = set()
    for one in found:
        if one.sentence not in taken or one.score >= SECOND_SCORE_MIN:
            yield one
        taken.add(one.sentence)


def _matched(intents: tuple[str, ...], odds: Floats64, one: Named, text: str) -> Matched:
    # "Is it the same for both?" may be likely, but not sure: no word of it says what it is about.
    zone: Zone = "answer" if one.score >= ANSWER_SCORE_MIN and content(text) else "confirm"
    return _entry(text, zone, intents[one.rule], one.score, _margin(odds, one.rule, one.score))


def _unknown(intents: tuple[str, ...], odds: Floats64, scores: Floats64, text: str) -> Matched:
    best = int(scores.argmax())
    return _entry(text, "fallback", None, float(scores[best]), _margin(odds, best, float(scores[best])))


def _by_what_was_said(intents: tuple[str, ...], odds: Floats64, reading: Reading) -> Matched | None:
    """The rule of a message that means nothing, also nothing declined, without the question before it. It is a guess,
    so it is asked back."""
    best = int(odds[-1, : len(intents)].argmax())
    score = float(odds[-1, best])
    if not reading.joined or score < JOINED_SCORE_MIN or odds[0].max() >= JOINED_SCORE_MIN:
        return None
    return _entry(reading.text, "confirm", intents[best], score, _margin(odds[-1], best, score))


def _margin(odds: Floats64, best: int, score: float) -> float:
    others = np.delete(odds, best)
    return score - float(others.max()) if len(others) else score


def _entry(text: str, zone: Zone, intent: str | None, score: float, margin: float) -> Matched:
    return Matched(text=text, zone=zone, intent=intent, score=round(score, 4), margin=round(margin, 4))
