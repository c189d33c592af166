"""77: who leaves is gone from every table, and the statistics do not notice."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import sqlalchemy as sa
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.pack import pack_hash
from engine.record import accounts, browsing, challenges, deletion
from engine.record.accounts import Address, NewLogin
from engine.record.browsing import Browse
from engine.record.catalog import Catalog, load_packs
from engine.record.challenges import Challenge
from engine.record.tables import (
    clarification_logs,
    email_otps,
    evaluation_runs,
    evaluations,
    interview_events,
    interview_sessions,
    metadata,
    past_results,
    questions,
    solutions,
    users,
)
from engine.settings import Settings
from protocol.words import FIELDS
from tests.core.shipped import playable
from tests.planted import places
from tests.until import until

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PACKS = [msgspec.structs.replace(playable()[0], id=slug) for slug in ("alpha", "beta")]
CRITERION = {"run": 1, "id": "C1", "name": "Entities", "weight": 10, "points": 1.5, "points_max": 2, "score": 0.75,
             "level": 1}  # fmt: skip


@pytest.fixture
async def bank(engine: AsyncEngine) -> Catalog:
    await load_packs(engine, PACKS)
    return Catalog(engine)


async def someone(engine: AsyncEngine, word: str) -> UUID:
    """A user with a code, a login, a name, a picture and a Google account, all of which say `word`."""
    address = Address(f"{word}@example.com", f"{word}@example.com")
    async with engine.begin() as connection:
        user = (await accounts.user_by_address(connection, address, NOW)).id
        profile = {"name": word, "avatar_url": f"https://x.example/{word}"}
        await accounts.change_profile(connection, user, dict(profile), NOW)
        await accounts.link_google(connection, user, f"google-{word}")
        told = word.encode()
        await accounts.open_login(
            connection,
            NewLogin(id=uuid4(), user_id=user, refresh_hash=told, client_hash=told, browser_hash=told, method="code",
                     expires_at=NOW + timedelta(days=30)),
            NOW,
        )  # fmt: skip
        code = Challenge(id=uuid4(), email=address.written, email_key=address.key, code_hash=told, browser_hash=told,
                         browser_known=True, expires_at=NOW)  # fmt: skip
        await challenges.open_challenge(connection, code, NOW)
    return user


async def attempt(
    engine: AsyncEngine, user: UUID, word: str = "text", *, slug: str = "alpha", day: int = 0, score: float = 50,
    judge: str | None = "openai",
) -> UUID:  # fmt: skip
    """A submitted interview that says `word` wherever people or models write; not judged yet when `judge` is None."""
    interview, solution, at, told = uuid4(), uuid4(), NOW + timedelta(days=day), word.encode()
    hash = pack_hash(next(pack for pack in PACKS if pack.id == slug))
    remarks = [{"text": word, "checks": ["C1.a"]}]
    verdicts = [{"check": "C1.a", "ask": "?", "points": 1, "verdict": "met", "quote": word, "reason": word}]
    criteria = [{**CRITERION, "verdicts": verdicts}]
    asked = {"text": word, "kind": "answered", "response": word, "charged": True, "score": 1, "margin": 1,
             "matcher": "m"}  # fmt: skip
    question = sa.select(questions.c.id).where(questions.c.slug == slug).scalar_subquery()
    async with engine.begin() as connection:

        async def put(table: sa.Table, **values: Any) -> None:
            await connection.execute(sa.insert(table).values(**values))

        await put(interview_sessions, id=interview, user_id=user, question_id=question, pack_hash=hash,
                  phase="submitted", started_at=at, deadline_at=at, clarify_seconds=1, design_seconds=1,
                  idempotency_key=word, parked=word)  # fmt: skip
        await put(interview_events, interview_id=interview, seq=1, at=at, type="t", body=told, command_id=word,
                  body_hash=told, outcome=told)  # fmt: skip
        await put(clarification_logs, interview_id=interview, seq=1, asked_at=at, **asked)
        await put(solutions, id=solution, interview_id=interview, language="go", **dict.fromkeys(FIELDS, word))
        await put(evaluation_runs, interview_id=interview, run=1, state="done", verdicts={"C1": criteria[0]},
                  error={"message": word}, lease_owner=word)  # fmt: skip
        if judge is not None:
            await put(evaluations, id=uuid4(), solution_id=solution, interview_id=interview, run=1, score=score,
                      passed=score >= 60, judge=judge, rubric_version="7", criteria=criteria, strengths=remarks,
                      weaknesses=remarks, improvements=remarks, narrative=word, receipt={"said": word},
                      created_at=at)  # fmt: skip
    return interview


async def leave(engine: AsyncEngine, user: UUID) -> deletion.Deleted | None:
    async with engine.begin() as connection:
        return await deletion.delete_user(connection, user)


async def rows(engine: AsyncEngine, table: sa.Table, *where: sa.ColumnElement[bool]) -> list[Any]:
    async with engine.connect() as connection:
        return list((await connection.execute(sa.select(table).where(*where))).mappings())


def personal_tables() -> set[str]:
    """Those whose rows belong to a user, or to what does."""
    found = {"users"}
    while True:
        more = {
            table.name
            for table in metadata.tables.values()
            for key in table.foreign_keys
            if key.column.table.name in found and key.ondelete == "CASCADE"
        }
        if more <= found:
            return found | {"email_otps"}
        found |= more


async def test_77_of_who_left_no_word_stays_in_any_table(
    engine: AsyncEngine, bank: Catalog, settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "AT_ONCE", 2)
    ada, bob = await someone(engine, "canary77ada"), await someone(engine, "canary77bob")
    for user, word in ((ada, "canary77ada"), (bob, "canary77bob")):
        for day in range(3):
            await attempt(engine, user, word, day=day)
    async with engine.begin() as connection:
        await connection.execute(sa.update(questions).values(created_by=ada))

    async with Redis.from_url(redis_url) as redis:
        for word, there in (("canary77ada", personal_tables()), (str(ada), {"users", "questions"})):
            assert {f"postgres:{table}" for table in there} <= set(await places([word], settings.database_url, redis))
        bobs = await places(["canary77bob", str(bob)], settings.database_url, redis)
        deleted = await leave(engine, ada)
        assert deleted is not None and deleted.email == "canary77ada@example.com"
        assert (len(deleted.logins), len(deleted.interviews)) == (1, 3)
        named = ["canary77ada", *map(str, (ada, *deleted.logins, *deleted.interviews))]
        assert await places(named, settings.database_url, redis) == []
        assert await places(["canary77bob", str(bob)], settings.database_url, redis) == bobs
    assert await leave(engine, ada) is None
    assert len(await rows(engine, questions)) == len(PACKS)


async def test_77_of_an_evaluation_its_numbers_stay(engine: AsyncEngine, bank: Catalog) -> None:
    user = await someone(engine, "ada")
    await attempt(engine, user, score=40, day=1)
    await attempt(engine, user, score=80, day=2)
    await attempt(engine, user, slug="beta", judge="offline", day=3)
    await attempt(engine, user, slug="beta", judge=None, day=4)
    await leave(engine, user)
    kept = sorted(await rows(engine, past_results), key=lambda row: row["judged_on"])
    assert [(row["score"], row["passed"], row["judge"], row["first_attempt"]) for row in kept] == [
        (40, False, "openai", True),
        (80, True, "openai", False),
        (50, False, "offline", True),
    ]
    numbers = {"id": "C1", "points": 1.5, "points_max": 2, "score": 0.75}
    assert all(row["criteria"] == [numbers] and row["rubric_version"] == "7" for row in kept)
    assert [row["pack_hash"] for row in kept] == [pack_hash(PACKS[i]) for i in (0, 0, 1)]


async def test_77_the_acceptance_rate_is_the_same_before_and_after(
    engine: AsyncEngine, bank: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browsing, "ATTEMPTS_SHOWN_FROM", 4)
    chance = random.Random(77)
    people = [await someone(engine, f"user{n}") for n in range(8)]
    for user in people:
        for slug in ("alpha", "beta"):
            for day in range(chance.randint(1, 3)):
                judge = chance.choices(["openai", "offline", None], [8, 1, 1])[0]
                await attempt(engine, user, slug=slug, day=day, score=chance.choice([30, 70]), judge=judge)
    before = await rates(bank)
    assert all(rate not in (None, 0, 1) for rate in before.values())
    for user in chance.sample(people, 4):
        await leave(engine, user)
        assert await rates(bank) == before
    for user in people:
        await leave(engine, user)
    assert await rates(bank) == before


async def rates(bank: Catalog) -> dict[str, float | None]:
    return {item.slug: item.acceptance_rate for item in (await bank.page(Browse(), None)).items}


async def test_77_a_code_asked_for_while_one_leaves_goes_too(engine: AsyncEngine) -> None:
    user = await someone(engine, "ada")
    async with engine.begin() as other:
        await other.execute(sa.text(deletion.TAKE_USER), {"user": user})
        leaving = asyncio.create_task(leave(engine, user))
        await until(lambda: waits(engine, leaving))  # its codes are gone already
        code = Challenge(id=uuid4(), email="ada@example.com", email_key="ada@example.com", code_hash=b"late",
                         browser_hash=b"late", browser_known=False, expires_at=NOW)  # fmt: skip
        await challenges.open_challenge(other, code, NOW)
    assert await leaving is not None
    assert not await rows(engine, email_otps)


async def waits(engine: AsyncEngine, task: asyncio.Task[Any]) -> bool:
    """Whether somebody waits for a row or a lock of another's, in this test's database."""
    waiting = sa.text("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    async with engine.connect() as connection:
        return task.done() or bool((await connection.execute(waiting)).first())


async def test_77_leaving_while_one_signs_in_again_is_no_deadlock(engine: AsyncEngine, bank: Catalog) -> None:
    """Whoever signs in after it has a new and empty account."""
    for n in range(3):
        user = await someone(engine, f"user{n}")
        await attempt(engine, user)
        again = [someone(engine, f"user{n}") for _ in range(3)]
        await asyncio.gather(leave(engine, user), *again)
        assert not await rows(engine, users, users.c.id == user)
        assert not await rows(engine, interview_sessions)
