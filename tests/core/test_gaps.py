"""What no rule answers, in groups: of one meaning, by different people, without what is answered or declined."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from engine.core.gaps import ALIKE_MIN, EXAMPLES_MAX, Gap, Missed, find_gaps, groups
from engine.core.matcher.fitted import reader
from engine.core.pack import Clarification
from tests.core.shipped import packs

GARAGE = packs()["parking-garage"].clarification
RECEIPTS = ["do we print a receipt", "is a receipt printed", "should it print receipts for drivers", "printed receipt?"]
LIGHTS = ["do the lights turn off at night", "are the lights off at night"]


def asked(*texts: str, taken_for: str | None = None) -> list[Missed]:
    """Each by somebody else."""
    return [Missed(text, f"person {number}", taken_for) for number, text in enumerate(texts)]


def found(*missed: Missed) -> tuple[Gap, ...]:
    return find_gaps(GARAGE, missed).gaps


def test_questions_of_one_meaning_are_a_gap_and_the_most_asked_is_first() -> None:
    gaps = found(*asked(*LIGHTS, *RECEIPTS))
    assert [(gap.messages, gap.people) for gap in gaps] == [(4, 4), (2, 2)]
    assert set(gaps[0].examples) < set(RECEIPTS) and set(gaps[1].examples) == set(LIGHTS)


def test_people_count_more_than_messages() -> None:
    one_person = [Missed(text, "one person") for text in RECEIPTS]
    gaps = found(*one_person, *one_person, *asked(*LIGHTS))
    assert [(gap.messages, gap.people) for gap in gaps] == [(2, 2), (8, 1)]


def test_the_order_in_which_people_came_changes_nothing() -> None:
    missed = asked(*RECEIPTS, *LIGHTS, "is there a car wash", "who cleans the garage", "a car wash?")
    assert found(*missed) == found(*reversed(missed)) == found(*missed)


def test_the_same_text_is_one_text_however_it_is_spaced() -> None:
    (gap,) = found(*asked(*["is  there a\ncar wash"] * 3, "is there a car wash"))
    assert (gap.messages, gap.examples) == (4, ("is there a car wash",))


def test_what_the_rules_answer_by_now_is_no_gap() -> None:
    counted = find_gaps(GARAGE, asked("how is the fee calculated", "is cash accepted", *RECEIPTS))
    assert (counted.messages, counted.people, counted.answered) == (6, 6, 2)
    assert [gap.messages for gap in counted.gaps] == [4]


def test_an_answer_that_was_refused_is_a_gap_while_it_would_be_given_again() -> None:
    missed = asked("how is the fee calculated", taken_for="pricing") + asked("is cash accepted", taken_for="pricing")
    counted = find_gaps(GARAGE, missed)
    assert counted.answered == 1
    (gap,) = counted.gaps
    assert (gap.examples, gap.taken_for) == (("how is the fee calculated",), {"pricing": 1})
    assert (gap.rule, gap.phrasing) == ("pricing", "how is the fee calculated")
    assert gap.likeness == pytest.approx(1.0)


def test_what_is_declined_on_purpose_is_counted_by_topic_unless_it_was_answered() -> None:
    ticket = ["what if a driver loses the ticket", "the ticket is damaged or missing"]
    counted = find_gaps(GARAGE, asked(*ticket, "which database should I use"))
    assert counted.declined == {"lost_ticket": 2, "technology_choice": 1}
    assert counted.gaps == ()
    refused = find_gaps(GARAGE, asked(*ticket, taken_for="payment_methods"))
    assert refused.declined == {} and sum(gap.messages for gap in refused.gaps) == 2


def test_examples_are_short_and_few() -> None:
    texts = [*RECEIPTS, "could you tell me whether or not the machine would print a receipt for each of the drivers"]
    (gap,) = found(*asked(*texts))
    assert len(gap.examples) == EXAMPLES_MAX
    assert list(gap.examples) == sorted(gap.examples, key=len) and texts[-1] not in gap.examples


def test_nothing_missed_junk_and_no_rules_are_no_trouble() -> None:
    assert msgspec.structs.astuple(find_gaps(GARAGE, [])) == (0, 0, 0, {}, ())
    junk = find_gaps(GARAGE, asked("", "?", "\x00\x1b", "汉字" * 500, "x" * 5_000))
    assert sum(gap.messages for gap in junk.gaps) + sum(junk.declined.values()) == 5
    (gap,) = find_gaps(Clarification(), asked("do we print a receipt")).gaps
    assert (gap.rule, gap.phrasing, gap.likeness) == (None, "", 0.0)


def test_groups_are_those_of_average_linkage() -> None:
    """Against the same by the book: all pairs looked at anew after each step."""
    vectors = reader().sentences(
        [f"{text} {more}" for text in (*RECEIPTS, *LIGHTS) for more in ("", "in winter", "for trucks")]
    )
    assert sorted(map(sorted, groups(vectors))) == sorted(map(sorted, by_the_book(vectors)))


def by_the_book(vectors: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> list[list[int]]:
    sets = [[n] for n in range(len(vectors))]
    while len(sets) > 1:
        alike = {
            (a, b): float((vectors[sets[a]] @ vectors[sets[b]].T).mean()) for a in range(len(sets)) for b in range(a)
        }
        a, b = max(alike, key=lambda pair: alike[pair])
        if alike[a, b] < ALIKE_MIN:
            break
        sets[b] += sets.pop(a)
    return sets
