"""A candidate's question to the rule that answers it, or to none: local, the same for everyone, in well under 20 ms.

    >>> intents({"pricing": ["how is the fee calculated", "is there an hourly rate"]}, "How is the fee calculated?")
    ('pricing',)

A text is likened to each rule by meaning, from a table of word vectors that ships as data (table.md): to its nearest
phrasing, to all of them together, and word by word. Declined topics compete with the rules, and so does a fitted
"none of these". A wrong answer bends a design, so doubt becomes a "did you mean ...?" or the pack's fallback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Final

import msgspec

from engine.core.matcher.decide import Matched, Reading, Zone, asked, chances, decide, named, read
from engine.core.matcher.declines import DEFAULT_DECLINES
from engine.core.matcher.embedding import Floats
from engine.core.matcher.fitted import Floats64, Tier, fitted, reader
from engine.core.matcher.index import Index, Topic, build, features
from engine.core.matcher.words import TEXT_CHARS_MAX
from engine.core.pack import Clarification

__all__ = ["Compiled", "Matched", "Reading", "Tier", "Zone", "compile_rules", "intents", "match", "read", "static"]

STATIC_VERSION: Final = "static-2"
INTENTS_SCORE_MIN: Final = 0.35
"""Where naming a rule does more good than harm, by the share of messages that get exactly the right rules."""


@cache
def static() -> Tier:
    """The tier that ships: the table, and what was fitted to it."""
    return Tier(STATIC_VERSION, reader().sentences, reader().sentences, reader().words, fitted().weights)


class Compiled(msgspec.Struct, frozen=True):
    """A question's rules, ready to be matched. Keep one a pack hash: compiling takes some milliseconds."""

    index: Index
    tier: Tier

    @property
    def intents(self) -> tuple[str, ...]:
        """The rules, in the order of the index."""
        return tuple(topic.intent or "" for topic in self.index.topics[: self.index.rules])


def compile_rules(clarification: Clarification, tier: Tier | None = None) -> Compiled:
    """Index the rules of a pack, its declined topics, and those of the default library it does not skip."""
    rules = [Topic(rule.intent, (*rule.examples, rule.label), rule.keywords) for rule in clarification.rules]
    declines = {decline.topic: decline.examples for decline in clarification.declines}
    return _compile(rules, declines, clarification.synonyms, {*clarification.skip_declines}, tier)


def compile_topics(
    rules: Mapping[str, Sequence[str]], declines: Mapping[str, Sequence[str]], tier: Tier | None = None
) -> Compiled:
    """The same of bare phrasings: rules, and topics that are declined besides the default library's."""
    topics = [Topic(name, (*phrasings, name.replace("_", " "))) for name, phrasings in rules.items()]
    return _compile(topics, declines, (), set(), tier)


def _compile(
    rules: Sequence[Topic],
    declines: Mapping[str, Sequence[str]],
    synonyms: Sequence[Sequence[str]],
    skipped: set[str],
    tier: Tier | None,
) -> Compiled:
    tier = tier or static()
    shipped = {name: texts for name, texts in DEFAULT_DECLINES.items() if name not in skipped}
    topics = [*rules, *(Topic(None, tuple(texts)) for texts in {**shipped, **declines}.values())]
    return Compiled(build(topics, synonyms, tier), tier)


def match(compiled: Compiled, text: str, previous: str = "") -> tuple[Matched, ...]:
    """What a message asks: one entry a question in it, in order; a single fallback when nothing fits.

    `previous`: the question before it, which its pronouns may refer to. Statements beside a matched question get no
    entry; a further question that fits nothing does.
    """
    reading = read(text, previous)
    return settle(compiled, reading, compiled.tier.message(reading.texts))


def settle(compiled: Compiled, reading: Reading, vectors: Floats) -> tuple[Matched, ...]:
    """The same for a message that is read and encoded (`vectors`: of its texts, by the tier's `message`)."""
    odds = _odds(compiled, reading, vectors)
    return decide(compiled.intents, odds, reading, compiled.tier.weights.readings)


def _odds(compiled: Compiled, reading: Reading, vectors: Floats) -> Floats64:
    """The chance of each topic in each text of a message."""
    rows = features(compiled.index, reading.texts, vectors)
    return chances(rows, compiled.tier.weights.features)


def topic_odds(compiled: Compiled, text: str) -> Floats64:
    """The chance of each topic, in the order of the index, of a text as one question."""
    scored = text[:TEXT_CHARS_MAX]
    rows = features(compiled.index, [scored], compiled.tier.sentences([scored]))
    return chances(rows[0], compiled.tier.weights.features)


def ranked(compiled: Compiled, text: str) -> list[tuple[str, float]]:
    """Every rule with its chance in the message, the likeliest first."""
    _, _, scores = _scored(compiled, text)
    return sorted(zip(compiled.intents, map(float, scores), strict=True), key=lambda rule: -rule[1])


def likely(compiled: Compiled, text: str, score_min: float) -> tuple[str, ...]:
    """The rules whose chance in the message is at least `score_min`, the likeliest first: at most one a clause."""
    reading, odds, scores = _scored(compiled, text)
    return tuple(compiled.intents[one.rule] for one in named(odds, reading, scores, score_min))


def _scored(compiled: Compiled, text: str) -> tuple[Reading, Floats64, Floats64]:
    """A message, the chance of each rule in each of its texts, and in the message."""
    reading = read(text)
    odds = _odds(compiled, reading, compiled.tier.message(reading.texts))[:, : compiled.index.rules]
    return reading, odds, asked(odds, reading, compiled.tier.weights.readings)


def intents(rules: Mapping[str, Sequence[str]], text: str, tier: Tier | None = None) -> tuple[str, ...]:
    """The rules a message asks about, of rules given as name -> phrasings, the likeliest first; () when none is likely.

    It says more than `match` answers: a name needs to be likely, not sure. `tier`: other than `static()`.
    """
    if not rules:
        return ()
    compiled = _compiled(tuple((name, tuple(phrasings)) for name, phrasings in rules.items()), tier)
    return likely(compiled, text, INTENTS_SCORE_MIN)


@lru_cache(maxsize=32)
def _compiled(rules: tuple[tuple[str, tuple[str, ...]], ...], tier: Tier | None) -> Compiled:
    return compile_topics(dict(rules), {}, tier)
