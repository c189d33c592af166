"""Interviews: operations 9 to 13 of the design, for clients with and without a socket."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, get_args
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from engine.conductor import StateReset
from engine.core.interview import snapshot
from engine.failpoints import failpoint
from engine.live import tickets
from engine.live.limits import Limit
from engine.live.tickets import TICKET_TTL_SECONDS, Ticket
from engine.record import interviews, results
from engine.record.events import millis, read_events
from engine.record.interviews import KeyReused, NotStartable, Row
from engine.recorder import Lost, NotThere, Parked
from engine.telemetry import log
from engine.web.auth import current_user
from engine.web.bodies import path_id, path_word
from engine.web.operations import operation, reply
from engine.web.parts import parts_of
from engine.web.problems import ErrorAt, Kind, Problem, refused
from engine.web.socket import BUDGET, BUDGET_BYTES, BUDGET_SECONDS
from protocol.codec import command_of, decode_event, event_type
from protocol.codes import Refuse
from protocol.events import DraftSaved
from protocol.messages import Ack, Command
from protocol.views import EvaluationView, Snapshot
from protocol.words import FRAME_BYTES_MAX, SUBPROTOCOL_JSON, CommandId, Fence, Millis, Phase, Role

HISTORY_MAX = 100
KEY_CHARS_MAX = 100
KEY = re.compile(f"[!-~]{{1,{KEY_CHARS_MAX}}}")
STARTS = Limit("interviews:start", 30, 3_600)
TICKETS = Limit("interviews:ticket", 60, 60)
"""A client gets a ticket for each attempt to connect; a storm of reconnects backs off far below this."""
COMMANDS = Limit("interviews:command", BUDGET, round(BUDGET_SECONDS), bytes_each=BUDGET_BYTES)
"""As a socket has it, by the bytes too."""
WRITERS = Limit("interviews:writer", 30, 60)

REFUSED = tuple(refuse for refuse in Refuse if refuse not in (Refuse.HELLO_TWICE, Refuse.RATE_LIMITED))
"""What may come of a command; the two are a socket's."""

COMMAND_TYPES = sorted(str(frame.__struct_config__.tag) for frame in get_args(Command))

NOT_YOURS = "There is no such interview for you."
NOT_PLAYABLE = {
    "locked": "This question is locked.",
    "coming_soon": "This question is not ready yet.",
}


class InterviewView(msgspec.Struct, frozen=True, kw_only=True):
    """One interview in a list. Times in milliseconds of the Unix epoch."""

    id: UUID
    slug: str
    title: str
    phase: Phase
    started_at: Millis
    deadline_at: Millis
    submitted_at: Millis | None
    score: float | None
    """0 to 100, once the evaluation is there."""
    passed: bool | None


class InterviewPage(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[InterviewView, ...]
    next_cursor: str | None


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the timeline; of a draft's change only its revision is told."""

    s: int
    ts: Millis
    t: str
    d: Any


class InterviewDetail(InterviewView, frozen=True, kw_only=True):
    snapshot: Snapshot
    timeline: tuple[Moment, ...]


class Pages(msgspec.Struct, frozen=True, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=HISTORY_MAX)] = 20
    cursor: Annotated[str, Meta(pattern="^[0-9]{1,16}-[0-9a-f]{32}$")] | None = None


class TicketRequest(msgspec.Struct, frozen=True, kw_only=True):
    role: Role = "writer"


class TicketGiven(msgspec.Struct, frozen=True, kw_only=True):
    """Open `url` with the subprotocols `protocol` and `ticket.<ticket>`, once, within `expires_in` seconds."""

    ticket: str
    url: str
    protocol: str
    expires_in: int


class WriterRequest(msgspec.Struct, frozen=True, kw_only=True):
    tab: Annotated[str, Meta(pattern="^[0-9A-Za-z_-]{1,64}$")] = "rest"


class WriterGiven(msgspec.Struct, frozen=True, kw_only=True):
    fence: Fence


class CommandBody(msgspec.Struct, frozen=True, kw_only=True):
    """A command as the socket has it (`t`, `id`, `d`; see /asyncapi.json), and the fence that gives the pen."""

    t: Annotated[str, Meta(extra_json_schema={"enum": COMMAND_TYPES})]
    id: CommandId
    d: dict[str, Any] = {}
    fence: Fence | None = None


@operation(
    "POST",
    "/v1/questions/{slug}/interviews",
    out=InterviewView,
    status=201,
    also={200: ("The active interview is given back.", InterviewView)},
    errors=(Kind.NOT_PLAYABLE, Kind.BAD_HEADER, Kind.ID_REUSED),
    limit=STARTS,
    tag="interviews",
    headers={"Idempotency-Key": {"description": "Made by the client, once for what it means to start.",
                                 "schema": {"type": "string", "pattern": f"^{KEY.pattern}$"}}},
)  # fmt: skip
async def start_interview(request: Request) -> Response:
    """Start an interview; clarifying begins now.

    One interview is active per user and question: starting again gives back the active one, with 200. The header
    `Idempotency-Key` makes a repeated request give back the interview it started even after its end. An interview
    has one key, the first that comes: another that was given an active one back may start anew after its end.
    """
    parts, user = parts_of(request), await current_user(request)
    slug, key = path_word(request, "slug"), request.headers.get("idempotency-key")
    if key is not None and not KEY.fullmatch(key):
        raise Problem(Kind.BAD_HEADER, errors=(ErrorAt("Idempotency-Key", f"1 to {KEY_CHARS_MAX} visible ASCII"),))
    try:
        row, new = await interviews.start(parts.engine, user.user, slug, await parts.conductor.live.time(), key)
    except KeyReused:
        raise Problem(Kind.ID_REUSED, "This Idempotency-Key started another question.") from None
    except NotStartable as error:
        if error.why == "unknown":
            raise Problem(Kind.NOT_FOUND, "There is no such question.") from None
        raise Problem(Kind.NOT_PLAYABLE, NOT_PLAYABLE[error.why]) from None
    failpoint("started")
    if row.phase != "submitted":
        await parts.conductor.load(str(row.id))
    return reply(_view(row), 201 if new else 200)


@operation("GET", "/v1/interviews", query=Pages, out=InterviewPage)
async def list_interviews(request: Request, query: Pages) -> InterviewPage:
    """Your interviews, the newest first."""
    user = await current_user(request)
    rows = await interviews.history(parts_of(request).engine, user.user, query.limit + 1, _before(query.cursor))
    shown, more = rows[: query.limit], len(rows) > query.limit
    return InterviewPage(items=tuple(map(_view, shown)), next_cursor=_cursor(shown[-1]) if more else None)


def _cursor(row: Row) -> str:
    return f"{round(row.started_at.timestamp() * 1_000_000)}-{row.id.hex}"


def _before(cursor: str | None) -> tuple[datetime, UUID] | None:
    if cursor is None:
        return None
    micros, _, id = cursor.partition("-")
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(micros)), UUID(id)


@operation("GET", "/v1/interviews/{id}", out=InterviewDetail)
async def get_interview(request: Request) -> InterviewDetail:
    """One interview: where it stands, and its timeline."""
    parts, id = parts_of(request), await _own(request)
    interview = await parts.conductor.view(id)
    row = await interviews.read(parts.engine, id)
    if row is None:
        raise Problem(Kind.NOT_FOUND, NOT_YOURS)
    timeline = tuple(_moment(entry.body) for entry in await read_events(parts.engine, id))
    view = msgspec.structs.asdict(_view(row))
    return InterviewDetail(**view, snapshot=snapshot(interview), timeline=timeline)


@operation("POST", "/v1/interviews/{id}/ticket", body=TicketRequest, out=TicketGiven, limit=TICKETS)
async def give_ticket(request: Request, body: TicketRequest) -> TicketGiven:
    """A ticket that opens one socket. Get a new one for each attempt."""
    parts, user, id = parts_of(request), await current_user(request), await _own(request)
    if not parts.accepting():
        raise Problem(Kind.UNAVAILABLE, "This node is leaving; ask another.", retry_seconds=1)
    ticket = Ticket(
        user=str(user.user),
        interview=id,
        role=body.role,
        origin=request.headers.get("origin", ""),
        login=str(user.login),
        expires_at=user.expires_at * 1000,
    )
    opaque = await tickets.issue(parts.redis, ticket)
    url = "ws" + parts.settings.base_url.removeprefix("http") + "/v1/socket"
    return TicketGiven(ticket=opaque, url=url, protocol=SUBPROTOCOL_JSON, expires_in=TICKET_TTL_SECONDS)


@operation("POST", "/v1/interviews/{id}/writer", body=WriterRequest, out=WriterGiven, limit=WRITERS)
async def take_writer(request: Request, body: WriterRequest) -> WriterGiven:
    """Take the pen without a socket: the fence goes with each command; whoever had the pen observes from now on."""
    id = await _own(request)
    return WriterGiven(fence=await parts_of(request).conductor.take_pen(id, body.tab))


@operation("POST", "/v1/interviews/{id}/commands", body=CommandBody, out=Ack, limit=COMMANDS,
           errors=REFUSED, body_bytes_max=FRAME_BYTES_MAX)  # fmt: skip
async def perform_command(request: Request, body: CommandBody) -> Ack:
    """Clarify, save, proceed, submit: the commands of the socket, through the same door.

    The answer is the ack, after the record has it. Refusals carry the socket's codes.
    """
    id = await _own(request)
    frame = command_of({"t": body.t, "id": body.id, "d": body.d})
    try:
        answer = await parts_of(request).conductor.handle(id, frame, body.fence)
    except (StateReset, Lost):
        raise refused(Refuse.FENCED.frame(id=body.id, message="The fence is of a time that is over.")) from None
    except Parked:
        raise Problem(Kind.UNAVAILABLE, "This interview is set aside; people have been told.") from None
    if not isinstance(answer, Ack):
        raise refused(answer)
    return answer


@operation("GET", "/v1/interviews/{id}/evaluation", out=EvaluationView,
           also={202: ("It is not judged yet; this is what there is.", EvaluationView)})  # fmt: skip
async def get_evaluation(request: Request) -> Response:
    """The result of the newest run, from the record; 404 before the submission."""
    id = await _own(request)
    view = await results.read_view(parts_of(request).engine, UUID(id))
    if view is None:
        raise Problem(Kind.NOT_FOUND, "Nothing has been submitted yet.")
    return reply(view, 200 if view.state in ("completed", "failed") else 202)


async def _own(request: Request) -> str:
    """The caller's interview, by its id. Others' get the same answer as one that does not exist."""
    user, id = await current_user(request), str(path_id(request, "id"))
    try:
        owner = await parts_of(request).conductor.owner(id)
    except NotThere:
        owner = ""
    if owner != str(user.user):
        log.warning("access_denied", reason="not theirs", user=user.user, interview=id)
        raise Problem(Kind.NOT_FOUND, NOT_YOURS)
    return id


def _view(row: Row) -> InterviewView:
    return InterviewView(
        id=row.id,
        slug=row.slug,
        title=row.title,
        phase=row.phase,
        started_at=millis(row.started_at),
        deadline_at=millis(row.deadline_at),
        submitted_at=millis(row.submitted_at) if row.submitted_at else None,
        score=None if row.score is None else round(row.score, 1),  # a REAL comes back with the digits of a double
        passed=row.passed,
    )


def _moment(data: bytes) -> Moment:
    frame = decode_event(data)
    body = frame.d
    told: Any = {"rev": body.rev, "late": body.late} if isinstance(body, DraftSaved) else body
    return Moment(s=frame.s, ts=frame.ts, t=event_type(body), d=told)


OPERATIONS = (
    start_interview,
    list_interviews,
    get_interview,
    give_ticket,
    take_writer,
    perform_command,
    get_evaluation,
)
