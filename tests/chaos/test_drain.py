"""A rolling update under load: each node drains on SIGTERM, in time, and nobody loses anything or waits for long."""

from __future__ import annotations

import statistics
from pathlib import Path

from engine.embedded import Embedded
from tests.chaos.clauses_clock import late_ms
from tests.chaos.nemesis import Nemesis
from tests.chaos.trial import Trial
from tests.stack import running_stack

DRAIN_SECONDS = 4
TRIAL_SECONDS_MAX = 80
PEOPLE, ROUNDS, SEED = 3, 1, 8
WITHOUT_SOCKET_MS_MAX = 1_000
"""For half of them: other tests run beside this one, and this client lets go before it has the next socket."""


async def test_a_rolling_update_loses_nothing_and_ends_in_time(
    servers: Embedded, template: str, tmp_path: Path
) -> None:
    exits: list[tuple[int, float]] = []

    async def update(nemesis: Nemesis) -> None:
        await nemesis.drains(ROUNDS)
        exits.extend(nemesis.exits)

    drain = str(DRAIN_SECONDS)
    async with running_stack(servers, template, tmp_path, ENGINE_DRAIN_SECONDS=drain) as stack:
        report = await Trial(stack, SEED).run(update, people=PEOPLE, seconds_max=TRIAL_SECONDS_MAX)
    assert report.violations == [], "\n".join(report.lines()) + "\n" + stack.logs()
    assert [status for status, _ in exits] == [0] * (2 * ROUNDS)
    assert max(seconds for _, seconds in exits) < DRAIN_SECONDS + 2
    gaps = [late_ms(report.history, lost * 1000, back * 1000) for lost, back in report.resumes]
    assert statistics.median(gaps) < WITHOUT_SOCKET_MS_MAX, "\n".join(report.lines())
