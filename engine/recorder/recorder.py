"""Carries what live holds into the record, in order, then rings. Redis orders, Postgres follows.

What a process commits it records itself, in groups; what anyone left lying is found through the `dirty` indexes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import NoReturn

import asyncpg
import msgspec
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.failpoints import failpoint
from engine.live.fanout import Fanout
from engine.live.store import Live
from engine.live.values import Change, Entry, Loaded
from engine.record import events as record
from engine.record import interviews
from engine.record.events import Batch, Recorded
from engine.recorder.rebuilder import NotThere, Parked, Rebuilder
from engine.telemetry import Metrics, log
from protocol.words import Durable

WINDOW_SECONDS = 0.02
"""Groups start at most this often: under load one commit in Postgres serves many in Redis."""
GROUP_MAX = 256
RETRY_SECONDS = 0.25
SWEEP_SECONDS = 0.5
LEFT_LYING_MS = 1_000
"""Events that wait longer than this may be recorded by anyone: their process is gone, or slow."""
AWAY = (
    OSError,
    TimeoutError,
    SQLAlchemyError,  # only the pool speaks SQLAlchemy here, so this is about connecting
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresIOError,
)
"""What Postgres being away looks like."""
NOT_THE_DATA = (*AWAY, asyncpg.PostgresError)
"""Neither is the rest our data's fault: tables of another version, say. It is waited for, as if Postgres was away."""
BAD_DATA = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError)
"""What no retry mends. ValueError: bytes that are no event, values that Postgres's types cannot hold."""


class Lost(Exception):
    """The epoch ended before the record had the event: the command did not happen."""


class _Waiter(msgspec.Struct):
    """Somebody waits for event `seq`; a patient one does not take "live" for an answer."""

    seq: int
    future: asyncio.Future[Durable]
    patient: bool = False
    body: bytes | None = None
    """The event as this process committed it; None for whoever waits for what others may have committed."""


class _Waiting(msgspec.Struct):
    """One interview's events of this process that are not recorded yet, in order, and who waits for which."""

    loaded: Loaded
    entries: list[Entry] = []
    waiters: list[_Waiter] = []


class Recorder:
    """Groups of events into Postgres, one group at a time. `away` is the breaker."""

    def __init__(self, engine: AsyncEngine, live: Live, fanout: Fanout, metrics: Metrics) -> None:
        self.away = False
        self.parked: set[str] = set()
        self.rebuilder = Rebuilder(engine, live, metrics)
        self._engine, self._live, self._fanout, self._metrics = engine, live, fanout, metrics
        self._waiting: dict[str, _Waiting] = {}
        self._lagging: set[str] = set()
        """Interviews whose events must be read from the stream: this process does not hold them (all)."""
        self._work = asyncio.Event()
        self._delayed = False
        """Something of the last group could not be recorded, and waits."""

    def add(self, change: Change) -> asyncio.Future[Durable]:
        """Take what was just committed. The future: "record" when it is recorded, "live" while Postgres is away.

        The future raises Lost or Parked.
        """
        id, entries = change.after.id, change.entries()
        loaded = Loaded(interview=change.after, epoch=change.before.epoch, recorded=change.before.recorded)
        waiting = self._in_line(loaded)
        if waiting is None:
            return _failed(Lost(id))
        waiting.loaded = loaded
        if self.away or (waiting.entries and waiting.entries[-1].seq + 1 != entries[0].seq):
            waiting.entries.clear()  # what this process has not (all) is in the stream
            self._lagging.add(id)
        else:
            waiting.entries.extend(entries)
        return self._wait(waiting, _Waiter(change.after.seq, _future(), body=entries[-1].body))

    def ensure(self, loaded: Loaded, *, patient: bool = False) -> asyncio.Future[Durable]:
        """See that the record gets all that `loaded` shows, whoever committed it. Futures as `add` has them.

        A patient one waits until Postgres is back.
        """
        waiting = self._in_line(loaded)
        if waiting is None:
            return _failed(Lost(loaded.interview.id))
        self._lagging.add(loaded.interview.id)
        return self._wait(waiting, _Waiter(loaded.interview.seq, _future(), patient))

    def _in_line(self, loaded: Loaded) -> _Waiting | None:
        """The interview's place in the line; None when its epoch is known to be over."""
        id = loaded.interview.id
        waiting = self._waiting.get(id)
        if waiting is not None and waiting.loaded.epoch > loaded.epoch:
            return None
        if waiting is not None and waiting.loaded.epoch < loaded.epoch:
            self._fail(id, waiting, Lost(id))
            waiting = None
        if waiting is None:
            waiting = self._waiting[id] = _Waiting(loaded)
        return waiting

    def _wait(self, waiting: _Waiting, waiter: _Waiter) -> asyncio.Future[Durable]:
        if self.away and not waiter.patient:
            waiter.future.set_result("live")
        else:
            waiting.waiters.append(waiter)
        self._work.set()
        return waiter.future

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop`, then what is left; what cannot be recorded then stays in the stream for others."""
        async with asyncio.TaskGroup() as group:
            sweep = group.create_task(self._sweep(stop))
            await self._record(stop)
            sweep.cancel()

    async def _record(self, stop: asyncio.Event) -> None:
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set() or self._waiting:
                if not self._waiting:
                    worked = asyncio.create_task(self._work.wait())
                    await asyncio.wait({worked, stopped}, return_when=asyncio.FIRST_COMPLETED)
                    worked.cancel()
                self._work.clear()
                self._delayed, started = False, time.monotonic()
                await self._flush()
                if self._delayed:
                    if stop.is_set():
                        return
                    await asyncio.sleep(RETRY_SECONDS)
                elif self._waiting:
                    await asyncio.sleep(max(0.0, WINDOW_SECONDS - (time.monotonic() - started)))
        finally:
            stopped.cancel()

    async def _flush(self) -> None:
        """Record one group; whoever cannot go with the group goes alone."""
        group = {id: self._waiting.pop(id) for id in list(self._waiting)[:GROUP_MAX]}
        if not group:
            return
        ready = {id: _batch(w) for id, w in group.items() if id not in self._lagging and w.entries}
        with self._metrics.record_seconds.time():
            written = await self._write(ready, group)
        self._metrics.record_group.observe(sum(len(batch.entries) for batch in ready.values()))
        probed = False
        for id, waiting in group.items():
            if id in written:
                continue
            if self.away and probed:
                self._later(id, waiting)  # one try tells for all
            else:
                probed = True
                await self._alone(id, waiting)

    async def _write(self, ready: dict[str, Batch], group: dict[str, _Waiting]) -> set[str]:
        """The ids that are in the record now. Data that fails in a group is tried again alone."""
        if self.away or not ready:
            return set()
        try:
            written = await record.write(self._engine, list(ready.values()))
        except (*BAD_DATA, asyncpg.TransactionRollbackError) as error:
            log.warning("group_refused", error=type(error).__name__, interviews=len(ready))
            return set()
        except NOT_THE_DATA as error:
            self._went_away(error)
            return set()
        for id in written:
            self._fanout.recorded(id, group[id].loaded.epoch, group[id].entries)
        await self._tell([(id, group[id], ready[id].last, ready[id].entries[-1].body) for id in written])
        return written

    async def _alone(self, id: str, waiting: _Waiting) -> None:
        """Record one interview from the stream, after asking the record how far it is."""
        try:
            last, body = await self._settle(id, waiting.loaded.epoch)
            await self._check(id, waiting, last)
        except (Lost, Parked, NotThere) as error:
            self._came_back()
            self._fail(id, waiting, error)
        except BAD_DATA as error:
            await self._park(id, waiting, error)
        except (RedisError, asyncpg.TransactionRollbackError) as error:
            log.warning("record_delayed", interview=id, error=type(error).__name__)
            self._later(id, waiting)
        except NOT_THE_DATA as error:
            self._went_away(error)
            self._later(id, waiting)
        else:
            self._came_back()
            self._lagging.discard(id)
            await self._tell([(id, waiting, last, body)])

    async def _settle(self, id: str, epoch: int) -> tuple[int, bytes]:
        """Bring the record to live's head, whoever wrote what, and say how far it is, and its last event."""
        row = await interviews.read(self._engine, id)
        if row is None:
            await self._live.erase([id])
            raise NotThere(id)
        if row.parked is not None:
            raise Parked(id)
        found = await self._live.unrecorded(id, row.recorded_seq)
        if found is None:
            await self._live.forget(id)
            raise Lost(id)
        loaded, entries = found
        if loaded.epoch != row.epoch:
            await self.rebuilder.rebuild(id)
        if row.epoch != epoch or loaded.epoch != epoch:
            raise Lost(id)
        rest = await self._compare(row, loaded, entries)
        if rest:
            batch = Batch(epoch=row.epoch, interview=loaded.interview, entries=_recorded(rest))
            if not await record.write(self._engine, [batch]):
                return await self._settle(id, epoch)  # another process was quicker
        return max(row.recorded_seq, loaded.interview.seq), entries[-1].body if entries else b""

    async def _compare(self, row: interviews.Row, loaded: Loaded, entries: list[Entry]) -> list[Entry]:
        """What the record lacks. Where both have an event it must have the same bytes, or live is stale: as it is
        when Redis has forgotten what is recorded, or the record what live no longer has. Then live is rebuilt.
        """
        id, known = str(row.id), [entry for entry in entries if entry.seq <= row.recorded_seq]
        rest = entries[len(known) :]
        held = (
            {event.seq: event.body for event in await record.read_events(self._engine, id, known[0].seq - 1)}
            if known
            else {}
        )
        whole = not rest or rest[0].seq == row.recorded_seq + 1
        if whole and loaded.interview.seq >= row.recorded_seq and all(held.get(e.seq) == e.body for e in known):
            return rest
        await self._stale(id, row.epoch)

    async def _check(self, id: str, waiting: _Waiting, last: int) -> None:
        """What is waited for must be what the record holds: Redis may have forgotten it since, and numbered another
        event the same.
        """
        mine = {waiter.seq: waiter.body for waiter in waiting.waiters if waiter.body is not None}
        held = await record.read_events(self._engine, id, min(mine) - 1) if mine else []
        kept = mine.items() <= {event.seq: event.body for event in held}.items()
        if not kept or any(waiter.seq > last for waiter in waiting.waiters):
            await self._stale(id, waiting.loaded.epoch)

    async def _stale(self, id: str, epoch: int) -> NoReturn:
        log.error("live_stale", interview=id, epoch=epoch)
        await self.rebuilder.rebuild(id, stale=epoch)
        raise Lost(id)

    async def _tell(self, recorded: Sequence[tuple[str, _Waiting, int, bytes]]) -> None:
        """The record has these interviews' events to `last`: live learns it, sockets are rung, waiters go on."""
        try:
            failpoint("recorded.before")
            alive = await self._live.all_recorded([(id, w.loaded.epoch, last, body) for id, w, last, body in recorded])
            failpoint("recorded.after")
        except (RedisError, OSError) as error:
            log.warning("live_away", error=type(error).__name__)
            alive = [True] * len(recorded)  # they are recorded; live learns it at the next sweep
        for (id, waiting, last, _), is_alive in zip(recorded, alive, strict=True):
            self._told(id, waiting, last, alive=is_alive)

    def _told(self, id: str, waiting: _Waiting, last: int, *, alive: bool) -> None:
        if not alive:
            log.info("live_stale", interview=id, epoch=waiting.loaded.epoch, recorded=last)
        rest = [waiter for waiter in waiting.waiters if waiter.seq > last]
        for waiter in waiting.waiters:
            if waiter.seq <= last and not waiter.future.done():
                waiter.future.set_result("record")
        if rest or not alive:
            self._again(id, _Waiting(waiting.loaded, [], rest))

    def _later(self, id: str, waiting: _Waiting) -> None:
        """Postgres or Redis is away: the impatient are told "live", and the events stay in the stream."""
        self._delayed = True
        patient = []
        for waiter in waiting.waiters:
            if waiter.future.done():
                continue
            if self.away and not waiter.patient:
                waiter.future.set_result("live")
            else:
                patient.append(waiter)
        self._again(id, _Waiting(waiting.loaded, [], patient))

    def _again(self, id: str, waiting: _Waiting) -> None:
        """Back into the line, to be read from the stream; what came in meanwhile goes with it."""
        self._lagging.add(id)
        newer = self._waiting.get(id)
        if newer is None:
            self._waiting[id] = waiting
        elif newer.loaded.epoch == waiting.loaded.epoch:
            newer.waiters[:0] = waiting.waiters
        else:
            self._fail(id, waiting, Lost(id))

    def _fail(self, id: str, waiting: _Waiting, error: Exception) -> None:
        self._lagging.discard(id)
        if isinstance(error, Parked):
            self.parked.add(id)
        for waiter in waiting.waiters:
            if not waiter.future.done():
                waiter.future.set_exception(error)
                waiter.future.exception()  # whoever waited may be gone; that is no news

    async def _park(self, id: str, waiting: _Waiting, error: Exception) -> None:
        log.error("interview_parked", interview=id, error=type(error).__name__, exc_info=error)
        self._metrics.record_parked.inc()
        try:
            await interviews.park(self._engine, id, type(error).__name__)
        except AWAY as away:
            self._went_away(away)
        self._fail(id, waiting, Parked(id))

    def _went_away(self, error: BaseException) -> None:
        if not self.away:
            log.error("record_away", error=type(error).__name__)
        self.away = True
        self._metrics.record_away.set(1)

    def _came_back(self) -> None:
        if self.away:
            log.info("record_back")
        self.away = False
        self._metrics.record_away.set(0)

    async def _sweep(self, stop: asyncio.Event) -> None:
        """Find what others, or this process before it died, left unrecorded."""
        while not stop.is_set():
            try:
                for id in await self._live.dirty(LEFT_LYING_MS):
                    if id not in self._waiting and id not in self.parked:
                        await self._left_lying(id)
            except (RedisError, OSError) as error:
                log.warning("live_away", error=type(error).__name__)
            await asyncio.sleep(SWEEP_SECONDS)

    async def _left_lying(self, id: str) -> None:
        loaded = await self._live.load(id)
        if loaded is None:
            await self._live.forget(id)
        else:
            self.ensure(loaded)


def _future() -> asyncio.Future[Durable]:
    return asyncio.get_running_loop().create_future()


def _failed(error: Exception) -> asyncio.Future[Durable]:
    future = _future()
    future.set_exception(error)
    return future


def _batch(waiting: _Waiting) -> Batch:
    return Batch(epoch=waiting.loaded.epoch, interview=waiting.loaded.interview, entries=_recorded(waiting.entries))


def _recorded(entries: Iterable[Entry]) -> tuple[Recorded, ...]:
    return tuple(Recorded(e.seq, e.body, e.command_id, e.body_hash, e.outcome) for e in entries)
