"""From Redis to this node's sockets. The doorbell only says that there is something; it is read from the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from engine.live.keys import keys_of
from engine.live.logins import ENDED_CHANNEL
from engine.live.store import Live
from engine.live.values import Entry
from engine.telemetry import log

POLL_SECONDS = 1.0
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
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
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
        self._pubsub: PubSub | None = None
        """The subscription, while there is one."""
        self._topics: dict[str, Topic] = {}
        self._channels: dict[bytes, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self, id: str, listener: Listener) -> Topic:
        """Listen to an interview. When this returns, no later doorbell is missed."""
        topic = self._topics.get(id) or Topic(id)
        topic.listeners.add(listener)  # before anything is awaited: who leaves meanwhile is not the last one
        if id not in self._topics:
            self._topics[id] = topic
            bell = keys_of(id).bell
            self._channels[bell.encode()] = id
            if self._pubsub is not None:
                await self._pubsub.subscribe(bell)
        if not topic.subscribed.done():
            await asyncio.wait([topic.subscribed], timeout=CONFIRM_SECONDS)
        if not topic.subscribed.done():
            log.warning("doorbell_unconfirmed", interview=id)  # the heartbeat's head makes up for lost rings
        return topic

    async def leave(self, id: str, listener: Listener) -> None:
        """Stop listening; the last one out unsubscribes."""
        topic = self._topics.get(id)
        if topic is None:
            return
        topic.listeners.discard(listener)
        if not topic.listeners:
            del self._topics[id]
            bell = keys_of(id).bell
            self._channels.pop(bell.encode(), None)
            if self._pubsub is not None:
                await self._pubsub.unsubscribe(bell)

    async def start(self, topic: Topic, epoch: int, position: int) -> None:
        """A hello has read the interview at `position`: read on from there. Who has more already drops what he has."""
        async with topic.lock:
            if topic.position is None or epoch > topic.epoch:
                topic.epoch, topic.position = epoch, position
            elif epoch == topic.epoch:
                topic.position = min(topic.position, position)
        if topic.newest is not None:
            await self._read_to(topic, topic.newest)
        await self.ring_again(topic.id)  # the confirmation may have been that of a subscription before this one

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
                async with Redis.from_pool(_plain_pool(self._redis)) as redis, redis.pubsub() as pubsub:
                    await self._subscribe(pubsub)
                    if away:
                        away = False
                        log.info("doorbells_back")
                    while True:
                        message = await pubsub.get_message(timeout=POLL_SECONDS)
                        if message is not None:
                            self._hear(message)
            except (RedisError, OSError, RuntimeError) as error:  # RuntimeError: two read, for a `join` connected too
                if not away:
                    log.warning("doorbells_away", error=type(error).__name__)
                away = True
            finally:
                self._pubsub = None
            await asyncio.sleep(RETRY_SECONDS)

    async def _subscribe(self, pubsub: PubSub) -> None:
        """To all that is wanted. Whoever joins from now on subscribes by himself."""
        subscribed: set[bytes] = set()
        while missing := {ENDED_CHANNEL.encode(), *self._channels} - subscribed:
            await pubsub.subscribe(*missing)
            subscribed |= missing
        self._pubsub = pubsub

    def _hear(self, message: dict[str, Any]) -> None:
        if message["channel"] == ENDED_CHANNEL.encode():
            if message["type"] == "message":
                self.login_ended(message["data"].decode())
            elif message["type"] == "subscribe":
                self._spawn(self.logins_unheard())
            return
        id = self._channels.get(message["channel"])
        topic = self._topics.get(id) if id is not None else None
        if id is None or topic is None:
            return
        if message["type"] == "subscribe":
            if not topic.subscribed.done():
                topic.subscribed.set_result(None)
            if topic.position is not None:  # somebody was welcomed before this: rings may have been lost
                self._spawn(self.ring_again(id))
        elif message["type"] == "message" and message["data"] == b"tail":
            self._spawn(self._ring_narrative(topic))
        elif message["type"] == "message":
            self._hear_bell(topic, message["data"])

    def _hear_bell(self, topic: Topic, data: bytes) -> None:
        try:
            bell = Bell(*map(int, data.split()))
        except (TypeError, ValueError):
            self._spawn(self.ring_again(topic.id))  # from another version of the engine; that it rang is enough
        else:
            if not topic.has_heard(bell):
                self._spawn(self.ring(topic.id, bell))

    async def _ring_narrative(self, topic: Topic) -> None:
        narrative = await self._live.narrative(topic.id)
        if narrative is not None:
            self._tell(topic, News(bell=Bell(topic.epoch, 0, 0, 0), narrative=narrative))

    def _tell(self, topic: Topic, news: News) -> None:
        for listener in tuple(topic.listeners):
            listener(news)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _nothing() -> None:
    return


def _plain_pool(redis: Redis) -> ConnectionPool:
    """Connections that do not try again by themselves: a subscription that broke is made anew, by one task only."""
    pool = redis.connection_pool
    never = Retry(NoBackoff(), 0, supported_errors=())
    return ConnectionPool(connection_class=pool.connection_class, **{**pool.connection_kwargs, "retry": never})


async def _logged(work: Any) -> None:
    try:
        await work
    except (RedisError, OSError) as error:
        log.warning("doorbell_unread", error=type(error).__name__)
