"""Which questions the record knows to be missed: fallbacks and refusals, of one question, newest first, while they are
somebody's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.gaps import Missed
from engine.core.machine import Asked
from engine.core.matcher import Matched
from engine.record import interviews, missed
from engine.record.catalog import load_packs
from engine.record.deletion import delete_user
from engine.record.events import driver
from engine.record.missed import read_missed, read_pack, read_slugs
from protocol import commands as c
from tests.core.test_machine import CHANGE, PACK
from tests.record.test_events import Written, write
from tests.record.test_interviews import NOW, new_user, sibling


@pytest.fixture
async def user(engine: AsyncEngine) -> UUID:
    await load_packs(engine, [PACK, sibling("another")])
    return await new_user(engine)


async def begun(engine: AsyncEngine, user: UUID, slug: str = PACK.id) -> Written:
    row, _ = await interviews.start(engine, user, slug, NOW)
    return Written(row)


def says(text: str, zone: Any = "fallback") -> Asked:
    return Asked((Matched(text=text, zone=zone, intent=None if zone == "fallback" else CHANGE, score=0.5),))


async def texts(engine: AsyncEngine, slug: str = PACK.id, days: float | None = None) -> list[str]:
    found, _ = await read_missed(engine, slug, days)
    return [one.text for one in found]


async def test_fallbacks_and_refusals_are_missed_and_answers_are_not(engine: AsyncEngine, user: UUID) -> None:
    one = await begun(engine, user)
    one.does(says("fallen"), says("taken", "answer"), c.Reject(ref=2), says("meant", "confirm"), c.Reject(ref=4))
    one.does(says("well answered", "answer"), says("left open", "confirm"), says("sure", "confirm"), c.Confirm(ref=8))
    await write(engine, one.batch())
    found, more = await read_missed(engine, PACK.id)
    assert sorted(found, key=lambda one: one.text) == [
        Missed("fallen", str(user)), Missed("meant", str(user), CHANGE), Missed("taken", str(user), CHANGE),
    ]  # fmt: skip
    assert not more


async def test_a_confirmed_answer_that_is_refused_counts_once(engine: AsyncEngine, user: UUID) -> None:
    one = await begun(engine, user)
    await write(engine, one.does(says("odd", "confirm"), c.Confirm(ref=1), c.Reject(ref=2)).batch())
    assert await texts(engine) == ["odd"]


async def test_each_question_has_its_own_and_people_are_told_apart(engine: AsyncEngine, user: UUID) -> None:
    await write(engine, (await begun(engine, user)).does(says("mine")).batch())
    await write(engine, (await begun(engine, user, "another")).does(says("elsewhere")).batch())
    other = await new_user(engine)
    await write(engine, (await begun(engine, other)).does(says("theirs")).batch())
    assert await texts(engine, "another") == ["elsewhere"]
    found, _ = await read_missed(engine, PACK.id)
    assert {(one.text, one.person) for one in found} == {("mine", str(user)), ("theirs", str(other))}


async def test_a_deleted_account_leaves_nothing(engine: AsyncEngine, user: UUID) -> None:
    await write(engine, (await begun(engine, user)).does(says("mine")).batch())
    async with engine.begin() as connection:
        assert await delete_user(connection, user) is not None
    assert await texts(engine) == []


async def test_the_newest_come_first_and_it_says_when_there_are_more(
    engine: AsyncEngine, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await begun(engine, user)
    for number in range(4):
        one.does(says(f"question {number}"), now=NOW + number)
    await write(engine, one.batch())
    assert await texts(engine) == [f"question {number}" for number in (3, 2, 1, 0)]
    monkeypatch.setattr(missed, "MISSED_MAX", 4)
    assert not (await read_missed(engine, PACK.id))[1]
    monkeypatch.setattr(missed, "MISSED_MAX", 3)
    assert await texts(engine) == [f"question {number}" for number in (3, 2, 1)]
    assert (await read_missed(engine, PACK.id))[1]


async def test_only_the_last_days_are_read_when_that_is_asked(engine: AsyncEngine, user: UUID) -> None:
    await write(engine, (await begun(engine, user)).does(says("old"), says("fresh")).batch())
    now = datetime.now(UTC)
    async with driver(engine) as connection:
        for seq, ago in ((1, timedelta(days=3)), (2, timedelta(hours=11))):
            await connection.execute("UPDATE clarification_logs SET asked_at = $1 WHERE seq = $2", now - ago, seq)
    assert await texts(engine, days=7) == ["fresh", "old"]
    assert await texts(engine, days=0.5) == ["fresh"]
    assert await texts(engine, days=0.25) == []


async def test_rules_are_those_that_new_interviews_get(engine: AsyncEngine, user: UUID) -> None:
    assert await read_slugs(engine) == ["another", PACK.id]
    later = sibling(PACK.id, version=PACK.version + 1, title="Later")
    await load_packs(engine, [later])
    assert await read_pack(engine, PACK.id) == later
