"""Signing in with Google over HTTP, against an issuer of our own: one account an address, linked by proof only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from engine.web.parts import Parts
from tests.clock import HandClock
from tests.identity.test_google import CLIENT, Issuer
from tests.web.conftest import Browser, app_of, with_settings


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


async def test_a_code_and_google_for_one_address_are_one_account(people: People) -> None:
    by_code = await people[0].sign_in("Ada@gmail.com")
    _, by_google = await people[1].with_google()
    assert by_google["user"]["id"] == by_code["user"]["id"]


async def test_google_is_known_by_its_subject_when_the_address_changes(people: People) -> None:
    _, before = await people[0].with_google()
    status, after = await people[1].with_google(email="ada.new@other.example")
    assert (status, after["user"]["id"]) == (200, before["user"]["id"])


async def test_row_49_an_address_google_does_not_own_needs_proof_by_a_code(people: People) -> None:
    owner = await people[0].sign_in("ada@yahoo.example.com")
    status, problem = await people[1].with_google(email="ada@yahoo.example.com")
    assert (status, problem["code"]) == (409, "proof_needed")
    status, problem = await people[1].with_google(email="new@yahoo.example.com", sub="2")
    assert (status, problem["code"]) == (409, "proof_needed")
    assert owner["user"]["name"] == ""


async def test_an_address_that_moved_to_another_google_account_is_not_taken_over(people: People) -> None:
    await people[0].with_google(sub="1")
    status, problem = await people[1].with_google(sub="2")
    assert (status, problem["code"]) == (409, "proof_needed")


async def test_row_48_a_nonce_counts_once_and_in_its_own_browser(people: People) -> None:
    nonce = await people[0].nonce()
    assert (await people[1].with_google(nonce))[1]["code"] == "google_refused"
    nonce = await people[0].nonce()
    assert (await people[0].with_google(nonce))[0] == 200
    assert (await people[0].with_google(nonce))[1]["code"] == "google_refused"
    assert (await people[0].with_google("made-up"))[1]["code"] == "google_refused"


async def test_a_bad_token_and_an_issuer_that_is_away(people: People) -> None:
    status, problem = await people[0].with_google(aud="other")
    assert (status, problem["code"]) == (401, "google_refused")
    people[0].issuer.google.keys._keys.clear()
    people[0].issuer.away = True
    people[0].issuer.seconds += 60
    status, problem = await people[0].with_google()
    assert (status, problem["code"]) == (503, "unavailable")
