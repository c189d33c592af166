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
    late: bool = False
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
    fences: list[tuple[int, int]] = []
    """The pen (epoch, number) it was sent with, each time that it was sent."""

    @property
    def promised(self) -> Reply | None:
        """The first answer that says: recorded."""
        return next((r for r in self.replies if r.kind == "ack" and r.durable == "record"), None)

    @property
    def refused(self) -> Reply | None:
        last = self.replies[-1] if self.replies else None
        return last if last is not None and last.kind == "err" else None


class Pen(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody was told to be the writer. `s`: the last event then, where that was told; `at`: when it was heard."""

    client: str
    interview: str
    epoch: int
    n: int
    at: float
    s: int | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a client was given of an interview, in the order it came: an event, or all up to `s` as a snapshot.

    `hash`: of the event's bytes, or `state_hash` of the snapshot. `asked_at`: when the snapshot's hello was sent.
    """

    kind: Literal["event", "snapshot"]
    epoch: int
    s: int
    hash: str = ""
    live: bool = False
    asked_at: float = 0.0


class Feed(msgspec.Struct, kw_only=True):
    """All that one client was given of one interview."""

    client: str
    interview: str
    seen: list[Seen] = []
    stayed: bool = False
    """It was there long after all was quiet, still waiting for something."""
    unanswered: list[str] = []
    """The commands it then waited for."""
    sent_away: int | None = None
    """The code of the close that said not to come back."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the model about a criterion, as the model's server knows it; `whole`: answered to the last byte."""

    interview: str
    criterion: str
    whole: bool


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """What a process holds, or Postgres for all of them, when there is nothing to do: `held` of `what`, of `most`."""

    of: str
    what: str
    held: int
    most: int = 0


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


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """An interview as it is live, or as it would be made anew from the record; `commands`: id -> hash of outcome."""

    epoch: int
    seq: int
    state: str
    commands: dict[str, str] = {}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A stored evaluation. `graded`: the hash of what was judged; `asked`: criteria that the receipt says a model
    judged in this very run.
    """

    score: float
    graded: str
    asked: tuple[str, ...] = ()


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
    evaluations: tuple[Result, ...]
    runs: tuple[str, ...]
    ends: tuple[tuple[int, str], ...]
    """(run, state) each time that a run was ended, whatever became of it."""
    handed_in: str = ""
    """The hash of what the record says was handed in."""
    parked: str | None = None
    live: Copy | None = None
    rebuilt: Copy | None = None


class History(msgspec.Struct, kw_only=True):
    """One trial, whole."""

    ops: list[Op] = []
    feeds: list[Feed] = []
    pens: list[Pen] = []
    calls: list[Call] = []
    rest: list[Rest] = []
    outages: list[Outage] = []
    started: dict[str, float] = {}
    """When each interview's start was answered, in seconds; from then on it is live."""
    interviews: dict[str, Interview] = {}
    nodes: tuple[str, ...] = ("node0", "node1")


def hash_of(body: bytes) -> str:
    """A short name for an event's bytes."""
    return hashlib.sha256(body).hexdigest()[:16]


def state_hash(phase: str, rev: int, checksum: int) -> str:
    """A short name for what a snapshot shows."""
    return f"{phase} {rev} {checksum}"
