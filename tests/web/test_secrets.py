"""Rows 71 and 74: what is secret or personal gets into no log and no repr, whatever way it takes through the engine.

Over whole processes, row 71 is in tests/attacks/test_logs.py.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import structlog

from engine import telemetry
from engine.cli import Told
from engine.cli.servers import check_servers
from engine.embedded import Urls
from engine.identity.keys import keys_of
from engine.identity.logins import Client
from engine.identity.mail_smtp import SmtpMailer
from engine.settings import Settings, load_settings
from engine.wiring import build_app, make_backbone
from engine.worker.broker import make_broker
from tests.clock import HandClock
from tests.web.conftest import Browser, NewBrowser

EMAIL = "canary-address@example.com"
NAME = "Canary Name"
CANARY = "canary-" + "x" * 32


async def test_71_no_code_token_or_address_is_logged(
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


async def test_74_what_holds_tokens_does_not_show_them(browser: Browser) -> None:
    signed_in = await browser.sign_in(refresh_in="body")
    tokens = await browser.parts.logins.refresh(signed_in["refresh_token"], Client(browser="", address=""))
    for shown in (repr(tokens), str(tokens), repr(browser.parts.sign_in), repr(browser.parts.logins)):
        assert tokens.refresh not in shown
        assert tokens.access not in shown


SECRET = re.compile("key|secret|password|token")


def planted() -> Settings:
    """Settings with a canary in all that is secret: what its name calls so, and the URLs of servers."""
    texts: dict[str, Any] = {name: CANARY for name in Settings.__struct_fields__ if SECRET.search(name)}
    assert texts.keys() >= {"secret_key", "smtp_password", "openai_api_key"}
    texts["older_secret_keys"] = [CANARY]
    del texts["judge_day_tokens"]  # a number: tokens of another kind
    database, redis = f"postgresql://u:{CANARY}@127.0.0.1/db", f"redis://u:{CANARY}@127.0.0.1"
    return load_settings({}, database_url=database, redis_url=redis, **texts)


def test_74_what_holds_settings_does_not_show_their_secrets() -> None:
    settings = planted()
    backbone = make_backbone(settings, ring)
    holders = [
        settings,
        [settings],
        backbone,
        backbone.engine,
        backbone.redis,
        make_broker(settings),
        keys_of(settings),
    ]
    holders += [build_app(settings).state.parts, SmtpMailer(settings)]
    for holder in holders:
        for shown in (repr(holder), str(holder), f"{holder}"):
            assert "canary" not in shown


async def ring(interview: str, run: int) -> None:
    """Nothing is submitted here."""


WRONG_URLS = [
    "postgresql://u:canary@127.0.0.1:1/db",
    "postgresql://u:canary/x@127.0.0.1:1/db",
    "postgresql://u:canary#x@127.0.0.1/db",
    "postgresql://u:x@127.0.0.1:canary/db",
    "postgresql://u:canary@[::1/db",
    "postgresql://u:canary@127.0.0.1:99999/db",
    "postgresql://u:canary@127.0.0.1:1/db?sslmode=canary",
    "mysql://u:canary@127.0.0.1:1/db",
    "canary",
]


@pytest.mark.parametrize("url", WRONG_URLS)
@pytest.mark.parametrize("field", ["database_url", "redis_url"])
async def test_74_a_url_that_is_no_good_is_told_without_its_password(url: str, field: str, server_urls: Urls) -> None:
    settings = load_settings({}, database_url=server_urls.database, redis_url=server_urls.redis)
    wrong = url.replace("postgresql", "redis") if field == "redis_url" else url
    with pytest.raises(Told) as told:
        await check_servers(msgspec.structs.replace(settings, **{field: wrong}))
    assert "canary" not in told.value.message
    assert field.upper() in told.value.message
