"""Row 42: nobody learns from asking for a code whose address it is. The long form: `./run attacks --requests 500`."""

from __future__ import annotations

import random

import pytest

from tests.attacks.enumeration import ks_test, measure
from tests.attacks.site import Site

EACH = 80
ROUNDS = 3
"""A fair test of three pairs at 1 % is wrong once in 33 rounds; three in a row once in 40,000 runs."""


async def test_42_known_unknown_and_blocked_addresses_get_the_same_bytes_in_the_same_time(site: Site) -> None:
    settings = site.nodes[0].settings
    for seed in range(ROUNDS):
        await site.forget_limits()
        measured = await measure(settings.database_url, settings.port, EACH, seed)
        assert not measured.told_apart_by_bytes(), measured.shapes
        if not measured.told_apart_by_time():
            break
    else:
        pytest.fail("\n".join(measured.lines()))


def test_42_the_test_of_times_sees_what_there_is_and_nothing_else() -> None:
    chance = random.Random(42)

    def times(more_ms: float = 0) -> list[float]:
        return [chance.lognormvariate(1, 0.3) + more_ms for _ in range(500)]

    p = [ks_test(times(), times()) for _ in range(100)]
    assert sum(one < 0.1 for one in p) in range(1, 25)
    assert ks_test(times(), times(0.5)) < 0.001
