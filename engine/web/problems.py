"""RFC 9457 problem details, and the one place where exceptions become answers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

import msgspec
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from engine.identity.codes import RESEND_SECONDS
from engine.identity.refused import Reason, SignInRefused
from engine.record.browsing import BadCursor
from engine.recorder import NotThere
from engine.telemetry import log
from protocol.codec import BadFrame
from protocol.codes import REFUSALS, Refuse
from protocol.messages import Refusal

PROBLEM_JSON = "application/problem+json"
RETRY_SECONDS = 1
"""When to come back to a service that is away."""
RETRY_STATUSES = (429, 503)
"""These always say when to come back."""


OWNER_GONE = "23503"
"""SQLSTATE of a foreign key that points nowhere: what a request stores belongs to the user who makes it, and who was
deleted meanwhile.
"""


class Meaning(NamedTuple):
    """A stable code, its HTTP status, and its sentence."""

    code: str
    status: int
    title: str


class Kind(Enum):
    """Every problem of the REST side that is not a refusal of the protocol (protocol.codes.Refuse)."""

    BAD_REQUEST = Meaning("bad_request", 400, "The request is not valid.")
    BAD_JSON = Meaning("bad_json", 400, "The body is not valid JSON.")
    SIGNED_OUT = Meaning("signed_out", 401, "You are not signed in.")
    CODE_WRONG = Meaning("code_wrong", 401, "That is not the code.")
    CODE_OVER = Meaning("code_over", 401, "That code is no longer good.")
    GOOGLE_REFUSED = Meaning("google_refused", 401, "Google's answer was not accepted.")
    FORBIDDEN = Meaning("forbidden", 403, "You may not do that.")
    ORIGIN_REFUSED = Meaning("origin_refused", 403, "This origin may not call.")
    NOT_FOUND = Meaning("not_found", 404, "There is nothing here.")
    METHOD = Meaning("method_not_allowed", 405, "That cannot be done here.")
    TIMEOUT = Meaning("timeout", 408, "The request took too long to arrive.")
    CONFLICT = Meaning("conflict", 409, "That does not fit the present state.")
    PROOF_NEEDED = Meaning("proof_needed", 409, "The address must be proved first.")
    NOT_PLAYABLE = Meaning("not_playable", 409, "This question cannot be played.")
    TOO_LARGE = Meaning("too_large", 413, "That is larger than the limit.")
    TARGET_TOO_LONG = Meaning("target_too_long", 414, "The path and query are too long.")
    NOT_JSON = Meaning("unsupported_media_type", 415, "The body must be application/json.")
    BAD_BODY = Meaning("bad_body", 422, "The body does not fit.")
    BAD_QUERY = Meaning("bad_query", 422, "The query does not fit.")
    BAD_HEADER = Meaning("bad_header", 422, "A header does not fit.")
    BAD_TEXT = Meaning("bad_text", 422, "Text may not hold NUL characters or lone surrogates.")
    BAD_ADDRESS = Meaning("bad_address", 422, "That is not an email address.")
    BAD_CODE = Meaning("bad_code", 422, "A code is six digits.")
    BAD_CURSOR = Meaning("bad_cursor", 422, "The cursor does not fit.")
    ID_REUSED = Meaning("id_reused", 409, "This key was used for another request.")
    TOO_SOON = Meaning("too_soon", 429, "Too soon.")
    TOO_MANY = Meaning("too_many", 429, "Too many requests.")
    CODE_BURNED = Meaning("code_burned", 429, "Too many wrong tries.")
    HEAD_TOO_LARGE = Meaning("head_too_large", 431, "The headers are too many or too long.")
    INTERNAL = Meaning("internal", 500, "Something went wrong here.")
    UNAVAILABLE = Meaning("unavailable", 503, "The engine cannot do that now.")


Failure = Kind | Refuse


def meaning_of(failure: Failure) -> Meaning:
    """What a problem or a refusal of the protocol comes to over REST."""
    if isinstance(failure, Kind):
        return failure.value
    code = failure.value
    return Meaning(code.name, code.status, code.message)


def type_of(meaning: Meaning) -> str:
    """The problem's type: a name, for there is no page to read about it (RFC 9457, 3.1.1)."""
    return f"urn:interview-engine:problem:{meaning.code}"


class ErrorAt(msgspec.Struct, frozen=True):
    """One fault of the input: where, as a path such as `$.email`, and what."""

    at: str
    message: str


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every error."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    request_id: str = ""
    errors: tuple[ErrorAt, ...] = ()
    tries_left: int | None = None
    facts: dict[str, Any] | None = None


class Problem(Exception):
    """A request that is answered with an error. `facts` are what a client can use, such as a stored revision."""

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        errors: tuple[ErrorAt, ...] = (),
        retry_seconds: int | None = None,
        tries_left: int | None = None,
        facts: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or kind.value.title)
        self.meaning, self.detail, self.errors = kind.value, detail, errors
        self.retry_seconds, self.tries_left, self.facts = retry_seconds, tries_left, facts
        self.headers = dict(headers or {})


OF_REASON: dict[Reason, Kind] = {
    Reason.BAD_ADDRESS: Kind.BAD_ADDRESS,
    Reason.BAD_CODE: Kind.BAD_CODE,
    Reason.TOO_SOON: Kind.TOO_SOON,
    Reason.TOO_MANY: Kind.TOO_MANY,
    Reason.CODE_WRONG: Kind.CODE_WRONG,
    Reason.CODE_OVER: Kind.CODE_OVER,
    Reason.CODE_BURNED: Kind.CODE_BURNED,
    Reason.SIGNED_OUT: Kind.SIGNED_OUT,
    Reason.GOOGLE_REFUSED: Kind.GOOGLE_REFUSED,
    Reason.PROOF_NEEDED: Kind.PROOF_NEEDED,
    Reason.AWAY: Kind.UNAVAILABLE,
}
OF_STATUS = {
    400: Kind.BAD_REQUEST, 403: Kind.FORBIDDEN, 404: Kind.NOT_FOUND, 405: Kind.METHOD, 413: Kind.TOO_LARGE,
}  # fmt: skip


def answer(error: Exception, request_id: str) -> Response:
    """The problem an exception comes to, as a response. Only what nobody expected is logged as an error."""
    problem = problem_of(error)
    meaning = problem.meaning
    details = ProblemDetails(
        type=type_of(meaning),
        title=meaning.title,
        status=meaning.status,
        code=meaning.code,
        detail=problem.detail,
        request_id=request_id,
        errors=problem.errors,
        tries_left=problem.tries_left,
        facts=problem.facts,
    )
    headers = {"cache-control": "no-store", **problem.headers}
    if problem.retry_seconds is not None or meaning.status in RETRY_STATUSES:
        headers["retry-after"] = str(problem.retry_seconds or RETRY_SECONDS)
    if meaning.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(msgspec.json.encode(details), meaning.status, headers, PROBLEM_JSON)


def problem_of(error: Exception) -> Problem:
    """What an exception means to a client."""
    match error:
        case Problem():
            return error
        case SignInRefused():
            return _not_signed_in(error)
        case BadFrame():
            return refused(error.refuse.frame(message=str(error), at=error.at))
        case BadCursor():
            return Problem(Kind.BAD_CURSOR, "Start again without a cursor.")
        case NotThere():
            return Problem(Kind.NOT_FOUND, "It is not there any more.")
        case HTTPException():
            kind = OF_STATUS.get(error.status_code, Kind.BAD_REQUEST if error.status_code < 500 else Kind.INTERNAL)
            return Problem(kind, headers=error.headers)
        case ClientDisconnect():
            return Problem(Kind.BAD_REQUEST, "The client left.")
        case _ if (problem := _refused_by_database(error)) is not None:
            return problem
        case _ if _is_away(error):
            log.warning("service_away", exc_info=error)
            return Problem(Kind.UNAVAILABLE, "Try again soon.", retry_seconds=RETRY_SECONDS)
        case _:
            log.error("request_failed", exc_info=error)
            return Problem(Kind.INTERNAL)


def _not_signed_in(error: SignInRefused) -> Problem:
    wait = error.retry_seconds
    if error.reason is Reason.CODE_BURNED:
        wait = RESEND_SECONDS  # and then with another code
    return Problem(OF_REASON[error.reason], error.message, retry_seconds=wait, tries_left=error.tries_left)


def refused(refusal: Refusal) -> Problem:
    """A refusal of the protocol, as a problem with the same code."""
    problem = Problem(
        Kind.BAD_REQUEST,
        refusal.message,
        errors=(ErrorAt(refusal.at, refusal.message),) if refusal.at else (),
        retry_seconds=None if refusal.retry_ms is None else -(-refusal.retry_ms // 1000),
        facts=refusal.d or None,
    )
    problem.meaning = meaning_of(REFUSALS[refusal.code])
    return problem


def _sqlstate(error: Exception) -> str:
    found = getattr(getattr(error, "orig", error), "sqlstate", None)
    return found if isinstance(found, str) else ""


def _refused_by_database(error: Exception) -> Problem | None:
    """What Postgres refuses for what it is. SQLSTATE class 22: a value that passed our checks and cannot be stored."""
    state = _sqlstate(error)
    if state == OWNER_GONE:
        return Problem(Kind.SIGNED_OUT, "The account was deleted.")
    if state.startswith("22"):
        log.warning("value_refused_by_database", exc_info=error)
        return Problem(Kind.BAD_BODY, "A value cannot be stored.")
    return None


def _is_away(error: Exception) -> bool:
    """Postgres or Redis cannot be reached, are overloaded or restart. A mistake in our SQL is not that."""
    if isinstance(error, RedisError | OSError | InterfaceError | PoolTimeout):
        return True
    # 08 connection, 53 resources, 57 operator (restart, statement timeout), 40 rollback.
    return _sqlstate(error)[:2] in ("08", "53", "57", "40")
