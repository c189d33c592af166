"""A rolling update under load: each node drains on SIGTERM, in time, and nobody loses anything or waits for long.

`./run drain` is the same with thousands of sockets.
"""

from __future__ import annotations

from pathlib import Path

from engine.embedded import Embedded
from tests.chaos.drain import EXIT_SECONDS_MAX, WITHOUT_SECONDS_MAX, Update, share
from tests.stack import running_stack

SOCKETS, SAVES_A_SECOND, SEED = 50, 40, 8
STEADY_SECONDS = 0.5


async def test_a_rolling_update_loses_nothing_and_ends_in_time(
    servers: Embedded, template: str, tmp_path: Path
) -> None:
    async with running_stack(servers, template, tmp_path, workers=0) as stack:
        report = await Update(stack, SEED, SOCKETS, SAVES_A_SECOND, steady_seconds=STEADY_SECONDS).run()
        told = "\n".join(report.lines()) + "\n" + stack.logs()
    assert report.violations == [], told
    assert [status for status, _ in report.exits] == [0, 0], told
    assert max(seconds for _, seconds in report.exits) < EXIT_SECONDS_MAX, told
    assert report.busy and len(report.moves) >= SOCKETS, told
    assert share(report.without, 0.99) <= WITHOUT_SECONDS_MAX, told
