"""The connection of our own to Redis: answers in order, and nothing sent twice or taken for another's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from engine.live import line as of_line
from engine.live.line import Line, Script
from engine.settings import Settings
from engine.wiring import make_redis
from tests.until import until

COUNT = "return redis.call('INCR', KEYS[1]) .. ':' .. ARGV[1]"
PAUSE_MS = 400


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    client = make_redis(settings)
    yield client
    await client.aclose()


@pytest.fixture
async def line(redis: Redis) -> Line:
    return Line(redis.connection_pool, redis.get_retry())


async def _tell(redis: Redis, *words: str | int) -> None:
    await redis.execute_command(*words)  # type: ignore[no-untyped-call]


async def _killed(redis: Redis, line: Line) -> None:
    """Redis has cut the line off."""
    await _tell(redis, "CLIENT", "KILL", "ID", await line.ask("CLIENT", "ID"))


async def test_answers_are_what_redis_says(line: Line) -> None:
    assert await line.ask("SET", "key", "ü\r\n$3") == b"OK"
    assert await line.ask("GET", "key") == "ü\r\n$3".encode()
    assert await line.ask("GET", "no such key") is None
    assert await line.ask("RPUSH", "list", 1, b"2", "") == 3
    assert await line.ask("LRANGE", "list", 0, -1) == [b"1", b"2", b""]
    with pytest.raises(ResponseError, match="wrong kind"):
        await line.ask("INCR", "list")
    assert await line.ask("GET", "no such key") is None, "an error is one answer, and not the next one's"


async def test_each_gets_his_own_answer_however_many_ask_and_leave(line: Line) -> None:
    """Who is cancelled at whatever instant leaves his answer behind; it is nobody else's."""
    chance = random.Random(7)
    answered = 0

    async def asks(i: int) -> None:
        nonlocal answered
        assert await line.ask("ECHO", f"{i}") == str(i).encode()
        answered += 1

    for _ in range(40):
        tasks = [asyncio.create_task(asks(i)) for i in range(50)]
        for task in chance.sample(tasks, 20):
            asyncio.get_running_loop().call_later(chance.uniform(0, 0.002), task.cancel)
        for done in await asyncio.gather(*tasks, return_exceptions=True):
            assert done is None or isinstance(done, asyncio.CancelledError)
    assert answered >= 40 * 30


async def test_what_is_asked_in_one_turn_is_answered_in_order(line: Line) -> None:
    large = [bytes([i % 256]) * 70_000 for i in range(64)]  # answers that come in many pieces
    assert await asyncio.gather(*(line.ask("ECHO", data) for data in large)) == large


async def test_a_lost_connection_fails_who_waits_and_is_opened_again(redis: Redis, line: Line) -> None:
    waiting = asyncio.create_task(line.ask("BLPOP", "nothing comes", 0))
    id_before = asyncio.create_task(line.ask("CLIENT", "ID"))  # behind it: blocked too

    async def blocked() -> bool:
        return any(client["cmd"] == "blpop" for client in await redis.client_list())

    await until(blocked)
    (blocking,) = [client for client in await redis.client_list() if client["cmd"] == "blpop"]
    await _tell(redis, "CLIENT", "KILL", "ID", blocking["id"])
    for task in (waiting, id_before):
        with pytest.raises(RedisConnectionError):
            await task
    assert await line.ask("PING") == b"PONG"
    assert await line.ask("CLIENT", "ID") != int(blocking["id"])


async def test_a_command_whose_answer_is_lost_is_not_sent_again(redis: Redis, line: Line) -> None:
    """INCR takes effect and the connection is gone before it says so."""
    id = await line.ask("CLIENT", "ID")
    script = "redis.call('INCR', KEYS[1])"
    asked = [line.ask("EVAL", script, 1, "count"), line.ask("CLIENT", "KILL", "ID", id, "SKIPME", "no")]
    asked += [line.ask("INCR", "count")]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers[-1], RedisConnectionError)
    assert await redis.get("count") == b"1"


async def test_a_script_is_run_again_when_its_answer_was_lost(redis: Redis, line: Line) -> None:
    script = Script(line, COUNT)
    assert await script(["count"], ["a"]) == b"1:a"
    await _killed(redis, line)
    assert await script(["count"], ["b"]) == b"2:b"
    await _tell(redis, "CLIENT", "PAUSE", PAUSE_MS)
    held = asyncio.gather(*(script(["count"], [f"{i}"]) for i in range(20)))
    assert sorted(int(answer.split(b":")[0]) for answer in await held) == list(range(3, 23))


async def test_a_script_that_redis_forgot_is_sent_whole(redis: Redis, line: Line) -> None:
    script = Script(line, COUNT)
    assert await asyncio.gather(*(script(["count"], [i]) for i in range(3))) == [b"1:0", b"2:1", b"3:2"]
    await redis.script_flush()
    assert await asyncio.gather(*(script(["count"], [i]) for i in range(3))) == [b"4:0", b"5:1", b"6:2"]
    assert await redis.get("count") == b"6"


async def test_redis_that_does_not_answer_in_time_is_given_up(
    redis: Redis, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_line, "ANSWER_SECONDS", 0.05)
    assert await line.ask("SET", "key", "before") == b"OK"
    await _tell(redis, "CLIENT", "PAUSE", PAUSE_MS, "WRITE")
    with pytest.raises(RedisTimeoutError):
        await line.ask("SET", "key", "during")
    assert await line.ask("GET", "key") == b"before", "on a new connection: the old one's answers are still to come"
    await _tell(redis, "CLIENT", "UNPAUSE")


async def test_nothing_is_asked_where_nobody_listens(settings: Settings) -> None:
    nobody = make_redis(settings)
    nobody.connection_pool.connection_kwargs.update(port=1, retry=Retry(NoBackoff(), 0))
    line = Line(nobody.connection_pool)
    asked = await asyncio.gather(*(line.ask("PING") for _ in range(10)), return_exceptions=True)
    assert all(isinstance(answer, RedisError) for answer in asked)
    await nobody.aclose()


async def test_it_ends_with_the_pool_that_it_came_from(settings: Settings) -> None:
    redis = make_redis(settings)
    line = Line(redis.connection_pool)
    name = await line.ask("CLIENT", "SETNAME", "line")
    assert name == b"OK"
    await redis.aclose()
    async with make_redis(settings) as other:
        assert "line" not in [client["name"] for client in await other.client_list()]
