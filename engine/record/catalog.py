"""The question bank in Postgres: packs come in, the catalog goes out. Rules, answers and rubric never do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID, uuid5

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.core.pack import Access, Difficulty, Pack, PackType, decode_pack, encode_pack, pack_hash
from engine.record import browsing
from engine.record.browsing import Browse, MyStatus, Page, QuestionItem, TimeLimits
from engine.record.tables import clarification_rules, question_companies, question_packs, questions
from protocol.words import Field, Language

QUESTIONS = UUID("6a1de2a3-7c7c-5d0e-9b57-3b5c1f0c5e11")
"""A question's id is made from its slug, so that it is the same in every installation."""
LOAD_LOCK = 7_313


class SectionView(msgspec.Struct, frozen=True, kw_only=True):
    """One field of the draft, as the candidate's editor shows it."""

    field: Field
    label: str
    hint: str
    required: bool


class Question(QuestionItem, frozen=True, kw_only=True):
    """One question in full. The statement is empty until it can be played."""

    statement: str
    sections: tuple[SectionView, ...]
    languages: tuple[Language, ...]
    max_questions: int


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the packs that were loaded, by slug."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    same: tuple[str, ...]
    older: tuple[str, ...]
    """Left alone: the catalog has a later version, from a newer release that runs beside this one."""


async def load_packs(engine: AsyncEngine, packs: Sequence[Pack]) -> Loaded:
    """Bring packs into the catalog, in one transaction. Loading what is there changes nothing."""
    fates: dict[str, list[str]] = {"new": [], "changed": [], "same": [], "older": []}
    async with engine.begin() as connection:
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOAD_LOCK)))
        found = await connection.execute(
            sa.select(questions.c.slug, questions.c.pack_hash, question_packs.c.version).join(question_packs)
        )
        there = {row.slug: (row.pack_hash, row.version) for row in found}
        for pack in packs:
            hash = pack_hash(pack)
            fate = _fate(pack, hash, there.get(pack.id))
            fates[fate].append(pack.id)
            if fate in ("new", "changed"):
                await _load(connection, pack, hash)
    return Loaded(**{fate: tuple(slugs) for fate, slugs in fates.items()})


def _fate(pack: Pack, hash: str, there: tuple[str, int] | None) -> Literal["new", "changed", "same", "older"]:
    if there is None:
        return "new"
    if there[0] == hash:
        return "same"
    return "older" if there[1] > pack.version else "changed"


async def _load(connection: AsyncConnection, pack: Pack, hash: str) -> None:
    body = {"hash": hash, "slug": pack.id, "version": pack.version, "body": encode_pack(pack)}
    await connection.execute(insert(question_packs).values(**body).on_conflict_do_nothing())
    id = uuid5(QUESTIONS, pack.id)
    row = _question_row(pack, hash)
    await connection.execute(
        insert(questions)
        .values(id=id, **row)
        .on_conflict_do_update(index_elements=["id"], set_={**row, "updated_at": sa.func.now()})
    )
    for table, rows in ((question_companies, _companies(id, pack)), (clarification_rules, _rules(id, pack))):
        await connection.execute(sa.delete(table).where(table.c.question_id == id))
        if rows:
            await connection.execute(sa.insert(table), rows)


def _question_row(pack: Pack, hash: str) -> dict[str, Any]:
    sections = [
        SectionView(field=field, label=section.label or field, hint=section.hint, required=section.required)
        for field, section in pack.sections.items()
    ]
    return {
        "slug": pack.id,
        "title": pack.title,
        "type": pack.type,
        "difficulty": pack.difficulty,
        "status": pack.status,
        "access": pack.access,
        "statement": pack.statement,
        "pack_hash": hash,
        "tags": list(pack.tags),
        "languages": list(pack.languages),
        "sections": msgspec.to_builtins(sections),
        "clarify_seconds": pack.time_limits.clarify_seconds,
        "design_seconds": pack.time_limits.design_seconds,
        "max_questions": pack.clarification.max_questions,
    }


def _companies(id: UUID, pack: Pack) -> list[dict[str, Any]]:
    once = {(company.name, company.year): company for company in pack.companies}
    return [{"question_id": id, **msgspec.structs.asdict(company)} for company in once.values()]


def _rules(id: UUID, pack: Pack) -> list[dict[str, Any]]:
    return [
        {
            "id": uuid5(id, rule.intent),
            "question_id": id,
            **{name: getattr(rule, name) for name in ("intent", "label", "response", "max_questions", "weight")},
            "keywords": list(rule.keywords),
            "examples": list(rule.examples),
        }
        for rule in pack.clarification.rules
    ]


class Catalog:
    """The catalog for readers."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def page(self, browse: Browse, user_id: UUID | None) -> Page:
        """One page of the catalog. Raises BadCursor."""
        async with self._engine.connect() as connection:
            return await browsing.page(connection, browse, user_id)

    async def question(self, slug: str, user_id: UUID | None) -> Question | None:
        """One question that may be seen: published or coming soon."""
        async with self._engine.connect() as connection:
            found = await browsing.item(connection, slug, user_id)
            if found is None:
                return None
            item, row = found
        return Question(
            **msgspec.structs.asdict(item),
            statement=row.statement if browsing.playable(item) else "",
            sections=tuple(msgspec.convert(section, SectionView) for section in row.sections),
            languages=tuple(row.languages),
            max_questions=row.max_questions,
        )

    async def hashes(self) -> list[str]:
        """The packs that new interviews would be pinned to."""
        async with self._engine.connect() as connection:
            found = await connection.execute(
                sa.select(questions.c.pack_hash).where(questions.c.status == "published", questions.c.access == "free")
            )
        return list(found.scalars())

    async def pack(self, hash: str) -> Pack:
        """The pack with this hash. Raises LookupError: an interview pins only packs that were loaded."""
        async with self._engine.connect() as connection:
            found = await connection.execute(sa.select(question_packs.c.body).where(question_packs.c.hash == hash))
            body = found.scalar_one_or_none()
        if body is None:
            raise LookupError(f"no pack has the hash {hash}")
        return decode_pack(body)


__all__ = [
    "Access",
    "Browse",
    "Catalog",
    "Difficulty",
    "Loaded",
    "MyStatus",
    "PackType",
    "Page",
    "Question",
    "QuestionItem",
    "SectionView",
    "TimeLimits",
    "load_packs",
]
