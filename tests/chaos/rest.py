"""What processes hold when there is nothing to do: connections of clients who left, descriptors, transactions."""

from __future__ import annotations

import os
from pathlib import Path

import asyncpg

from tests.chaos.history import Rest
from tests.stack import Stack

DESCRIPTORS_MAX = 160
"""The pools to their brim (64 to Redis, those of the queue and of doorbells, 10 to Postgres), and what a process starts
with."""
BACKENDS_MAX = 12
"""Of Postgres, for one process: its pool, and two more while a pool is made anew."""
OPEN_STATES = ("01", "08")
"""Of TCP: established; and closed by the other side only, which is what a leak looks like."""


async def at_rest(stack: Stack) -> list[Rest]:
    """Each process and Postgres, now. On systems without /proc, Postgres alone."""
    found = [rest for node in stack.nodes if node.running for rest in _inbound(node.name, node.pid, node.port)]
    for process in (*stack.nodes, *stack.workers):
        found.append(Rest(of=process.name, what="ends that nobody asked for", held=int(not process.running)))
        folder = Path(f"/proc/{process.pid}/fd")
        if process.running and folder.is_dir():
            held = len(os.listdir(folder))
            found.append(Rest(of=process.name, what="descriptors", held=held, most=DESCRIPTORS_MAX))
    return [*found, *await _postgres(stack)]


def _inbound(name: str, pid: int, port: int) -> list[Rest]:
    table = Path(f"/proc/{pid}/net/tcp")
    if not table.exists():
        return []
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    own = f"0100007F:{port:04X}"  # others on this machine may use the same port of another address
    held = sum(row[1] == own and row[3] in OPEN_STATES for row in rows)
    return [Rest(of=name, what="connections of clients", held=held)]


async def _postgres(stack: Stack) -> list[Rest]:
    connection = await asyncpg.connect(stack.database_url)
    try:
        row = await connection.fetchrow(
            "SELECT count(*) FILTER (WHERE state LIKE 'idle in transaction%' "
            "AND state_change < clock_timestamp() - interval '1 second') AS open, count(*) AS all "
            "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()
    most = BACKENDS_MAX * (len(stack.nodes) + len(stack.workers))
    return [
        Rest(of="postgres", what="open transactions", held=row["open"]),
        Rest(of="postgres", what="connections", held=row["all"], most=most),
    ]
