"""Mail leaves by SMTP to a real server, is retried when it may help, and holds up nobody."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from redis.asyncio import Redis

from engine.identity import mailer as mailing
from engine.identity.mail_development import MAILS_KEPT, DevelopmentMailer, delivered
from engine.identity.mail_smtp import SmtpMailer
from engine.identity.mailer import Mail, MailFailed, MailRoom, MailRoomFull, as_message, code_mail
from engine.settings import load_settings
from engine.telemetry import make_metrics
from tests.clock import HandClock
from tests.until import until

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Sink:
    """What an SMTP server took, and what it answers."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.answers: list[str] = []
        self.port = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answers:
            return self.answers.pop(0)
        self.taken.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """A real SMTP server on a free port."""
    made = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(made, enable_SMTPUTF8=True), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


def smtp(port: int) -> SmtpMailer:
    return SmtpMailer(
        load_settings({}, smtp_host="127.0.0.1", smtp_port=port, smtp_tls="none", mail_from="engine@example.com")
    )


async def test_a_code_arrives_in_both_parts_and_in_the_subject(sink: Sink) -> None:
    await smtp(sink.port).send(code_mail("ada@example.com", "012345", NOW, 10))
    (message,) = sink.taken
    assert message["To"] == "ada@example.com"
    assert message["From"] == "engine@example.com"
    assert message["Subject"] == "012345 is your code to sign in"
    parts = [message.get_body((kind,)).get_content() for kind in ("plain", "html")]
    for part in parts:
        assert "012345" in part
        assert "10 minutes" in part
        assert "2030-01-01 12:00 UTC" in part
        assert "http" not in part


@pytest.mark.parametrize(("answer", "again"), [("451 later", True), ("550 no", False)])
async def test_a_server_that_refuses_is_asked_again_where_that_may_help(sink: Sink, answer: str, again: bool) -> None:
    sink.answers = [answer]
    with pytest.raises(MailFailed) as failed:
        await smtp(sink.port).send(code_mail("ada@example.com", "012345", NOW, 10))
    assert failed.value.again is again


async def test_a_server_that_is_away_is_asked_again() -> None:
    with pytest.raises(MailFailed) as failed:
        await smtp(1).send(code_mail("ada@example.com", "012345", NOW, 10))
    assert failed.value.again


@pytest.mark.parametrize("to", ["a@example.com\r\nBcc: b@example.com", "a@example.com\nX: y"])
def test_row_44_no_header_can_be_added(to: str) -> None:
    with pytest.raises(ValueError, match=r"linefeed|carriage"):
        as_message(Mail(to=to, subject="s", text="t", html="h"), "engine@example.com")


class Stubborn:
    """Fails a number of times, then sends."""

    def __init__(self, failures: int, *, again: bool = True, error: Exception | None = None) -> None:
        self.failures, self.again, self.error = failures, again, error
        self.sent: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        if self.failures:
            self.failures -= 1
            raise self.error or MailFailed(again=self.again)
        self.sent.append(mail)


@pytest.mark.parametrize(
    ("mailer", "outcome"),
    [
        (Stubborn(0), "sent"),
        (Stubborn(2), "sent"),
        (Stubborn(3), "failed"),
        (Stubborn(1, again=False), "failed"),
        (Stubborn(1, error=KeyError("a mistake")), "error"),
    ],
)
async def test_the_mail_room_tries_again_and_goes_on(
    mailer: Stubborn, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailing, "RETRY_SECONDS", (0.0, 0.0))
    metrics, stop = make_metrics(), asyncio.Event()
    room = MailRoom(mailer, metrics)
    run = asyncio.create_task(room.run(stop))
    room.post(code_mail("ada@example.com", "012345", NOW, 10))
    await until(lambda: metrics.codes_sent.labels(outcome)._value.get() == 1)
    room.post(code_mail("bob@example.com", "012345", NOW, 10))
    stop.set()
    await run
    assert mailer.sent[-1].to == "bob@example.com"


async def test_posting_to_a_full_room_is_refused_at_once() -> None:
    room = MailRoom(Stubborn(0), make_metrics())
    for _ in range(mailing.WAITING_MAX):
        room.post(code_mail("ada@example.com", "012345", NOW, 10))
    with pytest.raises(MailRoomFull):
        room.post(code_mail("ada@example.com", "012345", NOW, 10))


async def test_the_development_mailbox_keeps_the_newest(redis_url: str, clock: HandClock) -> None:
    console = io.StringIO()
    async with Redis.from_url(redis_url) as redis:
        mailer = DevelopmentMailer(redis, clock, console)
        for number in range(MAILS_KEPT + 1):
            await mailer.send(code_mail("ada@example.com", f"{number:06d}", NOW, 10))
        kept = await delivered(redis)
    assert len(kept) == MAILS_KEPT
    assert kept[0].subject.startswith(f"{MAILS_KEPT:06d}")
    assert console.getvalue().startswith("mail to ada@example.com: 000000 is your code")
