"""F1: F0, and each save is checked by msgspec and applied by one script of Redis. What anybody would write first.

REDIS_URL=... python -m tests.bench.speed.floor_live PORT
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.bench.speed.floor_echo import serve

REDIS_CONNECTIONS_MAX = 5_000
Count = Annotated[int, Meta(ge=0)]
Landed = Callable[[str, int, bytes], Awaitable[None]]
"""What a save waits for before its ack, given interview, seq and bytes."""

# KEYS: state stream seen. ARGV: id, base, bytes. Gives {seq, revision}, or {0, 0} for a stale base.
APPLY = """
local before = redis.call('HGET', KEYS[3], ARGV[1])
if before then return {tonumber(before), tonumber(before)} end
local rev = tonumber(redis.call('HGET', KEYS[1], 'rev') or '0')
if rev ~= tonumber(ARGV[2]) then return {0, 0} end
redis.call('HSET', KEYS[1], 'rev', rev + 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, (rev + 1) .. '-0', 'b', ARGV[3])
redis.call('HSET', KEYS[3], ARGV[1], rev + 1)
return {rev + 1, rev + 1}
"""

# KEYS: state stream ticket. ARGV: resume. Gives {user or false, state, missed events}; a ticket is good once.
COME_IN = """
local user = redis.call('GETDEL', KEYS[3])
return {user, redis.call('HGETALL', KEYS[1]), redis.call('XRANGE', KEYS[2], '(' .. ARGV[1] .. '-0', '+')}
"""

# KEYS: stream. ARGV: interview, text. A piece of an evaluation's text: kept, and told to the node.
CHUNK = """
redis.call('XADD', KEYS[1], 'MAXLEN', '~', 1000, '*', 'b', ARGV[2])
redis.call('PUBLISH', 'chunks', ARGV[1] .. ' ' .. ARGV[2])
"""


class Splice(msgspec.Struct, frozen=True):
    at: Count
    delete: Count = msgspec.field(default=0, name="del")
    ins: str = ""


class Change(msgspec.Struct, frozen=True):
    field: str
    text: str | None = None
    splices: tuple[Splice, ...] | None = None
    checksum: Count | None = None


class Save(msgspec.Struct, frozen=True):
    base: Count
    changes: tuple[Change, ...]


class SaveFrame(msgspec.Struct, frozen=True, tag_field="t", tag="draft.save"):
    id: Annotated[str, Meta(min_length=8, max_length=40)]
    d: Save


class Cursor(msgspec.Struct, frozen=True):
    s: Count


class Hello(msgspec.Struct, frozen=True):
    resume: Cursor | None = None


class HelloFrame(msgspec.Struct, frozen=True, tag_field="t", tag="hello"):
    d: Hello


read_save = msgspec.json.Decoder(SaveFrame).decode
read_hello = msgspec.json.Decoder(HelloFrame).decode
encode = msgspec.json.Encoder().encode


class Floor:
    """The one handler, and what it stands on."""

    def __init__(self, redis: Redis, landed: Landed | None = None) -> None:
        self._apply: AsyncScript = redis.register_script(APPLY)
        self._come_in: AsyncScript = redis.register_script(COME_IN)
        self._redis, self._landed = redis, landed
        self._sockets: dict[str, WebSocket] = {}

    async def socket(self, ws: WebSocket) -> None:
        """The ticket's name is the interview's, which stands in for a signature."""
        name, ticket = ws.scope["subprotocols"][:2]
        interview = ticket.rpartition(".")[2]
        await ws.accept(subprotocol=name)
        self._sockets[interview] = ws
        try:
            await self._welcome(ws, interview)
            while True:
                await self._save(ws, interview)
        except WebSocketDisconnect:
            del self._sockets[interview]

    async def hear(self) -> None:
        """Send pieces of text on to whom they are for."""
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe("chunks")
            async for message in pubsub.listen():
                if message["type"] == "message":
                    interview, _, text = message["data"].decode().partition(" ")
                    frame = {"t": "evaluation.delta", "d": {"text": text}}
                    await self._sockets[interview].send_text(encode(frame).decode())

    async def _welcome(self, ws: WebSocket, interview: str) -> None:
        hello = read_hello(await ws.receive_text())
        since = hello.d.resume.s if hello.d.resume else 0
        state, stream, ticket = f"{interview}:state", f"{interview}:events", f"{interview}:ticket"
        _, fields, missed = await self._come_in(keys=[state, stream, ticket], args=[since])
        held: dict[bytes, bytes] = dict(zip(fields[::2], fields[1::2], strict=True))
        events = [msgspec.Raw(fields[1]) for _, fields in missed] if since else []
        mode = "snapshot" if not since else "replay" if events else "noop"
        welcome = {"t": "welcome", "d": {"head": int(held.get(b"rev", b"0")), "mode": mode, "events": events}}
        await ws.send_text(encode(welcome).decode())
        await ws.send_text('{"t":"resumed"}')

    async def _save(self, ws: WebSocket, interview: str) -> None:
        text = await ws.receive_text()
        frame = read_save(text)
        keys = [f"{interview}:state", f"{interview}:events", f"{interview}:seen"]
        seq, rev = await self._apply(keys=keys, args=[frame.id, frame.d.base, text])
        if not seq:
            await ws.send_text(encode({"t": "err", "id": frame.id, "code": "stale"}).decode())
            return
        if self._landed is not None:
            await self._landed(interview, seq, text.encode())
        await ws.send_text(encode({"t": "ack", "id": frame.id, "s": seq, "rev": rev}).decode())


def open_redis() -> Redis:
    """Enough connections for all sockets at once: by default redis-py fails at a hundred."""
    return Redis.from_url(os.environ["REDIS_URL"], max_connections=REDIS_CONNECTIONS_MAX)


if __name__ == "__main__":
    redis = open_redis()
    floor = Floor(redis)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        hearing = asyncio.create_task(floor.hear())
        yield
        hearing.cancel()
        await redis.aclose()

    serve(floor.socket, lifespan)
