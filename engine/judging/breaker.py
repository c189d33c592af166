"""Stops asking a provider that does not answer, for a while, so that its outage costs nobody time or money."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

FAILURES_MAX: Final = 10
"""So many failures in a row are an outage; one evaluation's own tries stay below."""
OPEN_SECONDS: Final = 20.0


class Breaker:
    """Opens after FAILURES_MAX failures in a row; when its time is over, one more failure opens it again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        return self._clock() < self._open_until

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self._open_until = self._clock() + OPEN_SECONDS
