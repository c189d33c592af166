"""Row 71: what is secret or personal gets into no log, whatever way it takes through the engine."""

from __future__ import annotations

import pytest
import structlog

from engine import telemetry
from engine.identity.logins import Client
from tests.clock import HandClock
from tests.web.conftest import Browser, NewBrowser

EMAIL = "canary-address@example.com"
NAME = "Canary Name"


async def test_no_code_token_or_address_is_logged(
    browser: Browser, new_browser: NewBrowser, clock: HandClock, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.configure("json", level=0)
    challenge, code = await browser.ask_code(EMAIL)
    await browser.call("POST", "/v1/auth/otp", {"email": EMAIL})
    for typed in ("000000", code, code):
        await browser.call(
            "POST", "/v1/auth/otp/verify", {"challenge_id": challenge, "code": typed, "refresh_in": "body"}
        )
    await browser.forget_limits()
    signed_in = await browser.sign_in(EMAIL, refresh_in="body")
    await browser.call("PATCH", "/v1/me", {"name": NAME})
    await browser.call("PATCH", "/v1/me", {"name": NAME + "\x07"})
    await browser.call("GET", f"/v1/questions?q={NAME}&cursor=canary-cursor")
    await browser.call("GET", f"/v1/{NAME}?token=canary-query")
    await browser.call("POST", "/v1/auth/otp/verify", {"challenge_id": EMAIL, "code": NAME})
    clock.move(seconds=30)
    for _ in range(2):
        await new_browser().call("POST", "/v1/auth/refresh", {"refresh_token": signed_in["refresh_token"]})
    await browser.call("GET", "/v1/me", headers={"authorization": "Bearer canary-token"})
    await browser.call("POST", "/v1/auth/logout", {"all": True})
    logged = capsys.readouterr().err
    assert "signed_in" in logged
    structlog.reset_defaults()
    telemetry.configure("json")
    secrets = [code, signed_in["access_token"], signed_in["refresh_token"], EMAIL, NAME, "Canary", "canary"]
    secrets += [signed_in["access_token"].rpartition(".")[2], browser.parts.settings.secret_key]
    for secret in secrets:
        assert secret not in logged


async def test_what_holds_secrets_does_not_show_them(browser: Browser) -> None:
    signed_in = await browser.sign_in(refresh_in="body")
    tokens = await browser.parts.logins.refresh(signed_in["refresh_token"], Client(browser="", address=""))
    for shown in (repr(tokens), str(tokens), repr(browser.parts.sign_in), repr(browser.parts.logins)):
        assert tokens.refresh not in shown
        assert tokens.access not in shown
