"""Signing in with Google over HTTP, against an issuer of our own: one account an address, linked by proof only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from engine.identity.codes import CODE_TTL_SECONDS
from engine.identity.google import Google
from engine.identity.logins import Client
from engine.record.tables import users
from engine.settings import Settings
from engine.web.parts import Parts
from tests.clock import HandClock
from tests.identity.test_google import BAD, CLIENT, Issuer
from tests.loopback import http_client
from tests.web.conftest import Browser, app_of, with_settings
from tests.web.listening import listening


class GoogleBrowser(Browser):
    """A browser whose Google button works."""

    issuer: Issuer

    async def nonce(self) -> str:
        ways = (await self.call("GET", "/v1/auth/methods")).json()
        assert ways["google"]["client_id"] == CLIENT
        nonce: str = ways["google"]["nonce"]
        return nonce

    async def with_google(self, nonce: str | None = None, **claims: Any) -> tuple[int, dict[str, Any]]:
        """Press the button: (status, answer)."""
        nonce = nonce or await self.nonce()
        token = self.issuer.token(**{"nonce": nonce, **claims})
        answer = await self.call("POST", "/v1/auth/google", {"id_token": token, "nonce": nonce})
        return answer.status_code, answer.json()


@pytest.fixture
async def people(parts: Parts, clock: HandClock) -> AsyncIterator[tuple[GoogleBrowser, GoogleBrowser]]:
    """Two browsers at an engine that has Google set up."""
    issuer = Issuer(clock)
    parts.sign_in.provider = issuer.google
    app = app_of(with_settings(parts, google_client_id=CLIENT))
    made = (GoogleBrowser(app, parts), GoogleBrowser(app, parts))
    for one in made:
        one.issuer = issuer
    yield made
    for one in made:
        await one.http.aclose()
    await issuer.http.aclose()


People = tuple[GoogleBrowser, GoogleBrowser]


async def test_google_signs_in_and_brings_name_and_picture(people: People) -> None:
    status, signed_in = await people[0].with_google()
    assert status == 200
    user = signed_in["user"]
    assert (user["email"], user["name"], user["avatar_url"]) == ("ada@gmail.com", "Ada", "https://x.example/a")
    people[0].use(signed_in["access_token"])
    assert (await people[0].call("GET", "/v1/me")).json() == user


async def test_49_a_code_and_google_for_one_address_are_one_account(people: People) -> None:
    by_code = await people[0].sign_in("Ada@gmail.com")
    _, by_google = await people[1].with_google()
    assert by_google["user"]["id"] == by_code["user"]["id"]


async def test_48_google_is_known_by_its_subject_when_the_address_changes(people: People) -> None:
    _, before = await people[0].with_google()
    status, after = await people[1].with_google(email="ada.new@other.example")
    assert (status, after["user"]["id"]) == (200, before["user"]["id"])


YAHOO = "ada@yahoo.example.com"
"""An address that Google is not the authority on."""


async def refused(browser: GoogleBrowser, **claims: Any) -> str:
    """Press the button in vain; why."""
    status, problem = await browser.with_google(**claims)
    assert status in (401, 409), problem
    code: str = problem["code"]
    return code


async def test_49_a_code_to_its_address_makes_google_enough(people: People) -> None:
    here, elsewhere = people
    assert await refused(here, email=YAHOO) == "proof_needed"
    by_code = await here.sign_in(YAHOO)
    for one in (elsewhere, here):
        status, by_google = await one.with_google(email=YAHOO)
        assert (status, by_google["user"]["id"]) == (200, by_code["user"]["id"])
        one.use(by_google["access_token"])
        assert (await one.call("GET", "/v1/me")).json()["email"] == YAHOO


async def test_49_no_other_code_links_a_google_account(people: People, parts: Parts) -> None:
    here, elsewhere = people
    for number, how in enumerate(("another browser", "another address", "too late", "never shown"), 1):
        email, sub = f"ada{number}@yahoo.example.com", str(number)
        if how != "never shown":
            assert await refused(here, email=email, sub=sub) == "proof_needed"
        match how:
            case "another browser":
                await elsewhere.sign_in(email)
            case "another address":
                await here.sign_in("eve@yahoo.example.com")
            case _:
                if how == "too late":
                    await expire_what_waits(parts)
                await here.sign_in(email)
        await here.forget_limits()
        for one in people:
            assert await refused(one, email=email, sub=sub) == "proof_needed", how
        assert await subjects(parts) == {None}, how
        await parts.redis.delete(*await waiting(parts))


async def expire_what_waits(parts: Parts) -> None:
    """As if its time had passed, which is a code's."""
    (kept,) = await waiting(parts)
    assert 0 < await parts.redis.ttl(kept) <= CODE_TTL_SECONDS
    await parts.redis.pexpire(kept, 0)


async def waiting(parts: Parts) -> list[bytes]:
    return [key async for key in parts.redis.scan_iter("google:*")]


async def test_49_what_waits_is_no_address_and_no_token(people: People, parts: Parts) -> None:
    await people[0].with_google(email=YAHOO, sub="1234567890")
    (kept,) = await waiting(parts)
    assert b"yahoo" not in kept
    assert await parts.redis.get(kept) == b"1234567890"


async def test_49_an_account_has_one_google_account_and_keeps_it(people: People, parts: Parts) -> None:
    here, elsewhere = people
    await here.with_google(sub="1")
    assert await refused(elsewhere, sub="2") == "proof_needed"
    await elsewhere.sign_in("ada@gmail.com")  # the mailbox opens the account, and links nothing
    assert await refused(elsewhere, sub="2") == "proof_needed"
    assert await subjects(parts) == {"1"}


async def test_49_a_google_account_belongs_to_one_account(people: People, parts: Parts) -> None:
    here, elsewhere = people
    for one, email in ((here, YAHOO), (elsewhere, "eve@yahoo.example.com")):
        assert await refused(one, email=email) == "proof_needed"
    first = await here.sign_in(YAHOO)
    second = await elsewhere.sign_in("eve@yahoo.example.com")  # signed in all the same
    assert first["user"]["id"] != second["user"]["id"]
    _, by_google = await elsewhere.with_google(email="eve@yahoo.example.com")
    assert by_google["user"]["id"] == first["user"]["id"]
    assert await subjects(parts) == {"1", None}


@pytest.mark.parametrize("email", ["ada@gmail.com", YAHOO])
async def test_49_linking_google_ends_the_logins_of_before(people: People, email: str) -> None:
    """An account made earlier by somebody who could read the mail then: it is theirs no more."""
    earlier, owner = people
    before = await earlier.sign_in(email, refresh_in="body")
    await earlier.forget_limits()
    if email == YAHOO:
        await owner.with_google(email=email)
        now = await owner.sign_in(email)
    else:
        _, now = await owner.with_google(email=email)
    assert now["user"]["id"] == before["user"]["id"]
    assert (await earlier.call("GET", "/v1/me")).status_code == 401
    stale = await earlier.call("POST", "/v1/auth/refresh", {"refresh_token": before["refresh_token"]})
    assert (stale.status_code, stale.json()["code"]) == (401, "signed_out")
    owner.use(now["access_token"])
    assert (await owner.call("GET", "/v1/me")).status_code == 200
    _, again = await earlier.with_google(email=email)  # and once linked, a sign-in ends nobody's login
    assert (await owner.call("GET", "/v1/me")).status_code == 200
    assert again["user"]["id"] == now["user"]["id"]


async def test_49_of_two_first_sign_ins_at_once_both_stay(people: People) -> None:
    answers = await asyncio.gather(*(one.with_google() for one in people))
    for one, (status, signed_in) in zip(people, answers, strict=True):
        assert status == 200
        one.use(signed_in["access_token"])
        assert (await one.call("GET", "/v1/me")).status_code == 200


async def test_49_asking_for_a_code_makes_no_account(people: People, parts: Parts) -> None:
    """Without the mailbox there is nothing to be there first with."""
    stranger, owner = people
    challenge, code = await stranger.ask_code("ada@gmail.com")
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    await stranger.call("POST", "/v1/auth/otp/verify", {"challenge_id": challenge, "code": wrong})
    assert await subjects(parts) == set()
    assert (await owner.with_google())[0] == 200


async def subjects(parts: Parts) -> set[str | None]:
    """The Google account of each user."""
    async with parts.engine.connect() as connection:
        return set((await connection.execute(sa.select(users.c.google_sub))).scalars())


async def test_48_a_nonce_counts_once_and_in_its_own_browser(people: People) -> None:
    nonce = await people[0].nonce()
    assert (await people[1].with_google(nonce))[1]["code"] == "google_refused"
    nonce = await people[0].nonce()
    assert (await people[0].with_google(nonce))[0] == 200
    assert (await people[0].with_google(nonce))[1]["code"] == "google_refused"
    assert (await people[0].with_google("made-up"))[1]["code"] == "google_refused"


async def test_48_a_bad_token_and_an_issuer_that_is_away(people: People) -> None:
    status, problem = await people[0].with_google(aud="other")
    assert (status, problem["code"]) == (401, "google_refused")
    people[0].issuer.google.keys._keys.clear()
    people[0].issuer.away = True
    people[0].issuer.seconds += 60
    status, problem = await people[0].with_google()
    assert (status, problem["code"]) == (503, "unavailable")


async def test_48_every_bad_token_gets_one_answer(people: People, parts: Parts) -> None:
    browser, answers = people[0], {}
    await browser.nonce()  # which gives the browser its cookie
    me = Client(browser=browser.http.cookies["otp_browser"], address="")
    for name, forge in {**BAD, "48 good": Issuer.token}.items():
        await browser.forget_limits()
        await parts.redis.set("nonce:n", me.browser_hash)
        body = {"id_token": forge(browser.issuer), "nonce": "n"}
        answer = await browser.call("POST", "/v1/auth/google", body)
        told = {key: value for key, value in answer.json().items() if key != "request_id"}
        answers[name] = (answer.status_code, told)
    assert answers.pop("48 good")[0] == 200
    too_long = answers.pop("52 too long")  # refused with the rest of the body
    assert too_long[0] == 422
    assert all(told == answers["48 alg none"] for told in answers.values()), answers
    assert (answers["48 alg none"][0], answers["48 alg none"][1]["code"]) == (401, "google_refused")


async def test_48_an_address_that_takes_no_mail_is_refused(people: People, parts: Parts) -> None:
    for email in ("", "ada", "ada@", "ada@localhost", "ada@gmail.com\r\nBcc: eve@gmail.com", "a" * 300 + "@gmail.com"):
        assert await refused(people[0], email=email) == "google_refused", email
    assert await subjects(parts) == set()


async def test_48_a_node_with_a_client_id_offers_google(settings: Settings) -> None:
    async with listening(msgspec.structs.replace(settings, google_client_id=CLIENT)) as node:
        assert isinstance(node.parts.sign_in.provider, Google)
        async with http_client(base_url=node.url) as http:
            ways = (await http.get("/v1/auth/methods")).json()
            assert ways["google"]["client_id"] == CLIENT
            forged = {"id_token": "a.b.c", "nonce": ways["google"]["nonce"]}
            assert (await http.post("/v1/auth/google", json=forged)).status_code == 401


async def test_48_without_a_client_id_google_is_absent(browser: Browser) -> None:
    ways = await browser.call("GET", "/v1/auth/methods")
    assert ways.json() == {"code": True, "google": None, "development": True}
    assert "google" not in ways.headers["content-security-policy"]
    assert (await browser.call("POST", "/v1/auth/google", {"id_token": "x", "nonce": "x"})).status_code == 404
    assert "/v1/auth/google" not in (await browser.call("GET", "/openapi.json")).json()["paths"]


ELSEWHERE = "//evil.example"
ASKS = [
    f"/v1/auth/methods?next={ELSEWHERE}", f"/v1/auth/methods?redirect_uri=https:{ELSEWHERE}", f"/?to={ELSEWHERE}",
    ELSEWHERE, f"{ELSEWHERE}/", "/\\evil.example", "/%2f%2fevil.example", "/app", "/v1/auth/", "/dev/mailbox/",
]  # fmt: skip


async def test_50_nobody_is_sent_elsewhere(browser: Browser) -> None:
    for asked in ASKS:
        answer = await browser.call("GET", browser.parts.settings.base_url + asked)
        assert "location" not in answer.headers, asked
        assert not 300 <= answer.status_code < 400, asked
