"""Several judgings of one criterion become one by majority; where there is none, doubt falls to not met."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.evidence import Verdict
from engine.core.repeats import REPEATS, SPLIT, band, decided, is_near, key, majority
from engine.core.rubric import score_criterion, total
from protocol.events import EvaluationCriterion, VerdictWord
from tests.core.shipped import packs

RUBRIC = packs()["parking-garage"].rubric
CRITERION = next(criterion for criterion in RUBRIC.criteria if criterion.kind == "judged")
WORDS: tuple[VerdictWord, ...] = ("met", "not_met", "contradicted")


def judged(*words: VerdictWord, by: str = "") -> EvaluationCriterion:
    """The criterion with these verdicts; checks without one are not met."""
    given: list[VerdictWord] = [*words, *(["not_met"] * len(CRITERION.checks))]  # type: ignore[list-item]
    pairs = zip(CRITERION.checks, given, strict=False)
    verdicts = [Verdict(check=check.id, verdict=word, quote=f"{word} {by}") for check, word in pairs]
    return score_criterion(CRITERION, verdicts, 1)


def test_one_dissent_changes_nothing_but_the_votes() -> None:
    agreed = majority([judged("not_met", by="a"), judged("met", by="b"), judged("met", by="c")])
    assert (agreed.verdicts[0].verdict, agreed.verdicts[0].votes, agreed.verdicts[0].quote) == ("met", 2, "met b")
    assert (agreed.verdicts[1].verdict, agreed.verdicts[1].votes) == ("not_met", 3)
    assert (agreed.points, agreed.times) == (judged("met").points, 3)


def test_a_tie_is_not_met() -> None:
    split = majority([judged("met"), judged("not_met"), judged("contradicted")]).verdicts[0]
    assert (split.verdict, split.flag, split.quote, split.votes) == ("not_met", SPLIT, "", 1)
    assert majority([judged("met"), judged("not_met")]).verdicts[0].verdict == "not_met"


@settings(max_examples=40)
@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=len(CRITERION.checks)), min_size=1, max_size=5))
def test_no_check_is_met_that_half_or_fewer_say(rounds: list[list[VerdictWord]]) -> None:
    agreed = majority([judged(*words[: len(CRITERION.checks)]) for words in rounds])
    for i, verdict in enumerate(agreed.verdicts):
        said = [words[i] for words in rounds]
        assert (verdict.verdict == "met") == (2 * said.count("met") > len(said))
    points = sum(int(one.points) for one in agreed.verdicts if one.verdict == "met")
    assert agreed.score == pytest.approx(float(Fraction(max(0, points), int(agreed.points_max))), abs=1e-4)


def others() -> dict[str, EvaluationCriterion]:
    """All criteria, nothing met."""
    nothing = (
        score_criterion(one, [Verdict(check=check.id, verdict="not_met") for check in one.checks], 1)
        for one in RUBRIC.criteria
    )
    return {one.id: one for one in nothing}


def test_only_a_whole_set_decides() -> None:
    landed = {**others(), CRITERION.id: judged("met"), key(CRITERION.id, 2): judged()}
    assert {one.id: one for one in decided(landed)}[CRITERION.id] == judged("met")
    assert band(RUBRIC, landed) is None
    landed[key(CRITERION.id, 3)] = judged()
    assert {one.id: one for one in decided(landed)}[CRITERION.id].points == 0


def test_the_band_is_of_all_totals_and_of_what_they_decide() -> None:
    rounds = [judged("met"), judged(), judged("met", "met")]
    landed = {**others(), **{key(CRITERION.id, n): one for n, one in enumerate(rounds, 1)}}
    totals = [total(RUBRIC, [*others().values(), one]).score for one in rounds]
    found = band(RUBRIC, landed)
    assert found is not None
    assert (found.low, found.high, found.times) == (min(totals), max(totals), REPEATS)
    assert found.low <= total(RUBRIC, decided(landed)).score <= found.high


def test_near() -> None:
    assert RUBRIC.pass_mark.mid == 60
    assert [score for score in (54.9, 55.0, 60.0, 65.0, 65.1) if is_near(score, RUBRIC)] == [55.0, 60.0, 65.0]
