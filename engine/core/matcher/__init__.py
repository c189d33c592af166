"""A candidate's question to the rule that answers it, or to none: local, the same for everyone, in well under 20 ms.

    >>> intents({"pricing": ["how is the fee calculated", "is there an hourly rate"]}, "How is the fee calculated?")
    ('pricing',)

Two kinds of likeness, weighed together: by meaning, from a table of word vectors that ships as data (table.md), and by
words: stems, synonyms, BM25, character grams, keywords. Declined topics compete with the rules, and so does a fitted
"none of these". A wrong answer bends a design, so doubt becomes a "did you mean ...?" or the pack's fallback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from engine.core.matcher.decide import Matched, Zone, chances, decide, features
from engine.core.matcher.declines import DEFAULT_DECLINES
from engine.core.matcher.fitted import Weights, encode, fitted
from engine.core.matcher.index import Encode, Index, Topic, build
from engine.core.matcher.segments import asks, split
from engine.core.matcher.words import SYNONYMS, TEXT_CHARS_MAX, compile_groups
from engine.core.pack import Clarification

__all__ = ["MATCHER_VERSION", "Compiled", "Matched", "Zone", "compile_rules", "intents", "match"]

MATCHER_VERSION: Final = "static-1"
"""Goes with every decision into the record; changes with any change of decisions."""
INTENTS_SCORE_MIN: Final = 0.4
"""Where naming a rule does more good than harm, by the share of messages that get exactly the right rules."""


class Compiled(msgspec.Struct, frozen=True):
    """A question's rules, ready to be matched. Keep one a pack hash: compiling takes some milliseconds."""

    index: Index
    encode: Encode
    weights: Weights


def compile_rules(clarification: Clarification, encode: Encode = encode, weights: Weights | None = None) -> Compiled:
    """Index the rules of a pack, its declined topics, and those of the default library it does not skip."""
    rules = [Topic(rule.intent, (*rule.examples, rule.label), rule.keywords) for rule in clarification.rules]
    declines = {decline.topic: decline.examples for decline in clarification.declines}
    return _compile(rules, declines, clarification.synonyms, {*clarification.skip_declines}, encode, weights)


def compile_topics(
    rules: Mapping[str, Sequence[str]],
    declines: Mapping[str, Sequence[str]],
    encode: Encode = encode,
    weights: Weights | None = None,
) -> Compiled:
    """The same of bare phrasings: rules, and topics that are declined besides the default library's."""
    topics = [Topic(name, (*phrasings, name.replace("_", " "))) for name, phrasings in rules.items()]
    return _compile(topics, declines, (), set(), encode, weights)


def _compile(
    rules: Sequence[Topic],
    declines: Mapping[str, Sequence[str]],
    synonyms: Sequence[Sequence[str]],
    skipped: set[str],
    encode: Encode,
    weights: Weights | None,
) -> Compiled:
    shipped = {name: texts for name, texts in DEFAULT_DECLINES.items() if name not in skipped}
    topics = [*rules, *(Topic(None, tuple(texts)) for texts in {**shipped, **declines}.values())]
    return Compiled(
        build(topics, compile_groups(SYNONYMS, synonyms), encode),
        encode,
        fitted().weights if weights is None else weights,
    )


def match(compiled: Compiled, text: str) -> tuple[Matched, ...]:
    """What a message asks: one entry a question in it, in order; a single fallback when nothing fits.

    Statements beside a matched question get no entry; a further question that fits nothing does.
    """
    index, scored = compiled.index, text[:TEXT_CHARS_MAX]
    parts = split(scored)
    segments = [scored, *parts] if len(parts) > 1 else [scored]
    whole, *decided = [
        decide(index, part, vector, compiled.weights)
        for part, vector in zip(segments, compiled.encode(segments), strict=True)
    ]
    if not decided:
        return (msgspec.structs.replace(whole, text=text),)
    decisions = _one_each(decided)
    named = [found for found in decisions if found.intent is not None]
    if len(named) < 2 and whole.intent is not None and (not named or whole.score > named[0].score):
        named, decisions = [whole], [whole, *(found for found in decisions if found.intent is None)]
    if not named:
        return (msgspec.structs.replace(whole, text=text, zone="fallback", intent=None),)
    return tuple(found for found in decisions if found.intent is not None or asks(found.text))


def ranked(compiled: Compiled, text: str) -> list[tuple[str, float]]:
    """Every rule with its chance, the likeliest first: of the message as one question."""
    index, scored = compiled.index, text[:TEXT_CHARS_MAX]
    odds = chances(features(index, scored, compiled.encode([scored])[0]), compiled.weights)
    rules = [(topic.intent or "", float(odds[n])) for n, topic in enumerate(index.topics[: index.rules])]
    return sorted(rules, key=lambda rule: -rule[1])


def _one_each(decisions: Sequence[Matched]) -> list[Matched]:
    """Two parts about the same rule are one question: the surer one stays."""
    best: dict[str, Matched] = {}
    for found in decisions:
        if found.intent is not None and (found.intent not in best or found.score > best[found.intent].score):
            best[found.intent] = found
    return [found for found in decisions if found.intent is None or best[found.intent] is found]


def intents(rules: Mapping[str, Sequence[str]], text: str) -> tuple[str, ...]:
    """The rules a message asks about, of rules given as name -> phrasings; () when none is likely.

    It says more than `match` answers: a name needs to be likelier than not, not sure.
    """
    found = match(_compiled(tuple((name, tuple(phrasings)) for name, phrasings in rules.items())), text)
    return tuple(one.intent for one in found if one.intent is not None and one.score >= INTENTS_SCORE_MIN)


@lru_cache(maxsize=32)
def _compiled(rules: tuple[tuple[str, tuple[str, ...]], ...]) -> Compiled:
    return compile_topics(dict(rules), {})
