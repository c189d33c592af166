"""Users are found by what was proved, and a refresh token is exchanged once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from engine.record import accounts
from engine.record.accounts import Address, Linked, NewLogin, Rotation, User

ADA = Address("Ada@example.com", "ada@example.com")


async def make_user(engine: AsyncEngine, now: datetime, address: Address = ADA) -> User:
    async with engine.begin() as connection:
        return await accounts.user_by_address(connection, address, now)


async def make_login(engine: AsyncEngine, user: User, now: datetime) -> UUID:
    login = NewLogin(
        id=uuid4(),
        user_id=user.id,
        refresh_hash=b"first",
        client_hash=b"client",
        browser_hash=None,
        method="code",
        expires_at=now + timedelta(days=30),
    )
    async with engine.begin() as connection:
        await accounts.open_login(connection, login, now)
    return login.id


async def rotate(engine: AsyncEngine, login_id: UUID, old: bytes, new: bytes, now: datetime) -> UUID | None:
    rotation = Rotation(
        login_id=login_id,
        old_hash=old,
        new_hash=new,
        sealed=b"sealed",
        client_hash=b"client",
        expires_at=now + timedelta(days=30),
        login_ttl=timedelta(days=90),
    )
    async with engine.begin() as connection:
        return await accounts.rotate(connection, rotation, now)


async def test_one_address_is_one_user_however_many_ask_at_once(engine: AsyncEngine, now: datetime) -> None:
    written = [Address(word, "ada@example.com") for word in ("ada@example.com", "ADA@example.com")] * 3
    made = await asyncio.gather(*(make_user(engine, now, address) for address in written))
    assert len({user.id for user in made}) == 1


async def test_a_google_account_belongs_to_one_user(engine: AsyncEngine, now: datetime) -> None:
    user = await make_user(engine, now)
    async with engine.begin() as connection:
        assert await accounts.user_by_google(connection, "g-1") is None
        assert await accounts.link_google(connection, user.id, "g-1") is Linked.NOW
        assert await accounts.link_google(connection, user.id, "g-1") is Linked.BEFORE
        assert await accounts.link_google(connection, user.id, "g-2") is Linked.REFUSED
        assert await accounts.user_by_google(connection, "g-1") == user
    other = await make_user(engine, now, Address("eve@example.com", "eve@example.com"))
    async with engine.begin() as connection:
        assert await accounts.link_google(connection, other.id, "g-1") is Linked.REFUSED


async def test_of_many_links_at_once_one_is_the_first(engine: AsyncEngine, now: datetime) -> None:
    user = await make_user(engine, now)

    async def link() -> Linked:
        async with engine.begin() as connection:
            return await accounts.link_google(connection, user.id, "g-1")

    linked = await asyncio.gather(*(link() for _ in range(4)))
    assert (linked.count(Linked.NOW), linked.count(Linked.BEFORE)) == (1, 3)


async def test_a_profile_changes_where_it_is_told_to(engine: AsyncEngine, now: datetime) -> None:
    user = await make_user(engine, now)
    async with engine.begin() as connection:
        named = await accounts.change_profile(connection, user.id, {"name": "Ada"}, now)
        pictured = await accounts.change_profile(connection, user.id, {"avatar_url": "https://x.example/a"}, now)
        assert named == User(id=user.id, email=user.email, name="Ada", avatar_url=None)
        assert pictured == User(id=user.id, email=user.email, name="Ada", avatar_url="https://x.example/a")
        filled = await accounts.fill_profile(connection, user.id, "Not Ada", "https://x.example/b")
        assert filled == pictured
        assert await accounts.user_by_id(connection, user.id) == pictured
        assert await accounts.change_profile(connection, uuid4(), {"name": "Nobody"}, now) is None


async def test_of_many_rotations_at_once_one_takes_effect(engine: AsyncEngine, now: datetime) -> None:
    user = await make_user(engine, now)
    login = await make_login(engine, user, now)
    new = [f"new {n}".encode() for n in range(8)]
    rotated = await asyncio.gather(*(rotate(engine, login, b"first", one, now) for one in new))
    assert [one for one in rotated if one is not None] == [user.id]
    async with engine.begin() as connection:
        state = await accounts.login_state(connection, login, now)
    assert state is not None
    assert state.previous_hash == b"first"


async def test_a_login_that_ended_rotates_no_more(engine: AsyncEngine, now: datetime) -> None:
    user = await make_user(engine, now)
    over, here, there = [await make_login(engine, user, now) for _ in range(3)]
    assert await rotate(engine, over, b"first", b"new", now + timedelta(days=31)) is None
    async with engine.begin() as connection:
        assert await accounts.revoke(connection, over, "logged_out", now)
        assert not await accounts.revoke(connection, over, "logged_out", now)
        ended = await accounts.revoke_all(connection, user.id, "logged_out_everywhere", now)
    assert set(ended) == {here, there}
    for login in (over, here, there):
        assert await rotate(engine, login, b"first", b"new", now) is None
        async with engine.begin() as connection:
            assert await accounts.login_state(connection, login, now) is None
