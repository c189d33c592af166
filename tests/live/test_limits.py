"""Limits hold for many at once, say how long to wait, and take from all or from none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from engine.live import logins
from engine.live.limits import Limit, Taken, give_back, network, take
from tests.until import until

SLOW, QUICK = Limit("slow", 3, 3_600), Limit("quick", 1, 1)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, legacy_responses=False) as client:
        yield client


async def test_of_many_at_once_as_many_pass_as_may(redis: Redis) -> None:
    taken = await asyncio.gather(*(take(redis, [(SLOW, "ada")]) for _ in range(50)))
    assert sum(one.limit is None for one in taken) == 3


async def test_the_wait_is_exact_and_asking_does_not_make_it_longer(redis: Redis) -> None:
    for _ in range(3):
        assert await take(redis, [(SLOW, "ada")]) == Taken(0)
    waits = [(await take(redis, [(SLOW, "ada")])).wait_seconds for _ in range(20)]
    assert set(waits) <= {1_199, 1_200}


async def test_a_limit_fills_again(redis: Redis) -> None:
    assert (await take(redis, [(QUICK, "ada")])).limit is None
    refused = await take(redis, [(QUICK, "ada")])
    assert refused.limit == QUICK
    assert 0 < refused.wait_ms <= 1_000
    await until(lambda: _passes(redis))
    assert (await take(redis, [(QUICK, "ada")])).limit == QUICK


async def _passes(redis: Redis) -> bool:
    return (await take(redis, [(QUICK, "ada")])).limit is None


async def test_subjects_and_limits_are_counted_apart(redis: Redis) -> None:
    other = Limit("other", 1, 3_600)
    assert (await take(redis, [(QUICK, "ada")])).limit is None
    assert (await take(redis, [(QUICK, "bob")])).limit is None
    assert (await take(redis, [(other, "ada")])).limit is None
    assert (await take(redis, [(other, "ada")])).limit == other


async def test_who_is_refused_by_one_limit_loses_nothing_of_the_others(redis: Redis) -> None:
    one = Limit("one", 1, 3_600)
    assert (await take(redis, [(SLOW, "ada"), (one, "ada")])).limit is None
    for _ in range(5):
        assert (await take(redis, [(SLOW, "ada"), (one, "ada")])).limit == one
    assert [(await take(redis, [(SLOW, "ada")])).limit for _ in range(3)] == [None, None, SLOW]


async def test_what_costs_more_takes_more_or_nothing(redis: Redis) -> None:
    assert (await take(redis, [(SLOW, "ada")], cost=2)).limit is None
    refused = await take(redis, [(SLOW, "ada")], cost=2)
    assert (refused.limit, refused.wait_seconds) in {(SLOW, 1_199), (SLOW, 1_200)}
    assert [(await take(redis, [(SLOW, "ada")])).limit for _ in range(2)] == [None, SLOW]


async def test_what_is_given_back_may_be_taken_again(redis: Redis) -> None:
    for _ in range(2):
        for _ in range(3):
            assert (await take(redis, [(SLOW, "ada"), (QUICK, "bob")])).limit is None
            await give_back(redis, [(QUICK, "bob")])
        assert (await take(redis, [(SLOW, "ada")])).limit == SLOW
        await give_back(redis, [(SLOW, "ada")] * 4)  # never more than was there
    assert await redis.keys("*") == []


async def test_nothing_is_left_once_a_limit_is_full_again(redis: Redis) -> None:
    await take(redis, [(QUICK, "ada")])
    ttl = await redis.pttl("{limits}:quick:ada")
    assert 0 < ttl <= 1_000


async def test_a_login_that_ended_is_known_and_told(redis: Redis) -> None:
    from uuid import uuid4

    login, other = uuid4(), uuid4()
    async with redis.pubsub() as heard:
        await heard.subscribe(logins.ENDED_CHANNEL)
        assert not await logins.ended(redis.execute_command, login)
        await logins.end(redis, [login], 60)
        assert await logins.ended(redis.execute_command, login)
        assert not await logins.ended(redis.execute_command, other)

        async def told() -> bool:
            message = await heard.get_message(ignore_subscribe_messages=True, timeout=1)
            return message is not None and message["data"] == str(login).encode()

        await until(told)


@pytest.mark.parametrize(
    ("address", "counted_with"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("::ffff:203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_an_address_is_counted_with_its_network(address: str, counted_with: str) -> None:
    assert network(address) == counted_with
