"""Users and their logins. A login is one sign-in on one device: a row of `user_auth_sessions`.

Functions take the connection, so that a flow is one transaction; `now` is an argument, so that tests move time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Literal
from uuid import UUID, uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.record.tables import user_auth_sessions as logins
from engine.record.tables import users

REMEMBERED = timedelta(days=180)
"""How long a browser is known at an address after its last login there was over."""

Method = Literal["code", "google"]
Why = Literal["logged_out", "logged_out_everywhere", "reused", "google_linked"]


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person, as they may see themselves."""

    id: UUID
    email: str
    name: str
    avatar_url: str | None


class Address(msgspec.Struct, frozen=True):
    """An email address as written, and as it is looked up."""

    written: str
    key: str


class NewLogin(msgspec.Struct, frozen=True, kw_only=True):
    """What a login starts with: hashes only, never the token, the cookie or the client themselves."""

    id: UUID
    user_id: UUID
    refresh_hash: bytes
    client_hash: bytes
    browser_hash: bytes | None
    method: Method
    expires_at: datetime


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a refresh token: from the hash of the old to that of the new, which is sealed by the old."""

    login_id: UUID
    old_hash: bytes
    new_hash: bytes
    sealed: bytes
    client_hash: bytes
    expires_at: datetime
    login_ttl: timedelta
    """A login lasts no longer than this from its beginning."""


class LoginState(msgspec.Struct, frozen=True, kw_only=True):
    """A login that is neither revoked nor over."""

    user_id: UUID
    previous_hash: bytes | None
    successor_sealed: bytes | None
    client_hash: bytes
    rotated_at: datetime


USER = (users.c.id, users.c.email, users.c.name, users.c.avatar_url)


async def user_by_id(connection: AsyncConnection, user_id: UUID) -> User | None:
    """The user with this id."""
    return await _one_user(connection, sa.select(*USER).where(users.c.id == user_id))


async def user_by_google(connection: AsyncConnection, subject: str) -> User | None:
    """The user this Google account belongs to."""
    return await _one_user(connection, sa.select(*USER).where(users.c.google_sub == subject))


async def user_by_address(connection: AsyncConnection, address: Address, now: datetime) -> User:
    """The user with this address; a new one where there is none. Only for an address that has been proved."""
    new = insert(users).values(id=uuid4(), email=address.written, email_key=address.key, created_at=now, updated_at=now)
    # The empty update makes the row come back, whoever of two at once was first.
    same = new.on_conflict_do_update(index_elements=["email_key"], set_={"email_key": new.excluded.email_key})
    user = await _one_user(connection, same.returning(*USER))
    assert user is not None
    return user


class Linked(Enum):
    """What became of a link between a Google account and a user."""

    NOW = "now"
    BEFORE = "before"
    """By whoever came first; it may have been an instant ago."""
    REFUSED = "refused"
    """Either of them belongs to another already."""


async def link_google(connection: AsyncConnection, user_id: UUID, subject: str) -> Linked:
    """Make this Google account a way in to this user."""
    link = sa.update(users).where(users.c.id == user_id, users.c.google_sub.is_(None)).values(google_sub=subject)
    try:
        async with connection.begin_nested():  # somebody else's link may be on its way
            if (await connection.execute(link)).rowcount == 1:
                return Linked.NOW
    except IntegrityError:
        return Linked.REFUSED
    theirs = await user_by_google(connection, subject)
    return Linked.BEFORE if theirs is not None and theirs.id == user_id else Linked.REFUSED


async def fill_profile(connection: AsyncConnection, user_id: UUID, name: str, avatar_url: str | None) -> User | None:
    """Take name and picture from an identity provider, where the user has none yet."""
    filled = sa.update(users).where(users.c.id == user_id)
    filled = filled.values(
        name=sa.case((users.c.name == "", name), else_=users.c.name),
        avatar_url=sa.func.coalesce(users.c.avatar_url, avatar_url),
    )
    return await _one_user(connection, filled.returning(*USER))


async def change_profile(
    connection: AsyncConnection, user_id: UUID, changes: dict[str, str | None], now: datetime
) -> User | None:
    """Set `name` and `avatar_url` where `changes` has them; None when there is no such user."""
    values = {field: changes[field] for field in ("name", "avatar_url") if field in changes}
    changed = sa.update(users).where(users.c.id == user_id).values(**values, updated_at=now)
    return await _one_user(connection, changed.returning(*USER))


async def open_login(connection: AsyncConnection, login: NewLogin, now: datetime) -> None:
    """Store a new login; those of the user that ended long ago are forgotten, and with them their browsers."""
    ended = (logins.c.user_id == login.user_id, logins.c.expires_at < now - REMEMBERED)
    await connection.execute(sa.delete(logins).where(*ended))
    await connection.execute(sa.insert(logins).values(**msgspec.structs.asdict(login), created_at=now, rotated_at=now))


async def rotate(connection: AsyncConnection, rotation: Rotation, now: datetime) -> UUID | None:
    """Exchange the current refresh token for its successor; the user's id, or None when it is not current."""
    exchanged = await connection.execute(
        sa.update(logins)
        .where(
            logins.c.id == rotation.login_id,
            logins.c.refresh_hash == rotation.old_hash,
            logins.c.revoked_at.is_(None),
            logins.c.expires_at > now,
        )
        .values(
            refresh_hash=rotation.new_hash,
            previous_hash=rotation.old_hash,
            successor_sealed=rotation.sealed,
            client_hash=rotation.client_hash,
            rotated_at=now,
            expires_at=sa.func.least(rotation.expires_at, logins.c.created_at + rotation.login_ttl),
        )
        .returning(logins.c.user_id)
    )
    user_id: UUID | None = exchanged.scalar_one_or_none()
    return user_id


async def login_state(connection: AsyncConnection, login_id: UUID, now: datetime) -> LoginState | None:
    """A login that still stands; None when it is over, revoked, or never was."""
    columns = [logins.c[name] for name in LoginState.__struct_fields__]
    found = await connection.execute(
        sa.select(*columns).where(logins.c.id == login_id, logins.c.revoked_at.is_(None), logins.c.expires_at > now)
    )
    row = found.mappings().one_or_none()
    return LoginState(**row) if row else None


async def revoke(connection: AsyncConnection, login_id: UUID, why: Why, now: datetime) -> UUID | None:
    """End one login for good; whose it was, or None when it had ended already."""
    ended = await connection.execute(
        sa.update(logins)
        .where(logins.c.id == login_id, logins.c.revoked_at.is_(None))
        .values(revoked_at=now, revoked_why=why)
        .returning(logins.c.user_id)
    )
    user_id: UUID | None = ended.scalar_one_or_none()
    return user_id


async def revoke_all(connection: AsyncConnection, user_id: UUID, why: Why, now: datetime) -> list[UUID]:
    """End every login of a user; the ids of those that ended."""
    ended = await connection.execute(
        sa.update(logins)
        .where(logins.c.user_id == user_id, logins.c.revoked_at.is_(None), logins.c.expires_at > now)
        .values(revoked_at=now, revoked_why=why)
        .returning(logins.c.id)
    )
    return list(ended.scalars())


async def _one_user(connection: AsyncConnection, statement: sa.Executable) -> User | None:
    row: Any = (await connection.execute(statement)).mappings().one_or_none()
    return User(**row) if row else None
