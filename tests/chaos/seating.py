"""Signs people in at a stack, starts an interview for each, and seats them."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from engine.identity.keys import derive
from engine.identity.logins import Client, Logins
from engine.record import accounts
from engine.record.accounts import Address
from engine.record.engine import make_engine
from engine.settings import load_settings
from engine.wiring import make_redis
from tests.chaos.history import History
from tests.chaos.seat import Seat
from tests.loopback import http_client
from tests.stack import SECRET, Stack

QUESTION = "lru-cache-ttl"
SIGN_IN_AT_ONCE, START_AT_ONCE, SIT_DOWN_AT_ONCE = 8, 16, 16
ANSWER_SECONDS = 30.0

T = TypeVar("T")
Item = TypeVar("Item")
_numbers = itertools.count(1)


class Account(NamedTuple):
    """Somebody who is signed in and has an interview."""

    name: str
    access: str
    interview: str


async def sign_in(stack: Stack, count: int) -> list[Account]:
    """So many people, past the mail, each with an interview."""
    settings = load_settings(stack.environ)
    engine, redis = make_engine(settings), make_redis(settings)
    logins = Logins(engine=engine, redis=redis, keys=derive(SECRET), settings=settings, now=lambda: datetime.now(UTC))

    async def access(name: str) -> str:
        address = Address(f"{name}@example.com", f"{name}@example.com")
        async with engine.begin() as connection:
            user = await accounts.user_by_address(connection, address, datetime.now(UTC))
            return (await logins.open(connection, user, Client(browser="", address=""), "code")).access

    async def start(access: str) -> str:
        async with http_client(headers={"authorization": f"Bearer {access}"}, timeout=ANSWER_SECONDS) as http:
            answer = await http.post(f"{stack.nodes[0].url}/v1/questions/{QUESTION}/interviews")
            assert answer.status_code == 201, answer.text
            return str(answer.json()["id"])

    names = [f"seat{next(_numbers)}" for _ in range(count)]
    try:
        tokens = await _some_at_once(names, SIGN_IN_AT_ONCE, access)
    finally:
        await engine.dispose()
        await redis.aclose()
    interviews = await _some_at_once(tokens, START_AT_ONCE, start)
    return [Account(*one) for one in zip(names, tokens, interviews, strict=True)]


async def seat(stack: Stack, people: Sequence[Account], history: History, chance: random.Random) -> list[Seat]:
    """Each at any node, with an open socket."""
    ports = [node.port for node in stack.nodes]
    seats = [
        Seat(one.name, one.interview, one.access, ports, history, random.Random(chance.random())) for one in people
    ]
    await _some_at_once(seats, SIT_DOWN_AT_ONCE, Seat.sit_down)
    return seats


async def _some_at_once(of: Iterable[Item], at_once: int, work: Callable[[Item], Awaitable[T]]) -> list[T]:
    gate = asyncio.Semaphore(at_once)

    async def one(item: Item) -> T:
        async with gate:
            return await work(item)

    return await asyncio.gather(*(one(item) for item in of))
