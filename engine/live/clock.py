"""The node's estimate of Redis's clock, the one clock for deadlines."""

from __future__ import annotations

import time

SKEW_MS_MAX = 250
"""A decision made on an estimate further off than this is made again."""


class Clock:
    """Learns from every reply how far Redis's clock is from this node's. Milliseconds of the Unix epoch.

    Between replies it goes on by the monotonic clock: what somebody sets this node's time to moves no deadline.
    """

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms
        """0 outside tests: lets tests move the time of Redis and of this node alike."""
        self._ahead_ms = (time.time_ns() - time.monotonic_ns()) // 1_000_000

    def now(self) -> int:
        """What Redis's clock says, as far as this node knows."""
        return time.monotonic_ns() // 1_000_000 + self._ahead_ms + self.offset_ms

    def learn(self, redis_ms: int) -> None:
        """Redis said `redis_ms` (the tests' offset in it) just now."""
        self._ahead_ms = redis_ms - self.offset_ms - time.monotonic_ns() // 1_000_000
