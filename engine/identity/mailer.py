"""Mail: what is sent, the port to whatever sends it, and the room where it waits, off the request's path."""

from __future__ import annotations

import asyncio
import html
from contextlib import suppress
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import Literal, Protocol

import msgspec
from email_validator import validate_email

from engine.failpoints import failpoint
from engine.telemetry import Metrics, log

WAITING_MAX = 1_000
"""Mails that may wait; beyond that the mail server is behind by minutes, and codes are refused instead."""
SENDERS = 4
APART_SECONDS = 0.01
"""Before a mail is worked on. By then the answer to who asked for it is out: its time tells nothing of the mail."""
LAST_SECONDS = 3.0
RETRY_SECONDS = (2.0, 10.0)
"""All tries end well within a code's life."""


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """One mail, in both parts."""

    to: str
    subject: str
    text: str
    html: str


class MailFailed(Exception):
    """The mail was not taken. `again`: a later try may succeed."""

    def __init__(self, *, again: bool) -> None:
        super().__init__("the mail was not taken")
        self.again = again


class MailRoomFull(Exception):
    """Too many mails wait."""


class Mailer(Protocol):
    """Sends one mail. Raises MailFailed."""

    async def send(self, mail: Mail) -> None: ...


class MailRoom:
    """Mails wait here, and are sent and retried by `run`. What waits is lost with the process: people ask again."""

    def __init__(self, mailer: Mailer, metrics: Metrics) -> None:
        self._mailer, self._metrics = mailer, metrics
        self._waiting: asyncio.Queue[Mail] = asyncio.Queue(WAITING_MAX)

    @property
    def full(self) -> bool:
        """Whether nothing can be posted now."""
        return self._waiting.full()

    def post(self, mail: Mail) -> None:
        """Leave a mail to be sent; returns at once. Raises MailRoomFull."""
        try:
            self._waiting.put_nowait(mail)
        except asyncio.QueueFull:
            raise MailRoomFull from None

    async def run(self, stop: asyncio.Event) -> None:
        """Send what is posted, until told to stop; then what still waits has LAST_SECONDS to go out."""
        senders = [asyncio.create_task(self._send_all()) for _ in range(SENDERS)]
        try:
            await stop.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_SECONDS):
                    await self._waiting.join()
        finally:
            for sender in senders:
                sender.cancel()
            await asyncio.wait(senders)

    async def _send_all(self) -> None:
        while True:
            mail = await self._waiting.get()
            try:
                await asyncio.sleep(APART_SECONDS)
                outcome = await self._send(mail)
            finally:
                self._waiting.task_done()
            self._metrics.codes_sent.labels(outcome).inc()

    async def _send(self, mail: Mail) -> Literal["sent", "failed", "error"]:
        for pause in (*RETRY_SECONDS, None):
            try:
                failpoint("mail")
                await self._mailer.send(mail)
            except MailFailed as failed:
                log.warning("mail_not_taken", again=failed.again and pause is not None)
                if pause is None or not failed.again:
                    return "failed"
                await asyncio.sleep(pause)
            except Exception:  # a mailer's mistake must not end the sender
                log.exception("mail_broke")
                return "error"
            else:
                return "sent"
        return "failed"


def code_mail(to: str, code: str, asked_at: datetime, minutes: int) -> Mail:
    """The mail with a code: the code alone, in the subject too; no link, so that no scanner can use it up."""
    when = asked_at.strftime("%Y-%m-%d %H:%M UTC")
    why = f"Someone asked at {when} to sign in with {to}. If that was not you, ignore this mail."
    text = (
        f"Your code to sign in:\n\n    {code}\n\n"
        f"It is good for {minutes} minutes, once, in the browser that asked.\n{why}\n"
    )
    page = (
        '<!doctype html><html lang="en"><body style="font-family:sans-serif">'
        "<p>Your code to sign in:</p>"
        f'<p style="font:bold 32px monospace;letter-spacing:6px">{code}</p>'
        f"<p>It is good for {minutes} minutes, once, in the browser that asked.</p>"
        f"<p>{html.escape(why)}</p></body></html>"
    )
    return Mail(to=to, subject=f"{code} is your code to sign in", text=text, html=page)


def as_message(mail: Mail, sender: str) -> EmailMessage:
    """The mail as a MIME message. A line break in an address or subject is refused, as ValueError."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = _deliverable(mail.to)
    message["Subject"] = mail.subject
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message


def _deliverable(address: str) -> str:
    """The same address with its domain in ASCII, which every mail server knows."""
    valid = validate_email(address, check_deliverability=False, test_environment=True)
    return f"{valid.local_part}@{valid.ascii_domain}"
