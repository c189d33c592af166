"""F2: F1, and a save is acknowledged when Postgres has committed it, with all saves of the same 20 ms.

REDIS_URL=... DATABASE_URL=... python -m tests.bench.speed.floor_record PORT
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tests.bench.speed.floor_echo import serve
from tests.bench.speed.floor_live import Floor, open_redis
from tests.until import time_passes

WINDOW_SECONDS = 0.02
TABLE = """CREATE TABLE IF NOT EXISTS floor_events (
    interview text, seq bigint, body bytea NOT NULL, at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (interview, seq))"""
INSERT = "INSERT INTO floor_events (interview, seq, body) VALUES ($1, $2, $3)"


class Record:
    """Groups what comes in a window into one transaction."""

    def __init__(self) -> None:
        self._waiting: list[tuple[tuple[str, int, bytes], asyncio.Future[None]]] = []
        self._some = asyncio.Event()

    async def landed(self, interview: str, seq: int, body: bytes) -> None:
        """Returns when it is committed."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(((interview, seq, body), done))
        self._some.set()
        await done

    async def run(self) -> None:
        connection = await asyncpg.connect(os.environ["DATABASE_URL"])
        await connection.execute(TABLE)
        while True:
            await self._some.wait()
            await time_passes(WINDOW_SECONDS)
            group, self._waiting = self._waiting, []
            self._some.clear()
            async with connection.transaction():
                await connection.executemany(INSERT, [row for row, _ in group])
            for _, done in group:
                done.set_result(None)


if __name__ == "__main__":
    redis, record = open_redis(), Record()

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        running = asyncio.create_task(record.run())
        yield
        running.cancel()
        await redis.aclose()

    serve(Floor(redis, record.landed).socket, lifespan)
