"""What was judged before is not bought again: the same material, by the same words, asked of the same model.

Only a user's own runs are looked at. To serve one user from another's would tell that the same text was handed in
before, and would keep words of somebody who may have left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.core.pack import Criterion
from engine.core.prompt import prompt_hash, schema_hash
from engine.core.repeats import key
from engine.judging.judge import Judge
from engine.record.evaluations import Handed, Landed
from engine.record.past_runs import Known
from protocol.events import EvaluationCriterion

APPEALED: Final = 1
"""The `repeat` of what an appeal is judged on: a check that is appealed is not given back what it was given first."""


def submission_hash(handed: Handed) -> str:
    """SHA-256, in hex, of what the candidate handed in and of the answers it goes by."""
    return _digest([handed.fields, handed.language, handed.answers])


def material_hash(handed: Handed, judge: Judge, *, repeat: int = 0) -> str:
    """SHA-256, in hex, of all that decides what `judge` is asked; the pack's hash covers its rubric.

    `repeat`: a number for what must be judged afresh (APPEALED): none is given another's.
    """
    return _digest([handed.pack_hash, prompt_hash(), schema_hash(), submission_hash(handed), judge.describe(), repeat])


def landed_before(known: Sequence[Known], criterion: Criterion, judge: Judge, run: int, n: int = 1) -> Landed | None:
    """The `n`th judging of a criterion by this judge itself, as a result of `run`; a stand-in's is not given back."""
    asked = judge.describe()
    for earlier in known:
        landed = earlier.landed.get(key(criterion.id, n))
        if landed is None or _asked(landed) != (asked["provider"], asked["model"]):
            continue
        names = {name: landed.spent.get(name, "") for name in ("provider", "asked", "model")}
        return Landed(
            result=msgspec.structs.replace(landed.result, run=run),
            n=n,
            judge=landed.judge,
            spent=names,
            reused=landed.reused or f"{earlier.interview}:{earlier.run}",
        )
    return None


def _asked(landed: Landed) -> tuple[str, str]:
    """("", "") where nobody was asked."""
    return landed.spent.get("provider", ""), landed.spent.get("asked", "")


def feedback_before(known: Sequence[Known], results: Sequence[EvaluationCriterion]) -> Known | None:
    """The finished run that has feedback on these very verdicts."""
    verdicts = {result.id: result.verdicts for result in results}
    same = (run for run in known if {result.id: result.verdicts for result in run.criteria} == verdicts)
    return next((run for run in same if run.narrative), None)


def _digest(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()
