"""Every failpoint is in the matrix, costs nothing while it is off, and breaks processes without loss while it is on.

`./run chaos --failpoints` is all of the matrix; here are six of it.
"""

from __future__ import annotations

import re
import timeit
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import failpoints
from engine.embedded import Embedded
from engine.failpoints import Injected, failpoint
from engine.settings import SettingsError, load_settings
from tests.chaos.points import PLACES, Case, Points, batches, cases
from tests.chaos.trial import LEASE_SECONDS, Trial
from tests.identity.test_keys import PRODUCTION
from tests.stack import running_stack

ENGINE = Path(failpoints.__file__).parent
CALL = re.compile(r"\bfailpoint\(\"(.*?)\"\)")
PASS_SECONDS_MAX = 1e-6
"""Of one that is off: a command, which takes a thousand times as long, passes six."""
SIX = (
    Case("commit.after", "kill", "node0"), Case("record.after", "raise", "node0"),
    Case("recorded.before", "kill", "node1"),
    Case("claimed", "kill", "worker0"), Case("end.after", "raise", "worker0"),
    Case("verdict.after", "kill", "worker1"),
)  # fmt: skip
PEOPLE, SEED, TRIAL_SECONDS_MAX = 2, 7, 90


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(())


def test_each_name_stands_once_in_the_code_and_is_in_the_matrix() -> None:
    passed: Counter[str] = Counter()
    for path in ENGINE.rglob("*.py"):
        passed.update(CALL.findall(path.read_text()))
    assert passed == Counter(failpoints.names())
    assert set(PLACES) == set(failpoints.names())


def test_each_is_killed_at_and_no_case_is_left_out() -> None:
    given = list(cases())
    assert all("kill" in place.actions for place in PLACES.values())
    assert Counter(case for batch in batches(given) for case in batch) == Counter(given)


def test_one_that_is_off_costs_nothing() -> None:
    each = min(timeit.repeat(lambda: failpoint("tell"), number=20_000, repeat=5)) / 20_000
    assert each < PASS_SECONDS_MAX


def test_it_acts_at_the_pass_that_was_named_and_once() -> None:
    failpoints.arm(["ring=raise@3", "tell=raise"])
    failpoint("ring")
    failpoint("ring")
    with pytest.raises(Injected, match="ring"):
        failpoint("ring")
    failpoint("ring")
    with pytest.raises(OSError, match="tell"):
        failpoint("tell")


def test_production_does_not_arm_them() -> None:
    load_settings(PRODUCTION)
    with pytest.raises(SettingsError, match="ENGINE_FAILPOINTS: production"):
        load_settings({**PRODUCTION, "ENGINE_FAILPOINTS": "tell=kill"})


@pytest.mark.parametrize("written", ["tell", "tell=die", "tell=pause", "tell=kill@0", "=kill", "tell=pause:-1"])
def test_what_cannot_be_understood_is_refused_by_name(written: str) -> None:
    with pytest.raises(SettingsError, match="ENGINE_FAILPOINTS"):
        load_settings({"ENGINE_FAILPOINTS": written})


def test_a_name_that_no_point_has_is_refused() -> None:
    settings = load_settings({"ENGINE_FAILPOINTS": "ring=pause:0.1, nowhere=kill"})
    with pytest.raises(SettingsError, match=r"no failpoint is called nowhere.*commit\.after"):
        failpoints.arm(settings.failpoints)


async def test_processes_break_where_it_hurts_and_nothing_is_lost_or_doubled(
    servers: Embedded, template: str, tmp_path: Path
) -> None:
    points = Points(SIX)
    lease = str(LEASE_SECONDS)
    async with running_stack(
        servers, template, tmp_path, workers=2, first=points.first, ENGINE_LEASE_SECONDS=lease
    ) as stack:
        report = await Trial(stack, SEED).run(points, people=PEOPLE, patient=0, seconds_max=TRIAL_SECONDS_MAX)
    assert report.violations == [], "\n".join(report.lines()) + "\n" + stack.logs()
    assert all(report.faults[str(case)] == 1 for case in SIX)
    assert report.acknowledged > 30
