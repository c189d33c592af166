"""Google accounts that wait for proof of their address: for a code to it, typed in the same browser, soon.

Only Google's id of the account is kept, under a hash; a code for another address or from another browser does not
find it.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from engine.identity.codes import CODE_TTL_SECONDS
from engine.identity.keys import Keys, keyed_hash
from engine.identity.logins import Client
from engine.record.accounts import Address


async def keep(redis: Redis, keys: Keys, client: Client, address: Address, subject: str) -> None:
    """Remember that this browser has shown this Google account for this address."""
    await redis.set(_key(keys, client, address), subject, ex=CODE_TTL_SECONDS)


async def take(redis: Redis, keys: Keys, client: Client, address: Address) -> str | None:
    """The Google account that this browser showed for this address; once."""
    subject: Any = await redis.getdel(_key(keys, client, address))
    return subject.decode() if subject else None


def _key(keys: Keys, client: Client, address: Address) -> str:
    return "google:" + keyed_hash(keys.subject, "google", address.key, client.browser_hash).hex()
