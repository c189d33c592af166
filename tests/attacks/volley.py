"""Requests as bytes on bare connections: quick enough that many of them are at once, and that their times tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.web.raw_socket import Answer, RawSocket


class Shot(NamedTuple):
    """One request to the node on `port`."""

    port: int
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = {}

    def __bytes__(self) -> bytes:
        body = b"" if self.body is None else json.dumps(self.body).encode()
        lines = [f"{self.method} {self.path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
        lines += ["content-type: application/json"] if body else []
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body


class Hit(NamedTuple):
    """What came back: the code of the problem is empty where there was none."""

    status: int
    code: str
    body: Any

    @classmethod
    def of(cls, answer: Answer) -> Hit:
        body = json.loads(answer.body) if answer.body else {}
        return cls(answer.status, body.get("code", ""), body)


async def volley(shots: Iterable[Shot]) -> list[Hit]:
    """All of them at once: each on a connection that stands before the first is fired."""
    shots = list(shots)
    lines = await asyncio.gather(*(RawSocket.connect(shot.port) for shot in shots))
    for line, shot in zip(lines, shots, strict=True):
        line.send_bytes(bytes(shot))
    try:
        return [Hit.of(answer) for answer in await asyncio.gather(*(line.answer() for line in lines))]
    finally:
        for line in lines:
            line.close()
