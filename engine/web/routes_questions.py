"""The catalog: operations 7 and 8 of the design."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request

from engine.core.pack import Access, Difficulty, PackType
from engine.record.browsing import PAGE_MAX, Browse, Mine, Page, Sort
from engine.record.catalog import Question
from engine.web.auth import optional_user
from engine.web.bodies import path_word
from engine.web.operations import operation
from engine.web.parts import parts_of
from engine.web.problems import Kind, Problem

CURSOR_CHARS_MAX = 1_000
SEARCH_CHARS_MAX = 100


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What to list; what is left out means any."""

    type: PackType | None = None
    difficulty: Difficulty | None = None
    company: Annotated[str, Meta(min_length=1, max_length=SEARCH_CHARS_MAX)] | None = None
    status: Literal["published", "coming_soon"] | None = None
    access: Access | None = None
    mine: Mine | None = None
    q: Annotated[str, Meta(max_length=SEARCH_CHARS_MAX, description="Every word must be found.")] | None = None
    sort: Sort = "title"
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 20
    cursor: Annotated[str, Meta(max_length=CURSOR_CHARS_MAX)] | None = None


@operation("GET", "/v1/questions", query=Filters, out=Page, auth="optional", errors=(Kind.BAD_CURSOR,))
async def list_questions(request: Request, query: Filters) -> Page:
    """The question bank, a page at a time.

    `next_cursor` leads to the next page in the same order; null on the last. Signed in, `my_status` says how far
    you have come with each question. `acceptance_rate` is null until enough people tried.
    """
    user = await optional_user(request)
    browse = Browse(**msgspec.structs.asdict(query))
    return await parts_of(request).catalog.page(browse, user.user if user else None)


@operation("GET", "/v1/questions/{slug}", out=Question, auth="optional")
async def get_question(request: Request) -> Question:
    """One question: statement, sections, languages, limits. The statement is empty until it can be played."""
    user = await optional_user(request)
    slug = path_word(request, "slug")
    question = await parts_of(request).catalog.question(slug, user.user if user else None)
    if question is None:
        raise Problem(Kind.NOT_FOUND, "There is no such question.")
    return question


OPERATIONS = (list_questions, get_question)
