"""Strengths, weaknesses and next steps out of verified verdicts: each names its checks, nothing is added to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from engine.judging.judge_offline import MENTIONED
from protocol.events import CheckVerdict, EvaluationCriterion, Remark

LIST_MAX: Final = 6
"""Of each kind; the criteria show the rest."""
STRONG_FROM: Final = 0.67
"""A criterion's share of its points from which it is a strength."""


class Remarks(msgspec.Struct, frozen=True, kw_only=True):
    strengths: tuple[Remark, ...] = ()
    weaknesses: tuple[Remark, ...] = ()
    improvements: tuple[Remark, ...] = ()


class _Lost(NamedTuple):
    """Points of the total that one check cost."""

    cost: float
    verdict: CheckVerdict


def remarks(results: Sequence[EvaluationCriterion]) -> Remarks:
    """From all results of a run. A check that was only found mentioned is never a strength."""
    strong = [result for result in results if result.score >= STRONG_FROM]
    weak = [result for result in results if result.score < STRONG_FROM or _faults(result)]
    strengths = (_remark(result, _shown(result)) for result in _by_weight(strong))
    weaknesses = (_remark(result, [*_faults(result), *_missing(result)]) for result in _by_weight(weak))
    return Remarks(
        strengths=tuple(filter(None, strengths))[:LIST_MAX],
        weaknesses=tuple(filter(None, weaknesses))[:LIST_MAX],
        improvements=tuple(_improvement(lost.verdict) for lost in _lost(results)[:LIST_MAX]),
    )


def findings(results: Sequence[EvaluationCriterion]) -> list[str]:
    """Every verdict in a line of its own, for whoever writes the feedback."""
    lines = []
    for result in results:
        for verdict in result.verdicts:
            fault = "a fault; " if verdict.points < 0 else ""
            quote = f' (quote: "{verdict.quote}")' if verdict.quote and verdict.verdict != "not_met" else ""
            lines.append(f"[{verdict.check}] {result.name}: {fault}{verdict.verdict}: {verdict.ask}{quote}")
    return lines


def _by_weight(results: Iterable[EvaluationCriterion]) -> list[EvaluationCriterion]:
    return sorted(results, key=lambda result: -result.weight)


def _shown(result: EvaluationCriterion) -> list[CheckVerdict]:
    return [v for v in result.verdicts if v.verdict == "met" and v.points > 0 and v.flag != MENTIONED]


def _missing(result: EvaluationCriterion) -> list[CheckVerdict]:
    return [v for v in result.verdicts if v.verdict != "met" and v.points > 0]


def _faults(result: EvaluationCriterion) -> list[CheckVerdict]:
    return [v for v in result.verdicts if v.verdict == "met" and v.points < 0]


def _remark(result: EvaluationCriterion, verdicts: Sequence[CheckVerdict]) -> Remark | None:
    if not verdicts:
        return None
    said = " ".join(f"{begin}{' '.join(asks)}" for begin, asks in _by_beginning(verdicts).items())
    return Remark(text=f"{result.name}: {said}", checks=tuple(verdict.check for verdict in verdicts))


def _by_beginning(verdicts: Sequence[CheckVerdict]) -> dict[str, list[str]]:
    """The statements, under what became of them where that is not plain: said once, not before each."""
    found: dict[str, list[str]] = {}
    for verdict in verdicts:
        found.setdefault(_beginning(verdict), []).append(verdict.ask)
    return found


def _beginning(verdict: CheckVerdict) -> str:
    if verdict.verdict == "contradicted":
        return "Says the opposite of: "
    if verdict.verdict == "not_met":
        return "No mention found of: " if verdict.flag == MENTIONED else "Not shown: "
    return "" if verdict.points > 0 else "A fault: "


def _lost(results: Sequence[EvaluationCriterion]) -> list[_Lost]:
    """What cost most, first."""
    lost = []
    for result in results:
        worth = result.weight / result.points_max
        lost += [_Lost(verdict.points * worth, verdict) for verdict in _missing(result)]
        lost += [_Lost(-verdict.points * worth, verdict) for verdict in _faults(result)]
    return sorted(lost, key=lambda one: -one.cost)


def _improvement(verdict: CheckVerdict) -> Remark:
    begin = "Put right" if verdict.points < 0 else "Next time, show"
    return Remark(text=f"{begin}: {verdict.ask}", checks=(verdict.check,))
