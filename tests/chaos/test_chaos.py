"""Interviews go on while everything they stand on is killed: nodes, workers and Valkey, once each.

`./run chaos --kills N --seed S` is the same for longer; CI runs it with ten of each.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.chaos.nemesis import Nemesis
from tests.chaos.trial import Trial, durable_stack

KILLS, FLUSHES, PEOPLE, SEED = 1, 1, 3, 20
TRIAL_SECONDS_MAX = 100


async def test_nothing_acknowledged_is_lost_or_doubled_and_every_submission_is_judged_once(tmp_path: Path) -> None:
    async with durable_stack(tmp_path) as stack:
        report = await Trial(stack, SEED).run(
            partial(Nemesis.kills, each=KILLS, flushes=FLUSHES), people=PEOPLE, seconds_max=TRIAL_SECONDS_MAX
        )
    assert report.violations == [], "\n".join(report.lines()) + "\n" + stack.logs()
    assert report.faults["node0"] + report.faults["node1"] == KILLS
    assert report.faults["worker0"] + report.faults["worker1"] == KILLS
    assert (report.faults["valkey"], report.faults["flush"]) == (KILLS, FLUSHES)
    assert report.acknowledged > 50
    assert any(interview.submitted_by == "clock" for interview in report.history.interviews.values())
