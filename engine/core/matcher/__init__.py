"""A candidate's question to the rule that answers it, or to none: local, the same for everyone, in well under 20 ms.

    >>> intents({"pricing": ["how is the fee calculated", "is there an hourly rate"]}, "How is the fee calculated?")
    ('pricing',)

Lexical: stems, synonyms, BM25, character grams and keywords, with declined topics as competitors and a calibrated
"none of these". A wrong answer bends a design, so doubt becomes a "did you mean ...?" or the pack's fallback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from engine.core.matcher.decide import Matched, Zone, decide
from engine.core.matcher.declines import DEFAULT_DECLINES
from engine.core.matcher.index import Index, Topic, build
from engine.core.matcher.segments import asks, split
from engine.core.matcher.words import SYNONYMS, TEXT_CHARS_MAX, compile_groups
from engine.core.pack import Clarification

__all__ = ["MATCHER_VERSION", "Compiled", "Matched", "Zone", "compile_rules", "intents", "match"]

MATCHER_VERSION: Final = "lexical-1"
"""Goes with every decision into the record; changes with any change of decisions."""
INTENTS_SCORE_MIN: Final = 0.5
"""Where naming a rule is more likely right than wrong."""


class Compiled(msgspec.Struct, frozen=True):
    """A question's rules, ready to be matched. Keep one a pack hash: compiling takes some milliseconds."""

    index: Index


def compile_rules(clarification: Clarification) -> Compiled:
    """Index the rules of a pack, its declined topics, and those of the default library it does not skip."""
    rules = [Topic(rule.intent, (*rule.examples, rule.label), rule.keywords) for rule in clarification.rules]
    own = [Topic(None, decline.examples) for decline in clarification.declines]
    skipped = {*clarification.skip_declines, *(decline.topic for decline in clarification.declines)}
    return _compile([*rules, *own], clarification.synonyms, skipped)


def _compile(topics: Sequence[Topic], synonyms: Sequence[Sequence[str]], skipped: set[str]) -> Compiled:
    shipped = [Topic(None, examples) for topic, examples in DEFAULT_DECLINES.items() if topic not in skipped]
    return Compiled(build([*topics, *shipped], compile_groups(SYNONYMS, synonyms)))


def match(compiled: Compiled, text: str) -> tuple[Matched, ...]:
    """What a message asks: one entry a question in it, in order; a single fallback when nothing fits.

    Statements beside a matched question get no entry; a further question that fits nothing does.
    """
    index = compiled.index
    whole = decide(index, text[:TEXT_CHARS_MAX])
    parts = split(text[:TEXT_CHARS_MAX])
    if len(parts) < 2:
        return (msgspec.structs.replace(whole, text=text),)
    decisions = _one_each([decide(index, part) for part in parts])
    named = [found for found in decisions if found.intent is not None]
    if len(named) < 2 and whole.intent is not None and (not named or whole.score > named[0].score):
        named, decisions = [whole], [whole, *(found for found in decisions if found.intent is None)]
    if not named:
        return (msgspec.structs.replace(whole, text=text, zone="fallback", intent=None),)
    return tuple(found for found in decisions if found.intent is not None or asks(found.text))


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
    topics = [Topic(name, (*phrasings, name.replace("_", " "))) for name, phrasings in rules]
    return _compile(topics, (), set())
