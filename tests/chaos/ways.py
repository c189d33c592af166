"""The ways between clients, nodes and servers, each through a proxy that the nemesis strikes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Self
from urllib.parse import urlsplit

from tests.chaos.proxy import Proxy


class Ways:
    """Proxies by name: `clients` before each node, and `redis`, `postgres` and `model` before those."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._proxies: list[Proxy] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def __iter__(self) -> Iterator[Proxy]:
        return iter(self._proxies)

    async def through(self, name: str, url: str, *, frames: bool = False) -> str:
        """The URL that leads to the same through a new proxy."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        proxy = Proxy(name, parts.hostname, parts.port, random.Random(self._chance.random()), frames=frames)
        self._proxies.append(await self._stack.enter_async_context(proxy))
        who, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{who}{at}127.0.0.1:{proxy.port}").geturl()

    @property
    def done(self) -> Counter[str]:
        """How many connections each fault has struck, by fault and way."""
        found: Counter[str] = Counter()
        for proxy in self._proxies:
            found.update({f"{fault} {proxy.name}": n for fault, n in proxy.done.items()})
        return found
