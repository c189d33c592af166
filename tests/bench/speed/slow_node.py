"""`python -m tests.bench.speed.slow_node serve ...`: the engine's own command, for a machine some 50 times slower.

Under valgrind work takes so much longer, and time does not. So limits are longer as well; the recorder's window is as
long as all sockets need to save, for a group to hold what it does at full speed; and what is done each so many
milliseconds, whoever saves, is left out, or a slow machine would count more of it.
"""

from __future__ import annotations

import os
from types import ModuleType

from engine import wiring
from engine.conductor import deadlines
from engine.live import store
from engine.record import engine as record
from engine.recorder import recorder
from engine.web import socket

LONGER, WINDOWS, NEVER = 50, 200, 100_000
TIMES: tuple[tuple[ModuleType, str, int], ...] = (
    (deadlines, "POLL_SECONDS", NEVER),
    (deadlines, "SWEEP_SECONDS", NEVER),
    (recorder, "SWEEP_SECONDS", NEVER),
    (recorder, "WINDOW_SECONDS", WINDOWS),
    (record, "COMMAND_SECONDS", LONGER),
    (record, "POOL_WAIT_SECONDS", LONGER),
    (socket, "HELLO_SECONDS", LONGER),
    (store, "SKEW_MS_MAX", LONGER),
    (wiring, "REDIS_SECONDS", LONGER),
    (wiring, "REDIS_CONNECT_SECONDS", LONGER),
)
REDIS_CONNECTIONS = 8
"""All open before it is counted: to open one is worth some saves."""


def slow_down() -> None:
    """Make each of these times longer. One that is not there any more is an AttributeError."""
    os.environ["ENGINE_REDIS_POOL_SIZE"] = str(REDIS_CONNECTIONS)
    for module, name, times in TIMES:
        setattr(module, name, getattr(module, name) * times)


if __name__ == "__main__":
    slow_down()

    from engine.cli import main

    main()
