"""Question packs by hash, compiled once for the matcher: what an interview was pinned to at its start."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import msgspec

from engine.core.matcher import Compiled, compile_rules
from engine.core.pack import Pack

PACKS_MAX = 256
"""Held at once; a pack and its index are some hundred KiB."""


class Shelved(msgspec.Struct, frozen=True):
    """A pack and its rules, ready to match."""

    pack: Pack
    rules: Compiled


class Shelf:
    """A cache over the record's packs. A pack never changes under its hash, so nothing here goes stale."""

    def __init__(self, read: Callable[[str], Awaitable[Pack]]) -> None:
        self._read = read
        self._held: OrderedDict[str, Shelved] = OrderedDict()
        self._lock = asyncio.Lock()

    async def get(self, hash: str) -> Shelved:
        """The pack with this hash. Raises LookupError when the record has none, and what the record raises."""
        held = self._held.get(hash)
        if held is not None:
            self._held.move_to_end(hash)
            return held
        async with self._lock:
            if hash not in self._held:
                pack = await self._read(hash)
                self._held[hash] = Shelved(pack, compile_rules(pack.clarification))
                if len(self._held) > PACKS_MAX:
                    self._held.popitem(last=False)
        return self._held[hash]
