"""Scores are arithmetic on verdicts: bounded, exact, and refused while anything is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.evidence import Verdict
from engine.core.pack import Criterion, Pack, Section, parse_pack
from engine.core.rubric import (
    COUNTED,
    Facts,
    RubricError,
    count_criterion,
    is_filled,
    items,
    named_in_code,
    points_max,
    score_criterion,
    total,
)
from protocol.events import EvaluationCriterion, VerdictWord
from tests.core.shipped import SMALL, playable

PACK = parse_pack(SMALL)
COUNTED_ONE, JUDGED = PACK.rubric.criteria
SHIPPED = [(pack, criterion) for pack in playable() for criterion in pack.rubric.criteria]


def verdicts(criterion: Criterion, words: list[VerdictWord]) -> list[Verdict]:
    return [Verdict(check=check.id, verdict=word) for check, word in zip(criterion.checks, words, strict=True)]


def scored(criterion: Criterion, *words: VerdictWord) -> EvaluationCriterion:
    return score_criterion(criterion, verdicts(criterion, list(words)), run=1)


def best(criterion: Criterion) -> EvaluationCriterion:
    return scored(criterion, *("met" if check.points > 0 else "not_met" for check in criterion.checks))


@pytest.mark.parametrize(
    ("words", "points", "score", "level"),
    [
        (("met", "met", "not_met"), 4, 1.0, 3),
        (("met", "met", "met"), 3, 0.75, 2),
        (("met", "not_met", "not_met"), 2, 0.5, 1),
        (("met", "not_met", "met"), 1, 0.25, 0),
        (("not_met", "not_met", "met"), 0, 0.0, 0),
        (("contradicted", "contradicted", "contradicted"), 0, 0.0, 0),
    ],
)
def test_a_criterion_is_its_points_over_its_positive_points(
    words: tuple[VerdictWord, ...], points: int, score: float, level: int
) -> None:
    result = scored(JUDGED, *words)
    assert (result.points, result.points_max, result.score, result.level) == (points, 4, score, level)
    assert [shown.check for shown in result.verdicts] == ["C2.a", "C2.b", "C2.x"]
    assert result.verdicts[2].ask == "One class does everything."
    assert result.verdicts[2].points == -1


def test_two_checks_of_three_are_the_second_level() -> None:
    """In floating point, 2/3 of the points may fall short of 2/3."""
    pack = parse_pack(SMALL.replace("points: 2, ask: Rejects", "points: 1, ask: Rejects"))
    result = scored(pack.rubric.criteria[1], "met", "not_met", "not_met")
    assert (result.score, result.level) == (0.6667, 2)


@pytest.mark.parametrize(
    ("given_for", "says"),
    [
        (["C2.a", "C2.b"], "no verdict on C2.x"),
        ([], "no verdict on C2.a, C2.b, C2.x"),
        (["C2.a", "C2.b", "C2.x", "C2.a"], "two verdicts on C2.a"),
        (["C2.a", "C2.b", "C2.x", "C1.a"], "C1.a is no check of C2"),
    ],
)
def test_verdicts_that_do_not_fit_are_refused(given_for: list[str], says: str) -> None:
    with pytest.raises(RubricError, match=says):
        score_criterion(JUDGED, [Verdict(check=id, verdict="met") for id in given_for], run=1)


def test_there_is_no_total_before_every_weighted_criterion_has_a_result() -> None:
    with pytest.raises(RubricError, match="C1 has no result"):
        total(PACK.rubric, [best(JUDGED)])
    assert total(PACK.rubric, [best(JUDGED), best(COUNTED_ONE)]).score == 100.0


def test_the_same_results_pass_one_level_and_not_the_next() -> None:
    half = scored(JUDGED, "met", "not_met", "not_met")
    sum = total(PACK.rubric, [half, best(COUNTED_ONE)])
    assert (sum.score, sum.passed) == (65.0, ("mid",))
    assert total(PACK.rubric, [best(JUDGED), best(COUNTED_ONE)]).passed == ("mid", "senior")


def test_the_mark_itself_passes() -> None:
    """In floating point, 34.999... would fail a candidate who reached the mark."""
    none = scored(COUNTED_ONE, "not_met", "not_met", "not_met")
    pack = parse_pack(SMALL.replace("mid: 50", "mid: 35"))
    sum = total(pack.rubric, [scored(JUDGED, "met", "not_met", "not_met"), none])
    assert (sum.score, sum.passed) == (35.0, ("mid",))


WORDS: st.SearchStrategy[VerdictWord] = st.sampled_from(("met", "not_met", "contradicted"))


@given(st.sampled_from(playable()), st.data())
def test_totals_are_bounded_and_one_more_met_check_never_lowers_them(pack: Pack, data: st.DataObject) -> None:
    words = {c.id: data.draw(st.tuples(*[WORDS] * len(c.checks))) for c in pack.rubric.criteria}
    results = [scored(c, *words[c.id]) for c in pack.rubric.criteria]
    before = total(pack.rubric, results).score
    assert 0 <= before <= 100
    changed = data.draw(st.sampled_from(pack.rubric.criteria))
    at = data.draw(st.integers(0, len(changed.checks) - 1))
    better = list(words[changed.id])
    better[at] = "met" if changed.checks[at].points > 0 else "not_met"
    results[pack.rubric.criteria.index(changed)] = scored(changed, *better)
    assert total(pack.rubric, results).score >= before


@pytest.mark.parametrize(("pack", "criterion"), SHIPPED, ids=lambda one: one.id)
def test_every_shipped_criterion_reaches_its_highest_level(pack: Pack, criterion: Criterion) -> None:
    assert best(criterion).level == 3
    assert points_max(criterion) == best(criterion).points


def test_the_best_of_every_shipped_pack_is_100() -> None:
    for pack in playable():
        assert total(pack.rubric, map(best, pack.rubric.criteria)).score == 100.0


DRAFT: Facts = Facts(
    answered=frozenset({"change_giving"}),
    fields={
        "functional_req": "- takes coins\n- gives snacks and change",
        "entities": "- CoinBox: counts\n* **Slot** holds snacks\n1. `Display`\nand some words\n3) class Motor",
        "code": "class coin_box: ...\nslot = new Slot();",
    },
)


def test_counted_checks_are_counted() -> None:
    found = count_criterion(COUNTED_ONE, DRAFT, PACK)
    assert [one.verdict for one in found] == ["met", "met", "met"]
    assert {one.flag for one in found} == {COUNTED}
    assert found[2].reason == "2 of 4 listed classes occur in the code."
    assert score_criterion(COUNTED_ONE, found, run=1).score == 1.0


def test_nothing_asked_and_nothing_written_counts_as_nothing() -> None:
    found = count_criterion(COUNTED_ONE, Facts(answered=frozenset(), fields={}), PACK)
    assert {one.verdict for one in found} == {"not_met"}


def test_a_judged_criterion_cannot_be_counted() -> None:
    with pytest.raises(RubricError, match="for a judge"):
        count_criterion(JUDGED, DRAFT, PACK)


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("\n \n--\n", 0), ("- a\n\n- b\n", 2), ("a, b; c", 3), ("one line", 1), ("a, b\nc, d", 2)],
)
def test_items_are_lines_or_the_parts_of_the_only_line(text: str, count: int) -> None:
    assert items(text) == count


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("", False),
        ("........................", False),
        ("a\n" + " " * 80 + "\nb", False),
        ("twenty characters it is", False),
        ("twenty characters\nit is and more", True),
    ],
)
def test_a_field_is_filled_by_what_is_said_not_by_blanks(text: str, filled: bool) -> None:
    assert is_filled(text, Section(min_chars=20, min_items=2)) is filled


@given(st.text("ab ,;\n-.1\u200b\u00a0", max_size=60), st.text("\u200b\u200d\u2060 \t", max_size=60))
def test_what_nobody_sees_fills_nothing(text: str, unseen: str) -> None:
    section = Section(min_chars=10, min_items=2)
    assert is_filled(f"{unseen}{text}", section) == is_filled(text, section)
    assert not is_filled(unseen * 9, Section(min_chars=1))


NAMES = st.lists(st.from_regex(r"[A-Z][a-z]{2,6}", fullmatch=True), unique=True, max_size=8)
BEFORE = st.sampled_from(("", "- ", "1) ", "> * ", "│ ├── ", "`", "abstract class ", "• interface "))


@given(NAMES, NAMES, BEFORE)
def test_of_the_listed_classes_those_in_the_code_are_counted(listed: list[str], used: list[str], before: str) -> None:
    entities = "\n".join(f"{before}{name}: does a thing" for name in listed)
    counts = named_in_code({"entities": entities, "code": "\n".join(f"{name}()" for name in used)})
    assert counts == (len(set(listed) & set(used)), len(listed))


@given(st.sampled_from(SHIPPED), st.data())
def test_one_more_answer_never_lowers_what_is_counted(one: tuple[Pack, Criterion], data: st.DataObject) -> None:
    pack, criterion = one
    if criterion.kind == "judged":
        return
    intents = [rule.intent for rule in pack.clarification.rules]
    answered = data.draw(st.frozensets(st.sampled_from(intents)))
    more = answered | {data.draw(st.sampled_from(intents))}
    few, many = (
        score_criterion(criterion, count_criterion(criterion, Facts(answered=some, fields={}), pack), run=1).points
        for some in (answered, more)
    )
    assert few <= many
    assert {verdict.flag for verdict in count_criterion(criterion, Facts(answered=more, fields={}), pack)} == {COUNTED}


@pytest.mark.parametrize(
    ("entities", "code", "counts"),
    [
        ("", "class A: pass", (0, 0)),
        ("CoinBox\nCoinBox again", "type coinBox struct {}", (1, 1)),
        ("- abstract class Slot: holds\n- interface Price", "SlotMachine PriceList", (0, 2)),
        ("the machine\n- does things", "Machine", (0, 0)),
    ],
)
def test_listed_classes_are_looked_for_as_whole_names(entities: str, code: str, counts: tuple[int, int]) -> None:
    assert named_in_code({"entities": entities, "code": code}) == counts
