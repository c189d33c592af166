"""Servers that are there and do not serve: stopped in their tracks, locked, or with no connection to spare."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP, Signals

import asyncpg

LOCKS = ("EXCLUSIVE", "ACCESS EXCLUSIVE")
"""The first lets others read."""
CONNECTIONS_MAX = 200


def family(pid: int) -> list[int]:
    """A process and its children: of Postgres, all that serve. The process alone where there is no /proc."""
    found = [pid]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


@asynccontextmanager
async def frozen(pid: int) -> AsyncIterator[None]:
    """SIGSTOP to it and its children, and SIGCONT in the end."""
    members = family(pid)
    _send(members, SIGSTOP)
    try:
        yield
    finally:
        _send(members, SIGCONT)


def _send(pids: list[int], number: Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@asynccontextmanager
async def locked(database_url: str, mode: str) -> AsyncIterator[None]:
    """Somebody holds a lock on all interviews."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE interview_sessions IN {mode} MODE")
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def no_connections(database_url: str) -> AsyncIterator[int]:
    """All connections of others are ended, and somebody takes every one that Postgres has; how many."""
    taken = [await asyncpg.connect(database_url)]
    try:
        await taken[0].execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                               "AND backend_type = 'client backend'")  # fmt: skip
        with suppress(asyncpg.TooManyConnectionsError):
            while len(taken) < CONNECTIONS_MAX:
                taken.append(await asyncpg.connect(database_url))
        yield len(taken)
    finally:
        for connection in taken:
            connection.terminate()
