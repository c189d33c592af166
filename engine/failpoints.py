"""Named instants at which a process can be made to die, fail or stand still: the windows in which a crash would hurt.

`ENGINE_FAILPOINTS` arms them, for tests; production refuses it. Off, each costs one call that looks at one name.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Literal, NoReturn, get_args

from engine.settings import SettingsError
from engine.telemetry import log

Point = Literal[
    "started",  # an interview is in the record, and not yet live
    "hello",  # a tab has the pen, and was not told
    "ticket",  # a ticket is used up, and the socket not accepted
    "deadline",  # somebody thinks that time is up
    "commit.before",
    "commit.after",  # live has the events, nobody knows
    "record.before",  # all is written, COMMIT is not sent
    "record.after",  # COMMIT has worked, its answer is lost
    "recorded.before",  # the record has the events, live does not know
    "recorded.after",  # live knows, who waits for it does not
    "tell",  # recorded, and neither event nor ack is sent
    "ring",  # a run waits, and the queue was not rung
    "unclaimed",  # the doorbell is taken from the queue, the run is not claimed
    "claimed",
    "verdict.before",  # judged, and not stored
    "verdict.after",  # stored, and not announced
    "end.before",
    "end.after",
    "announced",  # all is told of a run
    "rebuild.before",  # a new epoch is in the record, and not live
    "rebuild.after",
    "draining",  # not ready any more, and nobody was told
    "drained",  # all were told to leave
    "code",  # a sign-in code is stored, and its mail not posted
    "mail",  # the mail is taken, and not sent
    "refresh",  # a token is exchanged, and its successor not sent
]
Action = Callable[[Point], None]
_armed: dict[str, tuple[int, Action]] = {}
"""Each with how many passes are left until it acts, this once."""


class Injected(ConnectionResetError):
    """What `raise` raises: it looks like a connection that broke."""


def failpoint(name: Point) -> None:
    """Here a crash would hurt."""
    if _armed:
        _pass(name)


def _pass(name: Point) -> None:
    left, act = _armed.pop(name, (0, None))
    if act is None:
        return
    if left > 1:
        _armed[name] = left - 1, act
        return
    log.warning("failpoint", reason=name)
    act(name)


def arm(written: Sequence[str]) -> None:
    """Arm what ENGINE_FAILPOINTS says, each `name=kill`, `name=raise` or `name=pause:SECONDS`, where `@N` after it
    means the N-th pass; and nothing else. A pause stops the whole process. Raises SettingsError.
    """
    _armed.clear()
    for one in written:
        name, _, rest = one.partition("=")
        what, _, nth = rest.partition("@")
        if name not in get_args(Point):
            raise SettingsError(f"ENGINE_FAILPOINTS: no failpoint is called {name}; there are {', '.join(names())}")
        _armed[name] = int(nth or 1), _action(what)


def names() -> tuple[Point, ...]:
    """Every failpoint there is."""
    return get_args(Point)


def _action(what: str) -> Action:
    match what.partition(":"):
        case "kill", _, _:
            return lambda _: os.kill(os.getpid(), signal.SIGKILL)
        case "raise", _, _:
            return _raise
        case _, _, seconds:
            return lambda _: time.sleep(float(seconds))


def _raise(name: Point) -> NoReturn:
    raise Injected(f"failpoint {name}")
