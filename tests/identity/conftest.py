"""Keys and clocks; the parts of identity that need no server."""

from __future__ import annotations

import pytest

from engine.identity.keys import Keys, derive
from tests.clock import HandClock


@pytest.fixture
def keys() -> Keys:
    return derive("a secret of the tests, long enough to pass")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()
