"""What is kept of a command that took effect, and the ack that it becomes."""

from __future__ import annotations

import msgspec

from engine.live.values import Arrival
from protocol.messages import Ack
from protocol.words import Durable

HASH_BYTES = 16
"""Of a command's body; kept before its outcome."""


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a command that took effect: its last event, the draft's revision, lateness."""

    s: int
    rev: int | None = None
    late: bool = False


outcome_of = msgspec.json.Decoder(Outcome).decode


def ack(id: str, outcome: Outcome, durable: Durable, *, dup: bool = False) -> Ack:
    """The ack of a command; `dup`: it took effect before."""
    return Ack(id=id, s=outcome.s, rev=outcome.rev, late=outcome.late, dup=dup, durable=durable)


def acks(pending: tuple[str, ...], arrival: Arrival, durable: Durable) -> dict[str, Ack]:
    """Of those pending commands that took effect."""
    found: dict[str, Ack] = {}
    for id, seen in zip(pending, arrival.outcomes, strict=True):
        if seen:
            outcome = outcome_of(seen[HASH_BYTES:])
            held = durable == "record" or outcome.s <= arrival.loaded.recorded
            found[id] = ack(id, outcome, "record" if held else "live", dup=True)
    return found
