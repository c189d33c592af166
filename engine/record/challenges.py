"""Challenges: the one-time codes that were sent. A code counts once, in the browser that asked, for a while.

A wrong try is counted on its challenge and, by their sum, against the address, so that a new code resets nothing.
Browsers that have signed in to an address before have a budget of their own: a stranger who guesses uses up the
strangers' budget and locks nobody out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.record.accounts import Address, Why
from engine.record.tables import email_otps, user_auth_sessions, users

TRIES_PER_CODE = 5
FAILURES_PER_DAY = 10
"""Per address, all codes together: a guess succeeds once in 100,000 days of trying (10 of 10^6).

A failure counts until a day after its code has ended, and so for at least a day, whenever it was made.
"""
DAY = timedelta(days=1)
FORGOTTEN_AT_ONCE = 20
DOUBTED: tuple[Why, ...] = ("reused", "google_linked")
"""Logins that may have been somebody else's: of their browsers none is known by them."""


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """A code that is about to be sent."""

    id: UUID
    email: str
    email_key: str
    code_hash: bytes
    browser_hash: bytes
    browser_known: bool
    expires_at: datetime


class Passed(msgspec.Struct, frozen=True):
    """The code was right: this address is theirs."""

    address: Address


class Wrong(msgspec.Struct, frozen=True):
    """The code was not right; 0 tries left means that a new code is needed."""

    tries_left: int


class Dead(Enum):
    """Nothing was tried."""

    BURNED = "burned"
    OVER = "over"
    """Used, too old, another browser's, or never sent; which of these is not told."""


Tried = Passed | Wrong | Dead


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A challenge before it is tried. `browser_known`: it is this browser's, which was known at the address."""

    browser_known: bool
    dead: Dead | None


async def knows(connection: AsyncConnection, email_key: str, browser_hash: bytes) -> bool:
    """Whether this browser has signed in to this address before, and may have been its owner's.

    It may not where a refresh token was used twice, or where the owner proved themselves by Google afterwards.
    """
    doubted = sa.func.coalesce(user_auth_sessions.c.revoked_why, "").in_(DOUBTED)
    before = (
        sa.select(user_auth_sessions.c.id)
        .join(users, users.c.id == user_auth_sessions.c.user_id)
        .where(
            users.c.email_key == email_key,
            user_auth_sessions.c.browser_hash == browser_hash,
            sa.not_(doubted),
        )
    )
    return bool((await connection.execute(sa.select(before.exists()))).scalar_one())


async def look(connection: AsyncConnection, challenge_id: UUID, browser_hash: bytes, now: datetime) -> Standing:
    """How a challenge stands, without a try: what is dead is told so without waiting for anybody's try."""
    otps = email_otps.c
    mine = sa.select(otps.browser_known, otps.consumed_at, otps.expires_at, otps.failures)
    row = (await connection.execute(mine.where(*_own(challenge_id, browser_hash)))).one_or_none()
    if row is None:
        return Standing(browser_known=False, dead=Dead.OVER)
    if row.consumed_at is not None or row.expires_at <= now:
        return Standing(browser_known=row.browser_known, dead=Dead.OVER)
    return Standing(browser_known=row.browser_known, dead=Dead.BURNED if row.failures >= TRIES_PER_CODE else None)


async def open_challenge(connection: AsyncConnection, challenge: Challenge, now: datetime) -> bool:
    """Store a challenge; earlier codes of the same browser for this address end. False: the budget is used up."""
    otps = email_otps.c
    await connection.execute(
        sa.update(email_otps)
        .where(
            otps.email_key == challenge.email_key,
            otps.browser_hash == challenge.browser_hash,
            otps.consumed_at.is_(None),
            otps.expires_at > now,
        )
        .values(expires_at=now)
    )
    await connection.execute(sa.insert(email_otps).values(**msgspec.structs.asdict(challenge), created_at=now))
    budget = _failures(challenge.email_key, challenge.browser_known, challenge.browser_hash, now)
    used = (await connection.execute(sa.select(budget.scalar_subquery()))).scalar_one()
    return bool(used < FAILURES_PER_DAY)


async def try_code(
    connection: AsyncConnection, challenge_id: UUID, browser_hash: bytes, code_hashes: Sequence[bytes], now: datetime
) -> Tried:
    """Try a code; its hashes are by the newest key and by older ones.

    One update decides: it takes a try or consumes the code, and so it is used at most once.
    """
    otps = email_otps.c
    mine = _own(challenge_id, browser_hash)
    # Tries at one address go one after the other, or many at once would overdraw its budget.
    lock = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(otps.email_key, 0))
    locked = await connection.execute(sa.select(lock).where(*mine))
    if locked.first() is None:
        return Dead.OVER
    right = otps.code_hash.in_(code_hashes)
    asked = email_otps.alias("asked").c
    budget = _failures(otps.email_key, otps.browser_known, otps.browser_hash, now, asked)
    statement = (
        sa.update(email_otps)
        .where(
            *mine,
            otps.consumed_at.is_(None),
            otps.expires_at > now,
            otps.failures < TRIES_PER_CODE,
            budget.scalar_subquery() < FAILURES_PER_DAY,
        )
        .values(
            consumed_at=sa.case((right, now), else_=None),
            failures=otps.failures + sa.case((right, 0), else_=1),
        )
        .returning(otps.consumed_at, otps.failures, otps.email, otps.email_key)
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        alive = sa.select(otps.id).where(*mine, otps.consumed_at.is_(None), otps.expires_at > now)
        return Dead.BURNED if (await connection.execute(alive)).first() else Dead.OVER
    if row.consumed_at is not None:
        return Passed(Address(row.email, row.email_key))
    return Wrong(TRIES_PER_CODE - row.failures)


def _own(challenge_id: UUID, browser_hash: bytes) -> tuple[sa.ColumnElement[bool], ...]:
    return email_otps.c.id == challenge_id, email_otps.c.browser_hash == browser_hash


async def forget_old(connection: AsyncConnection, now: datetime) -> None:
    """Delete some challenges whose failures no longer count. Each new one clears away more than one old one."""
    old = (
        sa.select(email_otps.c.id)
        .where(email_otps.c.created_at < now - DAY, email_otps.c.expires_at < now - DAY)
        .limit(FORGOTTEN_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    await connection.execute(sa.delete(email_otps).where(email_otps.c.id.in_(old)))


def _failures(
    email_key: object,
    browser_known: object,
    browser_hash: object,
    now: datetime,
    asked: sa.ColumnCollection[str, sa.ColumnElement[object]] | None = None,
) -> sa.Select[tuple[int]]:
    """Wrong tries of the last day at an address: by strangers all together, by each known browser alone."""
    otps = email_otps.c if asked is None else asked
    return sa.select(sa.func.coalesce(sa.func.sum(otps.failures), 0)).where(
        otps.email_key == email_key,
        otps.expires_at > now - DAY,
        otps.browser_known == browser_known,
        sa.or_(sa.not_(otps.browser_known), otps.browser_hash == browser_hash),
    )
