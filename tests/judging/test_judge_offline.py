"""The offline judge claims presence and no more, quickly, whatever it is given."""

from __future__ import annotations

import time

import pytest

from engine.core.evidence import gate
from engine.core.prompt import Submission
from engine.judging.judge import Case, Judged
from engine.judging.judge_offline import MENTIONED, OfflineJudge
from protocol.words import FIELD_BYTES_MAX, FIELDS, Field
from tests.judging.stage import GARAGE, JUDGED, STRONG


async def judged(fields: dict[Field, str]) -> list[Judged]:
    whole: dict[Field, str] = dict.fromkeys(FIELDS, "") | fields
    case = Case(pack=GARAGE, submission=Submission(fields=whole, language="python"), mark="m")
    return [await OfflineJudge().judge_criterion(case, criterion) for criterion in JUDGED]


async def test_every_met_verdict_holds_against_the_gate() -> None:
    met = 0
    for criterion, found in zip(JUDGED, await judged(STRONG), strict=True):
        for verdict in found.verdicts:
            assert verdict.flag == MENTIONED
            assert gate((verdict,), STRONG, criterion, GARAGE) == (verdict,)
            met += verdict.verdict == "met"
    assert met > 5


async def test_faults_are_never_found() -> None:
    points = {check.id: check.points for criterion in JUDGED for check in criterion.checks}
    everything = "\n".join(check.ask for criterion in JUDGED for check in criterion.checks)
    for found in await judged(dict.fromkeys(FIELDS, everything)):
        assert {verdict.verdict for verdict in found.verdicts if points[verdict.check] < 0} <= {"not_met"}


@pytest.mark.parametrize("line", ["x" * 60_000, "spot " * 12_000, "{}();\n" * 10_000, "é" * 30_000])
async def test_the_largest_draft_takes_under_a_second(line: str) -> None:
    text = line.encode()[:FIELD_BYTES_MAX].decode(errors="ignore")
    began = time.monotonic()
    await judged(dict.fromkeys(FIELDS, text))
    assert time.monotonic() - began < 1
