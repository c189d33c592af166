"""Which run is under way, and which check may be appealed: one that a model judged and that cost points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from protocol.codes import Refuse
from protocol.commands import Appeal
from protocol.events import CheckVerdict
from protocol.views import EvaluationView
from protocol.words import Field

from engine.core.evidence import verify
from engine.core.pack import Criterion, Pack

OPEN = ("queued", "running")


class UnderWay(NamedTuple):
    """The run that a worker may speak of."""

    run: int
    attempt: int
    waits: bool


def under_way(view: EvaluationView | None) -> UnderWay | None:
    """The run that has not ended, if there is one."""
    if view is None:
        return None
    newest = view.appeal or view
    return UnderWay(newest.run, newest.attempt, newest.state == "queued") if newest.state in OPEN else None


def newest_run(view: EvaluationView) -> int:
    """Of all runs, appeals among them."""
    return view.appeal.run if view.appeal else view.run


class No(NamedTuple):
    """Why not: a refusal, where in the command, a sentence, and facts."""

    refuse: Refuse
    at: str | None
    message: str
    facts: dict[str, Any] = {}


def refusal(view: EvaluationView | None, pack: Pack, fields: Mapping[Field, str], appeal: Appeal) -> No | None:
    """Why this cannot be appealed; None: it can.

    Only what cost points may be: so no appeal lowers a score, and nobody is afraid of asking.
    """
    return _not_now(view) or _not_this(view, pack, appeal) or _not_there(pack, fields, appeal)


def _not_now(view: EvaluationView | None) -> No | None:
    said = None
    if view is None or view.result is None:
        said = "There is no result yet that could be appealed."
    elif view.appeal is not None and view.appeal.state in OPEN:
        said = "An appeal is under way."
    elif view.appeal is not None and view.appeal.state == "failed":
        said = "The last appeal came to no end; evaluation.retry asks for it again."
    elif view.result.appeals_left <= 0:
        said = "No appeal is left." if view.result.appeals else "This result cannot be appealed."
    return No(Refuse.NOT_APPEALABLE, None, said) if said else None


def _not_this(view: EvaluationView | None, pack: Pack, appeal: Appeal) -> No | None:
    said = None
    verdict = _verdict(view, appeal.check)
    criterion = criterion_of(pack, appeal.check)
    decided = view.result.appeals if view and view.result else ()
    if verdict is None or criterion is None:
        said = "There is no such check in the result."
    elif criterion.kind == "counted":
        said = "This check was counted by code, and not judged."
    elif not cost_points(verdict):
        said = "This check cost no points."
    elif any(one.check == appeal.check for one in decided):
        said = "This check was appealed already."
    return No(Refuse.NOT_APPEALABLE, "$.d.check", said) if said else None


def _not_there(pack: Pack, fields: Mapping[Field, str], appeal: Appeal) -> No | None:
    criterion = criterion_of(pack, appeal.check)
    allowed = criterion.evidence if criterion else ()
    facts = {"fields": list(allowed)}
    if appeal.field not in allowed:
        said = f"Evidence for this check may stand in: {', '.join(allowed)}."
        return No(Refuse.NOT_QUOTED, "$.d.field", said, facts)
    if not verify(appeal.quote, fields[appeal.field]):
        said = f"These words do not stand in {appeal.field} as it was handed in."
        return No(Refuse.NOT_QUOTED, "$.d.quote", said, facts)
    return None


def cost_points(verdict: CheckVerdict) -> bool:
    """Whether another verdict would win points: a statement that is not met, or a fault that was found."""
    return (verdict.verdict == "met") == (verdict.points < 0)


def criterion_of(pack: Pack, check: str) -> Criterion | None:
    """The criterion that this check belongs to."""
    return next((one for one in pack.rubric.criteria if any(each.id == check for each in one.checks)), None)


def _verdict(view: EvaluationView | None, check: str) -> CheckVerdict | None:
    verdicts = (verdict for judged in (view.judged if view else ()) for verdict in judged.verdicts)
    return next((verdict for verdict in verdicts if verdict.check == check), None)
