"""One real stack for all tests of this folder: two API nodes and a worker on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from engine.embedded import Embedded
from tests.stack import Candidate, Stack, running_stack

SignIn = Callable[[], Awaitable[Candidate]]


@pytest.fixture(scope="package")
async def shared_stack(
    servers: Embedded, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    async with running_stack(servers, template, tmp_path_factory.mktemp("e2e")) as stack:
        yield stack


@pytest.fixture
async def stack(shared_stack: Stack) -> Stack:
    """The stack, whole: what the test before has killed runs again."""
    await shared_stack.restore()
    return shared_stack


@pytest.fixture
async def sign_in(stack: Stack) -> AsyncIterator[SignIn]:
    """Signs a new candidate in."""
    signed: list[Candidate] = []

    async def one() -> Candidate:
        signed.append(await Candidate.sign_in(stack.nodes[0]))
        return signed[-1]

    yield one
    for candidate in signed:
        await candidate.close()


@pytest.fixture
async def postgres(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    """A look past the engine into the record."""
    connection = await asyncpg.connect(stack.database_url)
    yield connection
    await connection.close()
