"""Mail in development: the code on the console, and a mailbox in Redis that every node can show as a page."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import TextIO

import msgspec
from redis.asyncio import Redis

from engine.identity.mailer import Mail

MAILBOX = "mailbox:development"
MAILS_KEPT = 50
MAILBOX_TTL_SECONDS = 86_400


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """A mail in the mailbox; `at` in milliseconds of the Unix epoch."""

    at: int
    to: str
    subject: str
    text: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Delivered).decode


class DevelopmentMailer:
    """Never in production: whoever opens the mailbox page can sign in as anyone."""

    def __init__(self, redis: Redis, now: Callable[[], datetime], console: TextIO | None = None) -> None:
        self._redis, self._now = redis, now
        self._console = console

    async def send(self, mail: Mail) -> None:
        """Deliver to the mailbox and say so on the console."""
        delivered = Delivered(at=int(self._now().timestamp() * 1000), to=mail.to, subject=mail.subject, text=mail.text)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.lpush(MAILBOX, _encode(delivered))
            pipe.ltrim(MAILBOX, 0, MAILS_KEPT - 1)
            pipe.expire(MAILBOX, MAILBOX_TTL_SECONDS)
            await pipe.execute()
        # Looked up late, so that whoever redirects stderr gets it.
        print(f"mail to {mail.to}: {mail.subject}", file=self._console or sys.stderr, flush=True)


async def delivered(redis: Redis) -> list[Delivered]:
    """What is in the mailbox, newest first."""
    mails = await redis.lrange(MAILBOX, 0, MAILS_KEPT - 1)
    return [_decode(mail) for mail in mails]


async def forget(redis: Redis, to: str) -> None:
    """Take the mails to an address out of the mailbox."""
    for mail in await redis.lrange(MAILBOX, 0, MAILS_KEPT - 1):
        if _decode(mail).to.casefold() == to.casefold():
            await redis.lrem(MAILBOX, 0, mail)  # type: ignore[arg-type]  # bytes, as they came
