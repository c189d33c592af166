"""Words planted where people type, and a search for them in all that both stores hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import asyncpg
from redis.asyncio import Redis


async def places(words: Iterable[str], database_url: str, redis: Redis) -> list[str]:
    """Where in Postgres (any column of any table) and Redis (any key or value) one of these words stands."""
    wanted = [form for word in words for form in (word.encode(), word.encode().hex().encode())]  # bytea shows as hex
    held = [*await _rows(database_url), *await _values(redis)]
    return sorted({where for where, data in held if any(form in data for form in wanted)})


async def _rows(database_url: str) -> list[tuple[str, bytes]]:
    connection = await asyncpg.connect(database_url)
    try:
        tables = [row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname='public'")]
        assert "users" in tables
        return [
            (f"postgres:{table}", row[0].encode())
            for table in tables
            for row in await connection.fetch(f'SELECT t::text FROM "{table}" AS t')
        ]
    finally:
        await connection.close()


async def _values(redis: Any) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    async for key in redis.scan_iter(count=1_000):
        found.append((f"redis:{key.decode()}", _bytes_in([key, await _value(redis, key)])))
    return found


async def _value(redis: Any, key: bytes) -> Any:
    match kind := (await redis.type(key)).decode():
        case "string":
            return [await redis.get(key)]
        case "hash":
            return await redis.hgetall(key)
        case "list":
            return await redis.lrange(key, 0, -1)
        case "set":
            return list(await redis.smembers(key))
        case "zset":
            return await redis.zrange(key, 0, -1)
        case "stream":
            return await redis.xrange(key)
        case "none":  # it ran out meanwhile
            return []
        case _:
            raise AssertionError(f"{key!r} is a {kind}")


def _bytes_in(value: Any) -> bytes:
    """All bytes in a value, one after the other."""
    match value:
        case bytes():
            return value
        case dict():
            return b" ".join(_bytes_in(part) for pair in value.items() for part in pair)
        case _:
            return b" ".join(_bytes_in(part) for part in value)
