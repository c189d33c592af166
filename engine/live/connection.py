"""Connections to Redis that can be cancelled at any instant, and say so when they are gone.

redis-py writes under `asyncio.wait_for`, which before Python 3.12 swallows a cancellation that comes as the write
ends: the task goes on as if nobody had asked it to stop. Here the same timeout is kept by `asyncio.timeout`. And to
write to a connection that the other side has reset is a RuntimeError under uvloop, which redis-py takes for a mistake.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

ANSWER_SECONDS = 5.0
"""For one write, and for one read of an answer: Redis takes microseconds, or it is not well."""


class _Forthright:
    """Goes before a connection class of redis-py."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)  # type: ignore[misc]
        except RuntimeError as error:
            if "closed" not in str(error):
                raise
            raise RedisConnectionError("The connection to Redis was lost") from error


class _Cancellable(_Forthright):
    """Goes before a connection class of redis-py, whose own `socket_timeout` must then be None."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        async with _in_time():
            await super().send_packed_command(command, check_health)

    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - the name is redis-py's
        **options: Any,
    ) -> Any:
        read = super().read_response  # type: ignore[misc]
        if timeout is not None:
            return await read(disable_decoding, timeout, **options)
        async with _in_time():
            return await read(disable_decoding, **options)


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except TimeoutError:
        raise RedisTimeoutError("Redis did not answer in time") from None


def make_cancellable(pool: ConnectionPool) -> None:
    """Let the pool make such connections from now on, of whatever kind its URL asked for."""
    _put_before(pool, _Cancellable)


def make_forthright(pool: ConnectionPool) -> None:
    """The same without a timeout of ours: for who waits long for an answer, as for a doorbell."""
    _put_before(pool, _Forthright)


def _put_before(pool: ConnectionPool, more: type) -> None:
    kind = pool.connection_class
    pool.connection_class = type(kind.__name__, (more, kind), {})
