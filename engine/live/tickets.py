"""Single-use tickets: a socket is opened with one, so that no token goes into a URL or outlives its use."""

from __future__ import annotations

import secrets

import msgspec
from redis.asyncio import Redis

from engine.live.line import Ask
from protocol.words import Role

TICKET_TTL_SECONDS = 30
TICKET_BYTES = 24
"""192 random bits; ASVS 5 7.2.3 asks for 128."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What a ticket opens: one interview, for its owner, in a role, from an origin, under a login."""

    user: str
    interview: str
    role: Role
    origin: str
    login: str
    expires_at: int
    """When the access token behind it ends, in milliseconds; the socket asks for a new ticket before."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Ticket).decode


async def issue(redis: Redis, ticket: Ticket) -> str:
    """A fresh ticket, good for one use within TICKET_TTL_SECONDS."""
    opaque = secrets.token_urlsafe(TICKET_BYTES)
    await redis.set(_key(opaque), _encode(ticket), ex=TICKET_TTL_SECONDS)
    return opaque


async def redeem(ask: Ask, opaque: str) -> Ticket | None:
    """What this ticket opens; None when it was used, is too old, or never was."""
    data = await ask("GETDEL", _key(opaque))
    return _decode(data) if data else None


def _key(opaque: str) -> str:
    return f"ticket:{opaque}"
