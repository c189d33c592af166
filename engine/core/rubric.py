"""From verdicts to a score: arithmetic on checks, points and weights, never a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Final, Literal, assert_never

import msgspec
from protocol.events import CheckVerdict, EvaluationCriterion, VerdictWord
from protocol.words import Field

from engine.core.evidence import Verdict
from engine.core.marked import sanitise
from engine.core.pack import Asked, Check, Criterion, Filled, Named, Pack, Rubric, Section, Sections

LEVEL_FROM: Final = (Fraction(1, 3), Fraction(2, 3), Fraction(1))
"""A criterion's score from which level 1, 2 and 3 are reached. Exact thirds: two checks of three are level 2."""
COUNTED: Final = "counted"
"""The flag of a verdict that code gave."""

Level = Literal["mid", "senior"]

_WORD = re.compile(r"\w")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LISTED = re.compile(r"[\W\d_]*(?:(?:abstract|class|enum|interface|struct|type|record)\s+)*[`*]*([A-Z]\w+)")


class RubricError(ValueError):
    """Verdicts that do not fit the rubric: one missing, one too many, one of another criterion."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What counted checks are counted on: the intents that were answered, and the draft's fields."""

    answered: frozenset[str]
    fields: Mapping[Field, str]


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """The score, 0 to 100 with one decimal, and the levels whose pass mark it reaches."""

    score: float
    passed: tuple[Level, ...]


def points_max(criterion: Criterion) -> int:
    """The sum of the positive points."""
    return sum(check.points for check in criterion.checks if check.points > 0)


def score_criterion(criterion: Criterion, verdicts: Iterable[Verdict], run: int) -> EvaluationCriterion:
    """The result of one criterion, from exactly one verdict for each of its checks.

    score = max(0, points of the checks met) / positive points. Raises RubricError.
    """
    by_check = _by_check(criterion, verdicts)
    nothing = EvaluationCriterion(
        run=run,
        id=criterion.id,
        name=criterion.name,
        weight=criterion.weight,
        points=0,
        points_max=points_max(criterion),
        score=0,
        level=0,
        verdicts=(),
    )
    return rescored(nothing, (_shown(check.ask, check.points, by_check[check.id]) for check in criterion.checks))


def rescored(result: EvaluationCriterion, verdicts: Iterable[CheckVerdict]) -> EvaluationCriterion:
    """The result with other verdicts on its checks, and the points that follow from them."""
    verdicts = tuple(verdicts)
    points = max(0, sum(int(verdict.points) for verdict in verdicts if verdict.verdict == "met"))
    share = Fraction(points, int(result.points_max))
    return msgspec.structs.replace(
        result,
        points=points,
        score=round(float(share), 4),
        level=sum(share >= bound for bound in LEVEL_FROM),
        verdicts=verdicts,
    )


def _by_check(criterion: Criterion, verdicts: Iterable[Verdict]) -> dict[str, Verdict]:
    by_check: dict[str, Verdict] = {}
    for verdict in verdicts:
        if verdict.check in by_check:
            raise RubricError(f"two verdicts on {verdict.check}")
        by_check[verdict.check] = verdict
    wanted = [check.id for check in criterion.checks]
    if missing := [id for id in wanted if id not in by_check]:
        raise RubricError(f"no verdict on {', '.join(missing)}")
    if strange := [id for id in by_check if id not in wanted]:
        raise RubricError(f"{', '.join(strange)} is no check of {criterion.id}")
    return by_check


def _shown(ask: str, points: int, verdict: Verdict) -> CheckVerdict:
    return CheckVerdict(
        check=verdict.check,
        ask=ask,
        points=points,
        verdict=verdict.verdict,
        section=verdict.section,
        quote=verdict.quote,
        reason=verdict.reason,
        flag=verdict.flag,
    )


def total(rubric: Rubric, results: Iterable[EvaluationCriterion]) -> Total:
    """The sum of weight times score over all criteria. Raises RubricError while a weighted one is missing."""
    points = {result.id: Fraction(int(result.points), int(result.points_max)) for result in results}
    if missing := [c.id for c in rubric.criteria if c.weight and c.id not in points]:
        raise RubricError(f"no total yet: {', '.join(missing)} has no result")
    exact = sum((c.weight * points.get(c.id, Fraction(0)) for c in rubric.criteria), Fraction(0))
    marks: dict[Level, int] = {"mid": rubric.pass_mark.mid, "senior": rubric.pass_mark.senior}
    passed = tuple(level for level, mark in marks.items() if exact >= mark)
    return Total(score=round(float(exact), 1), passed=passed)


def count_criterion(criterion: Criterion, facts: Facts, pack: Pack) -> tuple[Verdict, ...]:
    """The verdicts of a criterion of kind `counted`, found by counting."""
    return tuple(_count(check, facts, pack.sections) for check in criterion.checks)


def _count(check: Check, facts: Facts, sections: Sections) -> Verdict:
    match check.count:
        case Asked(intent=intent):
            return _counted(check, intent in facts.answered)
        case Filled(field=field):
            return _counted(check, is_filled(facts.fields.get(field, ""), getattr(sections, field)), field)
        case Named(percent=percent):
            named, listed = named_in_code(facts.fields)
            reason = f"{named} of {listed} listed classes occur in the code."
            return _counted(check, bool(listed) and 100 * named >= percent * listed, "code", reason)
        case None:
            raise RubricError(f"{check.id} is for a judge")
        case never:
            assert_never(never)


def _counted(check: Check, met: bool, section: Field | None = None, reason: str = "") -> Verdict:
    verdict: VerdictWord = "met" if met else "not_met"
    return Verdict(check=check.id, verdict=verdict, section=section, reason=reason, flag=COUNTED)


def items(text: str) -> int:
    """How many things a field lists: its lines that hold a word, or the parts of its only line."""
    lines = [line for line in text.splitlines() if _WORD.search(line)]
    parts = lines if len(lines) != 1 else re.split(r"[,;]", lines[0])
    return sum(bool(_WORD.search(part)) for part in parts)


def is_filled(text: str, section: Section) -> bool:
    """Whether a field holds a word and reaches its section's minimum of characters (seen, not blank) and items."""
    text = "\n".join(sanitise(text))
    said = "".join(text.split())
    return bool(_WORD.search(said)) and len(said) >= section.min_chars and items(text) >= section.min_items


def named_in_code(fields: Mapping[Field, str]) -> tuple[int, int]:
    """How many of the classes listed in `entities` occur in the code, and how many are listed.

    A class is listed by the first capitalised word of a line; case and underscores do not matter in the code.
    """
    lines = sanitise(fields.get("entities", ""))
    listed = dict.fromkeys(_plain(found.group(1)) for line in lines if (found := _LISTED.match(line)))
    used = {_plain(word) for line in sanitise(fields.get("code", "")) for word in _IDENTIFIER.findall(line)}
    return sum(name in used for name in listed), len(listed)


def _plain(identifier: str) -> str:
    return identifier.replace("_", "").lower()
