"""The benchmark's figures, each against a handful of answers that can be counted by hand."""

from __future__ import annotations

import math

import pytest

from tests.bench.matcher.development import Said
from tests.bench.matcher.measure import Answer, Asked, Figures, figures


def one(wanted: str, given: str, score: float = 0.5, *, ranked: str = "", near: bool = False) -> Asked:
    """A message that letters should answer, answered with letters; `ranked` is what is given, unless told."""
    said = Said("?", frozenset(wanted), near=near)
    return Asked(said, Answer(frozenset(given), tuple(ranked or given), score))


HAND_MADE = [
    one("a", "a", 0.9),  # right
    one("b", "b", 0.8),  # right
    one("a", "", 0.4, ranked="ab"),  # silent, though its first guess is right
    one("a", "b", 0.7),  # wrong
    one("", "a", 0.6, near=True),  # false, near
    one("", "", 0.3, ranked="a", near=True),  # rightly silent
    one("", "", 0.2, ranked="b"),  # rightly silent, out of the domain
    one("ab", "ab", 0.9),  # both
    one("ab", "ac", 0.9),  # one of two, and one that was not asked
]


def of(name: str, asked: list[Asked] = HAND_MADE) -> float:
    assert name in Figures._fields
    return float(getattr(figures(asked), name))


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("n", 9),
        ("strict", 5 / 9),  # two singles, two silences, one double
        ("forced", 3 / 4),
        ("top1", 2 / 4),
        ("wrong", 1 / 4),
        ("false", 1 / 3),
        ("near", 1 / 2),
        ("auroc", 11 / 12),  # of 4 by 3 pairs, only 0.4 against 0.6 is the wrong way round
        ("coverage", 2 / 4),  # down to 0.8 all is right; with 0.7 a third is not
        ("double", 2 * 3 / (4 + 4)),
        ("utility", (3 - 3) / 9),  # right 3: two singles, a double; wrong 3: a single, a double, a false answer
    ],
)
def test_figures_by_hand(name: str, by_hand: float) -> None:
    assert of(name) == pytest.approx(by_hand)


def test_a_figure_of_nothing_is_no_number() -> None:
    nothing = figures([])
    for name in ("strict", "forced", "top1", "wrong", "false", "near", "auroc", "coverage", "double"):
        assert math.isnan(getattr(nothing, name)), name
    assert (nothing.n, nothing.utility) == (0, 0.0)
    assert math.isnan(of("auroc", [one("a", "a")])) and math.isnan(of("double", [one("a", "a")]))


def test_answers_that_are_equally_sure_are_half_a_win() -> None:
    assert of("auroc", [one("a", "a", 0.5), one("", "", 0.5, ranked="a")]) == 0.5


def test_more_than_was_asked_is_wrong_but_no_top1_and_no_strict() -> None:
    more = [one("a", "ab")]
    assert (of("strict", more), of("top1", more), of("wrong", more), of("utility", more)) == (0, 0, 1, -1)


def test_half_a_double_is_neither_strict_nor_useful_and_two_thirds_of_f1() -> None:
    half = [one("ab", "a")]
    assert (of("strict", half), of("utility", half)) == (0, -1)
    assert of("double", half) == pytest.approx(2 / 3)


def test_coverage_goes_on_below_a_wrong_answer_that_the_share_can_bear() -> None:
    """One in twenty may be wrong: after 19 right ones a wrong one is borne, and those after it count."""
    right = [one("a", "a", 1.0 - number / 100) for number in range(19)]
    wrong, late = one("a", "b", 0.5), one("a", "a", 0.4)
    assert of("coverage", [*right, wrong, late]) == pytest.approx(20 / 21)
    assert of("coverage", [*right[1:], wrong]) == pytest.approx(18 / 19)
    assert of("coverage", [one("a", "b", 0.9), *right]) == pytest.approx(19 / 20)
    outside = one("", "a", 0.95)
    assert of("coverage", [*right[:5], outside]) == pytest.approx(5 / 5)


def test_coverage_counts_the_first_guess_whether_it_was_given_or_not() -> None:
    assert of("coverage", [one("a", "", 0.9, ranked="ab")]) == 1.0
