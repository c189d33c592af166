"""Why something was refused (is a retry of use?) and why a socket was closed (come back? with what?)."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import NamedTuple

from protocol.messages import Refusal


class Code(NamedTuple):
    """A stable code; `temp` says that the same frame may succeed later."""

    name: str
    temp: bool
    message: str
    status: int
    """The HTTP status of the same refusal over REST."""


class Refuse(Enum):
    """Every refusal of a frame. The name is the contract; the sentence is for people."""

    BAD_JSON = Code("bad_json", False, "The frame is not valid.", 400)
    BAD_TEXT = Code("bad_text", False, "Text may not hold NUL characters or lone surrogates.", 422)
    BAD_FRAME = Code("bad_frame", False, "The frame does not fit its type.", 422)
    UNKNOWN_TYPE = Code("unknown_type", False, "No frame has this type.", 422)
    TOO_LARGE = Code("too_large", False, "That is larger than the limit.", 413)
    HELLO_TWICE = Code("hello_twice", False, "hello was said already.", 409)
    PHASE = Code("phase", False, "That cannot be done in this phase.", 409)
    DEADLINE_PASSED = Code("deadline_passed", False, "The time for that is over.", 409)
    ASKS_USED = Code("asks_used", False, "No more questions can be asked in this interview.", 409)
    UNKNOWN_REF = Code("unknown_ref", False, "No open answer has this number.", 404)
    CONFLICT = Code("conflict", False, "The draft has another revision.", 409)
    NEED_FULL = Code("need_full", False, "The change does not fit the stored text; send the whole field.", 409)
    BAD_CHANGE = Code("bad_change", False, "The change cannot be applied.", 422)
    NOT_AS_STORED = Code("not_as_stored", False, "Revision or checksum differ from the stored draft.", 409)
    NOT_FAILED = Code("not_failed", False, "Only a failed evaluation can be run again.", 409)
    NOT_APPEALABLE = Code("not_appealable", False, "That cannot be appealed.", 409)
    NOT_QUOTED = Code("not_quoted", False, "These words do not stand in that section.", 422)
    FENCED = Code("fenced", False, "Another tab has the pen.", 409)
    OBSERVER = Code("observer", False, "Observers cannot change the interview.", 403)
    ID_REUSED = Code("id_reused", False, "This command id was used for another command.", 422)
    FORBIDDEN = Code("forbidden", False, "There is no such interview for you.", 404)
    RATE_LIMITED = Code("rate_limited", True, "Too many commands; slow down.", 429)
    RECORD_UNAVAILABLE = Code("record_unavailable", True, "The record is away; try again soon.", 503)
    UNAVAILABLE = Code("unavailable", True, "The engine cannot do that now; try again soon.", 503)

    def frame(
        self,
        *,
        id: str | None = None,
        message: str = "",
        at: str | None = None,
        retry_ms: int | None = None,
        **d: object,
    ) -> Refusal:
        """The refusal as a frame; `d` are facts a client can use, such as the revision stored."""
        code = self.value
        return Refusal(
            id=id,
            code=code.name,
            temp=code.temp,
            message=message or code.message,
            at=at,
            retry_ms=retry_ms,
            d=d,
        )


REFUSALS = {refuse.value.name: refuse for refuse in Refuse}


class Close(IntEnum):
    """Close codes. The range decides for codes a client does not know:

    40xx: come back and resume. 41xx: come back with a new ticket or without a cursor. 45xx: stop.
    1006, 1001 and 1012 mean what 40xx means.
    """

    DRAIN = 4000
    INTERNAL = 4001
    SLOW = 4002
    NO_PONG = 4003
    RATE = 4004
    OVERLOADED = 4005
    TICKET_EXPIRED = 4100
    STATE_RESET = 4101
    HELLO_TIMEOUT = 4408
    REPLACED_BY_USER = 4500
    UNAUTHORISED = 4501
    PROTOCOL = 4502
    VERSION = 4503
    INTERVIEW_OVER = 4504
    FORBIDDEN = 4505
    TOO_MANY_ERRORS = 4506
    PARKED = 4507
    """The record refuses this interview's events; people have been told."""


def comes_back(code: int) -> bool:
    """Whether a client should connect again after this close code."""
    return code < 4500
