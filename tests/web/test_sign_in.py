"""Signing in over HTTP: by a code, staying in by refreshing, and out again."""

from __future__ import annotations

from typing import Any

from tests.clock import HandClock
from tests.web.conftest import Browser, NewBrowser


async def verify(browser: Browser, challenge: str, code: str) -> tuple[int, dict[str, Any]]:
    answer = await browser.call("POST", "/v1/auth/otp/verify", {"challenge_id": challenge, "code": code})
    return answer.status_code, answer.json()


async def test_a_code_from_the_mailbox_signs_in(browser: Browser) -> None:
    signed_in = await browser.sign_in("Ada@Example.com")
    assert signed_in["token_type"] == "Bearer"
    assert signed_in["expires_in"] == 900
    assert "refresh_token" not in signed_in
    me = await browser.call("GET", "/v1/me")
    assert me.json() == signed_in["user"]
    assert me.json()["email"] == "Ada@example.com"
    assert me.headers["cache-control"] == "no-store"


async def test_the_same_person_again_is_the_same_user(browser: Browser, new_browser: NewBrowser) -> None:
    first = await browser.sign_in("ada@example.com")
    await browser.forget_limits()
    second = await new_browser().sign_in("ADA@example.com")
    assert first["user"]["id"] == second["user"]["id"]


async def test_codes_are_read_as_people_type_them(browser: Browser) -> None:
    challenge, code = await browser.ask_code("ada@example.com")
    assert (await verify(browser, challenge, f" {code[:3]} - {code[3:]} "))[0] == 200


async def test_36_wrong_codes_are_counted_and_the_fifth_burns_it(browser: Browser) -> None:
    challenge, code = await browser.ask_code("ada@example.com")
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    for left in (4, 3, 2, 1, 0):
        status, problem = await verify(browser, challenge, wrong)
        assert (status, problem["code"], problem.get("tries_left")) == (401, "code_wrong", left)
    status, problem = await verify(browser, challenge, code)
    assert (status, problem["code"]) == (429, "code_burned")


async def test_40_used_old_foreign_and_made_up_codes_get_one_answer(
    browser: Browser, new_browser: NewBrowser, clock: HandClock
) -> None:
    challenge, code = await browser.ask_code("ada@example.com")
    foreign = await verify(new_browser(), challenge, code)
    made_up = await verify(browser, "00000000-0000-4000-8000-000000000000", code)
    assert (await verify(browser, challenge, code))[0] == 200
    used = await verify(browser, challenge, code)
    await browser.forget_limits()
    challenge, code = await browser.ask_code("ada@example.com")
    clock.move(seconds=600)
    old = await verify(browser, challenge, code)
    answers = (foreign, made_up, used, old)
    assert len({problem.pop("request_id") for _, problem in answers}) == 4
    assert all(one == used for one in answers)
    assert (used[0], used[1]["code"]) == (401, "code_over")


async def test_42_a_second_code_within_a_minute_is_refused_whoever_is_asked_for(browser: Browser) -> None:
    await browser.sign_in("known@example.com")
    await browser.forget_limits()
    answers = []
    for email in ("known@example.com", "unknown@example.com"):
        sent = await browser.call("POST", "/v1/auth/otp", {"email": email})
        again = await browser.call("POST", "/v1/auth/otp", {"email": email})
        problem = again.json()
        problem.pop("request_id")
        answers.append((sent.status_code, set(sent.json()), again.status_code, again.headers["retry-after"], problem))
    assert answers[0] == answers[1]
    assert answers[0][2:4] == (429, "60")
