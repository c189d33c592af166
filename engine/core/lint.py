"""Is a question pack good, not only whole? What an author should mend, found by reading and by trying its eval set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from engine.core.evidence import OURS_WORDS_MIN
from engine.core.matcher import compile_rules, match
from engine.core.matcher.declines import DEFAULT_DECLINES
from engine.core.pack import Clarification, Criterion, Pack, Rubric, faults
from engine.core.wording import strays, twins

EXAMPLES_MIN: Final = 8
"""With four phrasings a rule instead of eight, the matcher answers a tenth fewer questions (`./run bench matcher`)."""
EVAL_MIN: Final = 24
EVAL_NONE_SHARE_MIN: Final = 0.25
DECLINES_MIN: Final = 5
CRITERIA_MIN, CRITERIA_MAX = 8, 10
CHECKS_MIN, CHECKS_MAX = 2, 10

FOUND_MIN: Final = 0.5
"""Of the questions that have a rule: the share answered with it, or asked back about it ("did you mean ...?")."""
WRONG_MAX: Final = 0.1
"""Of all eval questions: the share answered with a rule that is not theirs. A wrong answer is worse than none."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, where, and how bad: an `error` keeps a pack from being published."""

    place: str
    message: str
    severity: Literal["error", "warning"] = "error"


class EvalReport(NamedTuple):
    """How a pack's eval set came out, in numbers of questions.

    `found`: answered or asked back with the right rule; `answered`: of those, answered at once; `wrong`: answered
    with a rule that is not theirs; `misled`: asked back about one; of `asked` questions that have a rule and
    `unanswerable` that have none.
    """

    asked: int
    unanswerable: int
    answered: int
    found: int
    wrong: int
    misled: int


def lint(pack: Pack) -> tuple[Finding, ...]:
    """Everything wrong with a pack, in the order of its text; () for one fit to be published.

    A pack that is not published yet is held only to what it has.
    """
    found = [Finding(place=fault.place, message=fault.message) for fault in faults(pack)]
    if pack.clarification.rules:
        found += _clarification(pack.clarification)
    if pack.rubric.criteria:
        found += _rubric(pack.rubric)
    if pack.playable:
        found += _published(pack)
    return tuple(found)


def _published(pack: Pack) -> Iterator[Finding]:
    for i, company in enumerate(pack.companies):
        if not company.source.strip():
            yield Finding(place=f"companies[{i}].source", message="a company tag says where it comes from")
    for place, value in (("hints", pack.hints), ("reference.must_consider", pack.reference.must_consider)):
        if not value:
            yield Finding(place=place, message="empty", severity="warning")
    if not any(section.required for _, section in pack.sections.items()):
        yield Finding(place="sections", message="no field is required", severity="warning")


def _clarification(clarification: Clarification) -> Iterator[Finding]:
    at = "clarification"
    for i, rule in enumerate(clarification.rules):
        if len(rule.examples) < EXAMPLES_MIN:
            message = f"{len(rule.examples)} phrasings; at least {EXAMPLES_MIN}"
            yield Finding(place=f"{at}.rules[{i}].examples", message=message)
    if len(clarification.declines) < DECLINES_MIN:
        message = f"{len(clarification.declines)} topics of its own; at least {DECLINES_MIN} keep near misses off"
        yield Finding(place=f"{at}.declines", message=message, severity="warning")
    for i, topic in enumerate(clarification.skip_declines):
        if topic not in DEFAULT_DECLINES:
            yield Finding(place=f"{at}.skip_declines[{i}]", message=f"the library has no topic `{topic}`")
    yield from _shared_phrasings(clarification)
    yield from _stray_phrasings(clarification)
    yield from _eval(clarification)


def _shared_phrasings(clarification: Clarification) -> Iterator[Finding]:
    """The same words cannot belong to two topics, and an eval question that is a phrasing tests nothing."""
    for twin in twins(clarification):
        if twin.exact:
            yield Finding(place=twin.place, message=f"the same words stand at {twin.first}")
        else:
            message = f"says no more than {twin.first}: they differ in small words alone"
            yield Finding(place=twin.place, message=message, severity="warning")


def _stray_phrasings(clarification: Clarification) -> Iterator[Finding]:
    for stray in strays(clarification):
        rule = clarification.rules[stray.rule]
        text = rule.examples[stray.example]
        message = (
            f"closer to `{stray.other}` than to the rest of `{rule.intent}`: but for this phrasing, {text!r} would be "
            f"answered as {stray.like!r} is ({stray.score:.2f}); reword it, or add others like it"
        )
        place = f"clarification.rules[{stray.rule}].examples[{stray.example}]"
        yield Finding(place=place, message=message, severity="warning")


def _eval(clarification: Clarification) -> Iterator[Finding]:
    at = "clarification.eval"
    report = evaluate(clarification)
    total = report.asked + report.unanswerable
    if total < EVAL_MIN:
        yield Finding(place=at, message=f"{total} questions; at least {EVAL_MIN}")
        return
    if report.unanswerable < EVAL_NONE_SHARE_MIN * total:
        yield Finding(place=at, message=f"{report.unanswerable} of {total} have no rule; at least a quarter should")
    missing = {rule.intent for rule in clarification.rules} - {item.intent for item in clarification.eval}
    for intent in sorted(missing):
        yield Finding(place=at, message=f"no question for `{intent}`")
    if report.found < FOUND_MIN * report.asked:
        yield Finding(place=at, message=f"{report.found} of {report.asked} find their rule; at least {FOUND_MIN:.0%}")
    if report.wrong > WRONG_MAX * total:
        message = f"{report.wrong} of {total} are answered with a wrong rule; at most {WRONG_MAX:.0%}"
        yield Finding(place=at, message=message)


def evaluate(clarification: Clarification) -> EvalReport:
    """Put the eval questions to the matcher."""
    compiled = compile_rules(clarification)
    counts = dict.fromkeys(EvalReport._fields, 0)
    for item in clarification.eval:
        counts["unanswerable" if item.intent is None else "asked"] += 1
        for found in match(compiled, item.q):
            right = found.intent == item.intent
            counts["answered"] += right and found.zone == "answer"
            counts["found"] += right and found.zone != "fallback"
            counts["wrong"] += not right and found.zone == "answer"
            counts["misled"] += not right and found.zone == "confirm"
    return EvalReport(**counts)


def _rubric(rubric: Rubric) -> Iterator[Finding]:
    at = "rubric.criteria"
    if not CRITERIA_MIN <= len(rubric.criteria) <= CRITERIA_MAX:
        message = f"{len(rubric.criteria)} criteria; {CRITERIA_MIN} to {CRITERIA_MAX} can be read and judged"
        yield Finding(place=at, message=message, severity="warning")
    for i, criterion in enumerate(rubric.criteria):
        yield from _criterion(criterion, f"{at}[{i}]")


def _criterion(criterion: Criterion, at: str) -> Iterator[Finding]:
    if criterion.weight == 0:
        yield Finding(place=f"{at}.weight", message="a weight of 0 counts for nothing", severity="warning")
    if not CHECKS_MIN <= len(criterion.checks) <= CHECKS_MAX:
        message = f"{len(criterion.checks)} checks; {CHECKS_MIN} to {CHECKS_MAX}"
        yield Finding(place=f"{at}.checks", message=message, severity="warning")
    if len(set(criterion.levels)) < len(criterion.levels):
        yield Finding(place=f"{at}.levels", message="two levels read the same")
    for j, check in enumerate(criterion.checks):
        if not check.ask.endswith("."):
            message = "a check is a statement with a full stop, true or false of a submission"
            yield Finding(place=f"{at}.checks[{j}].ask", message=message, severity="warning")
        if check.count is None and len(check.ask.split()) < OURS_WORDS_MIN:
            message = f"fewer than {OURS_WORDS_MIN} words: pasted into a submission it would be evidence of itself"
            yield Finding(place=f"{at}.checks[{j}].ask", message=message, severity="warning")
