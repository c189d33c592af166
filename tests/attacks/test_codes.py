"""Rows 38 to 46 of the catalogue of attacks: what can be tried on one-time codes.

Rows 36, 37 and 40 are in tests/record/test_challenges.py and tests/web/test_sign_in.py, and over many days in
test_guessing.py; 41 and 45 also in tests/identity/test_codes.py; 42 by bytes and time in test_nodes.py; mail
in test_mail.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from engine.identity import sign_in
from engine.identity.logins import Client
from engine.identity.refused import SignInRefused
from engine.live.limits import Limit
from engine.web.parts import Parts
from tests.attacks.chances import CHI_SQUARED_MAX, chances
from tests.clock import HandClock
from tests.until import until
from tests.web.conftest import Browser, NewBrowser, app_of

EMAIL = "ada@example.com"
FEW = 4
Addresses = Callable[[int], str]
EVERYWHERE: Addresses = "10.0.{}.1".format
SPRAYS: dict[str, tuple[str, str, Addresses]] = {
    "38 one client": ("ASKS_PER_CLIENT", "WRONG_PER_CLIENT", lambda n: "198.51.100.7"),
    "38 one network, /24": ("ASKS_PER_NETWORK", "WRONG_PER_NETWORK", "198.51.100.{}".format),
    "38 one network, /48": ("ASKS_PER_NETWORK", "WRONG_PER_NETWORK", "2001:db8:7:{}::1".format),
    "38 from everywhere": ("ASKS_IN_ALL", "WRONG_IN_ALL", EVERYWHERE),
}


@pytest.fixture
async def visitor(shared: Browser) -> AsyncIterator[Browser]:
    """A browser that has never been here, nor has anybody else; on the database of all tests of this file."""
    await shared.forget_limits()
    browser = Browser(app_of(shared.parts), shared.parts)
    yield browser
    await browser.http.aclose()


def limited(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """The same limits, at a count that a test reaches soon."""
    for name in names:
        limit: Limit = getattr(sign_in, name)
        monkeypatch.setattr(sign_in, name, Limit(limit.name, FEW, limit.window_seconds))


async def outcome(parts: Parts, what: str, n: int, client: Client) -> str:
    """Ask for a code for the nth address, or guess one that was never sent."""
    try:
        if what == "ask":
            await parts.sign_in.request_code(f"spray{n}@example.com", client)
        else:
            await parts.sign_in.verify_code(uuid.uuid4(), f"{n:06d}", client)
    except SignInRefused as refused:
        return str(refused.reason.value)
    return "sent"


@pytest.mark.parametrize("what", ["ask", "guess"])
@pytest.mark.parametrize("spray", SPRAYS)
async def test_38_a_spray_over_many_addresses_is_stopped(
    visitor: Browser, monkeypatch: pytest.MonkeyPatch, spray: str, what: str
) -> None:
    on_asking, on_guessing, address = SPRAYS[spray]
    limited(monkeypatch, on_asking, on_guessing)
    clients = [Client(browser=f"{n:032d}", address=address(n)) for n in range(FEW + 2)]
    passes, stopped = ("sent", "too_soon") if what == "ask" else ("code_over", "too_many")
    said = [await outcome(visitor.parts, what, n, client) for n, client in enumerate(clients)]
    assert said == [passes] * FEW + [stopped] * 2


def test_38_what_a_spray_of_guesses_may_hope_for() -> None:
    windows_a_day = 86_400 / sign_in.WRONG_IN_ALL.window_seconds
    assert sign_in.WRONG_IN_ALL.count * windows_a_day / 10**6 < 0.1  # hits a day, by all guessers there are


async def test_38_right_codes_are_not_counted_with_the_wrong_ones(
    visitor: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, "WRONG_PER_CLIENT")
    for n in range(FEW + 1):  # an office at nine in the morning
        await visitor.sign_in(f"colleague{n}@example.com")


async def test_39_a_browser_that_is_known_comes_in_whatever_strangers_have_used_up(
    browser: Browser, new_browser: NewBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{what}_{where}" for what in ("ASKS", "WRONG") for where in ("PER_CLIENT", "PER_NETWORK", "IN_ALL")]
    limited(monkeypatch, *names)
    await browser.sign_in(EMAIL)
    await browser.forget_limits()
    stranger = new_browser()
    for n in range(FEW):
        asked = await stranger.call("POST", "/v1/auth/otp", {"email": EMAIL if n == 0 else f"other{n}@example.com"})
        assert asked.status_code == 202
        tried = {"challenge_id": str(uuid.uuid4()), "code": "000000"}
        assert (await stranger.call("POST", "/v1/auth/otp/verify", tried)).status_code == 401
    assert (await stranger.call("POST", "/v1/auth/otp", {"email": "new@example.com"})).status_code == 429
    assert (await stranger.call("POST", "/v1/auth/otp/verify", tried)).json()["code"] == "too_many"
    await browser.parts.redis.delete("mailbox:development")
    await browser.sign_in(EMAIL)


async def test_39_no_number_of_failures_ends_a_login_that_stands(
    browser: Browser, new_browser: NewBrowser, clock: HandClock
) -> None:
    await browser.sign_in(EMAIL)
    for _ in range(3):
        await browser.forget_limits()
        stranger = new_browser()
        challenge = (await stranger.call("POST", "/v1/auth/otp", {"email": EMAIL})).json()["challenge_id"]
        for n in range(6):
            await stranger.call("POST", "/v1/auth/otp/verify", {"challenge_id": challenge, "code": f"{n:06d}"})
    assert (await browser.call("GET", "/v1/me")).status_code == 200
    clock.move(seconds=1_000)
    assert (await browser.call("POST", "/v1/auth/refresh")).status_code == 200


async def test_41_who_reads_both_databases_reads_no_code_and_no_token(browser: Browser) -> None:
    signed_in = await browser.sign_in(EMAIL, refresh_in="body")
    await browser.forget_limits()
    challenge, code = await browser.ask_code(EMAIL)
    await browser.forget_limits()  # and with it the mailbox, which is for development only
    guesses = [code, challenge + code, uuid.UUID(challenge).bytes.hex() + code]
    unkeyed = [hash(guess.encode()).hexdigest() for guess in guesses for hash in (hashlib.sha256, hashlib.md5)]
    cells = await everything(browser.parts)
    assert code not in cells  # whole: six digits are part of many a number
    dump = "\n".join(cells)
    cookie = browser.http.cookies["otp_browser"]
    for secret in (signed_in["access_token"], signed_in["refresh_token"], cookie):
        assert secret not in dump and secret.encode().hex() not in dump
    assert not [hash for hash in unkeyed if hash in dump]
    assert hashlib.sha256(b"browser" + cookie.encode()).hexdigest() in dump  # the dump is one


async def everything(parts: Parts) -> list[str]:
    """The record, and every key and value of Redis."""
    keys = [key async for key in parts.redis.scan_iter()]
    live = [cell for key in keys for cell in (key.decode(), (await parts.redis.dump(key) or b"").hex())]
    return [*await record(parts), *live]


async def record(parts: Parts) -> list[str]:
    """Every cell of every table, as text; bytes as hexadecimal digits."""
    found: list[Any] = []
    async with parts.engine.connect() as connection:
        tables = await connection.execute(sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        for table in tables.scalars().all():
            rows = await connection.execute(sa.text(f'SELECT * FROM "{table}"'))
            found += [cell for row in rows for cell in row]
    return [cell.hex() if isinstance(cell, bytes) else str(cell) for cell in found]


async def test_43_a_storm_of_requests_is_one_mail_and_ten_a_day(visitor: Browser) -> None:
    parts, sent = visitor.parts, visitor.parts.metrics.codes_sent.labels("sent")
    before = sent._value.get()

    async def storm(email: str) -> list[str]:
        return await asyncio.gather(*(_asks(parts, email, n) for n in range(20)))

    async def pass_time(*limits: Limit) -> None:
        """As if the windows of these limits had passed, and no other's."""
        for limit in limits:
            async for key in parts.redis.scan_iter(f"{{limits}}:{limit.name}:*"):
                await parts.redis.delete(key)

    assert (await storm(EMAIL)).count("sent") == (await storm("unknown@example.com")).count("sent") == 1
    an_hour = []
    for _ in range(6):
        await pass_time(sign_in.BETWEEN_CODES)
        an_hour.append(await _asks(parts, EMAIL, 0))
    assert an_hour == ["sent"] * 4 + ["too_soon"] * 2
    a_day = []
    for _ in range(6):
        await pass_time(sign_in.BETWEEN_CODES, sign_in.CODES_PER_HOUR)
        a_day.append(await _asks(parts, EMAIL, 0))
    assert a_day == ["sent"] * 5 + ["too_soon"]
    await until(lambda: sent._value.get() == before + 11)


async def _asks(parts: Parts, email: str, n: int) -> str:
    try:
        await parts.sign_in.request_code(email, Client(browser=f"{n:032d}", address=EVERYWHERE(n)))
    except SignInRefused as refused:
        return "" if refused.retry_seconds is None else str(refused.reason.value)
    return "sent"


ODD = {
    "44 header injection": "a@example.com\r\nBcc: b@example.com",
    "44 bare line feed": "a@example.com\nSubject: x",
    "44 encoded word": "=?utf-8?q?a=0ABcc:b?=@example.com,",
    "44 two addresses": "a@example.com,b@example.com",
    "44 a name": "Ada <a@example.com>",
    "44 320 characters": "a" * 64 + "@" + "b" * 251 + ".com",
    "44 quoted": '"a\\"@evil.example"@example.com',
    "44 NUL": "a\x00@example.com",
    "44 bidi": "a\u202e@example.com",
    "44 a number": 7,
    "44 a list": ["a@example.com", "b@example.com"],
    "44 address literal": "a@[127.0.0.1]",
    "44 percent hack": "a%evil.example@",
}


@pytest.mark.parametrize("odd", ODD)
async def test_44_an_odd_address_gets_no_mail_and_leaves_nothing(shared: Browser, odd: str) -> None:
    before, sent = await record(shared.parts), await shared.parts.redis.llen("mailbox:development")
    answer = await shared.call("POST", "/v1/auth/otp", {"email": ODD[odd]})
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] in ("bad_address", "bad_body", "bad_text")
    assert await record(shared.parts) == before
    assert await shared.parts.redis.llen("mailbox:development") == sent


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ada@Example.COM", "ada@example.com", True),
        ("ada@bücher.example.com", "ada@xn--bcher-kva.example.com", True),
        ("ada+tag@example.com", "ada@example.com", False),
        ("\u0430da@example.com", "ada@example.com", False),  # a Cyrillic letter that looks like an a
        ("ada@ex\u0430mple.com", "ada@example.com", False),
        ("straße@example.com", "strasse@example.com", False),
        ("\u212aim@example.com", "kim@example.com", True),  # the sign for kelvin is a K, to mail servers too
    ],
)
async def test_44_one_mailbox_is_one_account_and_no_look_alike_is(
    visitor: Browser, one: str, other: str, same: bool
) -> None:
    first = await shown(visitor, one)
    await visitor.forget_limits()
    second = await shown(visitor, other)
    assert (first["id"] == second["id"]) is same


async def shown(browser: Browser, email: str) -> dict[str, Any]:
    """The user that signing in with an address as it is typed here leads to."""
    asked = await browser.call("POST", "/v1/auth/otp", {"email": email})
    assert asked.status_code == 202, asked.text

    async def mailed() -> str | None:
        mails = (await browser.call("GET", "/dev/mailbox.json")).json()
        return mails[0]["subject"].split()[0] if mails else None

    body = {"challenge_id": asked.json()["challenge_id"], "code": await until(mailed)}
    user: dict[str, Any] = (await browser.call("POST", "/v1/auth/otp/verify", body)).json()["user"]
    return user


def test_45_codes_follow_no_pattern() -> None:
    assert max(chances(100_000)) < CHI_SQUARED_MAX


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_46_whoever_only_looks_uses_nothing_up(visitor: Browser, method: str) -> None:
    challenge, code = await visitor.ask_code(EMAIL)
    for path in ("/v1/auth/otp/verify", "/v1/auth/otp", "/v1/auth/refresh", "/v1/auth/logout", "/"):
        looked = await visitor.call(method, f"{path}?challenge_id={challenge}&code={code}&email={EMAIL}")
        assert looked.status_code == 405 or path == "/"
        assert "refresh" not in looked.cookies
    verified = await visitor.call("POST", "/v1/auth/otp/verify", {"challenge_id": challenge, "code": code})
    assert verified.status_code == 200
