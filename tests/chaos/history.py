"""What is written down while things break: by clients, of what they did and saw; and what the record holds."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from protocol.words import Field

Answer = Literal["ack", "err"]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One answer to one sending of a command; a command that is sent again may get more than one."""

    kind: Answer
    at: float
    s: int = 0
    rev: int | None = None
    durable: str = "record"
    code: str = ""


class Op(msgspec.Struct, kw_only=True):
    """A command as its client knows it. Without replies, nobody knows whether it took effect."""

    client: str
    interview: str
    id: str
    t: str
    d: dict[str, Any]
    sent_at: float
    checksum: int | None = None
    """Of the whole draft, as a save leaves it by the client's own arithmetic."""
    replies: list[Reply] = []

    @property
    def promised(self) -> Reply | None:
        """The first answer that says: recorded."""
        return next((r for r in self.replies if r.kind == "ack" and r.durable == "record"), None)

    @property
    def refused(self) -> Reply | None:
        last = self.replies[-1] if self.replies else None
        return last if last is not None and last.kind == "err" else None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a client was given of an interview, in the order it came: an event, or all up to `s` as a snapshot."""

    kind: Literal["event", "snapshot"]
    epoch: int
    s: int
    hash: str = ""
    live: bool = False


class Feed(msgspec.Struct, kw_only=True):
    """All that one client was given of one interview."""

    client: str
    interview: str
    seen: list[Seen] = []


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """A service was away, from `began` until it served again. Seconds of the Unix epoch."""

    of: str
    began: float
    ended: float


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the record holds it."""

    seq: int
    body: bytes
    command_id: str | None = None


class Interview(msgspec.Struct, frozen=True, kw_only=True):
    """An interview as the record holds it in the end; times in milliseconds."""

    id: str
    phase: str
    started_at: int
    clarify_ms: int
    design_ms: int
    recorded_seq: int
    events: tuple[Event, ...]
    fields: dict[Field, str]
    rev: int
    submitted_by: str | None
    evaluations: int
    runs: tuple[str, ...]
    parked: str | None = None
    live: tuple[int, int] | None = None
    """(last event, checksum of the draft) of the live copy, where there is one."""


class History(msgspec.Struct, kw_only=True):
    """One trial, whole."""

    ops: list[Op] = []
    feeds: list[Feed] = []
    outages: list[Outage] = []
    interviews: dict[str, Interview] = {}
    nodes: tuple[str, ...] = ("node0", "node1")


def hash_of(body: bytes) -> str:
    """A short name for an event's bytes."""
    return hashlib.sha256(body).hexdigest()[:16]
