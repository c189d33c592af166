"""Question packs by hash, compiled once for the matcher: what an interview was pinned to at its start."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from engine.core.machine import Asked
from engine.core.matcher import Compiled, Matched, compile_rules, match
from engine.core.pack import Clarification, Pack

PACKS_MAX = 256
"""Held at once; a pack and its index are some hundred KiB."""


class Matching(Protocol):
    """How well questions are read, and where."""

    async def compile(self, clarification: Clarification) -> Compiled:
        """A pack's rules, ready to match."""

    async def match(self, compiled: Compiled, text: str, previous: str) -> tuple[Matched, ...]:
        """As the matcher's `match`. Raises asyncio.QueueFull when too many wait for an answer."""

    async def close(self) -> None:
        """End what it has running."""


class OnTheSpot:
    """The tier that ships: it has read a question before a thread would have begun."""

    async def compile(self, clarification: Clarification) -> Compiled:
        return await asyncio.to_thread(compile_rules, clarification)  # seconds, if an author used all that is allowed

    async def match(self, compiled: Compiled, text: str, previous: str) -> tuple[Matched, ...]:
        return match(compiled, text, previous)

    async def close(self) -> None: ...


class _Shelved(msgspec.Struct):
    pack: Pack
    rules: Compiled | None = None
    """From the first question on: workers are asked none."""


class Shelf:
    """A cache over the record's packs. A pack never changes under its hash, so nothing here goes stale."""

    def __init__(self, read: Callable[[str], Awaitable[Pack]], matching: Matching) -> None:
        self._read, self._matching = read, matching
        self._held: OrderedDict[str, _Shelved] = OrderedDict()
        self._lock = asyncio.Lock()

    async def get(self, hash: str) -> Pack:
        """The pack with this hash. Raises LookupError when the record has none, and what the record raises."""
        return (await self._get(hash)).pack

    async def prepare(self, hash: str) -> None:
        """Have the pack and its rules at hand, also while Postgres is away. Raises as `get`."""
        await self._rules(hash)

    async def ask(self, hash: str, text: str, previous: str) -> Asked:
        """A question (and the one before it) as the matcher reads it. Raises as `get` and `Matching.match`."""
        rules = await self._rules(hash)
        return Asked(await self._matching.match(rules, text, previous), rules.tier.version)

    async def _get(self, hash: str) -> _Shelved:
        held = self._held.get(hash)
        if held is not None:
            self._held.move_to_end(hash)
            return held
        async with self._lock:
            if hash not in self._held:
                self._held[hash] = _Shelved(await self._read(hash))
                if len(self._held) > PACKS_MAX:
                    self._held.popitem(last=False)
        return self._held[hash]

    async def _rules(self, hash: str) -> Compiled:
        shelved = await self._get(hash)
        if shelved.rules is None:
            async with self._lock:
                shelved.rules = shelved.rules or await self._matching.compile(shelved.pack.clarification)
        return shelved.rules
