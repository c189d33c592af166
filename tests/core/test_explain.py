"""What is said of a decision is what decided it, named as authors name it, for any text and any rules."""

from __future__ import annotations

import math

import msgspec
import pytest

from engine.core.matcher import compile_rules, match
from engine.core.matcher.decide import chances
from engine.core.matcher.explain import NONE, TOP, Explained, explain, topic_names
from engine.core.matcher.fitted import FEATURES
from engine.core.matcher.index import features
from engine.core.pack import Clarification, Decline
from tests.core.shipped import packs

GARAGE = packs()["parking-garage"].clarification
COMPILED = compile_rules(GARAGE)
TEXTS = [
    "How is the fee calculated?",
    "How many floors are there? And is cash accepted?",
    "which database should I use",
    "what if a driver loses the ticket",
    "Is it big?",
    "",
    "?!",
    "seat " * 5_000,
    "\x00\ud83d",
]


def explained(text: str) -> tuple[Explained, ...]:
    return explain(GARAGE, COMPILED, text)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:30].encode("ascii", "replace").decode())
def test_it_says_what_the_matcher_decides(text: str) -> None:
    assert tuple(one.matched for one in explained(text)) == match(COMPILED, text)
    for one in explained(text):
        rules = [likely for likely in one.likely if not likely.declined]
        assert len(rules) == len(one.likely) - len(rules) == TOP
        assert one.matched.intent in (None, rules[0].topic)
        assert [likely.chance for likely in rules] == sorted((likely.chance for likely in rules), reverse=True)
        assert one.best != one.runner_up and {one.best, one.runner_up} <= {
            NONE,
            *(likely.topic for likely in one.likely),
        }
        msgspec.json.encode(one.weighed)


@pytest.mark.parametrize("text", TEXTS[:5])
def test_what_was_weighed_adds_up_to_how_much_likelier_the_best_is(text: str) -> None:
    for one in explained(text):
        chance = {likely.topic: likely.chance for likely in one.likely} | {NONE: one.none}
        if min(chance[one.best], chance[one.runner_up]) > 0.01:
            odds = sum(weighed.speaks for weighed in one.weighed)
            assert odds == pytest.approx(math.log(chance[one.best] / chance[one.runner_up]), abs=0.02)


def test_every_topic_has_its_authors_name() -> None:
    names = topic_names(GARAGE, COMPILED.index.topics)
    assert names[:10] == [rule.intent for rule in GARAGE.rules]
    assert {"lost_ticket", "technology_choice"} <= set(names[10:])
    assert "user_interface" not in names  # skipped by the pack
    own = msgspec.structs.replace(GARAGE, declines=(Decline(topic="chit_chat", examples=("how is the weather",)),))
    names = topic_names(own, compile_rules(own).index.topics)
    assert names.count("chit_chat") == 1


def test_the_nearest_phrasing_is_the_nearest() -> None:
    (one,) = explained("is cash accepted here")
    best = one.likely[0]
    assert (best.topic, best.phrasing) == ("payment_methods", "is cash accepted")
    assert best.likeness > 0.7


def test_a_declined_topic_that_wins_is_compared_with_the_best_rule() -> None:
    (one,) = explained("which database should I use")
    assert one.matched.zone == "fallback"
    assert one.best == "technology_choice" and one.likely[TOP].declined
    assert one.runner_up == one.likely[0].topic


def test_features_are_said_in_words() -> None:
    said = {weighed.feature: weighed.words for text in TEXTS[:5] for one in explained(text) for weighed in one.weighed}
    assert said.keys() <= set(FEATURES)
    assert all("_" not in words for words in said.values())
    assert len(set(said.values())) == len(said)


def test_a_question_without_rules_can_be_explained() -> None:
    nothing = Clarification()
    (one,) = explain(nothing, compile_rules(nothing), "How many users are there?")
    assert one.matched.zone == "fallback"
    assert all(likely.declined for likely in one.likely)


def test_it_explains_the_compiled_rules_and_no_others() -> None:
    """Chances are those of the model that decides."""
    text = "How is the fee calculated?"
    rows = features(COMPILED.index, [text], COMPILED.tier.sentences([text]))
    (one,) = explained(text)
    assert one.likely[0].chance == pytest.approx(float(chances(rows, COMPILED.tier.weights.features).max()), abs=1e-4)


def test_a_second_rule_of_a_sentence_is_explained_as_the_one_that_is_named() -> None:
    found = explained("floors & pricing")
    assert [one.best for one in found] == ["floors_and_gates", "pricing"]
    assert [one.likely[0].topic for one in found] == ["floors_and_gates", "pricing"]
