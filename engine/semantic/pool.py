"""Messages and packs through the network, on threads of their own: the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from engine.core.matcher import Compiled, Matched, Tier, compile_rules, read, settle
from engine.core.matcher.embedding import Floats
from engine.core.pack import Clarification

MESSAGES_MAX: Final = 8
"""That are read in one go, some 70 ms: the first of them waits for the last, and more together are hardly quicker."""
WAITING_MAX: Final = 64
"""Some 0.6 s of work. Whoever comes then is refused: to be asked back in a second is better than to wait unknown."""
THREADS: Final = 2
"""One reads messages, some hundred a second; the other compiles packs, of which one takes it a third of a second."""

Messages = Callable[[Sequence[Sequence[str]]], Sequence[Floats]]
"""Of each message, given as its texts, one row a text; none hangs on another."""


class _Waiting(NamedTuple):
    texts: Sequence[str]
    rows: asyncio.Future[Floats]


class Pool:
    """Matches as the conductor wants it. One an event loop; `close` it."""

    def __init__(self, tier: Callable[[], Tier], messages: Messages) -> None:
        """Both are called on the threads only: the first call may take its time to open the model."""
        self._tier, self._messages = tier, messages
        self._threads = ThreadPoolExecutor(THREADS, "semantic")
        self._waiting: deque[_Waiting] = deque()
        self._reading = False

    async def compile(self, clarification: Clarification) -> Compiled:
        """A pack's rules. Raises what opening the model does."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: compile_rules(clarification, self._tier()))

    async def match(self, compiled: Compiled, text: str, previous: str) -> tuple[Matched, ...]:
        """As the matcher's `match`. Raises asyncio.QueueFull when too many wait."""
        reading = read(text, previous)
        return settle(compiled, reading, await self._read(reading.texts))

    async def _read(self, texts: Sequence[str]) -> Floats:
        if len(self._waiting) >= WAITING_MAX:
            raise asyncio.QueueFull
        mine = _Waiting(texts, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        self._next()
        return await mine.rows

    def _next(self) -> None:
        """If nobody reads, have whatever waits read: nobody waits for company."""
        some: list[_Waiting] = []
        while self._waiting and len(some) < MESSAGES_MAX and not self._reading:
            if not (one := self._waiting.popleft()).rows.done():  # its caller may have gone
                some.append(one)
        if some:
            self._reading = True
            loop = asyncio.get_running_loop()
            task = loop.run_in_executor(self._threads, self._messages, [one.texts for one in some])
            task.add_done_callback(lambda task: self._read_by(task, some))

    def _read_by(self, task: asyncio.Future[Sequence[Floats]], some: Sequence[_Waiting]) -> None:
        self._reading = False
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        for number, one in enumerate(some):
            if one.rows.done():
                continue
            if error is None:
                one.rows.set_result(task.result()[number])
            elif isinstance(error, asyncio.CancelledError):
                one.rows.cancel()
            else:
                one.rows.set_exception(error)
        self._next()

    async def close(self) -> None:
        """Let go of who waits, finish what is being read, end the threads."""
        while self._waiting:
            self._waiting.popleft().rows.cancel()
        self._threads.shutdown(cancel_futures=True)
