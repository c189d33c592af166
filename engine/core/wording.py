"""Where phrasings of a pack stand in each other's way: the same words twice, or words that fit another rule better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from engine.core.matcher import compile_rules, match
from engine.core.matcher.declines import DEFAULT_DECLINES
from engine.core.matcher.embedding import Floats
from engine.core.matcher.fitted import reader
from engine.core.matcher.words import stem, words_of
from engine.core.pack import Clarification


class Phrasing(NamedTuple):
    """One phrasing of a topic, and where it stands; the question itself in the eval set."""

    place: str
    topic: str
    text: str


class Twin(NamedTuple):
    """Two phrasings in the same words; `exact`: also the small ones, such as "how", "is" and "the"."""

    place: str
    first: str
    exact: bool


class Stray(NamedTuple):
    """A phrasing of one rule which, were it not there, would be answered with another (`score`: how surely).

    `like`: the other rule's phrasing that means most nearly the same.
    """

    rule: int
    example: int
    other: str
    like: str
    score: float


def twins(clarification: Clarification) -> Iterator[Twin]:
    """Every phrasing that says no more than one before it, of any topic, the shipped library's among them."""
    plain: dict[tuple[str, ...], Phrasing] = {}
    telling: dict[tuple[str, ...], Phrasing] = {}
    for one in (*_library(clarification), *_own(clarification)):
        words = words_of(one.text)
        every = tuple(stem(word.text) for word in words) or (one.text,)
        weighty = tuple(stem(word.text) for word in words if word.weight) or every
        if (same := plain.setdefault(every, one)) is not one:
            yield from _twin(one, same, exact=True)
        elif (same := telling.setdefault(weighty, one)) is not one:
            yield from _twin(one, same, exact=False)


def _twin(one: Phrasing, first: Phrasing, *, exact: bool) -> Iterator[Twin]:
    label = one.place.endswith(".label") and one.topic == first.topic
    if not label:  # a rule may be called by one of its phrasings
        yield Twin(one.place, first.place, exact)


def _library(clarification: Clarification) -> Iterator[Phrasing]:
    own = {*clarification.skip_declines, *(decline.topic for decline in clarification.declines)}
    for topic, texts in DEFAULT_DECLINES.items():
        if topic not in own:
            yield from (Phrasing(f"the library's topic `{topic}`", topic, text) for text in texts)


def _own(clarification: Clarification) -> Iterator[Phrasing]:
    at = "clarification"
    for i, rule in enumerate(clarification.rules):
        for j, text in enumerate(rule.examples):
            yield Phrasing(f"{at}.rules[{i}].examples[{j}]", rule.intent, text)
        yield Phrasing(f"{at}.rules[{i}].label", rule.intent, rule.label)
    for i, decline in enumerate(clarification.declines):
        for j, text in enumerate(decline.examples):
            yield Phrasing(f"{at}.declines[{i}].examples[{j}]", decline.topic, text)
    for i, item in enumerate(clarification.eval):
        yield Phrasing(f"{at}.eval[{i}].q", "", item.q)


class _Example(NamedTuple):
    rule: int
    at: int
    text: str


def strays(clarification: Clarification) -> list[Stray]:
    """Every phrasing that is closer to another rule's phrasings than to the others of its own, in their order.

    Candidates are those whose nearest by meaning is another rule's: many are, and harmless. One is named if a matcher
    that knows all phrasings but this answers it with another rule: whoever asks nearly this hears the wrong thing.
    """
    rules = clarification.rules
    examples = [_Example(i, j, text) for i, rule in enumerate(rules) for j, text in enumerate(rule.examples)]
    vectors = reader().sentences([one.text for one in examples])
    alike = vectors @ vectors.T
    found = []
    for left_out in _rounds(examples, alike):
        compiled = compile_rules(_without(clarification, [examples[number] for number in left_out]))
        for number in left_out:
            one = examples[number]
            wrong = {said.intent: said.score for said in match(compiled, one.text) if said.zone == "answer"}
            for intent in wrong.keys() - {rules[one.rule].intent}:
                near = max((n for n, other in enumerate(examples) if rules[other.rule].intent == intent),
                           key=lambda n: float(alike[number, n]))  # fmt: skip
                found.append(Stray(one.rule, one.at, str(intent), examples[near].text, wrong[intent]))
    return sorted(found)


def _rounds(examples: Sequence[_Example], alike: Floats) -> Iterator[list[int]]:
    """The candidates by number, in groups that may be left out at once, for to compile a matcher for each is slow: of
    different rules, and none of them the nearest of another.
    """
    waiting = _candidates(examples, alike)
    while waiting:
        group: dict[int, int] = {}
        for number, near in waiting.items():
            apart = near not in group and number not in group.values()
            if apart and all(examples[number].rule != examples[other].rule for other in group):
                group[number] = near
        yield list(group)
        waiting = {number: near for number, near in waiting.items() if number not in group}


def _candidates(examples: Sequence[_Example], alike: Floats) -> dict[int, int]:
    """Of each phrasing whose nearest by meaning is another rule's, that one; both by number."""
    others = alike - 2.0 * np.eye(len(alike), dtype=alike.dtype)  # nothing is its own neighbour
    nearest = others.argmax(axis=1) if len(others) else ()
    return {number: int(near) for number, near in enumerate(nearest) if examples[number].rule != examples[near].rule}


def _without(clarification: Clarification, left_out: Sequence[_Example]) -> Clarification:
    """The rules alone, but for some phrasings: what draws messages away from all rules says nothing between two."""
    gone = {(one.rule, one.at) for one in left_out}
    rules = tuple(
        msgspec.structs.replace(
            rule, examples=tuple(text for j, text in enumerate(rule.examples) if (i, j) not in gone)
        )
        for i, rule in enumerate(clarification.rules)
    )
    return msgspec.structs.replace(clarification, rules=rules, declines=(), skip_declines=tuple(DEFAULT_DECLINES))
