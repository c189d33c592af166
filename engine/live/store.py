"""The live interviews: load, commit, hello, recorded, rebuild. Each write is one script; Redis orders."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from engine.core.interview import Interview, due_at
from engine.live.clock import SKEW_MS_MAX, Clock
from engine.live.cluster import Cluster, every_primary
from engine.live.keys import PARTITIONS, RECORD_KEY, keys_of, partition_tag
from engine.live.line import Line, Script, Word
from engine.live.state import UnknownFormat, fields_of, interview_of
from engine.live.values import Applied, Arrival, Change, Entry, Loaded, Look, Miss, Seen
from protocol.words import Fence

FINISHED_TTL_MS = 24 * 3_600_000
"""How long a submitted interview stays live after its last event; then it is served from the record."""
EVENTS_KEPT = 1_000
"""Recorded events kept for replay; a client further behind gets a snapshot."""
REPLAY_EVENTS_MAX = 500
REPLAY_BYTES_MAX = 262_144
NARRATIVE_BYTES_MAX = 32_768
DUE_AT_ONCE = 100
BEGINS_BYTES = 80
"""Of an event: its type, number and instant, by which it is told from one that Redis, having lost it, took instead."""
SCRIPTS = ("commit", "recorded", "hello", "rebuild", "narrate")


class ForeignRecord(Exception):
    """This Redis is live for another record. The message says what to do."""


class Live:
    """The interviews in Redis. Raises redis.RedisError (and OSError) when Redis is away."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self.redis = redis
        self.clock = clock
        self._line = Line(redis.connection_pool, redis.get_retry())
        self._cluster = redis if isinstance(redis, Cluster) else None
        self._scripts = {name: self._script(_source(name)) for name in SCRIPTS}

    async def ask(self, *words: Word) -> Any:
        """One command, the shortest way there is. It may be done twice, when its answer was lost."""
        if self._cluster is not None:  # which knows who has the keys
            return await self._cluster.execute_command(*words)
        return await self._line.insist(lambda: self._line.ask(*words))

    async def load(self, id: str) -> Loaded | None:
        """The interview, or None when Redis does not hold it (or holds a copy in another format)."""
        fields = _pairs(await self.ask("HGETALL", keys_of(id).state))
        return _loaded(fields) if fields else None

    async def commit(self, change: Change) -> Applied | Seen | Miss:
        """Apply a command whole, or say why not."""
        interview = change.after
        keys = keys_of(interview.id)
        due = due_at(interview)
        fields = fields_of(interview, change.before.interview)
        reply: Any = await self._scripts["commit"](
            keys=[keys.state, keys.events, keys.commands, keys.due, keys.dirty],
            args=[
                interview.id,
                change.before.epoch,
                change.before.interview.seq,
                f"{change.fence.epoch}:{change.fence.n}" if change.fence else "",
                change.now,
                self.clock.offset_ms,
                SKEW_MS_MAX,
                change.holds_from,
                "" if change.holds_until is None else change.holds_until,
                change.command_id,
                change.body_hash,
                change.outcome,
                "" if due is None else due,
                FINISHED_TTL_MS if interview.phase == "submitted" else "",
                len(change.events),
                change.before.last,
                *change.events,
                *_flat(fields.items()),
            ],
        )
        self.clock.learn(int(reply[1]))
        match reply[0]:
            case b"ok":
                return Applied()
            case b"seen":
                return Seen(outcome=reply[2], epoch=int(reply[3]), recorded=int(reply[5]))
            case word:
                return Miss(word.decode())

    async def look(self, id: str, command_id: str) -> Look | None:
        """What a refusal must be checked against: it may be the echo of a command that took effect."""
        keys = keys_of(id)
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hmget(keys.state, ["epoch", "head", "recorded", "fence", "last"])
            pipe.hget(keys.commands, command_id)
            pipe.time()
            held, seen, time = await pipe.execute()
        now = self._learn(time)
        if held[0] is None:
            return None
        epoch, head, recorded, fence = map(int, held[:4])
        last = held[4].decode()
        return Look(epoch=epoch, head=head, recorded=recorded, fence=fence, last=last, seen=seen, now=now)

    async def hello(
        self,
        id: str,
        tab: str,
        *,
        write: bool,
        take: bool = False,
        fence: Fence | None = None,
        resume: tuple[int, int] | None = None,
        pending: Sequence[str] = (),
    ) -> Arrival | None:
        """A tab comes in. None when the interview is not live."""
        keys = keys_of(id)
        epoch, since = resume if resume else ("", 0)
        reply: Any = await self._scripts["hello"](
            keys=[keys.state, keys.events, keys.commands, keys.tail],
            args=[
                tab,
                int(write),
                int(take),
                f"{fence.epoch}:{fence.n}" if fence else "",
                epoch,
                since,
                keys.bell,
                self.clock.offset_ms,
                REPLAY_EVENTS_MAX,
                REPLAY_BYTES_MAX,
                *pending,
            ],
        )
        self.clock.learn(int(reply[1]))
        if reply[0] == b"gone":
            return None
        loaded = _loaded(_pairs(reply[6]))
        if loaded is None:
            return None
        return Arrival(
            loaded=loaded,
            writes=bool(reply[2]),
            mode=reply[3].decode(),
            missed=tuple(reply[4]),
            outcomes=tuple(reply[5]),
            narrative=_narrative(_pairs(reply[7]), loaded.interview),
        )

    async def owner(self, id: str) -> str | None:
        """Whose interview it is; None when it is not live."""
        user = await self.ask("HGET", keys_of(id).state, "user")
        return None if user is None else user.decode()

    async def position(self, id: str) -> tuple[int, int, int] | None:
        """(epoch, what the record holds, newest fence): where sockets should be."""
        held = await self.ask("HMGET", keys_of(id).state, "epoch", "recorded", "fence")
        return None if held[0] is None else (int(held[0]), int(held[1]), int(held[2]))

    async def positions(self, ids: Sequence[str]) -> list[tuple[int, int] | RedisError | None]:
        """(epoch, head) of each; None where it is not live, an error where its primary is away."""
        found = await self._ask_all(("HMGET", keys_of(id).state, "epoch", "head") for id in ids)
        return [at if isinstance(at, RedisError) else at[0] and (int(at[0]), int(at[1])) for at in found]

    async def servers(self) -> frozenset[str]:
        """What tells the Redis there is (each primary of a cluster) from any other, and from itself started again."""
        about = [await redis.info("server") for redis in await every_primary(self.redis)]
        return frozenset(str(one["run_id"]) for one in about)

    async def events(self, id: str, after: int, to: int) -> list[tuple[int, bytes]]:
        """The events (seq, bytes) after `after` up to `to`, as they were committed; without those that are gone."""
        found = await self.ask("XRANGE", keys_of(id).events, f"{after + 1}-0", f"{to}-0")
        return [(_seq(at), _pairs(fields)[b"b"]) for at, fields in found]

    async def unrecorded(self, id: str, recorded: int) -> tuple[Loaded, list[Entry]] | None:
        """The interview and its events after `recorded`, or after what live thinks is recorded, from one instant.

        None when it is not live.
        """
        keys = keys_of(id)
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(keys.state)
            pipe.xrange(keys.events)
            fields, found = await pipe.execute()
        loaded = _loaded(fields) if fields else None
        if loaded is None:
            return None
        entries = [_entry(at, fields) for at, fields in found]
        return loaded, [entry for entry in entries if entry.seq > min(recorded, loaded.recorded)]

    async def recorded(self, id: str, epoch: int, seq: int, body: bytes = b"") -> bool:
        """The record holds the events to `seq`: remember it, and ring.

        False: this epoch is over, or the last of them is not `body`, where that is given.
        """
        return (await self.all_recorded([(id, epoch, seq, body)]))[0]

    async def all_recorded(self, positions: Sequence[tuple[str, int, int, bytes]]) -> list[bool]:
        """The same for many (id, epoch, seq, body), asked at once."""
        script = self._scripts["recorded"]
        asked = []
        for id, epoch, seq, body in positions:
            keys = keys_of(id)
            args: list[Word] = [id, epoch, seq, keys.bell, EVENTS_KEPT, body[:BEGINS_BYTES]]
            asked.append(script([keys.state, keys.events, keys.dirty], args))
        answers = _not_all_failed(await asyncio.gather(*asked, return_exceptions=True))
        # Of what a primary that is away was not told, live learns at the next sweep.
        return [reply == b"ok" or isinstance(reply, RedisError) for reply in answers]

    async def rebuild(self, loaded: Loaded, commands: Iterable[tuple[str, bytes]]) -> bool:
        """Install a copy made from the record, with its commands (id, hash + outcome). False: another was newer."""
        interview = loaded.interview
        keys = keys_of(interview.id)
        due = due_at(interview)
        head = {
            "epoch": loaded.epoch,
            "head": interview.seq,
            "recorded": interview.seq,
            "fence": 0,
            "tab": "",
            "user": loaded.user,
            "last": "",
        }
        fields = [*_flat(head.items()), *_flat(fields_of(interview).items())]
        reply = await self._scripts["rebuild"](
            keys=[keys.state, keys.events, keys.commands, keys.due, keys.dirty, keys.tail],
            args=[
                interview.id,
                loaded.epoch,
                "" if due is None else due,
                FINISHED_TTL_MS if interview.phase == "submitted" else "",
                keys.bell,
                len(fields),
                *fields,
                *_flat(commands),
            ],
        )
        return bool(reply == b"ok")

    async def narrate(self, id: str, run: int, attempt: int, offset: int, text: str) -> bool:
        """Let the narrative of a run grow from byte `offset`. False: a later attempt writes it, or it is not live."""
        keys = keys_of(id)
        reply = await self._scripts["narrate"](
            keys=[keys.tail, keys.state],
            args=[run, attempt, offset, text.encode(), NARRATIVE_BYTES_MAX, FINISHED_TTL_MS, keys.bell],
        )
        return bool(reply)

    async def narrative(self, id: str) -> tuple[int, int, str] | None:
        """(run, attempt, text so far)."""
        fields = _pairs(await self.ask("HGETALL", keys_of(id).tail))
        if not fields:
            return None
        return int(fields[b"run"]), int(fields[b"attempt"]), fields[b"text"].decode(errors="ignore")

    async def ring(self, id: str, loaded: Loaded) -> None:
        """Ring for events that the record does not hold yet: told as "live"."""
        bell = f"{loaded.epoch} {loaded.recorded} {loaded.interview.seq} {loaded.fence}"
        await self.ask("PUBLISH", keys_of(id).bell, bell)

    async def due(self) -> list[str]:
        """Interviews whose time is up, by Redis's clock."""
        now = await self.time()
        return await self._indexed("due", now)

    async def dirty(self, for_ms: int) -> list[str]:
        """Interviews with events that have waited for the record longer than `for_ms`."""
        return await self._indexed("dirty", await self.time() - for_ms)

    async def time(self) -> int:
        """Redis's clock (with the tests' offset), in milliseconds."""
        return self._learn(await self.ask("TIME"))

    def _learn(self, time: Sequence[Any]) -> int:
        now = int(time[0]) * 1000 + int(time[1]) // 1000 + self.clock.offset_ms
        self.clock.learn(now)
        return now

    async def belong_to(self, record: str) -> None:
        """Be live for this record and no other: what a record does not know is erased here. Raises ForeignRecord."""
        kept = await self.redis.set(RECORD_KEY, record, nx=True, get=True)
        if kept is not None and kept != record.encode():
            raise ForeignRecord(
                "This Redis database is live for another Postgres database, whose interviews would be erased. Give "
                "each deployment a Redis database of its own (REDIS_URL). If the other one is gone for good, empty it."
            )

    async def forget(self, id: str) -> None:
        """Drop what the indexes say of an interview that is not live."""
        keys = keys_of(id)
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.zrem(keys.due, id)
            pipe.zrem(keys.dirty, id)
            await pipe.execute()

    async def erase(self, ids: Iterable[str]) -> None:
        """Delete all of interviews that the record does not have (any more): nobody else would come to delete it."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for id in ids:
                keys = keys_of(id)
                pipe.unlink(keys.state, keys.events, keys.commands, keys.tail)
                pipe.zrem(keys.due, id)
                pipe.zrem(keys.dirty, id)
            await pipe.execute()

    async def _indexed(self, index: str, until: int) -> list[str]:
        found = await self._ask_all(
            ("ZRANGE", f"{partition_tag(n)}:{index}", "-inf", until, "BYSCORE", "LIMIT", 0, DUE_AT_ONCE)
            for n in range(PARTITIONS)
        )
        return [id.decode() for ids in found if not isinstance(ids, RedisError) for id in ids]

    async def _ask_all(self, commands: Iterable[tuple[Word, ...]]) -> list[Any]:
        """The answers to many commands, asked at once; of a cluster some may be errors, but not all."""
        if self._cluster is None:
            asked = [*commands]
            found: list[Any] = await self._line.insist(
                lambda: asyncio.gather(*(self._line.ask(*words) for words in asked))
            )
            return found
        async with self._cluster.pipeline(transaction=False) as pipe:
            for words in commands:
                pipe.execute_command(*words)
            return _not_all_failed(await pipe.execute(raise_on_error=False))

    def _script(self, source: str) -> Script | AsyncScript:
        return Script(self._line, source) if self._cluster is None else self._cluster.register_script(source)


def _source(name: str) -> str:
    return resources.files("engine.live").joinpath(f"{name}.lua").read_text()


def _not_all_failed(answers: list[Any]) -> list[Any]:
    """Of a cluster some may be errors, but not all."""
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    for error in errors:
        if not isinstance(error, RedisError) or len(errors) == len(answers):
            raise error
    return answers


def _loaded(fields: dict[bytes, bytes]) -> Loaded | None:
    try:
        interview = interview_of(fields, int(fields[b"head"]))
    except UnknownFormat:
        return None
    return Loaded(
        interview=interview,
        epoch=int(fields[b"epoch"]),
        recorded=int(fields[b"recorded"]),
        fence=int(fields[b"fence"]),
        tab=fields[b"tab"].decode(),
        user=fields[b"user"].decode(),
        last=fields[b"last"].decode(),
    )


def _entry(at: bytes, fields: dict[bytes, bytes]) -> Entry:
    command_id = fields.get(b"c")
    return Entry(
        seq=_seq(at),
        body=fields[b"b"],
        command_id=command_id.decode() if command_id else None,
        body_hash=fields.get(b"h"),
        outcome=fields.get(b"o"),
    )


def _seq(at: bytes) -> int:
    return int(at.partition(b"-")[0])


def _pairs(flat: Any) -> dict[bytes, bytes]:
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


def _flat(pairs: Iterable[tuple[Any, Any]]) -> list[Any]:
    return [word for pair in pairs for word in pair]


def _narrative(fields: dict[bytes, bytes], interview: Interview) -> str:
    """The text so far, if it is of the run and attempt that the interview knows."""
    view = interview.evaluation
    if not fields or view is None or (int(fields[b"run"]), int(fields[b"attempt"])) != (view.run, view.attempt):
        return ""
    return fields[b"text"].decode(errors="ignore")
