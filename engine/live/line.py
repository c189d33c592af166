"""One connection to Redis for what every command asks of it: redis-py took two thirds of a command's time.

redis-py opens it, so that it is of whatever kind the URL asks for, and closes it with its pool. In between, bytes are
written and read here: what one turn of the loop asks goes out in one write, and answers are handed out in order.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import hiredis
from redis._parsers.base import BaseParser
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from engine.live.connection import ANSWER_SECONDS

Word = bytes | str | int
Ask = Callable[..., Awaitable[Any]]
"""One command to Redis, and its answer: `Live.ask`, or redis-py's `execute_command`."""
LOST = "The connection to Redis was lost"
_NOT_YET = object()


class Line:
    """A connection that is opened when it is needed, and again when it was lost."""

    def __init__(self, pool: ConnectionPool, retry: Retry | None = None) -> None:
        self._pool, self._retry = pool, retry or Retry(NoBackoff(), 0)
        self._by: AbstractConnection | None = None
        """What redis-py opened: taken out of the pool once and for all, so that it ends with the pool."""
        self._open: Connection | None = None
        self._opening: asyncio.Task[Connection] | None = None

    async def ask(self, *words: Word) -> Any:
        """The answer to one command, as bytes, numbers and lists of them. Raises RedisError.

        It is sent once: ConnectionError and TimeoutError leave unknown whether it took effect.
        """
        connection = self._open
        if connection is None or connection.over:
            connection = await self._opened()
        return await connection.ask(words)

    async def insist(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do it, and again where its answer was lost: so it must be of a kind that may be done twice."""
        try:
            return await work()
        except (RedisConnectionError, RedisTimeoutError):
            return await self._retry.call_with_retry(work, _let_be)

    async def _opened(self) -> Connection:
        """Whoever asks at the same time shares the work; who is cancelled meanwhile does not stop it."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._connect())
            self._opening.add_done_callback(self._connected)
        return await asyncio.shield(self._opening)

    def _connected(self, opening: asyncio.Task[Connection]) -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._open = opening.result()

    async def _connect(self) -> Connection:
        if self._by is None:
            self._by = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        else:
            await self._by.disconnect(nowait=True)
            await self._by.connect()  # type: ignore[no-untyped-call]
        return Connection(self._by)


class Script:
    """A script over the line. What it does may be done twice: it is asked again when its answer was lost."""

    def __init__(self, line: Line, source: str) -> None:
        self._line, self._source = line, source
        self._sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[Word], args: Sequence[Word]) -> Any:
        """What the script answers. Raises RedisError."""
        return await self._line.insist(lambda: self._run(keys, args))

    async def _run(self, keys: Sequence[Word], args: Sequence[Word]) -> Any:
        try:
            return await self._line.ask("EVALSHA", self._sha, len(keys), *keys, *args)
        except NoScriptError:  # not run: Redis has forgotten it, and learns it by this
            return await self._line.ask("EVAL", self._source, len(keys), *keys, *args)


async def _let_be(error: Exception) -> None: ...


def _nobody_asked(said: list[Any]) -> None: ...


class Connection(asyncio.Protocol):
    """One connection while it lasts: commands in, answers out, in one order. redis-py has opened it, and reads it no
    more.
    """

    def __init__(self, by: AbstractConnection, hear: Callable[[list[Any]], None] = _nobody_asked) -> None:
        """`hear` is handed what Redis says unasked."""
        assert by._writer is not None
        self._transport, self._hear = by._writer.transport, hear
        self._opener = self._transport.get_protocol()
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._answers = hiredis.Reader(
            protocolError=InvalidResponse, replyError=BaseParser.parse_error, notEnoughData=_NOT_YET
        )
        self._said: list[bytes] = []
        """This turn's commands, not written yet."""
        self._asked: deque[tuple[asyncio.Future[Any], float]] = deque()
        """Who waits for an answer, in order, and until when."""
        self._timer: asyncio.TimerHandle | None = None
        self._transport.set_protocol(self)

    @property
    def over(self) -> bool:
        """No answer will come any more."""
        return self._transport.is_closing()

    def ask(self, words: tuple[Word, ...]) -> asyncio.Future[Any]:
        """Raises ConnectionError when it is over: nothing was sent."""
        self.say(words)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._asked.append((future, self._loop.time() + ANSWER_SECONDS))
        if self._timer is None:
            self._timer = self._loop.call_later(ANSWER_SECONDS, self._look_at_the_clock)
        return future

    def say(self, words: tuple[Word, ...]) -> None:
        """A command that has no answer of its own, such as SUBSCRIBE. Raises ConnectionError as `ask` does."""
        if self.over:
            raise RedisConnectionError(LOST)
        command = hiredis.pack_command(words)  # type: ignore[arg-type]  # any number of words
        if not self._said:
            self._loop.call_soon(self._write)
        self._said.append(command)

    def _write(self) -> None:
        said, self._said = self._said, []
        if said and not self.over:
            self._transport.write(b"".join(said))

    def data_received(self, data: bytes) -> None:
        self._answers.feed(data)
        try:
            while (answer := self._answers.gets()) is not _NOT_YET:
                self._hand_out(answer)
        except InvalidResponse as error:
            self._end(InvalidResponse, str(error))

    def _hand_out(self, answer: Any) -> None:
        if isinstance(answer, hiredis.PushNotification):
            self._hear(answer)
            return
        if not self._asked:
            raise InvalidResponse("an answer that nobody asked for")
        future, _ = self._asked.popleft()
        if future.done():
            return  # whoever asked has gone; the answer is still his, and nobody else's
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _look_at_the_clock(self) -> None:
        """One timer for all: whoever asked first waits longest."""
        self._timer = None
        if not self._asked:
            return
        due = self._asked[0][1]
        if self._loop.time() >= due:
            self._end(RedisTimeoutError, "Redis did not answer in time")
        else:
            self._timer = self._loop.call_at(due, self._look_at_the_clock)

    def _end(self, kind: type[RedisError], why: str) -> None:
        self._transport.abort()
        while self._asked:
            future, _ = self._asked.popleft()
            if not future.done():
                future.set_exception(kind(why))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._end(RedisConnectionError, LOST)
        self.ended.set_result(None)
        self._opener.connection_lost(exc)  # who opened it may be waiting for its end
