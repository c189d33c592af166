"""Redis Cluster: one Redis to whoever calls it, each call sent to the primary that has its key.

All that the engine asks is simple for a cluster: a command, a script or a transaction has its keys in one slot, a
plain pipeline may touch many, and what has no key goes to one primary. redis-py's own asyncio client for clusters does
more, and at a price: it runs each command of a transaction on a thread of its own, cuts every connection when one slot
is not served, raises what is no RedisError, and has no pool that waits.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from engine.live.connection import make_cancellable

SCHEMES = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
"""Of a cluster's URL, and what each of its nodes then has."""
PORT = 6379
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::(\d{1,5}))?")
ASK_AGAIN_SECONDS = 0.05
"""Many calls fail at once when a primary goes; they need not each ask who has its slots now."""
KEYLESS = frozenset({"TIME", "PING", "PUBLISH", "INFO"})
PASSING = (RedisConnectionError, RedisTimeoutError, MovedError, TryAgainError, ClusterDownError)
"""What may be over a moment later, once it is known who has the slot."""
NO_ANSWER = RedisConnectionError("not asked yet")
NEVER = Retry(NoBackoff(), 0)
"""A node's own connections do not try again: the slot may be another's by then."""


class Address(NamedTuple):
    host: str
    port: int


def is_cluster(url: str) -> bool:
    """Whether this REDIS_URL names a cluster."""
    return url.partition("://")[0] in SCHEMES


def seeds_of(url: str) -> list[Address]:
    """The nodes that `redis+cluster://[user][:password]@host[:port][,host[:port]...]` names: any that are enough to
    find the others by. Raises ValueError, which quotes nothing: there may be half a password in it.
    """
    parts = urlsplit(url)
    hosts = [HOST.fullmatch(host) for host in parts.netloc.rpartition("@")[2].split(",")]
    if parts.scheme not in SCHEMES or not all(hosts):
        raise ValueError("a cluster is written redis+cluster://:password@host:port,host:port")
    if parts.path not in ("", "/", "/0"):
        raise ValueError("a cluster has no databases with numbers; leave out what follows the last host")
    return [Address(host[1].strip("[]"), int(host[2] or PORT)) for host in hosts if host]


def node_url(url: str) -> str:
    """The URL of the first node that a cluster's URL names; any other URL as it is."""
    if not is_cluster(url):
        return url
    parts, (host, port) = urlsplit(url), seeds_of(url)[0]
    who, at, _ = parts.netloc.rpartition("@")
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return parts._replace(scheme=SCHEMES[parts.scheme], netloc=f"{who}{at}{place}", path="").geturl()


def _of_connections(options: Mapping[str, Any]) -> dict[str, Any]:
    """Without the one place where they would go."""
    return {name: value for name, value in options.items() if name not in Address._fields}


def follow(pool: ConnectionPool, url: str, key: str) -> None:
    """Let the connections of a pool go to whichever primary of this cluster has `key`, also when that changes."""
    topology = Topology(seeds_of(url), pool.connection_class, _of_connections(pool.connection_kwargs))
    pool.connection_class = _following(pool.connection_class, topology, key_slot(key.encode()))


class Topology:
    """Which primary has which slot, as a node of the cluster said last."""

    def __init__(self, seeds: Sequence[Address], kind: type[Any], options: dict[str, Any]) -> None:
        self._seeds, self._kind, self._options = seeds, kind, options
        self._owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._doubted: Address | None = None
        self._stale, self._asked = True, 0.0
        self._lock = asyncio.Lock()

    @property
    def primaries(self) -> set[Address]:
        """All that have a slot."""
        return {owner for owner in self._owners if owner is not None}

    async def owner(self, slot: int | None) -> Address:
        """Who has this slot; for None, one that is the same for all processes, unless it did not answer just now.

        Raises redis.ConnectionError when nobody has it, or nobody answers.
        """
        if self._stale:
            async with self._lock:
                if self._stale and time.monotonic() - self._asked >= ASK_AGAIN_SECONDS:
                    await self._ask()
        owner = min(self.primaries, key=self._last_if_doubted, default=None) if slot is None else self._owners[slot]
        if owner is None:
            self.doubt()
            raise RedisConnectionError(f"no primary has slot {slot}")
        return owner

    def moved(self, error: MovedError) -> None:
        """A node said who has the slot now. What else has changed is asked before the next call."""
        if error.host:
            self._owners[error.slot_id] = Address(error.host, error.port)
        self.doubt()

    def doubt(self, of: Address | None = None) -> None:
        """Ask again before the next call; this node last, if another answers."""
        self._stale, self._doubted = True, of or self._doubted

    def _last_if_doubted(self, address: Address) -> tuple[bool, Address]:
        return address == self._doubted, address

    async def _ask(self) -> None:
        why: Exception | None = None
        for address in sorted({*self.primaries, *self._seeds}, key=self._last_if_doubted):
            try:
                self._owners = _owners(await self._slots_by(address), address)
                self._stale, self._asked = False, time.monotonic()
                return
            except (RedisError, OSError) as error:
                why = error
        raise RedisConnectionError(f"no node of the cluster says who has which slots: {why}")

    async def _slots_by(self, address: Address) -> Any:
        connection = self._kind(**self._options | {"host": address.host, "port": address.port, "retry": NEVER})
        try:
            await connection.connect()
            await connection.send_command("CLUSTER", "SLOTS")
            return await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)


def _owners(said: Any, by: Address) -> list[Address | None]:
    """Of an answer to CLUSTER SLOTS. A node without a name is where it was asked."""
    owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    for first, last, (host, port, *_), *_ in said:
        owners[first : last + 1] = [Address(host.decode() if host else by.host, port)] * (last + 1 - first)
    return owners


def _following(kind: type[Any], topology: Topology, slot: int | None) -> type[Any]:
    """Connections that find the owner of a slot whenever they connect, and break when it is another's."""

    class Following(kind):  # type: ignore[misc]
        async def _connect(self) -> None:
            self.host, self.port = await topology.owner(slot)
            try:
                await super()._connect()
            except (OSError, TimeoutError):
                topology.doubt(Address(self.host, self.port))
                raise

        async def read_response(self, *args: Any, **options: Any) -> Any:
            try:
                return await super().read_response(*args, **options)
            except MovedError as error:
                topology.moved(error)
                await self.disconnect(nowait=True)
                raise RedisConnectionError(f"slot {slot} has moved") from None

    return Following


class Cluster(Redis):
    """A client of the whole cluster. `max_connections` is for each primary.

    What has no key goes to one primary, the same for all processes, so that they ask the same clock. Subscriptions go
    there as well: what is published on any node reaches them.
    """

    def __init__(self, url: str, retry: Retry, **options: Any) -> None:
        """`url` as `seeds_of` has it; options of a BlockingConnectionPool. Raises ValueError."""
        seeds = seeds_of(url)
        self._options = {**options, **_of_connections(parse_url(node_url(url))), "retry": NEVER}
        self._nodes: dict[Address, Redis] = {}
        self._retry = retry
        retry.update_supported_errors([*PASSING])
        anywhere = self._pool(*seeds[0])
        self._topology = Topology(seeds, anywhere.connection_class, _of_connections(anywhere.connection_kwargs))
        anywhere.connection_class = _following(anywhere.connection_class, self._topology, None)
        super().__init__(connection_pool=anywhere)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command to where its key is, and again when that was somewhere else, or away for a moment."""
        slot = slot_of(args)
        return await self.trying(lambda: self._send(slot, args, options))

    async def trying(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do it, and again while what goes wrong may be over a moment later."""

        async def learn(error: Exception) -> None:
            if isinstance(error, MovedError):
                self._topology.moved(error)
            else:
                self._topology.doubt()

        return await self._retry.call_with_retry(work, learn)

    async def _send(self, slot: int | None, args: Any, options: dict[str, Any]) -> Any:
        if slot is None:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        owner = await self._topology.owner(slot)
        try:
            return await self._node(owner).execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except (RedisConnectionError, RedisTimeoutError):
            self._topology.doubt(owner)
            raise
        except MovedError:  # an AskError too, to redis-py
            raise
        except AskError as error:  # the slot is on its way to another node, and this key is there already
            async with self._node(Address(error.host, error.port)).pipeline(transaction=False) as pipe:
                pipe.execute_command("ASKING")
                pipe.execute_command(*args, **options)
                return (await pipe.execute())[1]

    async def node_of(self, slot: int | None) -> Redis:
        """The client of the primary that has this slot."""
        return self._node(await self._topology.owner(slot))

    async def primaries(self) -> list[Redis]:
        """One client for each primary."""
        await self._topology.owner(None)
        return [self._node(address) for address in sorted(self._topology.primaries)]

    async def script_load(self, script: Any) -> Any:
        """On every primary: which of them the script will run on follows from its keys."""
        shas = [await node.script_load(script) for node in await self.primaries()]
        return shas[0]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Commands that are sent together. With `transaction`, all their keys must be in one slot."""
        return _Pipeline(self, transaction)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections."""
        await self.connection_pool.disconnect()
        for node in self._nodes.values():
            await node.connection_pool.disconnect()

    def _node(self, address: Address) -> Redis:
        if address not in self._nodes:
            self._nodes[address] = Redis(connection_pool=self._pool(*address))
        return self._nodes[address]

    def _pool(self, host: str, port: int) -> ConnectionPool:
        pool = BlockingConnectionPool(**self._options | {"host": host, "port": port})
        make_cancellable(pool)
        return pool


async def every_primary(redis: Redis) -> list[Redis]:
    """One client for each primary of a cluster, or the one client of the one Redis."""
    return await redis.primaries() if isinstance(redis, Cluster) else [redis]


class _Pipeline(Pipeline):
    """Each primary gets its share, all at the same time."""

    def __init__(self, cluster: Cluster, transaction: bool) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, transaction, None)
        self._cluster = cluster

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The answers in order. With `raise_on_error=False` also errors are answers, those of a primary that is away
        among them.
        """
        stack, scripts = self.command_stack, self.scripts
        await self.reset()  # type: ignore[no-untyped-call]
        answers: dict[int, Any] = {}

        async def send() -> None:
            waiting = [place for place in range(len(stack)) if isinstance(answers.get(place, NO_ANSWER), PASSING)]
            shares = (await self._shares(stack, waiting)).items()
            for share in await asyncio.gather(*(self._send(node, stack, of, scripts) for node, of in shares)):
                answers.update(share)
            for answer in answers.values():
                if isinstance(answer, PASSING):
                    raise answer

        try:
            await self._cluster.trying(send)
        except PASSING:
            if raise_on_error or len(answers) < len(stack):
                raise
        found = [answers[place] for place in range(len(stack))]
        if raise_on_error and (wrong := next((one for one in found if isinstance(one, Exception)), None)):
            raise wrong
        return found

    async def _shares(self, stack: Any, waiting: list[int]) -> dict[Redis, list[int]]:
        """Which primary gets which commands. A transaction goes to one, which has all its keys."""
        slots = {place: slot_of(stack[place][0]) for place in waiting}
        one = next((slot for slot in slots.values() if slot is not None), None)
        shares: dict[Redis, list[int]] = defaultdict(list)
        for place, slot in slots.items():
            shares[await self._cluster.node_of(one if self.is_transaction else slot)].append(place)
        return shares

    async def _send(self, node: Redis, stack: Any, places: list[int], scripts: Any) -> dict[int, Any]:
        try:
            async with node.pipeline(transaction=self.is_transaction) as pipe:
                pipe.command_stack = [stack[place] for place in places]
                pipe.scripts = set(scripts)
                return dict(zip(places, await pipe.execute(raise_on_error=False), strict=True))
        except RedisError as error:
            return dict.fromkeys(places, error)


def slot_of(args: Sequence[Any]) -> int | None:
    """The slot of a command's first key; None if it has none."""
    name = args[0]
    if name in KEYLESS:
        return None
    key = args[3] if name in ("EVAL", "EVALSHA") else args[1]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())
