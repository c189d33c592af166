"""Remarks rest on verified verdicts, and on nothing else."""

from __future__ import annotations

from engine.judging.judge_offline import MENTIONED
from engine.judging.remarks import LIST_MAX, findings, remarks
from protocol.events import CheckVerdict, EvaluationCriterion, VerdictWord


def verdict(check: str, word: VerdictWord, points: float = 1, flag: str | None = None) -> CheckVerdict:
    return CheckVerdict(check=check, ask=f"Ask {check}.", points=points, verdict=word, quote="a quote", flag=flag)


def criterion(id: str, score: float, *verdicts: CheckVerdict, weight: float = 10) -> EvaluationCriterion:
    best = sum(v.points for v in verdicts if v.points > 0)
    return EvaluationCriterion(
        run=1, id=id, name=f"Name {id}", weight=weight, points=score * best, points_max=best, score=score, level=0,
        verdicts=verdicts,
    )  # fmt: skip


def test_each_remark_names_its_checks() -> None:
    said = remarks(
        [
            criterion("A", 1.0, verdict("A.a", "met"), verdict("A.b", "met")),
            criterion("B", 0.0, verdict("B.a", "not_met"), verdict("B.b", "contradicted")),
        ]
    )
    assert [remark.checks for remark in said.strengths] == [("A.a", "A.b")]
    assert [remark.checks for remark in said.weaknesses] == [("B.a", "B.b")]
    assert said.weaknesses[0].text == "Name B: Not shown: Ask B.a. Says the opposite of: Ask B.b."


def test_what_was_only_mentioned_is_no_strength() -> None:
    said = remarks([criterion("A", 1.0, verdict("A.a", "met", flag=MENTIONED))])
    assert said.strengths == ()


def test_a_fault_is_a_weakness_however_strong_the_rest() -> None:
    said = remarks([criterion("A", 0.8, *(verdict(f"A.{i}", "met") for i in range(5)), verdict("A.x", "met", -1))])
    assert said.weaknesses[0].checks == ("A.x",)
    assert said.improvements[0].text == "Put right: Ask A.x."
    assert "A.x" not in said.strengths[0].checks


def test_what_costs_most_comes_first() -> None:
    said = remarks(
        [
            criterion("A", 0.0, verdict("A.a", "not_met"), weight=5),
            criterion("B", 0.0, verdict("B.a", "not_met", 1), verdict("B.b", "not_met", 3), weight=20),
        ]
    )
    assert [remark.checks for remark in said.improvements] == [("B.b",), ("A.a",), ("B.a",)]


def test_lists_are_short() -> None:
    said = remarks([criterion(f"C{i}", 0.0, verdict(f"C{i}.a", "not_met")) for i in range(20)])
    assert len(said.improvements) == len(said.weaknesses) == LIST_MAX


def test_findings_quote_only_what_stands() -> None:
    lines = findings([criterion("A", 0.5, verdict("A.a", "met"), verdict("A.b", "not_met", flag="unsupported"))])
    assert lines == ['[A.a] Name A: met: Ask A.a. (quote: "a quote")', "[A.b] Name A: not_met: Ask A.b."]
