"""What is attacked: nodes on a port, behind a proxy that they trust, and people who come from many addresses."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from engine.embedded import Embedded
from engine.identity.mail_development import MAILBOX, delivered
from engine.web.parts import Parts
from tests.loopback import http_client
from tests.until import until
from tests.web.listening import Node, fresh_settings, listening

PROXY = "127.0.0.1"
CODE = re.compile(r"\b\d{6}\b")


@dataclass
class Visitor:
    """A browser with cookies of its own, at an address of its own."""

    site: Site
    address: str
    http: httpx2.AsyncClient = field(default_factory=lambda: http_client(timeout=30))

    async def call(self, method: str, path: str, body: Any = None, *, node: int = 0, **headers: str) -> httpx2.Response:
        """One request to one of the nodes."""
        forwarded = {"x-forwarded-for": self.address, **headers}
        return await self.http.request(method, self.site.nodes[node].url + path, json=body, headers=forwarded)

    async def ask_code(self, email: str) -> tuple[str, str]:
        """(challenge, code), read from the mailbox."""
        asked = await self.call("POST", "/v1/auth/otp", {"email": email})
        assert asked.status_code == 202, asked.text
        return asked.json()["challenge_id"], str(await until(lambda: self.site.code_to(email)))

    async def verify(self, challenge: str, code: str, *, node: int = 0) -> httpx2.Response:
        body = {"challenge_id": challenge, "code": code, "refresh_in": "body"}
        return await self.call("POST", "/v1/auth/otp/verify", body, node=node)

    async def sign_in(self, email: str) -> dict[str, Any]:
        """What a right code gives; later calls carry the access token."""
        answer = await self.verify(*await self.ask_code(email))
        assert answer.status_code == 200, answer.text
        signed_in: dict[str, Any] = answer.json()
        self.http.headers["authorization"] = f"Bearer {signed_in['access_token']}"
        return signed_in


@dataclass
class Site:
    """Two nodes on the same servers."""

    nodes: tuple[Node, Node]
    visitors: list[Visitor] = field(default_factory=list)

    @property
    def parts(self) -> Parts:
        return self.nodes[0].parts

    def port(self, n: int) -> int:
        """The nodes in turn."""
        return self.nodes[n % 2].settings.port

    def visitor(self, address: str = "203.0.113.7") -> Visitor:
        self.visitors.append(Visitor(self, address))
        return self.visitors[-1]

    async def code_to(self, email: str) -> str | None:
        """The last code that was mailed to an address."""
        mails = [mail for mail in await delivered(self.parts.redis) if mail.to == email]
        found = CODE.search(mails[0].subject) if mails else None
        return found.group() if found else None

    async def forget_limits(self) -> None:
        """As if nobody had asked for anything for a day."""
        keys = [key async for key in self.parts.redis.scan_iter("{limits}:*")]
        await self.parts.redis.delete(MAILBOX, *keys)


@asynccontextmanager
async def open_site(servers: Embedded, template: str, folder: Path) -> AsyncIterator[Site]:
    """Two nodes in this process; what they are told of a client's address they believe."""
    async with AsyncExitStack() as stack:
        opened = fresh_settings(servers, template, folder, trusted_proxies=(PROXY,))
        settings = await stack.enter_async_context(opened)
        one = await stack.enter_async_context(listening(settings))
        site = Site((one, await stack.enter_async_context(listening(settings))))
        try:
            yield site
        finally:
            for visitor in site.visitors:
                await visitor.http.aclose()
