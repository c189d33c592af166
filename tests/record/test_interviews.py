"""Starting an interview once, finding those that are due, and the epoch that only one process may begin."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.interview import GRACE_MS
from engine.core.pack import Pack, parse_pack
from engine.record import interviews
from engine.record.catalog import load_packs
from engine.record.events import driver, millis
from engine.record.interviews import KeyReused, NotStartable
from tests.core.shipped import SMALL

PACK = parse_pack(SMALL)
NOW = 1_900_000_000_000
CLARIFY_MS = 60_000


def sibling(slug: str, **changes: object) -> Pack:
    return msgspec.structs.replace(PACK, id=slug, **changes)


@pytest.fixture
async def user(engine: AsyncEngine) -> UUID:
    """Somebody, and a few questions."""
    await load_packs(
        engine,
        [
            PACK,
            sibling("another"),
            sibling("locked", access="locked"),
            sibling("soon", status="coming_soon"),
            sibling("retired", status="retired"),
            sibling("draft", status="draft"),
        ],
    )
    return await new_user(engine)


async def new_user(engine: AsyncEngine) -> UUID:
    id = uuid4()
    async with driver(engine) as connection:
        await connection.execute("INSERT INTO users (id, email, email_key) VALUES ($1, $2, $2)", id, f"{id}@x.org")
    return id


async def submitted(engine: AsyncEngine, id: UUID) -> None:
    async with driver(engine) as connection:
        await connection.execute("UPDATE interview_sessions SET phase = 'submitted' WHERE id = $1", id)


# --- start -------------------------------------------------------------------------------------------------


async def test_an_interview_starts_with_its_pack_and_its_times(engine: AsyncEngine, user: UUID) -> None:
    row, new = await interviews.start(engine, user, PACK.id, NOW)
    assert new
    assert (row.slug, row.phase, row.epoch, row.recorded_seq) == (PACK.id, "clarifying", 0, 0)
    assert (millis(row.started_at), millis(row.deadline_at)) == (NOW, NOW + CLARIFY_MS)
    assert (row.clarify_seconds, row.design_seconds, row.user_id) == (60, 600, user)
    assert await interviews.read(engine, str(row.id)) == row


async def test_starting_again_gives_back_the_active_one(engine: AsyncEngine, user: UUID) -> None:
    first, _ = await interviews.start(engine, user, PACK.id, NOW)
    assert await interviews.start(engine, user, PACK.id, NOW + 5_000) == (first, False)
    other, new = await interviews.start(engine, user, "another", NOW)
    assert new and other.id != first.id
    _, new = await interviews.start(engine, await new_user(engine), PACK.id, NOW)
    assert new


async def test_twenty_starts_at_once_are_one(engine: AsyncEngine, user: UUID) -> None:
    found = await asyncio.gather(*(interviews.start(engine, user, PACK.id, NOW + i) for i in range(20)))
    assert len({row.id for row, _ in found}) == 1
    assert sum(new for _, new in found) == 1


async def test_a_submitted_one_is_over_and_the_next_may_start(engine: AsyncEngine, user: UUID) -> None:
    first, _ = await interviews.start(engine, user, PACK.id, NOW)
    await submitted(engine, first.id)
    second, new = await interviews.start(engine, user, PACK.id, NOW + 1)
    assert new and second.id != first.id


async def test_a_request_that_is_sent_again_starts_nothing_new(engine: AsyncEngine, user: UUID) -> None:
    """Also when the interview it started is over by then: it carries its key."""
    first, _ = await interviews.start(engine, user, PACK.id, NOW, "key-1")
    await submitted(engine, first.id)
    again, new = await interviews.start(engine, user, PACK.id, NOW + 1, "key-1")
    assert (again.id, new) == (first.id, False)
    second, new = await interviews.start(engine, user, PACK.id, NOW + 1, "key-2")
    assert new and second.id != first.id


async def test_61_a_key_gives_back_what_it_started_though_another_is_active_by_now(
    engine: AsyncEngine, user: UUID
) -> None:
    first, _ = await interviews.start(engine, user, PACK.id, NOW, "key-1")
    await submitted(engine, first.id)
    second, _ = await interviews.start(engine, user, PACK.id, NOW + 1, "key-2")
    for key, id in (("key-1", first.id), ("key-2", second.id), (None, second.id), ("key-3", second.id)):
        again, new = await interviews.start(engine, user, PACK.id, NOW + 2, key)
        assert (again.id, new) == (id, False), key


async def test_61_an_interview_without_a_key_takes_the_first_that_it_is_given_back_to(
    engine: AsyncEngine, user: UUID
) -> None:
    first, _ = await interviews.start(engine, user, PACK.id, NOW)
    for key in ("key-1", "key-2"):
        assert await interviews.start(engine, user, PACK.id, NOW + 1, key) == (first, False)
    await submitted(engine, first.id)
    again, new = await interviews.start(engine, user, PACK.id, NOW + 2, "key-1")
    assert (again.id, new) == (first.id, False)
    with pytest.raises(KeyReused):
        await interviews.start(engine, user, "another", NOW + 2, "key-1")
    second, new = await interviews.start(engine, user, PACK.id, NOW + 2, "key-2")
    assert new and second.id != first.id


async def test_61_a_key_for_two_questions_at_once_starts_one(engine: AsyncEngine, user: UUID) -> None:
    users = [user, *[await new_user(engine) for _ in range(3)]]
    slugs = (PACK.id, "another")
    ends = await asyncio.gather(
        *(interviews.start(engine, one, slug, NOW, "key-1") for one in users for slug in slugs), return_exceptions=True
    )
    assert sum(isinstance(end, KeyReused) for end in ends) == 4, ends
    assert [len(await interviews.history(engine, one, 10)) for one in users] == [1] * 4


async def test_61_a_key_that_started_another_question_starts_nothing(engine: AsyncEngine, user: UUID) -> None:
    await interviews.start(engine, user, PACK.id, NOW, "key-1")
    with pytest.raises(KeyReused):
        await interviews.start(engine, user, "another", NOW, "key-1")
    assert len(await interviews.history(engine, user, 10)) == 1
    _, new = await interviews.start(engine, await new_user(engine), "another", NOW, "key-1")
    assert new


@pytest.mark.parametrize(
    ("slug", "why"),
    [
        ("nowhere", "unknown"),
        ("draft", "unknown"),
        ("retired", "unknown"),
        ("soon", "coming_soon"),
        ("locked", "locked"),
    ],
)
async def test_what_cannot_be_started_says_why(engine: AsyncEngine, user: UUID, slug: str, why: str) -> None:
    with pytest.raises(NotStartable) as refused:
        await interviews.start(engine, user, slug, NOW)
    assert refused.value.why == why


async def test_an_active_one_goes_on_though_its_question_was_retired(engine: AsyncEngine, user: UUID) -> None:
    first, _ = await interviews.start(engine, user, PACK.id, NOW)
    await load_packs(engine, [sibling(PACK.id, status="retired", version=3)])
    assert await interviews.start(engine, user, PACK.id, NOW) == (first, False)


# --- what is due -------------------------------------------------------------------------------------------


async def test_clarifying_is_due_at_its_deadline_and_design_after_its_grace(engine: AsyncEngine, user: UUID) -> None:
    row, _ = await interviews.start(engine, user, PACK.id, NOW)
    id, deadline = str(row.id), NOW + CLARIFY_MS
    assert await interviews.due(engine, deadline - 1) == []
    assert await interviews.due(engine, deadline) == [id]
    async with driver(engine) as connection:
        await connection.execute("UPDATE interview_sessions SET phase = 'design'")
    assert await interviews.due(engine, deadline + GRACE_MS - 1) == []
    assert await interviews.due(engine, deadline + GRACE_MS) == [id]
    await submitted(engine, row.id)
    assert await interviews.due(engine, deadline + GRACE_MS) == []


async def test_a_parked_one_is_nobodys_deadline(engine: AsyncEngine, user: UUID) -> None:
    row, _ = await interviews.start(engine, user, PACK.id, NOW)
    await interviews.park(engine, str(row.id), "DataError")
    assert await interviews.due(engine, NOW + 10 * CLARIFY_MS) == []


# --- epochs ------------------------------------------------------------------------------------------------


async def test_one_process_begins_an_epoch(engine: AsyncEngine, user: UUID) -> None:
    row, _ = await interviews.start(engine, user, PACK.id, NOW)
    won = await asyncio.gather(*(interviews.raise_epoch(engine, str(row.id), 0, 1) for _ in range(10)))
    assert sum(won) == 1
    assert not await interviews.raise_epoch(engine, str(row.id), 0, 2)
    assert await interviews.raise_epoch(engine, str(row.id), 1, 9)
    after = await interviews.read(engine, str(row.id))
    assert after is not None and after.epoch == 9


async def test_history_is_a_users_own_newest_first_in_pages(engine: AsyncEngine, user: UUID) -> None:
    ids: list[UUID] = []
    for i in range(4):
        row, _ = await interviews.start(engine, user, PACK.id, NOW + i * 1_000)
        await submitted(engine, row.id)
        ids.insert(0, row.id)
    await interviews.start(engine, await new_user(engine), PACK.id, NOW)
    page = await interviews.history(engine, user, 3)
    rest = await interviews.history(engine, user, 3, (page[-1].started_at, page[-1].id))
    assert [row.id for row in (*page, *rest)] == ids
    assert await interviews.read(engine, str(uuid4())) is None


async def test_history_holds_interviews_of_one_instant_once_each(engine: AsyncEngine, user: UUID) -> None:
    ids = set()
    for _ in range(4):
        row, _ = await interviews.start(engine, user, PACK.id, NOW)
        await submitted(engine, row.id)
        ids.add(row.id)
    seen: list[UUID] = []
    before = None
    while page := await interviews.history(engine, user, 1, before):
        seen.append(page[0].id)
        before = (page[0].started_at, page[0].id)
    assert len(seen) == 4 and set(seen) == ids
