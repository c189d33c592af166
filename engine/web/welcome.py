"""The welcome: everything a client needs to go on, as one frame."""

from __future__ import annotations

import msgspec

from engine.conductor import Greeting
from engine.core.interview import GRACE_MS, snapshot
from engine.live.values import Arrival
from engine.settings import Settings
from protocol import messages as m
from protocol.views import Snapshot
from protocol.words import ASK_CHARS_MAX, COMMANDS_IN_FLIGHT_MAX, FIELD_BYTES_MAX, FRAME_BYTES_MAX, Fence

RECONNECT = m.Reconnect(min_ms=200, max_ms=5_000, jitter=1.0)
"""Full jitter: a client waits a random time up to the backoff."""
LIMITS = m.Limits(
    frame_bytes_max=FRAME_BYTES_MAX,
    field_bytes_max=FIELD_BYTES_MAX,
    ask_chars_max=ASK_CHARS_MAX,
    commands_in_flight_max=COMMANDS_IN_FLIGHT_MAX,
)


def welcome_body(greeting: Greeting, connection: str, settings: Settings, now: int, t0: float | None) -> m.WelcomeBody:
    """What hello found, as the client is told; `now` by Redis's clock, in milliseconds."""
    arrival = greeting.arrival
    loaded = arrival.loaded
    return m.WelcomeBody(
        conn=connection,
        role="writer" if arrival.writes else "observer",
        fence=Fence(epoch=loaded.epoch, n=loaded.fence) if arrival.writes else None,
        epoch=loaded.epoch,
        head=loaded.interview.seq,
        recorded=loaded.interview.seq if greeting.durable == "record" else loaded.recorded,
        mode=arrival.mode,
        phase=loaded.interview.phase,
        now=now,
        deadline_at=loaded.interview.deadline_at,
        grace_ms=GRACE_MS,
        heartbeat=m.Heartbeat(
            every_ms=round(settings.heartbeat_seconds * 1000), grace_ms=round(settings.heartbeat_grace_seconds * 1000)
        ),
        limits=LIMITS,
        reconnect=RECONNECT,
        commands=greeting.acks,
        snapshot=_snapshot(arrival) if arrival.mode == "snapshot" else None,
        t0=t0,
    )


def _snapshot(arrival: Arrival) -> Snapshot:
    """With the narrative so far, where one is being written."""
    view = snapshot(arrival.loaded.interview)
    if view.evaluation is None or not arrival.narrative:
        return view
    evaluation = msgspec.structs.replace(view.evaluation, text=arrival.narrative)
    return msgspec.structs.replace(view, evaluation=evaluation)
