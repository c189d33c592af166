"""Rows 36 to 39 over days: the cap holds over many codes. The long form: `./run attacks --days 365`."""

from __future__ import annotations

from engine.record.challenges import FAILURES_PER_DAY
from engine.web.parts import Parts
from tests.attacks.guessing import CODES_A_DAY, Guesser
from tests.clock import HandClock

DAYS = 4


async def test_37_guessing_stops_at_the_cap_over_many_codes_and_39_the_owner_still_comes_in(
    parts: Parts, clock: HandClock
) -> None:
    report = await Guesser(parts, clock).run(DAYS)
    assert report.guesses["hit"] == 0  # 40 guesses hit once in 25,000 runs
    assert report.most_in_24_hours == FAILURES_PER_DAY
    assert len(report.counted_at) == DAYS * FAILURES_PER_DAY
    assert report.guesses.total() == DAYS * CODES_A_DAY * 6
    assert report.codes_sent < report.codes_asked == DAYS * CODES_A_DAY
    assert report.owner == {"signed_in": DAYS + 1}
