"""Logins that were ended: remembered for as long as an access token of theirs may still be shown.

The record knows for good; this is what every request can ask in a fraction of a millisecond, and what sockets
hear at once, also while Postgres is away.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from redis.asyncio import Redis

from engine.live.line import Ask

ENDED_CHANNEL = "logins:ended"
"""Each ended login's id is published here, for the nodes that hold sockets of it."""


async def end(redis: Redis, logins: Iterable[UUID], remember_seconds: int) -> None:
    """Refuse the access tokens of these logins from now on, and tell whoever holds their sockets."""
    for login in logins:
        await redis.set(_key(login), b"1", ex=remember_seconds)
        await redis.publish(ENDED_CHANNEL, str(login))


async def ended(ask: Ask, login: UUID | str) -> bool:
    """Whether this login was ended."""
    return bool(await ask("EXISTS", _key(login)))


def _key(login: UUID | str) -> str:
    return f"login:{login}:ended"
