"""Questions of many callers through the network's threads: read together, answered apart, and the loop goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from engine.core.matcher import Compiled, Matched, Tier, match, static
from engine.core.matcher.declines import DEFAULT_DECLINES
from engine.core.matcher.embedding import Floats
from engine.core.pack import Clarification, Rule
from engine.semantic.pool import MESSAGES_MAX, WAITING_MAX, Pool
from engine.semantic.tier import messages
from tests.until import until

RULES = (
    Rule("floors", "Number of floors", "Two.", ("how many floors are there", "is it multi level")),
    Rule("pricing", "Price of parking", "By the hour.", ("how is the fee calculated", "do trucks pay more")),
)
SMALL = Clarification(rules=RULES, skip_declines=tuple(DEFAULT_DECLINES))
QUESTIONS = [f"{text} {n}?" for n in range(8) for text in ("how many floors are there", "is the fee due at the gate")]


class Held:
    """Reads as the default tier does, in batches that wait until they may go on."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = threading.Event()
        self.error: Exception | None = None

    def __call__(self, many: Sequence[Sequence[str]]) -> Sequence[Floats]:
        self.batches.append([texts[0] for texts in many])
        assert self.go.wait(10)
        if self.error is not None:
            raise self.error
        return [static().message(texts) for texts in many]


@asynccontextmanager
async def pool_of(messages: Held) -> AsyncIterator[tuple[Pool, Compiled]]:
    pool = Pool(static, messages)
    try:
        yield pool, await pool.compile(SMALL)
    finally:
        messages.go.set()
        await pool.close()


async def ask_all(pool: Pool, compiled: Compiled, texts: Sequence[str]) -> list[tuple[Matched, ...]]:
    return await asyncio.gather(*(pool.match(compiled, text, "") for text in texts))


async def test_who_comes_while_it_reads_is_read_together_and_each_has_their_own_answer() -> None:
    held = Held()
    async with pool_of(held) as (pool, compiled):
        asked = asyncio.create_task(ask_all(pool, compiled, QUESTIONS))
        await until(lambda: held.batches)
        assert held.batches == [QUESTIONS[:1]], "the first waits for nobody"
        held.go.set()
        answers = await asked
    assert [len(batch) for batch in held.batches] == [1, MESSAGES_MAX, len(QUESTIONS) - MESSAGES_MAX - 1]
    assert [text for batch in held.batches for text in batch] == QUESTIONS
    assert answers == [match(compiled, text) for text in QUESTIONS]


async def test_an_error_on_the_thread_reaches_those_it_concerns_and_nobody_else() -> None:
    held = Held()
    async with pool_of(held) as (pool, compiled):
        held.go.set()
        held.error = ValueError("no such text")
        failed = await asyncio.gather(*(pool.match(compiled, text, "") for text in QUESTIONS), return_exceptions=True)
        assert {str(one) for one in failed} == {"no such text"}
        held.error = None
        assert await pool.match(compiled, QUESTIONS[0], "") == match(compiled, QUESTIONS[0])


async def test_an_error_while_opening_the_model_reaches_who_compiles() -> None:
    def missing() -> Tier:
        raise LookupError("no model")

    pool = Pool(missing, messages)
    with pytest.raises(LookupError, match="no model"):
        await pool.compile(SMALL)
    await pool.close()


async def test_too_many_are_refused_at_once_and_the_others_answered() -> None:
    held = Held()
    async with pool_of(held) as (pool, compiled):
        texts = [f"is it {n} floors?" for n in range(WAITING_MAX + 1)]  # the first is being read, the others wait
        asked = asyncio.create_task(ask_all(pool, compiled, texts))
        await until(lambda: held.batches)
        with pytest.raises(asyncio.QueueFull):
            await pool.match(compiled, "one more?", "")
        held.go.set()
        assert len(await asked) == len(texts)


async def test_who_has_gone_is_not_read() -> None:
    held = Held()
    async with pool_of(held) as (pool, compiled):
        tasks = [asyncio.create_task(pool.match(compiled, text, "")) for text in QUESTIONS[:3]]
        await until(lambda: held.batches)
        tasks[0].cancel()
        tasks[1].cancel()
        held.go.set()
        assert await tasks[2] == match(compiled, QUESTIONS[2])
        assert held.batches == [QUESTIONS[:1], QUESTIONS[2:3]]


async def test_nobody_and_no_thread_is_left_when_it_closes() -> None:
    held = Held()
    async with pool_of(held) as (pool, compiled):
        tasks = [asyncio.create_task(pool.match(compiled, text, "")) for text in QUESTIONS[:3]]
        await until(lambda: held.batches)
        assert any(thread.name.startswith("semantic") for thread in threading.enumerate())
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [tuple, asyncio.CancelledError, asyncio.CancelledError]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("semantic")]
