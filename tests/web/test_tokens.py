"""Tokens and their cookies over HTTP: rows 52 to 57 of the security matrix; sockets' side of 54, 56 and 58 is in
test_sockets.py."""

from __future__ import annotations

from uuid import UUID

import httpx2
import msgspec
import pytest
import sqlalchemy as sa
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from engine.identity.keys import Keys, keys_of
from engine.live import logins
from engine.record.tables import users
from engine.settings import Settings
from engine.web.parts import Parts
from tests.clock import HandClock
from tests.identity.test_tokens import BAD, LOGIN, NOW, USER, claims, signed
from tests.web.conftest import Browser, NewBrowser, app_of, open_parts, with_settings

OLD, NEW = "a secret of the tests, long enough to pass", "another secret of the tests, and as long"

FAR_MS = 10**15
"""A bucket that is full again long after the test."""


# --- 52 and 53: access tokens, and the secret behind them ------------------------------------------------------


async def test_52_every_bad_access_token_gets_one_answer(settings: Settings, clock: HandClock) -> None:
    clock.move(seconds=(NOW - clock()).total_seconds())
    async with open_parts(settings, clock) as parts:
        async with parts.engine.begin() as connection:  # who all these tokens are about is real
            await connection.execute(sa.insert(users).values(id=USER, email="a@b.example", email_key="a@b.example"))

        def good(keys: Keys) -> str:
            return signed(keys, claims())

        browser, keys, answers = Browser(app_of(parts), parts), keys_of(settings), {}
        for name, forge in {**BAD, "good": good, "52 its login ended": good}.items():
            if name == "52 its login ended":
                await logins.end(parts.redis, [LOGIN], 900)
            header = b"Bearer " + forge(keys).encode()
            answer = await browser.call("GET", "/v1/me", headers={b"authorization": header})
            told = {key: value for key, value in answer.json().items() if key != "request_id"}
            answers[name] = (answer.status_code, told, answer.headers.get("www-authenticate"))
        await browser.http.aclose()
    assert answers.pop("good")[0] == 200
    nothing = answers.pop("52 nothing")  # is told how to send one
    assert nothing[0] == 401
    one = answers["52 alg none"]
    assert (one[0], one[1]["code"], one[2]) == (401, "signed_out", "Bearer")
    assert all(other == one for other in answers.values()), answers


async def test_53_a_changed_secret_logs_nobody_out_and_a_dropped_one_ends_what_it_signed(
    settings: Settings, clock: HandClock
) -> None:
    both = msgspec.structs.replace(settings, secret_key=NEW, older_secret_keys=(OLD,))
    async with open_parts(settings, clock) as parts:
        before = [Browser(app_of(parts), parts) for _ in range(4)]
        tokens = [await one.sign_in(f"{i}@example.com", refresh_in="body") for i, one in enumerate(before[:2])]
        codes = [await one.ask_code(f"new-{i}@example.com") for i, one in enumerate(before[2:])]
    async with open_parts(both, clock) as parts:
        staying, _, coming, _ = moved = [at(one, parts) for one in before]
        assert [(await one.call("GET", "/v1/me")).status_code for one in moved] == [200, 200, 401, 401]
        kept = await staying.call("POST", "/v1/auth/refresh", {"refresh_token": tokens[0]["refresh_token"]})
        assert kept.status_code == 200
        staying.use(kept.json()["access_token"])
        assert (await verified(coming, *codes[0])).status_code == 200
    async with open_parts(msgspec.structs.replace(settings, secret_key=NEW), clock) as parts:
        staying, late, _, too_late = moved = [at(one, parts) for one in moved]
        assert [(await one.call("GET", "/v1/me")).status_code for one in (staying, late)] == [200, 401]
        kept = await staying.call("POST", "/v1/auth/refresh", {"refresh_token": kept.json()["refresh_token"]})
        assert kept.status_code == 200
        lost = await late.call("POST", "/v1/auth/refresh", {"refresh_token": tokens[1]["refresh_token"]})
        assert (lost.status_code, lost.json()["code"]) == (401, "signed_out")
        assert (await verified(too_late, *codes[1])).json()["code"] == "code_wrong"
    for one in before:
        await one.http.aclose()


def at(browser: Browser, parts: Parts) -> Browser:
    """The same browser, at a node with other settings."""
    other = Browser(app_of(parts), parts)
    other.http.cookies, other.http.headers = browser.http.cookies, browser.http.headers
    return other


async def verified(browser: Browser, challenge: str, code: str) -> httpx2.Response:
    return await browser.call("POST", "/v1/auth/otp/verify", {"challenge_id": challenge, "code": code})


# --- 54 to 56: refreshing, and logging out ---------------------------------------------------------------------


async def test_refreshing_keeps_a_browser_signed_in(browser: Browser, clock: HandClock) -> None:
    await browser.sign_in()
    clock.move(seconds=1_000)
    assert (await browser.call("GET", "/v1/me")).status_code == 401
    refreshed = await browser.call("POST", "/v1/auth/refresh")
    assert refreshed.status_code == 200
    browser.use(refreshed.json()["access_token"])
    assert (await browser.call("GET", "/v1/me")).status_code == 200


async def test_54_a_reused_refresh_token_ends_the_login(browser: Browser, clock: HandClock) -> None:
    first = (await browser.sign_in(refresh_in="body"))["refresh_token"]
    answer = await browser.call("POST", "/v1/auth/refresh", {"refresh_token": first})
    second = answer.json()["refresh_token"]
    browser.use(answer.json()["access_token"])
    clock.move(seconds=11)
    reused = await browser.call("POST", "/v1/auth/refresh", {"refresh_token": first})
    assert (reused.status_code, reused.json()["code"]) == (401, "signed_out")
    assert (await browser.call("POST", "/v1/auth/refresh", {"refresh_token": second})).status_code == 401
    assert (await browser.call("GET", "/v1/me")).status_code == 401


LOST: dict[str, tuple[float, bool]] = {
    "55 at once": (0, True),
    "55 after 10 s": (10, True),
    "55 after 11 s": (11, False),
    "55 another browser": (0, False),
    "55 another program": (0, False),
    "55 the successor was used": (0, False),
}


async def test_55_the_lost_answer_is_given_again_to_the_same_client_soon(
    browser: Browser, new_browser: NewBrowser, clock: HandClock
) -> None:
    for number, (case, (seconds, given)) in enumerate(LOST.items()):
        first = (await browser.sign_in(f"{number}@example.com", refresh_in="body"))["refresh_token"]
        second = await refreshed(browser, first)
        clock.move(seconds=seconds)
        if case == "55 the successor was used":
            await refreshed(browser, second)
        other = new_browser() if case == "55 another browser" else browser
        headers = {"user-agent": "another"} if case == "55 another program" else {}
        answer = await other.call("POST", "/v1/auth/refresh", {"refresh_token": first}, headers=headers)
        assert (answer.status_code, answer.json().get("refresh_token")) == ((200, second) if given else (401, None)), (
            case
        )
        after = await browser.call("POST", "/v1/auth/refresh", {"refresh_token": second})
        assert after.status_code == (200 if given else 401), case


async def refreshed(browser: Browser, token: str) -> str:
    answer = await browser.call("POST", "/v1/auth/refresh", {"refresh_token": token})
    successor: str = answer.json()["refresh_token"]
    return successor


async def test_54_a_made_up_refresh_token_ends_nothing(browser: Browser) -> None:
    token = (await browser.sign_in(refresh_in="body"))["refresh_token"]
    forged = token[:-4] + ("AAAA" if not token.endswith("AAAA") else "BBBB")
    assert (await browser.call("POST", "/v1/auth/refresh", {"refresh_token": forged})).status_code == 401
    assert (await browser.call("POST", "/v1/auth/refresh", {"refresh_token": token})).status_code == 200


async def test_39_a_neighbour_who_refreshes_too_often_locks_no_login_out(
    browser: Browser, new_browser: NewBrowser
) -> None:
    await browser.sign_in()
    redis, neighbour = browser.parts.redis, new_browser()
    login = login_in(browser)
    refused = (await neighbour.call("POST", "/v1/auth/refresh")).status_code
    of_strangers = [key async for key in redis.scan_iter("{limits}:refresh:*")]
    assert (refused, len(of_strangers)) == (401, 2)  # the address and its network
    for key in of_strangers:
        await redis.set(key, FAR_MS)
    neighbour.http.cookies.set("refresh", "A" * 86)  # made up: a stranger's all the same
    assert (await neighbour.call("POST", "/v1/auth/refresh")).status_code == 429
    assert (await browser.call("POST", "/v1/auth/refresh")).status_code == 200
    await redis.set(f"{{limits}}:refresh:login:{login}", FAR_MS)
    assert (await browser.call("POST", "/v1/auth/refresh")).status_code == 429


def login_in(browser: Browser) -> UUID:
    """The login of a browser's cookie."""
    login = browser.parts.logins.login_of(browser.http.cookies["refresh"])
    assert login is not None
    return login


async def test_56_logging_out_here_leaves_other_devices(browser: Browser, new_browser: NewBrowser) -> None:
    await browser.sign_in()
    await browser.forget_limits()
    other = new_browser()
    await other.sign_in()
    assert (await browser.call("POST", "/v1/auth/logout", {})).status_code == 204
    assert (await browser.call("GET", "/v1/me")).status_code == 401
    assert (await browser.call("POST", "/v1/auth/refresh")).status_code == 401
    assert (await other.call("GET", "/v1/me")).status_code == 200


async def test_56_logging_out_everywhere_ends_every_device(browser: Browser, new_browser: NewBrowser) -> None:
    await browser.sign_in()
    await browser.forget_limits()
    other = new_browser()
    await other.sign_in()
    assert (await browser.call("POST", "/v1/auth/logout", {"all": True})).status_code == 204
    for one in (browser, other):
        assert (await one.call("GET", "/v1/me")).status_code == 401
        del one.http.headers["authorization"]
        assert (await one.call("POST", "/v1/auth/refresh")).status_code == 401


async def test_56_logging_out_needs_no_access_token_and_may_be_repeated(browser: Browser) -> None:
    await browser.sign_in()
    del browser.http.headers["authorization"]
    assert (await browser.call("POST", "/v1/auth/logout", {"all": True})).status_code == 401
    for _ in range(2):
        assert (await browser.call("POST", "/v1/auth/logout")).status_code == 204
    assert (await browser.call("POST", "/v1/auth/refresh")).status_code == 401


async def test_56_a_login_that_ended_is_remembered_for_as_long_as_a_token_of_it_counts(
    browser: Browser, clock: HandClock
) -> None:
    await browser.sign_in()
    assert (await browser.call("POST", "/v1/auth/logout")).status_code == 204
    (mark,) = [key async for key in browser.parts.redis.scan_iter("login:*:ended")]
    clock.move(seconds=await browser.parts.redis.ttl(mark))
    await browser.parts.redis.delete(mark)  # its time has passed
    assert (await browser.call("GET", "/v1/me")).status_code == 401


async def test_a_login_that_is_used_lasts_and_ends_all_the_same(browser: Browser, clock: HandClock) -> None:
    await browser.sign_in()
    for days in (29, 29, 29):
        clock.move(days=days)
        assert (await browser.call("POST", "/v1/auth/refresh")).status_code == 200
    clock.move(days=4)
    assert (await browser.call("POST", "/v1/auth/refresh")).status_code == 401
    await browser.forget_limits()
    await browser.sign_in()
    clock.move(days=31)  # and one that is not used ends sooner
    assert (await browser.call("POST", "/v1/auth/refresh")).status_code == 401


async def test_a_browser_that_signs_in_again_has_one_login(browser: Browser, new_browser: NewBrowser) -> None:
    other = new_browser()
    for one in (other, browser):
        first = await one.sign_in()
        await one.forget_limits()
    again = await browser.sign_in("somebody-else@example.com")
    browser.use(first["access_token"])
    assert (await browser.call("GET", "/v1/me")).status_code == 401
    browser.use(again["access_token"])
    assert (await browser.call("POST", "/v1/auth/refresh")).status_code == 200
    for one in (browser, other):
        assert (await one.call("GET", "/v1/me")).status_code == 200


async def test_a_sign_in_is_answered_though_the_login_of_before_cannot_be_ended(browser: Browser) -> None:
    first = await browser.sign_in()
    await browser.forget_limits()
    challenge, code = await browser.ask_code("ada@example.com")
    logins = browser.parts.logins
    redis, logins._redis = logins._redis, Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))
    answer = await verified(browser, challenge, code)
    logins._redis = redis
    assert answer.status_code == 200
    browser.use(answer.json()["access_token"])
    assert (await browser.call("GET", "/v1/me")).status_code == 200
    browser.use(first["access_token"])
    assert (await browser.call("GET", "/v1/me")).status_code == 200


# --- 57: cookies -----------------------------------------------------------------------------------------------

HERE = ("", "refresh", "otp_browser", {"httponly", "samesite=strict", "path=/v1/auth"})
BY_HTTPS = (
    "https://interviews.example.org", "__Host-refresh", "__Host-otp_browser",
    {"httponly", "samesite=strict", "path=/", "secure"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("public_url", "refresh", "browser_name", "flags"), [HERE, BY_HTTPS], ids=["57 http", "57 https"]
)
async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(
    parts: Parts, public_url: str, refresh: str, browser_name: str, flags: set[str]
) -> None:
    parts = with_settings(parts, public_url=public_url)
    browser = Browser(app_of(parts), parts)
    ways = await browser.call("GET", "/v1/auth/methods")
    assert cookie_in(ways, browser_name) >= {"httponly", "samesite=lax", "path=/"} | (flags & {"secure"})
    challenge, code = await browser.ask_code("ada@example.com")
    signed_in = await browser.call("POST", "/v1/auth/otp/verify", {"challenge_id": challenge, "code": code})
    assert "max-age=2592000" in cookie_in(signed_in, refresh)
    again = await browser.call("POST", "/v1/auth/refresh")
    browser.use(again.json()["access_token"])
    out = await browser.call("POST", "/v1/auth/logout")
    assert "max-age=0" in cookie_in(out, refresh)
    for answer in (signed_in, again, out):
        assert cookie_in(answer, refresh) >= flags
        assert not any(flag.startswith("domain") for flag in cookie_in(answer, refresh))
        assert "refresh_token" not in answer.text
    await browser.http.aclose()


def cookie_in(answer: httpx2.Response, name: str) -> set[str]:
    """The flags of the one cookie with this name, in small letters."""
    (found,) = [line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{name}=")]
    return {flag.strip().lower() for flag in found.split(";")[1:]}


async def test_57_cookies_alone_open_nothing(browser: Browser) -> None:
    await browser.sign_in()
    del browser.http.headers["authorization"]
    for method, path in (
        ("GET", "/v1/me"),
        ("GET", "/v1/interviews"),
        ("POST", "/v1/questions/lru-cache-ttl/interviews"),
    ):
        assert (await browser.call(method, path)).status_code == 401
    assert (await browser.call("GET", "/v1/auth/refresh")).status_code == 405


COUNTS: list[tuple[dict[str, str], int]] = [
    ({}, 200),
    ({"origin": "BASE"}, 200),
    ({"sec-fetch-site": "same-origin"}, 200),
    ({"sec-fetch-site": "none"}, 200),
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"sec-fetch-site": "same-site"}, 403),
    ({"origin": "https://evil.example"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": "BASE.evil.example"}, 403),
    ({"origin": "BASE", "sec-fetch-site": "cross-site", "referer": "https://evil.example/"}, 200),
]
"""The last is a page of an origin that is allowed, and of another site than ours."""


async def test_57_a_cookie_counts_only_for_pages_that_may_call(browser: Browser) -> None:
    await browser.sign_in()
    base = browser.parts.settings.base_url
    del browser.http.headers["authorization"]
    for headers, status in COUNTS:
        sent = {name: value.replace("BASE", base) for name, value in headers.items()}
        assert (await browser.call("POST", "/v1/auth/refresh", headers=sent)).status_code == status, headers
        if status == 403:
            assert (await browser.call("POST", "/v1/auth/logout", headers=sent)).status_code == 403, headers
    assert (await browser.call("POST", "/v1/auth/refresh")).status_code == 200  # still signed in
