"""Leaving for good: out of every login, then out of the record, then out of all that is kept for a while."""

from __future__ import annotations

from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.identity import mail_development
from engine.identity.codes import BadAddress, read_address
from engine.identity.tokens import remembered_seconds
from engine.live import logins as ended_logins
from engine.live.store import Live
from engine.record import deletion
from engine.settings import Settings
from engine.telemetry import log


async def delete_account(engine: AsyncEngine, live: Live, user: UUID, access_ttl_seconds: int) -> bool:
    """Delete an account and all that is its user's; tokens, tickets and sockets end. False: there is none.

    Logins end before the record commits, so that no crash leaves a token of somebody who is gone: then the account
    is there still, and can be deleted again. Live copies go after it. A crash in between leaves some that nobody may
    ask for any more; whatever touches one finds no interview and erases it: a command, the clock at the deadline
    (they are never later than that, or else have a time to live).

    Raises what Postgres raises, and RedisError when Redis is away: nothing was deleted then.
    """
    async with engine.begin() as connection:
        deleted = await deletion.delete_user(connection, user)
        if deleted is None:
            return False
        await ended_logins.end(live.redis, deleted.logins, remembered_seconds(access_ttl_seconds))
    log.info("account_deleted", user=user, interviews=len(deleted.interviews))
    try:
        await live.erase(map(str, deleted.interviews))
        await mail_development.forget(live.redis, deleted.email)
    except (RedisError, OSError) as error:
        log.warning("live_copies_left", user=user, error=type(error).__name__)
    return True


async def delete_by_address(engine: AsyncEngine, live: Live, email: str, settings: Settings) -> bool:
    """The same by the account's address, for those who run the engine."""
    try:
        address = read_address(email, production=settings.production)
    except BadAddress:
        return False
    async with engine.connect() as connection:
        user = await deletion.user_with(connection, address.key)
    return user is not None and await delete_account(engine, live, user, settings.access_ttl_seconds)
