"""Every frame that may cross the socket, as two closed unions: FromClient and ToClient.

A frame is an envelope (`t` names it) around a body `d`. Workers' words are not in FromClient: no client can say them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from protocol import commands, events
from protocol.views import Snapshot
from protocol.words import (
    PENDING_MAX,
    ClientMillis,
    CommandId,
    Cursor,
    Durable,
    Fence,
    Millis,
    Phase,
    Role,
    Seq,
    Tab,
    Value,
)


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", omit_defaults=True):
    """The envelope all frames share."""


# --- from the client ---------------------------------------------------------------------------------------


class ClientFrame(Frame, frozen=True, kw_only=True):
    a: Seq | None = None
    """The last event the client has applied, on any frame: the server's measure of lag."""


class CommandFrame(ClientFrame, frozen=True, kw_only=True):
    id: CommandId


class ClarifyAsk(CommandFrame, tag="clarify.ask", frozen=True, kw_only=True):
    d: commands.Ask


class ClarifyConfirm(CommandFrame, tag="clarify.confirm", frozen=True, kw_only=True):
    d: commands.Confirm


class ClarifyReject(CommandFrame, tag="clarify.reject", frozen=True, kw_only=True):
    d: commands.Reject


class DraftSave(CommandFrame, tag="draft.save", frozen=True, kw_only=True):
    d: commands.Save


class PhaseProceed(CommandFrame, tag="phase.proceed", frozen=True, kw_only=True):
    d: commands.Proceed = commands.Proceed()


class SolutionSubmit(CommandFrame, tag="solution.submit", frozen=True, kw_only=True):
    d: commands.Submit


class EvaluationRetry(CommandFrame, tag="evaluation.retry", frozen=True, kw_only=True):
    d: commands.Retry = commands.Retry()


class EvaluationAppeal(CommandFrame, tag="evaluation.appeal", frozen=True, kw_only=True):
    d: commands.Appeal


class HelloBody(Value, frozen=True, kw_only=True):
    """Who speaks, what it wants, and how far it has come. `take` takes the pen from whoever holds it."""

    proto: int
    tab: Tab
    write: bool = True
    take: bool = False
    fence: Fence | None = None
    resume: Cursor | None = None
    pending: Annotated[tuple[CommandId, ...], Meta(max_length=PENDING_MAX)] = ()
    t0: ClientMillis | None = None


class Hello(ClientFrame, tag="hello", frozen=True, kw_only=True):
    d: HelloBody


class Pong(ClientFrame, tag="pong", frozen=True, kw_only=True):
    """Still here, to a ping; any other frame says as much."""

    d: dict[str, Any] = {}


class TimeAsk(Value, frozen=True, kw_only=True):
    t0: ClientMillis


class TimeRequest(ClientFrame, tag="time", frozen=True, kw_only=True):
    """What does the engine's clock say? `t0` is the client's own and comes back unread."""

    d: TimeAsk


class AuthRefreshBody(Value, frozen=True, kw_only=True):
    ticket: Annotated[str, Meta(max_length=256)]


class AuthRefresh(ClientFrame, tag="auth.refresh", frozen=True, kw_only=True):
    """A fresh ticket for the same interview keeps the socket past the life of the first sign-in."""

    d: AuthRefreshBody


Command = (
    ClarifyAsk
    | ClarifyConfirm
    | ClarifyReject
    | DraftSave
    | PhaseProceed
    | SolutionSubmit
    | EvaluationRetry
    | EvaluationAppeal
)
FromClient = Command | Hello | Pong | TimeRequest | AuthRefresh


# --- to the client: events ---------------------------------------------------------------------------------


class EventFrame(Frame, frozen=True, kw_only=True):
    s: Seq
    ts: Millis
    d: Any
    durable: Durable = "record"
    """Only said when it is "live": the record does not hold this event yet; `recorded` follows."""


class ClarificationAnswered(EventFrame, tag="clarification.answered", frozen=True, kw_only=True):
    d: events.ClarificationAnswered


class ClarificationRefunded(EventFrame, tag="clarification.refunded", frozen=True, kw_only=True):
    d: events.ClarificationRefunded


class DraftSaved(EventFrame, tag="draft.saved", frozen=True, kw_only=True):
    d: events.DraftSaved


class PhaseChanged(EventFrame, tag="phase.changed", frozen=True, kw_only=True):
    d: events.PhaseChanged


class SolutionSubmitted(EventFrame, tag="solution.submitted", frozen=True, kw_only=True):
    d: events.SolutionSubmitted


class EvaluationRequested(EventFrame, tag="evaluation.requested", frozen=True, kw_only=True):
    d: events.EvaluationRequested


class EvaluationAppealed(EventFrame, tag="evaluation.appealed", frozen=True, kw_only=True):
    d: events.EvaluationAppealed


class EvaluationStarted(EventFrame, tag="evaluation.started", frozen=True, kw_only=True):
    d: events.EvaluationStarted


class EvaluationCriterion(EventFrame, tag="evaluation.criterion", frozen=True, kw_only=True):
    d: events.EvaluationCriterion


class EvaluationCompleted(EventFrame, tag="evaluation.completed", frozen=True, kw_only=True):
    d: events.EvaluationCompleted


class EvaluationFailed(EventFrame, tag="evaluation.failed", frozen=True, kw_only=True):
    d: events.EvaluationFailed


EventToClient = (
    ClarificationAnswered
    | ClarificationRefunded
    | DraftSaved
    | PhaseChanged
    | SolutionSubmitted
    | EvaluationRequested
    | EvaluationAppealed
    | EvaluationStarted
    | EvaluationCriterion
    | EvaluationCompleted
    | EvaluationFailed
)


# --- to the client: replies --------------------------------------------------------------------------------


class Ack(Frame, tag="ack", frozen=True, kw_only=True):
    """The command took effect, with `s` as its last event. `dup`: it had before, and this is its first outcome."""

    id: str
    s: Seq
    rev: int | None = None
    late: bool = False
    dup: bool = False
    durable: Durable = "record"


class Refusal(Frame, tag="err", frozen=True, kw_only=True):
    """The command (or frame) changed nothing. `temp`: sending it again may help, after `retry_ms`."""

    code: str
    message: str
    id: str | None = None
    temp: bool = False
    retry_ms: int | None = None
    at: str | None = None
    """Where in the frame, as a path such as `$.d.text`."""
    d: dict[str, Any] = {}


# --- to the client: control --------------------------------------------------------------------------------


class Heartbeat(Value, frozen=True, kw_only=True):
    every_ms: int
    grace_ms: int


class Limits(Value, frozen=True, kw_only=True):
    frame_bytes_max: int
    field_bytes_max: int
    ask_chars_max: int
    commands_in_flight_max: int


class Reconnect(Value, frozen=True, kw_only=True):
    min_ms: int
    max_ms: int
    jitter: float


class WelcomeBody(Value, frozen=True, kw_only=True):
    """Where the client stands. `noop`: it has all; `replay`: what it misses follows; `snapshot`: start from this.

    `commands` tells of each pending id that took effect; one that is not there did not.
    """

    conn: str
    role: Role
    fence: Fence | None
    epoch: Seq
    head: Seq
    recorded: Seq
    """To here the record holds the events; what is beyond, in a snapshot too, is "live" until `recorded` says so."""
    mode: Literal["noop", "replay", "snapshot"]
    phase: Phase
    now: Millis
    deadline_at: Millis
    grace_ms: int
    heartbeat: Heartbeat
    limits: Limits
    reconnect: Reconnect
    commands: dict[str, Ack] = {}
    snapshot: Snapshot | None = None
    t0: ClientMillis | None = None


class Welcome(Frame, tag="welcome", frozen=True, kw_only=True):
    d: WelcomeBody


class Head(Value, frozen=True, kw_only=True):
    head: Seq
    ts: Millis


class Ping(Frame, tag="ping", frozen=True, kw_only=True):
    """Any frame will do as an answer; `head` shows a client that it missed the last event."""

    d: Head


class ReplayBody(Value, frozen=True, kw_only=True):
    events: Annotated[tuple[EventToClient, ...], Meta(min_length=1)]


class Replay(Frame, tag="replay", frozen=True, kw_only=True):
    """All events the client had missed, in order: each is as it would have come alone, and is to be taken so."""

    d: ReplayBody


class Through(Value, frozen=True, kw_only=True):
    s: Seq


class Resumed(Frame, tag="resumed", frozen=True, kw_only=True):
    """All events the client had missed, to `s`, have been sent."""

    d: Through


class Recorded(Frame, tag="recorded", frozen=True, kw_only=True):
    """All events to `s` that went out as "live" are in the record now."""

    d: Through


class RoleBody(Value, frozen=True, kw_only=True):
    role: Role
    by: str | None = None
    """The tab that has the pen now."""


class RoleChanged(Frame, tag="role", frozen=True, kw_only=True):
    """Who holds the pen has changed: as an observer, stop editing and go on listening."""

    d: RoleBody


class DrainBody(Value, frozen=True, kw_only=True):
    in_ms: int


class Drain(Frame, tag="drain", frozen=True, kw_only=True):
    """This node goes; connect again (to any node) in `in_ms`."""

    d: DrainBody


class PendingBody(Value, frozen=True, kw_only=True):
    id: str


class Pending(Frame, tag="pending", frozen=True, kw_only=True):
    """The command is applied and the record is slow to follow; its ack comes when the record has it."""

    d: PendingBody


class TimeBody(Value, frozen=True, kw_only=True):
    """As NTP has it: client sent, server received, server sent."""

    t0: ClientMillis
    t1: Millis
    t2: Millis


class Time(Frame, tag="time", frozen=True, kw_only=True):
    d: TimeBody


class AuthExpiringBody(Value, frozen=True, kw_only=True):
    in_ms: int


class AuthExpiring(Frame, tag="auth.expiring", frozen=True, kw_only=True):
    """The sign-in behind this socket ends soon: renew it, then send `auth.refresh` with a ticket of the new one."""

    d: AuthExpiringBody


class Delta(Value, frozen=True, kw_only=True):
    """A piece of the narrative, from character `i` on. Not numbered: the whole text is in the result."""

    run: int
    attempt: int
    i: int
    text: str


class EvaluationDelta(Frame, tag="evaluation.delta", frozen=True, kw_only=True):
    d: Delta


Control = (
    Welcome | Replay | Resumed | Ping | Recorded | RoleChanged
    | Drain | Pending | Time | AuthExpiring | EvaluationDelta
)  # fmt: skip
ToClient = EventToClient | Ack | Refusal | Control

EVENT_FRAMES: dict[type[Any], type[EventFrame]] = {getattr(events, f.__name__): f for f in get_args(EventToClient)}
"""The frame of each event's body."""


def event_frame(body: events.Event, *, s: int, ts: int) -> EventFrame:
    """Put an event's body into its frame."""
    return EVENT_FRAMES[type(body)](s=s, ts=ts, d=body)
