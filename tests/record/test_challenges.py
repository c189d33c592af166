"""One-time codes in the record: used once, five tries, and failures that no new code forgives."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.record import accounts, challenges
from engine.record.accounts import Address, NewLogin, Why
from engine.record.challenges import Challenge, Dead, Passed, Tried, Wrong
from tests.until import until

ADA = Address("Ada@example.com", "ada@example.com")
RIGHT, WRONG = b"right", b"wrong"
HERE, ELSEWHERE = b"this browser", b"another browser"


async def ask(engine: AsyncEngine, now: datetime, *, browser: bytes = HERE, known: bool = False) -> tuple[UUID, bool]:
    """A challenge for Ada whose code has the hash RIGHT; and whether a code may be sent at all."""
    challenge = Challenge(
        id=uuid4(),
        email=ADA.written,
        email_key=ADA.key,
        code_hash=RIGHT,
        browser_hash=browser,
        browser_known=known,
        expires_at=now + timedelta(minutes=10),
    )
    async with engine.begin() as connection:
        return challenge.id, await challenges.open_challenge(connection, challenge, now)


async def attempt(engine: AsyncEngine, id: UUID, code: bytes, now: datetime, *, browser: bytes = HERE) -> Tried:
    async with engine.begin() as connection:
        return await challenges.try_code(connection, id, browser, [code], now)


async def test_40_the_right_code_passes_once(engine: AsyncEngine, now: datetime) -> None:
    id, _ = await ask(engine, now)
    assert await attempt(engine, id, RIGHT, now) == Passed(ADA)
    assert await attempt(engine, id, RIGHT, now) is Dead.OVER


async def test_30_of_many_right_tries_at_once_one_passes(engine: AsyncEngine, now: datetime) -> None:
    id, _ = await ask(engine, now)
    tried = await asyncio.gather(*(attempt(engine, id, RIGHT, now) for _ in range(8)))
    assert sorted(map(str, tried)) == sorted([str(Passed(ADA)), *[str(Dead.OVER)] * 7])


async def test_36_five_wrong_tries_burn_a_code(engine: AsyncEngine, now: datetime) -> None:
    id, _ = await ask(engine, now)
    assert [await attempt(engine, id, WRONG, now) for _ in range(5)] == [Wrong(left) for left in (4, 3, 2, 1, 0)]
    assert await attempt(engine, id, RIGHT, now) is Dead.BURNED


@pytest.mark.parametrize("late_seconds", [600, 601, 86_000])
async def test_40_a_code_is_over_after_ten_minutes(engine: AsyncEngine, now: datetime, late_seconds: int) -> None:
    id, _ = await ask(engine, now)
    assert await attempt(engine, id, RIGHT, now + timedelta(seconds=late_seconds)) is Dead.OVER


async def test_40_a_code_counts_only_in_the_browser_that_asked(engine: AsyncEngine, now: datetime) -> None:
    id, _ = await ask(engine, now)
    assert await attempt(engine, id, RIGHT, now, browser=ELSEWHERE) is Dead.OVER
    assert await attempt(engine, uuid4(), RIGHT, now) is Dead.OVER
    assert await attempt(engine, id, RIGHT, now) == Passed(ADA)


async def test_40_a_new_code_ends_the_one_before_in_this_browser_only(engine: AsyncEngine, now: datetime) -> None:
    first, _ = await ask(engine, now)
    other, _ = await ask(engine, now, browser=ELSEWHERE)
    second, _ = await ask(engine, now + timedelta(seconds=1))
    later = now + timedelta(seconds=2)
    assert await attempt(engine, first, RIGHT, later) is Dead.OVER
    assert await attempt(engine, other, RIGHT, later, browser=ELSEWHERE) == Passed(ADA)
    assert await attempt(engine, second, RIGHT, later) == Passed(ADA)


async def test_37_failures_survive_new_codes(engine: AsyncEngine, now: datetime) -> None:
    for _ in range(2):
        id, sent = await ask(engine, now)
        assert sent
        assert await attempt(engine, id, WRONG, now) == Wrong(4)
        for _ in range(4):
            await attempt(engine, id, WRONG, now)
    id, sent = await ask(engine, now)
    assert not sent
    assert await attempt(engine, id, RIGHT, now) is Dead.BURNED
    tomorrow = now + timedelta(days=1, seconds=1)
    id, sent = await ask(engine, tomorrow)
    assert sent
    assert await attempt(engine, id, RIGHT, tomorrow) == Passed(ADA)


async def test_37_failures_count_for_a_whole_day_whenever_a_code_was_asked_for(
    engine: AsyncEngine, now: datetime
) -> None:
    asked = [(await ask(engine, now, browser=browser))[0] for browser in (HERE, ELSEWHERE)]
    last_second = now + timedelta(minutes=9, seconds=59)
    for id, browser in zip(asked, (HERE, ELSEWHERE), strict=True):
        for _ in range(5):
            assert isinstance(await attempt(engine, id, WRONG, last_second, browser=browser), Wrong)
    assert not (await ask(engine, last_second + timedelta(days=1)))[1]
    assert (await ask(engine, last_second + timedelta(days=1, seconds=1)))[1]


async def test_37_guessing_on_many_codes_at_once_stops_at_the_cap(engine: AsyncEngine, now: datetime) -> None:
    browsers = [f"browser {n}".encode() for n in range(6)]
    codes = [((await ask(engine, now, browser=browser))[0], browser) for browser in browsers]
    tried = await asyncio.gather(*(attempt(engine, id, WRONG, now, browser=by) for id, by in codes * 3))
    assert sum(isinstance(one, Wrong) for one in tried) == challenges.FAILURES_PER_DAY


async def test_37_a_try_waits_for_one_at_the_same_address_that_is_not_yet_counted(
    engine: AsyncEngine, now: datetime
) -> None:
    (first, _), (second, _) = await ask(engine, now), await ask(engine, now, browser=ELSEWHERE)
    for _ in range(4):
        await attempt(engine, first, WRONG, now)
    third, _ = await ask(engine, now, browser=b"a third")
    for _ in range(5):
        await attempt(engine, third, WRONG, now, browser=b"a third")
    async with engine.begin() as connection:
        assert await challenges.try_code(connection, first, HERE, [WRONG], now) == Wrong(0)
        other = asyncio.create_task(attempt(engine, second, WRONG, now, browser=ELSEWHERE))
        await until(lambda: waits(engine, other))
    assert await other is Dead.BURNED


async def waits(engine: AsyncEngine, task: asyncio.Task[Tried]) -> bool:
    """Whether a try stands at a lock (or, wrongly, went past it)."""
    async with engine.connect() as connection:
        waiting = await connection.execute(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
        return task.done() or bool(waiting.scalar_one())


async def test_39_a_strangers_failures_do_not_lock_the_owner_out(engine: AsyncEngine, now: datetime) -> None:
    await sign_in(engine, now, HERE)
    async with engine.begin() as connection:
        assert await challenges.knows(connection, ADA.key, HERE)
        assert not await challenges.knows(connection, ADA.key, ELSEWHERE)
    for _ in range(2):
        id, _ = await ask(engine, now, browser=ELSEWHERE)
        for _ in range(5):
            await attempt(engine, id, WRONG, now, browser=ELSEWHERE)
    assert not (await ask(engine, now, browser=ELSEWHERE))[1]
    id, sent = await ask(engine, now, known=True)
    assert sent
    assert await attempt(engine, id, RIGHT, now) == Passed(ADA)


KNOWN: dict[str, tuple[Why | None, bool]] = {
    "39 a login that stands": (None, True),
    "39 logged out": ("logged_out", True),
    "39 logged out everywhere": ("logged_out_everywhere", True),
    "54 a token was used twice": ("reused", False),
    "49 the owner came by Google": ("google_linked", False),
}


@pytest.mark.parametrize(("why", "known"), KNOWN.values(), ids=KNOWN)
async def test_browsers_are_known_by_logins_that_may_have_been_the_owners(
    engine: AsyncEngine, now: datetime, why: Why | None, known: bool
) -> None:
    await sign_in(engine, now, HERE)
    async with engine.begin() as connection:
        user = await accounts.user_by_address(connection, ADA, now)
        if why is not None:
            await accounts.revoke_all(connection, user.id, why, now)
        assert await challenges.knows(connection, ADA.key, HERE) is known


async def test_old_challenges_are_forgotten(engine: AsyncEngine, now: datetime) -> None:
    id, _ = await ask(engine, now)
    async with engine.begin() as connection:
        await challenges.forget_old(connection, now + timedelta(days=1, minutes=10, seconds=1))
    assert await attempt(engine, id, RIGHT, now) is Dead.OVER


async def sign_in(engine: AsyncEngine, now: datetime, browser: bytes) -> None:
    async with engine.begin() as connection:
        user = await accounts.user_by_address(connection, ADA, now)
        login = NewLogin(
            id=uuid4(),
            user_id=user.id,
            refresh_hash=b"r",
            client_hash=b"c",
            browser_hash=browser,
            method="code",
            expires_at=now + timedelta(days=30),
        )
        await accounts.open_login(connection, login, now)
