"""Codes are a contract: clients act on them, so none is renamed, renumbered or used twice."""

from __future__ import annotations

import pytest

from protocol.codes import REFUSALS, Close, Refuse, comes_back
from protocol.messages import Refusal

REFUSED = {
    "bad_json": (False, 400), "bad_text": (False, 422), "bad_frame": (False, 422), "unknown_type": (False, 422),
    "too_large": (False, 413), "hello_twice": (False, 409), "phase": (False, 409), "deadline_passed": (False, 409),
    "asks_used": (False, 409), "unknown_ref": (False, 404), "conflict": (False, 409), "need_full": (False, 409),
    "bad_change": (False, 422), "not_as_stored": (False, 409), "not_failed": (False, 409), "fenced": (False, 409),
    "not_appealable": (False, 409), "not_quoted": (False, 422),
    "observer": (False, 403), "id_reused": (False, 422), "forbidden": (False, 404), "rate_limited": (True, 429),
    "record_unavailable": (True, 503), "unavailable": (True, 503),
}  # fmt: skip
"""Every refusal a released client may know: whether sending again helps, and its HTTP status. Only ever longer."""
CLOSED = {
    "DRAIN": 4000, "INTERNAL": 4001, "SLOW": 4002, "NO_PONG": 4003, "RATE": 4004, "OVERLOADED": 4005,
    "TICKET_EXPIRED": 4100, "STATE_RESET": 4101, "HELLO_TIMEOUT": 4408, "REPLACED_BY_USER": 4500,
    "UNAUTHORISED": 4501, "PROTOCOL": 4502, "VERSION": 4503, "INTERVIEW_OVER": 4504, "FORBIDDEN": 4505,
    "TOO_MANY_ERRORS": 4506, "PARKED": 4507,
}  # fmt: skip


def test_refusals_are_those_that_were_ever_released() -> None:
    assert {refuse.value.name: (refuse.value.temp, refuse.value.status) for refuse in Refuse} == REFUSED


def test_no_refusal_has_the_name_of_another() -> None:
    assert len(REFUSALS) == len(Refuse.__members__) == len(list(Refuse))


def test_close_codes_are_those_that_were_ever_released() -> None:
    assert {name: int(code) for name, code in Close.__members__.items()} == CLOSED


@pytest.mark.parametrize("code", [1001, 1006, 1012, *range(4000, 4006), 4100, 4101, 4408])
def test_who_may_come_back(code: int) -> None:
    assert comes_back(code)


@pytest.mark.parametrize("code", range(4500, 4508))
def test_who_should_stay_away(code: int) -> None:
    assert not comes_back(code)


@pytest.mark.parametrize("refuse", Refuse, ids=lambda refuse: refuse.value.name)
def test_a_refusal_says_what_its_code_says(refuse: Refuse) -> None:
    frame = refuse.frame(id="abcdefgh", at="$.d", rev=3)
    assert frame == Refusal(
        id="abcdefgh", code=refuse.value.name, temp=refuse.value.temp, message=refuse.value.message, at="$.d",
        d={"rev": 3},
    )  # fmt: skip
    assert frame.message.endswith(".") and refuse.frame(message="In short.").message == "In short."
