"""A real SMTP server that keeps what it is given, and can be told to refuse, or to say nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult

CODE = re.compile(r"\b\d{6}\b")


class Sink:
    """What a server took, and what it answers."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.answers: list[str] = []
        """For the next mails; then all are taken."""
        self.open = asyncio.Event()
        self.open.set()
        """Cleared, the server answers nobody."""
        self.port = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        await self.open.wait()
        if self.answers:
            return self.answers.pop(0)
        self.taken.append(message_from_bytes(envelope.content, policy=default))
        self.recipients += envelope.rcpt_tos
        return "250 OK"

    def code_to(self, address: str) -> str | None:
        """The last code that was sent to an address."""
        found = [CODE.search(mail["Subject"]) for mail in self.taken if mail["To"] == address]
        return found[-1].group() if found and found[-1] else None


@asynccontextmanager
async def smtp_sink(*, utf8: bool = True, login: tuple[str, str] | None = None) -> AsyncIterator[Sink]:
    """A server on a free port. `login`: the user and password it knows; who shows others is turned away."""
    sink = Sink()

    def passes(server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
        said = (given.login.decode(), given.password.decode())
        return AuthResult(success=said == login, handled=False)

    def connected() -> SMTP:
        return SMTP(
            sink,
            enable_SMTPUTF8=utf8,
            authenticator=passes if login else None,
            auth_require_tls=False,
        )

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        sink.open.set()
        server.close()
        await server.wait_closed()
