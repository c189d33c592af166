"""`python -m tests.bench.speed.slow_node serve ...`: the engine's own command, for a machine some 50 times slower.

Under valgrind work takes so much longer, and time does not: what happens each so many milliseconds would be counted
for every save, and a group of 20 ms would hold one save. So the engine's times are as much longer.
"""

from __future__ import annotations

from types import ModuleType

from engine.conductor import deadlines
from engine.live import store
from engine.record import engine as record
from engine.recorder import recorder
from engine.web import socket

SLOWER = 50
TIMES: tuple[tuple[ModuleType, str], ...] = (
    (deadlines, "POLL_SECONDS"),
    (deadlines, "SWEEP_SECONDS"),
    (recorder, "WINDOW_SECONDS"),
    (recorder, "SWEEP_SECONDS"),
    (recorder, "LEFT_LYING_MS"),
    (record, "COMMAND_SECONDS"),
    (record, "POOL_WAIT_SECONDS"),
    (socket, "HELLO_SECONDS"),
    (store, "SKEW_MS_MAX"),
)


def slow_down() -> None:
    """Make each of these times longer. One that is not there any more is an AttributeError."""
    for module, name in TIMES:
        setattr(module, name, getattr(module, name) * SLOWER)


if __name__ == "__main__":
    slow_down()

    from engine.cli import main

    main()
