"""Mail leaves by SMTP to a real server, is retried when it may help, and holds up nobody."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from engine.identity import mailer as mailing
from engine.identity.mail_development import MAILS_KEPT, DevelopmentMailer, delivered
from engine.identity.mail_smtp import SmtpMailer
from engine.identity.mailer import Mail, MailFailed, MailRoom, MailRoomFull, as_message, code_mail
from engine.settings import load_settings
from engine.telemetry import make_metrics
from tests.clock import HandClock
from tests.smtp_sink import Sink, smtp_sink
from tests.until import until

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """A real SMTP server on a free port."""
    async with smtp_sink() as made:
        yield made


def smtp(port: int) -> SmtpMailer:
    return SmtpMailer(
        load_settings({}, smtp_host="127.0.0.1", smtp_port=port, smtp_tls="none", mail_from="engine@example.com")
    )


async def test_46_a_code_arrives_in_both_parts_and_in_the_subject_and_there_is_nothing_to_click(sink: Sink) -> None:
    await smtp(sink.port).send(code_mail("ada@example.com", "012345", NOW, 10))
    (message,) = sink.taken
    assert message["To"] == "ada@example.com"
    assert message["From"] == "engine@example.com"
    assert message["Subject"] == "012345 is your code to sign in"
    assert message.get_content_type() == "multipart/alternative"
    for kind in ("plain", "html"):
        body = message.get_body((kind,))
        assert body is not None
        part = body.get_content()
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


@pytest.mark.parametrize("utf8", [True, False])
async def test_44_a_domain_in_other_letters_is_reached_by_servers_that_know_ascii_only(utf8: bool) -> None:
    async with smtp_sink(utf8=utf8) as sink:
        await smtp(sink.port).send(code_mail("ada@bücher.example.com", "012345", NOW, 10))
    assert sink.recipients == ["ada@xn--bcher-kva.example.com"]


async def test_44_a_mailbox_in_other_letters_needs_a_server_that_knows_them() -> None:
    mail = code_mail("straße@example.com", "012345", NOW, 10)
    async with smtp_sink() as sink:
        await smtp(sink.port).send(mail)
    assert sink.recipients == ["straße@example.com"]
    async with smtp_sink(utf8=False) as sink:
        with pytest.raises(MailFailed) as failed:
            await smtp(sink.port).send(mail)
    assert not failed.value.again


async def test_a_server_that_is_away_is_asked_again() -> None:
    with pytest.raises(MailFailed) as failed:
        await smtp(1).send(code_mail("ada@example.com", "012345", NOW, 10))
    assert failed.value.again


@pytest.mark.parametrize("to", ["a@example.com\r\nBcc: b@example.com", "a@example.com\nX: y"])
def test_44_no_header_can_be_added(to: str) -> None:
    with pytest.raises(ValueError, match="invalid characters"):
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
