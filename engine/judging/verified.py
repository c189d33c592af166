"""Verdicts that hold: what a judge says of one criterion, after the evidence gate."""

from __future__ import annotations

from engine.core.evidence import gate, is_quotable, unquotable
from engine.core.pack import Criterion
from engine.judging.judge import Case, Judge, Judged


async def judge_verified(judge: Judge, case: Case, criterion: Criterion) -> Judged:
    """The judge's verdicts on a criterion of kind `judged`, gated; nobody is asked where nothing could be quoted.

    Raises JudgeError.
    """
    fields = case.submission.fields
    if not is_quotable(criterion, fields):
        return Judged(unquotable(criterion))
    judged = await judge.judge_criterion(case, criterion)
    return Judged(gate(judged.verdicts, fields, criterion, case.pack), judged.spent)
