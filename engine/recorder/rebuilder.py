"""Interviews made anew from the record: into Redis when it lost or spoilt its copy, or just to look at."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.interview import Interview, evolve
from engine.failpoints import failpoint
from engine.live.store import Live
from engine.live.values import Loaded
from engine.record import events as record
from engine.record import interviews
from engine.record.events import Recorded, millis
from engine.telemetry import Metrics, log
from protocol.codec import decode_event

REBUILDS_MAX = 4
"""At once. After Redis has lost everything all come back together; the others wait here, for as long as it takes, and
not for one of Postgres's connections, for which nobody waits long."""
OTHERS_SECONDS = 0.05
"""Who finds another process rebuilding an interview looks again after this."""


class Parked(Exception):
    """The record refuses this interview's events; it is set aside."""


class NotThere(Exception):
    """There is no such interview."""


class Rebuilder:
    """Brings interviews back from the record, each once however many ask."""

    def __init__(self, engine: AsyncEngine, live: Live, metrics: Metrics) -> None:
        self._engine, self._live, self._metrics = engine, live, metrics
        self._rebuilding: dict[str, asyncio.Task[None]] = {}
        self._free = asyncio.Semaphore(REBUILDS_MAX)

    async def rebuild(self, id: str, *, stale: int | None = None) -> None:
        """See that live has a copy of this epoch, made from the record; `stale` is one whose copy is not good.

        Raises NotThere, Parked. Whoever asks at the same time shares the work.
        """
        work = self._rebuilding.get(id)
        if work is None:
            work = self._rebuilding[id] = asyncio.create_task(self._in_turn(id, stale))
            work.add_done_callback(lambda _: self._rebuilding.pop(id))
        await asyncio.shield(work)

    async def mended(self, loaded: Loaded) -> bool:
        """Whether the record holds more than Redis, which has lost it; then the copy is made anew."""
        row = await interviews.read(self._engine, loaded.interview.id)
        if row is None or (row.epoch, row.recorded_seq) <= (loaded.epoch, loaded.interview.seq):
            return False
        await self.rebuild(loaded.interview.id, stale=loaded.epoch)
        return True

    async def _in_turn(self, id: str, stale: int | None) -> None:
        async with self._free:
            await self._rebuild(id, stale)

    async def _rebuild(self, id: str, stale: int | None) -> None:
        row = await interviews.read(self._engine, id)
        if row is None:
            await self._live.erase([id])
            raise NotThere(id)
        if row.parked is not None:
            raise Parked(id)
        held = await self._live.load(id)
        if held is not None and held.epoch == row.epoch != stale:
            return  # somebody has, meanwhile
        position = await self._live.position(id)
        epoch = max(row.epoch, position[0] if position else 0) + 1
        if not await interviews.raise_epoch(self._engine, id, row.epoch, epoch):
            await asyncio.sleep(OTHERS_SECONDS)
            return
        failpoint("rebuild.before")
        interview, commands = await self._read(id)
        installed = await self._live.rebuild(
            Loaded(interview=interview, epoch=epoch, recorded=interview.seq, user=str(row.user_id)), commands
        )
        failpoint("rebuild.after")
        if await interviews.read(self._engine, id) is None:  # deleted while it was read: it must not come back
            await self._live.erase([id])
            raise NotThere(id)
        self._metrics.rebuilds.inc()
        log.info("rebuilt", interview=id, epoch=epoch, seq=interview.seq, installed=installed)

    async def _read(self, id: str) -> tuple[Interview, list[tuple[str, bytes]]]:
        """The interview as recorded, and its commands: id, hash and outcome."""
        row = await interviews.read(self._engine, id)
        if row is None:
            raise NotThere(id)
        events = [event for event in await record.read_events(self._engine, id) if event.seq <= row.recorded_seq]
        commands = [(e.command_id, (e.body_hash or b"") + (e.outcome or b"")) for e in events if e.command_id]
        return _fold(row, events), commands

    async def owner(self, id: str) -> str:
        """Whose interview it is. Raises NotThere."""
        row = await interviews.read(self._engine, id)
        if row is None:
            raise NotThere(id)
        return str(row.user_id)

    async def read(self, id: str) -> Interview:
        """The interview as the record holds it; nothing is installed. Raises NotThere."""
        return (await self._read(id))[0]


def _fold(row: interviews.Row, events: list[Recorded]) -> Interview:
    """The interview from its row as it began, and all its events."""
    interview = Interview(
        id=str(row.id),
        pack=row.pack_hash,
        started_at=millis(row.started_at),
        deadline_at=millis(row.started_at) + row.clarify_seconds * 1000,
        design_ms=row.design_seconds * 1000,
    )
    for event in events:
        interview = evolve(interview, decode_event(event.body))
    return interview
