"""From likeness to a decision: the chance of each topic or of none in a text, of each rule in a message, and which of
three zones that falls in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

from engine.core.matcher.fitted import READINGS, Floats64
from engine.core.matcher.segments import asks, clauses, content, leans, sentences, spaced
from engine.core.matcher.words import TEXT_CHARS_MAX, words_of

Zone = Literal["answer", "confirm", "fallback"]

ANSWER_SCORE_MIN: Final = 0.65
CONFIRM_SCORE_MIN: Final = 0.35
JOINED_SCORE_MIN: Final = 0.5
"""Of a rule that shows only together with the question before. With any question before it, 2 % of messages that need
none are then asked back for nothing; of those that do, twice as many find their rule."""
SECOND_SCORE_MIN: Final = 0.5
"""Of a second rule in the same sentence: one question is likelier than two."""
SCORE_DIGITS: Final = 4
"""Rounded before it is compared: what the record shows is what decided."""
ODDS_MIN: Final = 0.05
ODDS_MAX: Final = 0.995
"""Chances beyond say no more. A second question has next to none in the message as a whole, and is yet asked."""


class Matched(msgspec.Struct, frozen=True, kw_only=True):
    """What one question of a message is about.

    `score`: the chance that the message asks for `intent`, 0 to 1; `margin`: its lead over the next topic in `text`.
    `intent` is None in the zone `fallback` only; score and margin are then those of the best rule.
    """

    text: str
    zone: Zone
    intent: str | None = None
    score: float = 0.0
    margin: float = 0.0


class Reading(NamedTuple):
    """A message (`said`) as it is read: what is scored of it (`text`), its sentences and its clauses where it has more
    than one, and, where it leans on the question before, that and the message together.
    """

    said: str
    text: str
    sentences: tuple[str, ...]
    clauses: tuple[str, ...]
    joined: str

    @property
    def texts(self) -> list[str]:
        """What is to be encoded, in the order of the rows that `decide` wants."""
        return [self.text, *self.sentences, *self.clauses, *([self.joined] if self.joined else ())]


def read(text: str, previous: str = "") -> Reading:
    """Cut a message."""
    scored = spaced(text[:TEXT_CHARS_MAX])
    parts, finer = sentences(scored), clauses(scored)
    room = TEXT_CHARS_MAX - len(scored) - 1
    return Reading(
        text,
        scored,
        () if _says_no_less(parts, scored) else parts,
        () if finer == parts or _says_no_less(finer, scored) else finer,
        f"{previous[-room:]} {scored}" if previous and room > 0 and leans(scored) else "",
    )


def _says_no_less(parts: tuple[str, ...], text: str) -> bool:
    """Whether there is one part, and it is all of the text but marks."""
    return len(parts) == 1 and words_of(parts[0]) == words_of(text)


def chances(rows: Floats64, weights: Floats64) -> Floats64:
    """Of each text, the softmax of the topics' utilities and of none's, without none."""
    powers = np.exp(np.minimum(rows @ weights, 50.0))
    return np.asarray(powers / (1.0 + np.add.reduce(powers, axis=-1, keepdims=True)))


def asked(odds: Floats64, reading: Reading, weights: Floats64) -> Floats64:
    """The chance of each rule in the message; `odds`: in each of its texts."""
    return np.asarray(1.0 / (1.0 + np.exp(-(readings(odds, reading) @ weights))))


def readings(odds: Floats64, reading: Reading) -> Floats64:
    """What is known of each rule in the message, in the order of READINGS."""
    end = 1 + len(reading.sentences)
    finer = odds[end : end + len(reading.clauses)]
    by_sentence = _best(odds[1:end], odds[0])
    known = np.array([odds[0], by_sentence, _best(finer, by_sentence)])
    known = np.minimum(np.maximum(known, ODDS_MIN), ODDS_MAX)
    rows = np.ones((odds.shape[1], len(READINGS)))
    rows[:, 1:4] = np.log(known / (1 - known)).T
    rows[:, 4:] = bool(reading.sentences), bool(reading.clauses)
    return rows


def _best(odds: Floats64, coarser: Floats64) -> Floats64:
    return np.asarray(np.maximum.reduce(odds)) if len(odds) else coarser


class Named(NamedTuple):
    """A rule of a message: its number, its chance, and the sentence that carries it (0: the message as a whole)."""

    rule: int
    score: float
    sentence: int


def named(odds: Floats64, reading: Reading, scores: Floats64, score_min: float) -> list[Named]:
    """The rules that a message asks for, the likeliest first: at most one a clause."""
    most = max(1, len(reading.sentences), len(reading.clauses))
    order = [int(rule) for rule in np.argsort(-scores, kind="stable")[:most] if scores[rule] >= score_min]
    carrying = odds[1 : 1 + len(reading.sentences)]
    return [
        Named(rule, float(scores[rule]), 1 + int(carrying[:, rule].argmax()) if len(carrying) else 0) for rule in order
    ]


def decide(intents: tuple[str, ...], odds: Floats64, reading: Reading, weights: Floats64) -> tuple[Matched, ...]:
    """The decision on a message. `odds`: texts by topics, the rules (`intents`) first."""
    if not intents:
        return (Matched(text=reading.said, zone="fallback"),)
    own = odds[: len(odds) - bool(reading.joined), : len(intents)]
    scores = np.round(asked(own, reading, weights), SCORE_DIGITS)
    found = [*_apart(named(own, reading, scores, CONFIRM_SCORE_MIN))]
    if not found or (reading.joined and not content(reading.text)):
        return (_by_what_was_said(intents, odds, reading) or _unknown(odds[0], scores, reading.said),)
    entries = [_placed(intents, odds, reading, one, found) for one in found]
    entries += [
        (reading.text.find(sentence), _unknown(odds[at], own[at], sentence))
        for at, sentence in enumerate(reading.sentences, 1)
        if asks(sentence) and _is_new(own[at], at, found)
    ]
    return tuple(entry for _, entry in sorted(entries, key=lambda entry: entry[0]))


def _apart(found: list[Named]) -> Iterator[Named]:
    """Without what is only the second best of a sentence, and not sure."""
    taken: set[int] = set()
    for one in found:
        if one.sentence not in taken or one.score >= SECOND_SCORE_MIN:
            yield one
        taken.add(one.sentence)


def _placed(
    intents: tuple[str, ...], odds: Floats64, reading: Reading, one: Named, found: list[Named]
) -> tuple[int, Matched]:
    """Where in the message it stands, and its entry: in the words of its sentence; of its clause, if two share one."""
    row, end = one.sentence, 1 + len(reading.sentences)
    if reading.clauses and sum(other.sentence == one.sentence for other in found) > 1:
        row = end + int(odds[end : end + len(reading.clauses), one.rule].argmax())
    text = reading.texts[row]
    # "Is it the same for both?" may be likely, but not sure: no word of it says what it is about.
    zone: Zone = "answer" if one.score >= ANSWER_SCORE_MIN and content(text) else "confirm"
    entry = _entry(
        text if row else reading.said, zone, intents[one.rule], one.score, _margin(odds[row], one.rule, one.score)
    )
    return reading.text.find(text), entry


def _is_new(odds: Floats64, sentence: int, found: list[Named]) -> bool:
    """Whether a sentence asks for something that nothing in the message answers."""
    best = int(odds.argmax())
    again = odds[best] >= CONFIRM_SCORE_MIN and any(one.rule == best for one in found)
    return not again and all(one.sentence != sentence for one in found)


def _unknown(odds: Floats64, scores: Floats64, text: str) -> Matched:
    best = int(scores.argmax())
    return _entry(text, "fallback", None, float(scores[best]), _margin(odds, best, float(scores[best])))


def _by_what_was_said(intents: tuple[str, ...], odds: Floats64, reading: Reading) -> Matched | None:
    """The rule of a message that means nothing, also nothing declined, without the question before it. It is a guess,
    so it is asked back."""
    best = int(odds[-1, : len(intents)].argmax())
    score = float(odds[-1, best])
    alone = content(reading.text) and odds[0].max() >= JOINED_SCORE_MIN
    if not reading.joined or score < JOINED_SCORE_MIN or alone:
        return None
    return _entry(reading.said, "confirm", intents[best], score, _margin(odds[-1], best, score))


def _margin(odds: Floats64, best: int, score: float) -> float:
    others = np.delete(odds, best)
    return score - float(others.max()) if len(others) else score


def _entry(text: str, zone: Zone, intent: str | None, score: float, margin: float) -> Matched:
    return Matched(
        text=text, zone=zone, intent=intent, score=round(score, SCORE_DIGITS), margin=round(margin, SCORE_DIGITS)
    )
