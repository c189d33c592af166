"""Reading the catalog: filters, search, order, pages that stay put, and how far each user has come."""

from __future__ import annotations

import base64
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.core.pack import Access, Difficulty, PackType
from engine.record.tables import (
    evaluations,
    interview_sessions,
    past_results,
    question_companies,
    questions,
)

Mine = Literal["not_started", "in_progress", "attempted"]
Sort = Literal["title", "-title", "difficulty", "-difficulty", "newest"]
VISIBLE: Final = ("published", "coming_soon")
"""Drafts and retired questions are not shown; interviews on them go on."""
PAGE_MAX: Final = 100
ATTEMPTS_SHOWN_FROM: Final = 20
"""Below this many first attempts an acceptance rate says more about chance than about the question."""
JUDGES_COUNTED: Final = ("openai",)
"""The offline judge estimates completeness; its scores say nothing about who would pass."""


class BadCursor(ValueError):
    """The cursor is not one of ours, or belongs to another order."""


class TimeLimits(msgspec.Struct, frozen=True, kw_only=True):
    clarify_seconds: int
    design_seconds: int


class MyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far the user has come with a question; `interview` is the active one."""

    state: Mine
    interview: UUID | None = None
    best_score: float | None = None


class QuestionItem(msgspec.Struct, frozen=True, kw_only=True):
    """A question as the catalog lists it."""

    slug: str
    title: str
    type: PackType
    difficulty: Difficulty
    companies: tuple[str, ...]
    tags: tuple[str, ...]
    status: Literal["published", "coming_soon"]
    access: Access
    acceptance_rate: float | None
    time_limits: TimeLimits
    my_status: MyStatus | None


class Browse(msgspec.Struct, frozen=True, kw_only=True):
    """What to list; None means any."""

    type: PackType | None = None
    difficulty: Difficulty | None = None
    company: str | None = None
    status: Literal["published", "coming_soon"] | None = None
    access: Access | None = None
    mine: Mine | None = None
    q: str | None = None
    sort: Sort = "title"
    limit: int = 20
    cursor: str | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[QuestionItem, ...]
    next_cursor: str | None


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: in which order, at which key, at which slug (which settles ties)."""

    sort: Sort
    key: str
    slug: str


PLAYABLE: Final = sa.and_(questions.c.status == "published", questions.c.access == "free")
DIFFICULTY: Final = sa.case(
    (questions.c.difficulty == "easy", "1"), (questions.c.difficulty == "medium", "2"), else_="3"
)
# Text, each of them: a cursor carries its key as text, and the database compares like with like.
CREATED: Final = sa.func.to_char(sa.func.timezone("UTC", questions.c.created_at), "YYYYMMDDHH24MISSUS")
SORTS: Final[dict[Sort, tuple[sa.ColumnElement[str], bool]]] = {
    "title": (sa.func.lower(questions.c.title), False),
    "-title": (sa.func.lower(questions.c.title), True),
    "difficulty": (DIFFICULTY, False),
    "-difficulty": (DIFFICULTY, True),
    "newest": (CREATED, True),
}


async def page(connection: AsyncConnection, browse: Browse, user_id: UUID | None) -> Page:
    """One page of the catalog in a stable order. Raises BadCursor."""
    limit = max(1, min(browse.limit, PAGE_MAX))
    key, down = SORTS[browse.sort]
    order = (key.desc(), questions.c.slug.desc()) if down else (key, questions.c.slug)
    statement = _items(user_id).add_columns(key.label("sort_key")).where(*_filters(browse, user_id))
    if browse.cursor is not None:
        cursor = _decode(browse.cursor, browse.sort)
        here, there = sa.tuple_(key, questions.c.slug), sa.tuple_(sa.literal(cursor.key), sa.literal(cursor.slug))
        statement = statement.where(here < there if down else here > there)
    rows = (await connection.execute(statement.order_by(*order).limit(limit + 1))).all()
    shown, more = rows[:limit], len(rows) > limit
    after = _encode(Cursor(browse.sort, shown[-1].sort_key, shown[-1].slug)) if more else None
    rates = await _acceptance(connection, [row.id for row in shown])
    return Page(items=tuple(_item(row, rates.get(row.id)) for row in shown), next_cursor=after)


async def item(connection: AsyncConnection, slug: str, user_id: UUID | None) -> tuple[QuestionItem, Any] | None:
    """One question that may be seen, and the rest of its row."""
    found = await connection.execute(
        _items(user_id)
        .add_columns(questions.c.statement, questions.c.sections, questions.c.languages, questions.c.max_questions)
        .where(questions.c.slug == slug, questions.c.status.in_(VISIBLE))
    )
    row = found.one_or_none()
    if row is None:
        return None
    rates = await _acceptance(connection, [row.id])
    return _item(row, rates.get(row.id)), row


def playable(item: QuestionItem) -> bool:
    """Whether an interview may be started on it."""
    return item.status == "published" and item.access == "free"


LISTED: Final = ("id", "slug", "title", "type", "difficulty", "status", "access", "tags")


def _items(user_id: UUID | None) -> sa.Select[Any]:
    companies = (
        sa.select(sa.func.array_agg(sa.distinct(question_companies.c.name)))
        .where(question_companies.c.question_id == questions.c.id)
        .scalar_subquery()
    )
    columns = [questions.c[name] for name in (*LISTED, "clarify_seconds", "design_seconds")]
    return sa.select(*columns, companies.label("companies"), *_mine(user_id))


def _mine(user_id: UUID | None) -> list[sa.ColumnElement[Any]]:
    """The user's active interview, best score and whether there was any attempt; nulls for nobody."""
    if user_id is None:
        nothing = sa.null()
        return [nothing.label("active"), nothing.label("best_score"), nothing.label("attempted")]
    interviews = interview_sessions.c
    own = (interviews.user_id == user_id, interviews.question_id == questions.c.id)
    active = sa.select(interviews.id).where(*own, interviews.phase != "submitted").scalar_subquery()
    best = (
        sa.select(sa.func.max(evaluations.c.score))
        .join(interview_sessions, interviews.id == evaluations.c.interview_id)
        .where(*own)
        .scalar_subquery()
    )
    attempted = sa.select(interviews.id).where(*own).exists()
    return [active.label("active"), best.label("best_score"), attempted.label("attempted")]


def _filters(browse: Browse, user_id: UUID | None) -> list[sa.ColumnElement[bool]]:
    wanted: list[sa.ColumnElement[bool]] = [questions.c.status.in_(VISIBLE)]
    for name in ("type", "difficulty", "status", "access"):
        if (value := getattr(browse, name)) is not None:
            wanted.append(questions.c[name] == value)
    if browse.company is not None:
        wanted.append(_asked_at(sa.func.lower(question_companies.c.name) == browse.company.strip().lower()))
    if browse.q is not None:
        wanted.extend(_matches(word) for word in browse.q.split())
    if browse.mine is not None:
        wanted.append(_state_is(browse.mine, user_id))
    return wanted


def _matches(word: str) -> sa.ColumnElement[bool]:
    """Every word of a search must stand in the title, the tags, the slug, the statement or a company."""
    tags = sa.func.array_to_string(questions.c.tags, " ")
    return sa.or_(
        *(column.icontains(word, autoescape=True) for column in (questions.c.title, tags, questions.c.slug)),
        sa.and_(PLAYABLE, questions.c.statement.icontains(word, autoescape=True)),
        _asked_at(question_companies.c.name.icontains(word, autoescape=True)),
    )


def _asked_at(which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return (
        sa.select(question_companies.c.name).where(question_companies.c.question_id == questions.c.id, which).exists()
    )


def _state_is(mine: Mine, user_id: UUID | None) -> sa.ColumnElement[bool]:
    if user_id is None:
        return sa.literal(mine == "not_started")
    own = sa.select(interview_sessions.c.id).where(
        interview_sessions.c.user_id == user_id, interview_sessions.c.question_id == questions.c.id
    )
    active = own.where(interview_sessions.c.phase != "submitted").exists()
    match mine:
        case "in_progress":
            return active
        case "attempted":
            return sa.and_(own.exists(), ~active)
        case "not_started":
            return ~own.exists()


async def _acceptance(connection: AsyncConnection, ids: list[UUID]) -> dict[UUID, float]:
    """Share of first attempts at or above the pass mark, for the questions that have enough of them; with those of
    people who have left since (record.deletion goes by the same first attempt).
    """
    firsts = (
        sa.select(interview_sessions.c.question_id, evaluations.c.passed, evaluations.c.judge)
        .outerjoin(evaluations, evaluations.c.interview_id == interview_sessions.c.id)
        .where(interview_sessions.c.question_id.in_(ids), interview_sessions.c.phase == "submitted")
        .ext(distinct_on(interview_sessions.c.question_id, interview_sessions.c.user_id))
        .order_by(interview_sessions.c.question_id, interview_sessions.c.user_id, interview_sessions.c.started_at)
        .subquery()
    )
    past = sa.select(past_results.c.question_id, past_results.c.passed, past_results.c.judge).where(
        past_results.c.question_id.in_(ids), past_results.c.first_attempt
    )
    tried = sa.select(firsts.c.question_id, firsts.c.passed, firsts.c.judge).union_all(past).subquery()
    counted = await connection.execute(
        sa.select(tried.c.question_id, sa.func.avg(sa.cast(tried.c.passed, sa.Integer)))
        .where(tried.c.judge.in_(JUDGES_COUNTED))
        .group_by(tried.c.question_id)
        .having(sa.func.count() >= ATTEMPTS_SHOWN_FROM)
    )
    return {question_id: round(float(rate), 4) for question_id, rate in counted}


def _item(row: Any, rate: float | None) -> QuestionItem:
    mine = None
    if row.attempted is not None:
        state: Mine = "in_progress" if row.active else "attempted" if row.attempted else "not_started"
        mine = MyStatus(state=state, interview=row.active, best_score=row.best_score)
    values = {name: getattr(row, name) for name in LISTED if name not in ("id", "tags")}
    return QuestionItem(
        **values,
        tags=tuple(row.tags),
        companies=tuple(sorted(row.companies or ())),
        acceptance_rate=rate,
        time_limits=TimeLimits(clarify_seconds=row.clarify_seconds, design_seconds=row.design_seconds),
        my_status=mine,
    )


def _encode(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).rstrip(b"=").decode()


def _decode(text: str, sort: Sort) -> Cursor:
    try:
        cursor = msgspec.msgpack.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Cursor)
        (cursor.key + cursor.slug).encode()
    except (ValueError, msgspec.DecodeError) as error:
        raise BadCursor("not a cursor") from error
    if cursor.sort != sort or "\x00" in cursor.key + cursor.slug:
        raise BadCursor("a cursor of another order")
    return cursor
