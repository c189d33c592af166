"""From Redis to this node's sockets. The doorbell only says that there is something, which is read from the stream; but
a piece of a narrative, which is no event, it brings along.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from engine.live.keys import keys_of
from engine.live.line import Connection
from engine.live.logins import ENDED_CHANNEL
from engine.live.store import Live
from engine.live.values import Entry
from engine.telemetry import log

PING_SECONDS = 1.0
"""A subscription on which nothing comes may be dead."""
TAIL = b"tail "
"""How a doorbell begins that says a piece of a narrative: its run, attempt, first byte, and text."""
RESP3 = 3
"""The protocol in which doorbells come beside answers."""
RETRY_SECONDS = 0.2
CONFIRM_SECONDS = 2.0


class Bell(msgspec.Struct, frozen=True):
    """The epoch, what the record holds, to where sockets may be told, and the newest fence."""

    epoch: int
    recorded: int
    told: int
    fence: int


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What a socket is handed: events (seq, bytes), those above `recorded` still live only."""

    events: tuple[tuple[int, bytes], ...] = ()
    bell: Bell
    reset: bool = False
    """Events are gone: positions mean nothing any more. As they do in every epoch but the bell's."""
    narrative: tuple[int, int, str] | None = None


Listener = Callable[[News], None]


class Narrative(NamedTuple):
    """The text of a run and attempt so far, which has so many bytes."""

    run: int
    attempt: int
    size: int
    text: str


class Topic:
    """One interview that has sockets on this node."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.listeners: set[Listener] = set()
        self.position: int | None = None
        """The last event read for all; None until a hello says where to start."""
        self.epoch = 0
        self.newest: Bell | None = None
        """The ring that went furthest: whoever comes in hears it too, for it may have come during his hello."""
        self.narrative: Narrative | None = None
        """What sockets were told last, while it grows; an event lets go of it."""
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.doubted = False
        """Between that and the first hello doorbells may have been lost."""
        self.lock = asyncio.Lock()
        """Held while it is read."""

    def has_heard(self, bell: Bell) -> bool:
        """There is nothing in this ring that was not told to all: as in most, which this process caused itself."""
        newest = self.newest
        return (
            newest is not None
            and self.position is not None
            and not self.lock.locked()
            and bell.epoch == newest.epoch == self.epoch
            and bell.told <= self.position
            and bell.recorded <= newest.recorded
            and bell.fence <= newest.fence
        )


class Fanout:
    """One subscription a node; each topic read once for all its sockets. Ring it after a commit of one's own."""

    def __init__(self, redis: Redis, live: Live) -> None:
        self._live = live
        self.login_ended: Callable[[str], None] = lambda login: None
        """Called with the id of a login that was ended anywhere."""
        self.logins_unheard: Callable[[], Awaitable[None]] = _nothing
        """Called whenever the subscription is new: logins may have ended that nobody told of."""
        self._redis = redis
        self._subscription: Connection | None = None
        """While there is one."""
        self._topics: dict[str, Topic] = {}
        self._channels: dict[bytes, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, id: str, listener: Listener) -> Topic:
        """Listen to an interview. Once `confirmed`, no later doorbell is missed."""
        topic = self._topics.get(id)
        if topic is None:
            topic = self._topics[id] = Topic(id)
            bell = keys_of(id).bell
            self._channels[bell.encode()] = id
            self._say("SUBSCRIBE", bell)
        topic.listeners.add(listener)
        return topic

    async def confirmed(self, topic: Topic) -> None:
        """Wait until doorbells are heard, but not for ever."""
        if not topic.subscribed.done():
            await asyncio.wait([topic.subscribed], timeout=CONFIRM_SECONDS)
        if not topic.subscribed.done():
            log.warning("doorbell_unconfirmed", interview=topic.id)  # the heartbeat's head makes up for lost rings

    def leave(self, id: str, listener: Listener) -> None:
        """Stop listening; the last one out unsubscribes."""
        topic = self._topics.get(id)
        if topic is None:
            return
        topic.listeners.discard(listener)
        if not topic.listeners:
            del self._topics[id]
            bell = keys_of(id).bell
            self._channels.pop(bell.encode(), None)
            self._say("UNSUBSCRIBE", bell)

    def _say(self, *words: str) -> None:
        """Without a subscription there is nothing to say: a new one is to all that is wanted."""
        if self._subscription is not None and not self._subscription.over:
            self._subscription.say(words)

    async def start(self, topic: Topic, epoch: int, position: int) -> None:
        """A hello has read the interview at `position`: read on from there. Who has more already drops what he has."""
        async with topic.lock:
            if topic.position is None or epoch > topic.epoch:
                topic.epoch, topic.position = epoch, position
            elif epoch == topic.epoch:
                topic.position = min(topic.position, position)
        if topic.newest is not None:
            await self._read_to(topic, topic.newest)
        if topic.doubted:
            topic.doubted = False
            await self.ring_again(topic.id)

    def recorded(self, id: str, epoch: int, entries: Sequence[Entry]) -> None:
        """The record holds these, which this process committed: they need not be read back.

        Where they do not go on from what was read, the doorbell that follows sees to it.
        """
        topic = self._topics.get(id)
        if topic is None or topic.position is None or topic.epoch != epoch or topic.lock.locked():
            return
        if entries[0].seq - 1 <= topic.position < entries[-1].seq:
            events = tuple((entry.seq, entry.body) for entry in entries if entry.seq > topic.position)
            topic.position = entries[-1].seq
            newest = topic.newest
            fence = newest.fence if newest is not None and newest.epoch == epoch else 0
            topic.newest = Bell(epoch, topic.position, topic.position, fence)
            self._tell(topic, News(events=events, bell=topic.newest))

    async def ring(self, id: str, bell: Bell) -> None:
        """Hand on what is new up to `bell.told`. Returns when this node's sockets have it queued."""
        topic = self._topics.get(id)
        if topic is not None and not topic.has_heard(bell):
            await self._read_to(topic, bell)

    async def _read_to(self, topic: Topic, bell: Bell) -> None:
        async with topic.lock:
            if topic.newest is None or (bell.epoch, bell.told) >= (topic.newest.epoch, topic.newest.told):
                topic.newest = bell
            if topic.position is None:
                return
            if bell.epoch != topic.epoch:
                if bell.epoch > topic.epoch:
                    self._tell(topic, News(bell=bell))
                return
            events = await self._live.events(topic.id, topic.position, bell.told) if bell.told > topic.position else []
            if events and events[0][0] != topic.position + 1:
                self._tell(topic, News(bell=bell, reset=True))  # trimmed under a node that was long away
                return
            topic.position += len(events)
            self._tell(topic, News(events=tuple(events), bell=bell))

    async def ring_again(self, id: str) -> None:
        """Read the head itself: after a reconnect of the subscription, or when a heartbeat is due."""
        position = await self._live.position(id)
        if position is not None:
            epoch, recorded, fence = position
            await self.ring(id, Bell(epoch, recorded, recorded, fence))

    async def run(self, stop: asyncio.Event) -> None:
        """Listen to doorbells until `stop`. Redis away: tries again, and re-reads every head on its return."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen())
            await stop.wait()
            listening.cancel()

    async def _listen(self) -> None:
        away = False
        while True:
            try:
                async with _connected(self._redis) as by:
                    self._subscription = connection = Connection(by, self._hear)
                    connection.say(("SUBSCRIBE", ENDED_CHANNEL, *self._channels))
                    while True:
                        await connection.ask(("PING",))
                        if away:
                            away = False
                            log.info("doorbells_back")
                        await asyncio.wait([connection.ended], timeout=PING_SECONDS)
            except (RedisError, OSError) as error:
                if not away:
                    log.warning("doorbells_away", error=type(error).__name__)
                away = True
            finally:
                self._subscription = None
            await asyncio.sleep(RETRY_SECONDS)

    def _hear(self, said: list[Any]) -> None:
        match said:
            case [b"message", channel, data] if channel == ENDED_CHANNEL.encode():
                self.login_ended(data.decode())
            case [b"subscribe", channel, _] if channel == ENDED_CHANNEL.encode():
                self._spawn(self.logins_unheard())
            case [b"message" | b"subscribe" as kind, channel, data]:
                topic = self._topics.get(self._channels.get(channel, ""))
                if topic is None:
                    return
                if kind == b"subscribe":
                    self._subscribed(topic)
                elif data.startswith(TAIL):
                    self._hear_piece(topic, data)
                else:
                    self._hear_bell(topic, data)

    def _subscribed(self, topic: Topic) -> None:
        """Confirmed. Before that, rings may have been lost."""
        if topic.position is not None:  # somebody was welcomed already
            self._spawn(self.ring_again(topic.id))
        elif topic.subscribed.done():  # by another confirmation: that of a subscription before this one
            topic.doubted = True
        if not topic.subscribed.done():
            topic.subscribed.set_result(None)

    def _hear_bell(self, topic: Topic, data: bytes) -> None:
        try:
            bell = Bell(*map(int, data.split()))
        except (TypeError, ValueError):
            self._spawn(self.ring_again(topic.id))  # from another version of the engine; that it rang is enough
        else:
            if not topic.has_heard(bell):
                self._spawn(self.ring(topic.id, bell))

    def _hear_piece(self, topic: Topic, data: bytes) -> None:
        """A piece that goes on from what was told is told; where something is missing, the whole is read."""
        try:
            _, run, attempt, offset, piece = data.split(b" ", 4)
            of, start = (int(run), int(attempt)), int(offset)
        except ValueError:
            of, start, piece = (0, 0), -1, b""
        known = topic.narrative or Narrative(0, 0, 0, "")
        _, _, size, text = known if known[:2] == of else Narrative(*of, 0, "")
        if start != size or of < known[:2]:
            self._spawn(self._read_narrative(topic))
        else:
            self._narrate(topic, Narrative(*of, size + len(piece), text + piece.decode(errors="ignore")))

    async def _read_narrative(self, topic: Topic) -> None:
        found = await self._live.narrative(topic.id)
        if found is None:
            return
        run, attempt, text = found
        narrative = Narrative(run, attempt, len(text.encode()), text)
        if topic.narrative is None or narrative > topic.narrative:  # pieces may have come meanwhile
            self._narrate(topic, narrative)

    def _narrate(self, topic: Topic, narrative: Narrative) -> None:
        topic.narrative = narrative
        run, attempt, _, text = narrative
        self._tell(topic, News(bell=Bell(topic.epoch, 0, 0, 0), narrative=(run, attempt, text)))

    def _tell(self, topic: Topic, news: News) -> None:
        if news.events:
            topic.narrative = None
        for listener in tuple(topic.listeners):
            listener(news)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _nothing() -> None:
    return


@asynccontextmanager
async def _connected(redis: Redis) -> AsyncIterator[AbstractConnection]:
    """A connection that does not try again by itself: a subscription that broke is made anew, by one task only."""
    pool = redis.connection_pool
    options = {**pool.connection_kwargs, "retry": Retry(NoBackoff(), 0, supported_errors=()), "protocol": RESP3}
    connection: AbstractConnection = pool.connection_class(**options)
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
        yield connection
    finally:
        await connection.disconnect(nowait=True)


async def _logged(work: Any) -> None:
    try:
        await work
    except (RedisError, OSError) as error:
        log.warning("doorbell_unread", error=type(error).__name__)
