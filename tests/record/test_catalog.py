"""Packs go in once, the catalog comes out: filtered, searched, in pages that stay put, with each user's progress."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

import engine.packs as shipped
from engine.core.pack import Company, Pack, pack_hash, parse_pack
from engine.record import accounts
from engine.record.accounts import Address
from engine.record.browsing import SORTS, BadCursor, Browse, MyStatus, Sort
from engine.record.catalog import Catalog, load_packs
from engine.record.tables import (
    clarification_rules,
    evaluations,
    interview_sessions,
    question_companies,
    question_packs,
    questions,
    solutions,
)

FOLDER = Path(next(iter(shipped.__path__)))
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def playable() -> Pack:
    """A complete pack of the bank."""
    packs = [parse_pack(path.read_bytes()) for path in sorted(FOLDER.glob("*.yaml"))]
    return next(pack for pack in packs if pack.playable)


def variant(slug: str, **changes: Any) -> Pack:
    return msgspec.structs.replace(playable(), id=slug, statement=f"Design it like {slug}.", **changes)


ACME = tuple(Company(name="Acme", year=year, source="report") for year in (2024, 2025))


BANK = (
    variant("alpha", title="A garage", type="LLD", difficulty="medium", tags=("locks",),
            companies=ACME),
    variant("beta", title="b cache", type="LLD", difficulty="easy", tags=("memory",), companies=()),
    variant("gamma", title="C shortener 100%", type="HLD", difficulty="hard", tags=("scale",),
            companies=(Company(name="Globex", year=2024, source="report"),)),
    variant("delta", title="D feed", type="HLD", difficulty="easy", status="coming_soon", companies=()),
    variant("epsilon", title="E chat", type="HLD", difficulty="medium", access="locked", companies=()),
    variant("zeta", title="F draft", status="draft", companies=()),
    variant("eta", title="G gone", status="retired", companies=()),
)  # fmt: skip
SEEN = ["alpha", "beta", "gamma", "delta", "epsilon"]


@pytest.fixture
async def catalog(engine: AsyncEngine) -> Catalog:
    await load_packs(engine, BANK)
    return Catalog(engine)


async def slugs(catalog: Catalog, user: UUID | None = None, **browse: Any) -> list[str]:
    return [item.slug for item in (await catalog.page(Browse(**browse), user)).items]


async def counts(engine: AsyncEngine) -> list[int]:
    tables = (question_packs, questions, question_companies, clarification_rules)
    async with engine.connect() as connection:
        return [
            (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one() for table in tables
        ]


async def test_loading_what_is_there_changes_nothing(engine: AsyncEngine) -> None:
    assert len((await load_packs(engine, BANK)).new) == len(BANK)
    before = await counts(engine)
    again = await load_packs(engine, BANK)
    assert (again.new, again.changed, len(again.same)) == ((), (), len(BANK))
    assert await counts(engine) == before


async def test_nodes_that_start_at_once_load_once(engine: AsyncEngine) -> None:
    loaded = await asyncio.gather(*(load_packs(engine, BANK) for _ in range(4)))
    assert sorted(len(one.new) for one in loaded) == [0, 0, 0, len(BANK)]


async def test_a_new_version_replaces_the_question_and_the_old_pack_stays_gradable(engine: AsyncEngine) -> None:
    old = playable()
    new = msgspec.structs.replace(old, version=old.version + 1, title="Anew", companies=())
    await load_packs(engine, [old])
    assert (await load_packs(engine, [new])).changed == (old.id,)
    catalog = Catalog(engine)
    question = await catalog.question(old.id, None)
    assert question is not None
    assert (question.title, question.companies) == ("Anew", ())
    assert await catalog.pack(pack_hash(old)) == old
    assert await catalog.pack(pack_hash(new)) == new
    assert (await load_packs(engine, [old])).older == (old.id,)


async def test_a_pack_nobody_loaded_is_an_error(catalog: Catalog) -> None:
    with pytest.raises(LookupError):
        await catalog.pack("0" * 64)


FOUND: list[tuple[dict[str, Any], list[str]]] = [
    ({}, SEEN),
    ({"type": "HLD"}, ["gamma", "delta", "epsilon"]),
    ({"difficulty": "easy"}, ["beta", "delta"]),
    ({"type": "LLD", "difficulty": "easy"}, ["beta"]),
    ({"company": "acme"}, ["alpha"]),
    ({"company": "nobody"}, []),
    ({"status": "coming_soon"}, ["delta"]),
    ({"access": "locked"}, ["epsilon"]),
    ({"q": "CACHE"}, ["beta"]),
    ({"q": "globex"}, ["gamma"]),
    ({"q": "scale shortener"}, ["gamma"]),
    ({"q": "scale cache"}, []),
    ({"q": "100%"}, ["gamma"]),
    ({"q": "%"}, ["gamma"]),
    ({"q": "a_g"}, []),
    ({"q": "like gamma"}, ["gamma"]),
    ({"q": "like delta"}, []),
    ({"q": "'; drop table users --"}, []),
    ({"mine": "not_started"}, SEEN),
    ({"mine": "attempted"}, []),
    ({"sort": "-title"}, SEEN[::-1]),
    ({"sort": "difficulty"}, ["beta", "delta", "alpha", "epsilon", "gamma"]),
    ({"sort": "-difficulty"}, ["gamma", "epsilon", "alpha", "delta", "beta"]),
]


async def test_filters_search_and_order(catalog: Catalog) -> None:
    for browse, found in FOUND:
        assert (browse, await slugs(catalog, **browse)) == (browse, found)


async def test_pages_hold_everything_once_in_order(catalog: Catalog) -> None:
    for sort, limit in itertools.product(SORTS, (1, 2, 3, 5, 100)):
        whole = await slugs(catalog, sort=sort)
        seen: list[str] = []
        cursor = None
        while True:
            page = await catalog.page(Browse(sort=sort, limit=limit, cursor=cursor), None)
            seen += [item.slug for item in page.items]
            if (cursor := page.next_cursor) is None:
                break
        assert seen == whole


async def test_a_page_stays_put_while_questions_come_and_go(catalog: Catalog, engine: AsyncEngine) -> None:
    first = await catalog.page(Browse(limit=2), None)
    await load_packs(engine, [variant("aardvark", title="A first"), variant("bee", title="b cache too")])
    rest = await slugs(catalog, cursor=first.next_cursor, limit=100)
    assert rest == ["bee", "gamma", "delta", "epsilon"]


@pytest.mark.parametrize("sort", SORTS)
async def test_a_page_stays_put_when_the_question_it_ended_at_goes(
    catalog: Catalog, engine: AsyncEngine, sort: Sort
) -> None:
    """And one that was shown, and one that was to come: the rest is as it was, without a gap or a repetition."""
    whole = await slugs(catalog, sort=sort)
    first = await catalog.page(Browse(sort=sort, limit=2), None)
    by_slug = {pack.id: pack for pack in BANK}
    gone = [whole[0], whole[1], whole[3]]
    await load_packs(engine, [retired(by_slug[slug]) for slug in gone])
    assert await slugs(catalog, sort=sort, cursor=first.next_cursor) == [whole[2], whole[4]]


def retired(pack: Pack) -> Pack:
    return msgspec.structs.replace(pack, status="retired", version=pack.version + 1)


async def test_filters_are_of_one_mind_with_pages_and_with_each_other(catalog: Catalog, engine: AsyncEngine) -> None:
    ada = await someone(engine, "ada")
    await play(engine, "alpha", ada, score=70)
    only: dict[str, Any] = {
        "type": "LLD", "difficulty": "medium", "company": "Acme", "status": "published", "access": "free",
        "mine": "attempted", "q": "garage", "sort": "-title", "limit": 1,
    }  # fmt: skip
    page = await catalog.page(Browse(**only), ada)
    assert ([item.slug for item in page.items], page.next_cursor) == (["alpha"], None)
    for name, other in (("type", "HLD"), ("difficulty", "easy"), ("company", "Globex"), ("status", "coming_soon"),
                        ("access", "locked"), ("mine", "not_started"), ("q", "cache")):  # fmt: skip
        assert await slugs(catalog, ada, **{**only, name: other}) == [], name


async def test_a_best_score_stays_while_another_attempt_runs(catalog: Catalog, engine: AsyncEngine) -> None:
    ada = await someone(engine, "ada")
    await play(engine, "alpha", ada, score=70)
    active = await play(engine, "alpha", ada, day=1)
    question = await catalog.question("alpha", ada)
    assert question is not None and question.my_status is not None
    assert question.my_status == MyStatus(state="in_progress", interview=active, best_score=70)


async def test_a_cursor_that_is_not_ours_is_refused(catalog: Catalog) -> None:
    for cursor in ("", "x", "AAAA", "gqFh", "%00", "é", "kw"):
        with pytest.raises(BadCursor):
            await catalog.page(Browse(cursor=cursor), None)
    of_title = (await catalog.page(Browse(limit=1), None)).next_cursor
    with pytest.raises(BadCursor):
        await catalog.page(Browse(sort="newest", cursor=of_title), None)


async def test_what_cannot_be_played_shows_no_statement(catalog: Catalog) -> None:
    told = {slug: await catalog.question(slug, None) for slug in [*SEEN, "zeta", "eta", "nothing"]}
    assert [slug for slug, question in told.items() if question is None] == ["zeta", "eta", "nothing"]
    assert [slug for slug, question in told.items() if question and question.statement] == ["alpha", "beta", "gamma"]
    assert await slugs(catalog, q="design it like") == ["alpha", "beta", "gamma"]


async def play(
    engine: AsyncEngine, slug: str, user: UUID, *, day: int = 0, score: float | None = None, judge: str = "openai"
) -> UUID:
    """An interview of a user; submitted and judged where there is a score."""
    at, interview, solution = NOW + timedelta(days=day), uuid4(), uuid4()
    async with engine.begin() as connection:
        found = await connection.execute(
            sa.select(questions.c.id, questions.c.pack_hash).where(questions.c.slug == slug)
        )
        question = found.one()
        await connection.execute(
            sa.insert(interview_sessions).values(
                id=interview, user_id=user, question_id=question.id, pack_hash=question.pack_hash,
                phase="clarifying" if score is None else "submitted", started_at=at, deadline_at=at,
                clarify_seconds=1, design_seconds=1,
            )
        )  # fmt: skip
        if score is not None:
            await connection.execute(sa.insert(solutions).values(id=solution, interview_id=interview, language="go"))
            await connection.execute(
                sa.insert(evaluations).values(
                    id=uuid4(), solution_id=solution, interview_id=interview, run=1, score=score,
                    passed=score >= 60, judge=judge, rubric_version="1",
                )
            )  # fmt: skip
    return interview


async def someone(engine: AsyncEngine, name: str) -> UUID:
    async with engine.begin() as connection:
        address = Address(f"{name}@example.com", f"{name}@example.com")
        return (await accounts.user_by_address(connection, address, NOW)).id


async def test_each_user_sees_how_far_they_have_come(catalog: Catalog, engine: AsyncEngine) -> None:
    ada, bob = await someone(engine, "ada"), await someone(engine, "bob")
    await play(engine, "alpha", ada, score=40)
    await play(engine, "alpha", ada, day=1, score=80)
    active = await play(engine, "beta", ada)
    mine = {item.slug: item.my_status for item in (await catalog.page(Browse(), ada)).items}
    told: dict[str, object] = {
        slug: (status.state, status.interview, status.best_score) for slug, status in mine.items() if status
    }
    assert told["alpha"] == ("attempted", None, 80)
    assert told["beta"] == ("in_progress", active, None)
    assert told["gamma"] == ("not_started", None, None)
    assert await slugs(catalog, ada, mine="in_progress") == ["beta"]
    assert await slugs(catalog, ada, mine="attempted") == ["alpha"]
    assert await slugs(catalog, ada, mine="not_started") == ["gamma", "delta", "epsilon"]
    assert await slugs(catalog, bob, mine="not_started") == SEEN
    assert all(item.my_status is None for item in (await catalog.page(Browse(), None)).items)


async def test_acceptance_counts_first_attempts_of_the_real_judge_from_twenty_on(
    catalog: Catalog, engine: AsyncEngine
) -> None:
    for number in range(19):
        await play(engine, "alpha", await someone(engine, f"user{number}"), score=90 if number < 5 else 10)
    offline = await someone(engine, "offline")
    await play(engine, "alpha", offline, score=100, judge="offline")
    await play(engine, "alpha", offline, day=1, score=100)

    assert await rate(catalog) is None
    late = await someone(engine, "late")
    await play(engine, "alpha", late, score=10)
    await play(engine, "alpha", late, day=1, score=100)
    assert await rate(catalog) == 0.25


async def rate(catalog: Catalog) -> float | None:
    question = await catalog.question("alpha", None)
    assert question is not None
    return question.acceptance_rate
