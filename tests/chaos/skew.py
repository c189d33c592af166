"""`python -m tests.chaos.skew serve ...`: the engine's own command, on a machine whose clock is wrong.

CHAOS_CLOCK_MS says by how much. And what the process learns of Redis's clock is off each time, as it is when answers
are slow: by less than the engine allows.
"""

from __future__ import annotations

import os
import random
import time

from engine.live.clock import SKEW_MS_MAX, Clock

VARIABLE = "CHAOS_CLOCK_MS"
WRONG_MS = (-90_000, -2_000, 0, 2_000, 90_000)
LEARNED_WRONG_MS_MAX = SKEW_MS_MAX - 50
"""A bit less, for a process that had to wait for this machine."""


def apply() -> None:
    """Before the engine starts."""
    wrong = int(os.environ.pop(VARIABLE, "0"))
    now_ns, learn = time.time_ns, Clock.learn
    time.time_ns = lambda: now_ns() + wrong * 1_000_000

    def learn_badly(self: Clock, redis_ms: int) -> None:
        learn(self, redis_ms + random.randint(-LEARNED_WRONG_MS_MAX, LEARNED_WRONG_MS_MAX) * bool(wrong))

    Clock.learn = learn_badly  # type: ignore[method-assign]


if __name__ == "__main__":
    apply()

    from engine.cli import main

    main()
