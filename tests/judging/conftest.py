"""A pool, a fake model on loopback, a judge that asks it, and a bench to judge on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.embedded import Embedded
from engine.judging.judge_offline import OfflineJudge
from engine.judging.judge_openai import OpenAIJudge
from engine.judging.keeping import Bench
from engine.record.engine import make_engine
from engine.settings import Settings
from engine.telemetry import make_metrics
from tests.fake_model import FakeModel
from tests.judging.stage import Heard

CALL_SECONDS = 2.0
BACKOFF_SECONDS = 0.001
MakeBench = Callable[..., Bench]


@pytest.fixture(scope="session")
async def model_server() -> AsyncIterator[FakeModel]:
    async with FakeModel() as server:
        yield server


@pytest.fixture
def model(model_server: FakeModel) -> FakeModel:
    """The fake model with an empty script: it answers honestly."""
    model_server.script()
    return model_server


@pytest.fixture(scope="session")
async def judging_database(servers: Embedded, template: str) -> str:
    """One database for all tests of a folder: emptying it is ten times quicker than making it."""
    admin = servers.ensure().database
    async with connected(admin) as connection:
        await connection.execute("DROP DATABASE IF EXISTS judging WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE judging TEMPLATE {template} STRATEGY FILE_COPY")
    return urlsplit(admin)._replace(path="/judging").geturl()


@pytest.fixture
async def database_url(judging_database: str) -> str:
    """That database, emptied, whatever a test before left running on it."""
    async with connected(judging_database) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.execute("TRUNCATE users, questions, question_packs CASCADE")
    return judging_database


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    pool = make_engine(settings)
    yield pool
    await pool.dispose()


@pytest.fixture
async def judge(model: FakeModel) -> AsyncIterator[OpenAIJudge]:
    made = OpenAIJudge(
        api_key="",
        base_url=model.url,
        model="fake-1",
        call_seconds=CALL_SECONDS,
        metrics=make_metrics(),
        backoff_seconds=BACKOFF_SECONDS,
    )
    yield made
    await made.close()


@pytest.fixture
def heard(engine: AsyncEngine) -> Heard:
    return Heard(engine)


@pytest.fixture
def bench(engine: AsyncEngine, judge: OpenAIJudge, heard: Heard) -> MakeBench:
    """Makes benches: the OpenAI judge, nobody who stands in, and short times, unless told otherwise."""
    base = Bench(
        engine=engine,
        judge=judge,
        announce=heard.announce,
        narrate=heard.narrate,
        metrics=make_metrics(),
        owner="test",
        lease_seconds=5.0,
        job_seconds=20.0,
        calls_parallel=4,
    )

    def make(**changes: Any) -> Bench:
        return replace(base, **changes)

    return make


@pytest.fixture
def offline() -> OfflineJudge:
    return OfflineJudge()
