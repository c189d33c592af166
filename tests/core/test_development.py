"""The matcher's development set is what its figures need: many questions, several voices, near misses, nothing
copied from the rules."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.core.matcher.words import stems
from tests.bench.matcher.development import FOLDER, LOADER, Question, load

QUESTIONS_MIN, SAID_MIN, VOICES_MIN, RULES_MIN, PHRASINGS_MIN = 20, 60, 3, 8, 6
NEAR_SHARE = (0.25, 0.36)
HITS_MAX, HIT_WORDS_MAX = 6, 4
"""People who ask in two or three words may hit on an author's phrasing; who copies, copies whole sentences too."""


@cache
def questions() -> list[Question]:
    return load()


@cache
def raw(slug: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.load((FOLDER / f"{slug}.said.yaml").read_text(), LOADER)["said"]
    return found


def test_there_are_enough_questions_and_enough_was_said_to_each() -> None:
    assert len(questions()) >= QUESTIONS_MIN
    assert len({one.slug for one in questions()}) == len(questions())
    for one in questions():
        assert len(one.said) >= SAID_MIN, one.slug
        assert len(one.rules) >= RULES_MIN, one.slug
        assert min(map(len, one.rules.values())) >= PHRASINGS_MIN, one.slug
        assert one.declines and set(one.labels) == set(one.rules), one.slug


def test_every_message_names_rules_that_exist_and_every_rule_is_asked_for() -> None:
    for one in questions():
        named = {intent for said in one.said for intent in said.intents}
        assert named == set(one.rules), one.slug


def test_a_third_are_near_misses_and_some_ask_two_things() -> None:
    for one in questions():
        near = sum(said.near for said in one.said) / len(one.said)
        assert NEAR_SHARE[0] <= near <= NEAR_SHARE[1], one.slug
        assert not any(said.near and said.intents for said in one.said), one.slug
        assert any(len(said.intents) == 2 for said in one.said), one.slug
        assert any(not said.intents and not said.near for said in one.said), one.slug
        assert max(len(said.intents) for said in one.said) <= 2, one.slug


def test_several_people_speak_and_in_several_ways() -> None:
    for one in questions():
        voices = Counter(row["voice"] for row in raw(one.slug))
        assert len([voice for voice, said in voices.items() if said >= 5]) >= VOICES_MIN, one.slug
    kinds = Counter(said.kind for one in questions() for said in one.said)
    for kind in ("plain", "terse", "wordy", "typo", "non_native", "jargon", "indirect", "pronoun", "assumption"):
        assert kinds[kind] >= 40, kind


def test_nothing_that_was_said_is_a_phrasing_of_its_question() -> None:
    hits = []
    for one in questions():
        phrasings = {stems(text) for texts in (*one.rules.values(), *one.declines.values()) for text in texts}
        hits += [said.text for said in one.said if stems(said.text) in phrasings]
    assert all(len(text.split()) <= HIT_WORDS_MAX for text in hits), hits
    assert len(hits) <= HITS_MAX, hits


def test_the_same_words_mean_the_same_and_are_rare() -> None:
    for one in questions():
        meant: dict[tuple[str, ...], set[frozenset[str]]] = {}
        for said in one.said:
            meant.setdefault(stems(said.text), set()).add(said.intents)
        assert all(len(intents) == 1 for intents in meant.values()), one.slug
        assert len(meant) >= len(one.said) - 1, one.slug


def test_no_phrasing_stands_in_two_rules() -> None:
    for one in questions():
        texts = Counter(stems(text) for texts in (*one.rules.values(), *one.declines.values()) for text in texts)
        assert max(texts.values()) == 1, (one.slug, texts.most_common(1))


def test_a_message_that_names_no_rule_of_its_question_is_told_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "q.rules.yaml").write_text("slug: q\nrules: [{intent: a, label: A, examples: [x]}]\n")
    (tmp_path / "q.said.yaml").write_text("slug: q\nsaid: [{text: what of b, intents: [b]}]\n")
    with pytest.raises(ValueError, match="q: 'what of b' names \\['b'\\], no rule"):
        load(tmp_path)
