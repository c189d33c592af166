"""Mail is no way to hold up, or to learn from, a request for a code: against a real SMTP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from engine.identity import mailer
from engine.identity.keys import keys_of
from engine.identity.mail_smtp import SmtpMailer
from engine.identity.mailer import MailRoom
from engine.identity.sign_in import SignIn
from engine.settings import load_settings
from engine.web.parts import Parts
from tests.smtp_sink import Sink, smtp_sink
from tests.until import until
from tests.web.conftest import Browser, app_of

EMAIL = "ada@example.com"


@asynccontextmanager
async def mailing(parts: Parts) -> AsyncIterator[tuple[Browser, Sink]]:
    """A browser on the application whose codes go out by SMTP, and the server they go to."""
    async with smtp_sink(login=("engine", "a password")) as sink:
        settings = load_settings(
            {}, smtp_host="127.0.0.1", smtp_port=sink.port, smtp_tls="none", smtp_user="engine",
            smtp_password="a password",
        )  # fmt: skip
        room, stop = MailRoom(SmtpMailer(settings), parts.metrics), asyncio.Event()
        made = SignIn(
            engine=parts.engine, redis=parts.redis, keys=keys_of(parts.settings), logins=parts.logins, mail=room,
            settings=parts.settings,
        )  # fmt: skip
        parts = replace(parts, sign_in=made)
        browser, posting = Browser(app_of(parts), parts), asyncio.create_task(room.run(stop))
        try:
            yield browser, sink
        finally:
            sink.open.set()
            stop.set()
            await asyncio.wait({posting})
            await browser.http.aclose()


async def test_42_the_answer_does_not_wait_for_the_mail(parts: Parts) -> None:
    async with mailing(parts) as (browser, sink):
        sink.open.clear()
        asked = await browser.call("POST", "/v1/auth/otp", {"email": EMAIL})
        assert asked.status_code == 202
        assert sink.taken == []
        sink.open.set()
        code = await until(lambda: sink.code_to(EMAIL))
        body = {"challenge_id": asked.json()["challenge_id"], "code": code}
        assert (await browser.call("POST", "/v1/auth/otp/verify", body)).status_code == 200


async def test_a_mail_that_was_not_taken_goes_again(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailer, "RETRY_SECONDS", (0.0, 0.0))
    async with mailing(parts) as (browser, sink):
        sink.answers = ["451 not now", "421 nor now"]
        await browser.call("POST", "/v1/auth/otp", {"email": EMAIL})
        await until(lambda: sink.code_to(EMAIL))
    assert len(sink.taken) == 1
    assert parts.metrics.codes_sent.labels("sent")._value.get() == 1


async def test_42_a_full_mail_room_is_told_to_all_alike(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailer, "WAITING_MAX", 2)
    async with mailing(parts) as (browser, sink):
        sink.open.clear()
        sent = 0
        while (answer := await browser.call("POST", "/v1/auth/otp", {"email": f"user{sent}@example.com"})).is_success:
            sent += 1
        assert sent <= mailer.SENDERS + 2
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        told = []
        for email in ("user0@example.com", "unknown@example.com"):
            told.append((await browser.call("POST", "/v1/auth/otp", {"email": email})).json() | {"request_id": ""})
        assert told[0] == told[1] == answer.json() | {"request_id": ""}
