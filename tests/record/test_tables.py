"""The tables as code and the tables as the migrations make them are the same, to the last index."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
from alembic import command
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.record.engine import alembic_config, migrate
from engine.record.tables import metadata

ALL = sa.text(
    """
    SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL
    SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT table_name, column_name, concat_ws(' ', udt_name, is_nullable, column_default)
      FROM information_schema.columns WHERE table_schema = 'public'
    """
)
SEED = """users user_auth_sessions email_otps questions question_companies clarification_rules
    interview_sessions clarification_logs solutions evaluations""".split()


async def structure(engine: AsyncEngine) -> set[tuple[str, ...]]:
    """Every column, constraint and index of the database."""
    async with engine.connect() as connection:
        rows = await connection.execute(ALL)
        return {tuple(row) for row in rows if row[0] != "alembic_version"}


async def empty(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        await connection.execute(sa.text("CREATE SCHEMA public"))


async def test_the_migrations_make_what_the_tables_say(engine: AsyncEngine) -> None:
    migrated = await structure(engine)
    await empty(engine)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    assert migrated == await structure(engine)


async def test_the_ten_tables_of_the_sketch_are_there(engine: AsyncEngine) -> None:
    assert {row[0] for row in await structure(engine)} >= set(SEED)


async def test_processes_that_start_at_once_migrate_once(engine: AsyncEngine) -> None:
    before = await structure(engine)
    await empty(engine)
    await asyncio.gather(*(migrate(engine) for _ in range(4)))
    assert await structure(engine) == before
    await migrate(engine)


async def test_the_way_back_leaves_nothing(engine: AsyncEngine) -> None:
    def down(connection: Connection) -> None:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    async with engine.begin() as connection:
        await connection.run_sync(down)
    assert await structure(engine) == set()
