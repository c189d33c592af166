"""Load, decide, commit, record, tell: sockets, REST, the clock and workers all change interviews through here."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from uuid import UUID

import msgspec
from redis.exceptions import RedisError

from engine.conductor.acks import HASH_BYTES, Outcome, ack, acks, outcome_of
from engine.conductor.shelf import Shelf
from engine.core import machine
from engine.core.appeals import under_way
from engine.core.interview import Interview, due_at, evolve, previous_question
from engine.core.machine import Announce, ClockRan, Decided, Refused
from engine.failpoints import failpoint
from engine.live.fanout import Bell, Fanout
from engine.live.store import Live
from engine.live.values import Applied, Arrival, Change, Loaded, Look, Miss, Seen
from engine.recorder import Lost, Recorder
from engine.telemetry import Metrics, log
from protocol import commands, events
from protocol.codec import canonical, encode
from protocol.codes import Refuse
from protocol.messages import Ack, Command, HelloBody, Refusal, event_frame
from protocol.words import Cursor, Durable, Fence

TRIES_MAX = 8
"""Each loses to another writer or to the clock; more than a few in a row means that something is wrong."""
CACHE_MAX = 4_096
RETRY_MS = 1_000


class StateReset(Exception):
    """The interview began a new epoch under this client: its position and its fence mean nothing any more."""


class Greeting(NamedTuple):
    """What hello found, and whether the record holds all of it."""

    arrival: Arrival
    durable: Durable
    acks: dict[str, Ack]


class _Act(NamedTuple):
    """A command on its way: what it is called, what it says, and who may say it."""

    interview: str
    id: str
    hash: bytes
    said: commands.ClientCommand | Announce | ClockRan
    fence: Fence | None = None
    pending: Callable[[], None] | None = None
    """Called when the command is applied and the record is slow to follow."""


class Conductor:
    """One a process. Raises RedisError or OSError when Redis is away, and the recorder's Lost, Parked, NotThere."""

    def __init__(
        self,
        live: Live,
        recorder: Recorder,
        fanout: Fanout,
        shelf: Shelf,
        ring: Callable[[str, int], Awaitable[object]],
        metrics: Metrics,
    ) -> None:
        self.live, self.recorder, self.fanout, self.shelf = live, recorder, fanout, shelf
        self._ring, self._metrics = ring, metrics
        self._cache: OrderedDict[str, Loaded] = OrderedDict()
        self._rings: set[asyncio.Task[None]] = set()

    # --- ways in ---

    async def handle(
        self, interview: str, frame: Command, fence: Fence | None, pending: Callable[[], None] | None = None
    ) -> Ack | Refusal:
        """A client's command: an ack once it is recorded (or live, while Postgres is away), or why not.

        Raises StateReset when the fence is from an epoch that is over.
        """
        if fence is None:
            return Refuse.OBSERVER.frame(id=frame.id)
        if isinstance(frame.d, commands.Submit | commands.Retry | commands.Appeal) and self.recorder.away:
            return Refuse.RECORD_UNAVAILABLE.frame(id=frame.id, retry_ms=RETRY_MS)
        act = _Act(interview, frame.id, _hash(frame.d), frame.d, fence, pending)
        try:
            reply = await self._perform(act)
        except asyncio.QueueFull:  # of the matcher
            reply = Refuse.UNAVAILABLE.frame(id=act.id, retry_ms=RETRY_MS)
        said = reply.code if isinstance(reply, Refusal) else "dup" if reply.dup else "applied"
        self._metrics.commands.labels(type(frame).__struct_config__.tag, said).inc()
        return reply

    async def announce(self, interview: UUID | str, command_id: str, body: events.Event) -> bool:
        """A worker's word under its fixed id, recorded before this returns. False: it is stale, or came before."""
        assert not isinstance(body, events.DraftSaved)
        said = Announce(body)  # type: ignore[arg-type]
        reply = await self._perform(_Act(str(interview), command_id, _hash(body), said))
        return isinstance(reply, Ack) and not reply.dup

    async def ask_again(self, interview: UUID | str, run: int) -> Ack | Refusal:
        """A new run after `run` has failed, for whoever runs the engine: it takes nobody's pen, and twice is once."""
        again = commands.Retry()
        return await self._perform(_Act(str(interview), f"eval:{run}:again", _hash(again), again))

    async def narrate(self, interview: UUID | str, run: int, attempt: int, offset: int, text: str) -> None:
        """A piece of the narrative, from byte `offset`; rings."""
        await self.live.narrate(str(interview), run, attempt, offset, text)

    async def clock(self, interview: str) -> bool:
        """The interview's time is up, somebody thinks. True: the clock acted."""
        loaded = await self._load(interview, fresh=True)
        due = due_at(loaded.interview)
        if due is None or self.live.clock.now() < due:
            return False
        acted = await self._run_clock(loaded)
        self._metrics.deadline_late_seconds.observe(max(0, self.live.clock.now() - due) / 1000)
        return acted

    async def hello(self, interview: str, body: HelloBody) -> Greeting:
        """A tab comes in: everything it needs to go on, and nothing that the record does not hold (if it can)."""
        for _ in range(TRIES_MAX):
            held = self._cache.get(interview)
            arrival = await self.live.hello(
                interview,
                body.tab,
                write=body.write,
                take=body.take,
                fence=body.fence,
                resume=(body.resume.epoch, body.resume.s) if body.resume else None,
                pending=body.pending,
            )
            if arrival is None or arrival.loaded.lacks(held):
                await self._rebuild(interview, stale=arrival.loaded.epoch if arrival else None)
                continue
            self._remember(arrival.loaded)
            durable = await self._see_recorded(arrival.loaded, body.resume)
            failpoint("hello")
            return Greeting(arrival, durable, acks(body.pending, arrival, durable))
        raise TimeoutError("the interview could not be rebuilt")

    async def take_pen(self, interview: str, tab: str) -> Fence:
        """A fence for a client without a socket."""
        greeting = await self.hello(interview, HelloBody(proto=1, tab=tab, write=True, take=True))
        loaded = greeting.arrival.loaded
        return Fence(epoch=loaded.epoch, n=loaded.fence)

    async def load(self, interview: str) -> Loaded:
        """The interview as it stands, rebuilt from the record if it must be."""
        return await self._load(interview, fresh=True)

    async def owner(self, interview: str) -> str:
        """Whose interview it is; also while Postgres is away, if it is live. Raises NotThere."""
        user = await self.live.owner(interview)
        return await self.recorder.rebuilder.owner(interview) if user is None else user

    async def view(self, interview: str) -> Interview:
        """The interview to look at: live, or from the record when it is not (any more)."""
        held, loaded = self._cache.get(interview), await self.live.load(interview)
        if loaded is None or loaded.lacks(held):
            return await self.recorder.rebuilder.read(interview)
        return loaded.interview

    # --- one command ---

    async def _perform(self, act: _Act) -> Ack | Refusal:
        for _ in range(TRIES_MAX):
            loaded = await self._load(act.interview)
            pack = await self.shelf.get(loaded.interview.pack)
            command = await self._understood(act.said, loaded.interview)
            now = self.live.clock.now()
            decision = machine.decide(loaded.interview, pack, command, now)
            if isinstance(decision, Refused):
                reply = await self._refuse(act, loaded, decision)
            else:
                reply = await self._commit(act, loaded, decision, now)
            if reply is not None:
                return reply
        return Refuse.UNAVAILABLE.frame(id=act.id, retry_ms=RETRY_MS)

    async def _understood(
        self, said: commands.ClientCommand | Announce | ClockRan, interview: Interview
    ) -> machine.Command:
        """What was said as a command of the machine: a question goes through the matcher first."""
        if isinstance(said, commands.Ask):
            return await self.shelf.ask(interview.pack, said.text, previous_question(interview))
        return said

    async def _commit(self, act: _Act, loaded: Loaded, decided: Decided, now: int) -> Ack | Refusal | None:
        """Commit what was decided. None: something moved meanwhile, decide again."""
        change = _change(act, loaded, decided, now)
        failpoint("commit.before")
        with self._metrics.commit_seconds.time():
            reply = await self.live.commit(change)
        failpoint("commit.after")
        match reply:
            case Applied():
                return await self._applied(act, change)
            case Seen():
                known = msgspec.structs.replace(loaded, epoch=reply.epoch, recorded=reply.recorded)
                return await self._seen(act, reply.outcome, known)
            case Miss.ID_REUSED:
                return Refuse.ID_REUSED.frame(id=act.id)
            case Miss.FENCED:
                return self._fenced(act, (await self._load(act.interview, fresh=True)).epoch)
            case Miss.GONE:
                await self._rebuild(act.interview)
                return None
            case Miss.STALE:
                self._cache.pop(act.interview, None)
        return None  # or the clock was missed, and what is known of the interview is as good as before

    async def _applied(self, act: _Act, change: Change) -> Ack:
        before = change.before
        loaded = msgspec.structs.replace(before, interview=change.after, last=change.last)
        self._remember(loaded)
        durable = await self.recorder.add(change)
        if durable == "live" and change.after.phase == "submitted" and act.pending is not None:
            act.pending()
            durable = await self.recorder.ensure(loaded, patient=True)
        if durable == "record":
            self._remember_recorded(loaded)
        failpoint("tell")
        await self._tell(loaded, durable)
        self._ring_worker(change)
        return ack(act.id, outcome_of(change.outcome), durable)

    async def _seen(self, act: _Act, outcome: bytes, loaded: Loaded) -> Ack:
        """This command took effect before: the same outcome, once the record holds it, and after its events."""
        found = outcome_of(outcome)
        durable: Durable = "record"
        if found.s > loaded.recorded:
            newest = await self._load(act.interview, fresh=True)
            if newest.epoch != loaded.epoch:
                raise Lost(act.interview)
            durable = await self._see_recorded(newest)
            await self._tell(newest, durable)
        else:
            await self.fanout.ring(act.interview, Bell(loaded.epoch, loaded.recorded, loaded.recorded, loaded.fence))
        return ack(act.id, found, durable, dup=True)

    async def _refuse(self, act: _Act, loaded: Loaded, refused: Refused) -> Ack | Refusal | None:
        """A refusal stands only if it was made on the newest state, and the command is not an echo."""
        look = await self.live.look(act.interview, act.id)
        if look is None:
            await self._rebuild(act.interview)
            return None
        if act.fence is not None and (act.fence.epoch, act.fence.n) != (look.epoch, look.fence):
            return self._fenced(act, look.epoch)
        if look.seen is not None:
            return await self._echo(act, loaded, look, look.seen)
        if (look.epoch, look.head, look.last) != (loaded.epoch, loaded.interview.seq, loaded.last):
            self._cache.pop(act.interview, None)
            return None
        if refused.refuse is Refuse.DEADLINE_PASSED and look.now < (due_at(loaded.interview) or 0):
            return None  # this node's estimate was ahead of the clock
        if refused.refuse is Refuse.DEADLINE_PASSED and loaded.interview.phase == "clarifying":
            await self._run_clock(loaded)  # whoever comes first acts for the clock
            return None
        if not self.recorder.away and await self.recorder.rebuilder.mended(loaded):
            return None
        return refused.refuse.frame(id=act.id, at=refused.at, message=refused.message, **refused.facts)

    async def _echo(self, act: _Act, loaded: Loaded, look: Look, seen: bytes) -> Ack | Refusal:
        if seen[:HASH_BYTES] != act.hash:
            return Refuse.ID_REUSED.frame(id=act.id)
        known = Loaded(interview=loaded.interview, epoch=look.epoch, recorded=look.recorded)
        return await self._seen(act, seen[HASH_BYTES:], known)

    def _fenced(self, act: _Act, epoch: int) -> Refusal:
        if act.fence is not None and act.fence.epoch != epoch:
            raise StateReset(act.interview)
        return Refuse.FENCED.frame(id=act.id)

    async def _run_clock(self, loaded: Loaded) -> bool:
        ran = ClockRan()
        id = f"clock:{loaded.interview.phase}"
        reply = await self._perform(_Act(loaded.interview.id, id, _hash_bytes(id.encode()), ran))
        return isinstance(reply, Ack) and not reply.dup

    # --- what it stands on ---

    async def _load(self, interview: str, *, fresh: bool = False) -> Loaded:
        cached = None if fresh else self._cache.get(interview)
        if cached is not None:
            self._cache.move_to_end(interview)
            return cached
        for _ in range(TRIES_MAX):
            held = self._cache.get(interview)
            loaded = await self.live.load(interview)
            if loaded is not None and not loaded.lacks(held):
                self._remember(loaded)
                return loaded
            await self._rebuild(interview, stale=loaded.epoch if loaded else None)
        raise TimeoutError("the interview could not be rebuilt")

    async def _rebuild(self, interview: str, *, stale: int | None = None) -> None:
        self._cache.pop(interview, None)
        await self.recorder.rebuilder.rebuild(interview, stale=stale)

    def _remember(self, loaded: Loaded) -> None:
        self._cache[loaded.interview.id] = loaded
        self._cache.move_to_end(loaded.interview.id)
        if len(self._cache) > CACHE_MAX:
            self._cache.popitem(last=False)

    def _remember_recorded(self, loaded: Loaded) -> None:
        held, seq = self._cache.get(loaded.interview.id), loaded.interview.seq
        if held is not None and held.epoch == loaded.epoch and held.recorded < seq:
            self._remember(msgspec.structs.replace(held, recorded=seq))

    async def _see_recorded(self, loaded: Loaded, cursor: Cursor | None = None) -> Durable:
        """Who has been further than live is (Redis lost writes) makes us ask the record as well."""
        ahead = cursor is not None and (cursor.epoch, cursor.s) > (loaded.epoch, loaded.interview.seq)
        if loaded.recorded >= loaded.interview.seq and not ahead:
            return "record"
        return await self.recorder.ensure(loaded)

    async def _tell(self, loaded: Loaded, durable: Durable) -> None:
        """This node's sockets have the events queued when this returns; other nodes have been rung."""
        seq = loaded.interview.seq
        if durable == "live" and loaded.interview.phase == "submitted":
            return  # told when it is recorded, which rings
        if durable == "live":
            await self.live.ring(loaded.interview.id, loaded)
        recorded = seq if durable == "record" else loaded.recorded
        await self.fanout.ring(loaded.interview.id, Bell(loaded.epoch, recorded, seq, loaded.fence))

    def _ring_worker(self, change: Change) -> None:
        """A run waits: ring the queue. If that fails, the reaper rings within a second."""
        run = under_way(change.after.evaluation)
        if run is None or not run.waits or run == under_way(change.before.interview.evaluation):
            return
        task = asyncio.create_task(self._ring_safely(change.after.id, run.run))
        self._rings.add(task)
        task.add_done_callback(self._rings.discard)

    async def _ring_safely(self, interview: str, run: int) -> None:
        try:
            await self._ring(interview, run)
        except (RedisError, OSError) as error:
            log.warning("queue_away", interview=interview, error=type(error).__name__)


def _change(act: _Act, loaded: Loaded, decided: Decided, now: int) -> Change:
    before = loaded.interview
    frames = [event_frame(body, s=before.seq + i, ts=now) for i, body in enumerate(decided.events, 1)]
    after: Interview = before
    for frame in frames:
        after = evolve(after, frame)
    saved = next((body for body in decided.events if isinstance(body, events.DraftSaved)), None)
    late = any(getattr(body, "late", False) for body in decided.events)
    return Change(
        before=loaded,
        after=after,
        events=tuple(encode(frame) for frame in frames),
        command_id=act.id,
        body_hash=act.hash,
        outcome=msgspec.json.encode(Outcome(s=after.seq, rev=saved.rev if saved else None, late=late)),
        fence=act.fence,
        now=now,
        holds_from=decided.holds_from,
        holds_until=decided.holds_until,
    )


def _hash(body: commands.ClientCommand | events.Event) -> bytes:
    return _hash_bytes(canonical(body))


def _hash_bytes(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:HASH_BYTES]
