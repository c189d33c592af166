"""A second tab, without a socket: it takes the pen, loses it, and speaks all the same, which must not happen; or it
hands in while the writer and the clock do.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx2

from engine.core.draft import checksum
from engine.core.interview import GRACE_MS
from tests.chaos.client import ANSWER_SECONDS, Client
from tests.chaos.history import Op, Pen, Reply
from tests.chaos.script import OVER, Writer
from tests.loopback import http_client
from tests.until import time_passes

AGAIN_SECONDS = 0.1
APART_MS = (-60, 40)
"""So that each of them comes first at times."""
LATE_WORDS = "Does somebody hear me?"


async def haunt(writer: Writer) -> None:
    """Take the pen from the writer, who takes it back, as it must to go on; then ask with the pen that is no more."""
    client, history = writer.client, writer.client.history
    async with http_client(timeout=ANSWER_SECONDS, headers=client.headers) as http:
        fence, pen = await _take_pen(client, http)
        while not any(_after(mine, pen) for mine in history.pens):
            if (await writer.ask()).code in OVER:
                return
        op = Op(
            client=pen.client, interview=client.interview, id=f"{pen.client}-{len(history.ops):06d}", t="clarify.ask",
            d={"text": LATE_WORDS}, sent_at=time.time(), fences=[(pen.epoch, pen.n)],
        )  # fmt: skip
        history.ops.append(op)
        status, said = await _answer(client, http, "commands", {"t": op.t, "id": op.id, "d": op.d, "fence": fence})
        op.replies = [_reply(status, said)]


async def race(writer: Writer) -> None:
    """At the end of the grace the writer, this tab and the clock hand in at once. One of them has done it."""
    over_at = writer.client.deadline_at + GRACE_MS + writer.chance.uniform(*APART_MS)
    await time_passes(max(0.0, over_at / 1000 - time.time()))
    await asyncio.gather(writer.submit(), _hand_in(writer))


async def _hand_in(writer: Writer) -> None:
    client = writer.client
    d = {"rev": writer.rev, "checksum": checksum(writer.fields)}
    op = Op(client=f"{client.name}g", interview=client.interview, id=f"{client.name}g-race", t="solution.submit", d=d,
            sent_at=time.time())  # fmt: skip
    client.history.ops.append(op)
    async with http_client(timeout=ANSWER_SECONDS, headers=client.headers) as http:
        while not op.replies:
            fence, pen = await _take_pen(client, http)
            op.fences.append((pen.epoch, pen.n))
            reply = _reply(*await _answer(client, http, "commands", {"t": op.t, "id": op.id, "d": d, "fence": fence}))
            if reply.kind == "ack" or reply.code in OVER:
                op.replies = [reply]


async def _take_pen(client: Client, http: httpx2.AsyncClient) -> tuple[dict[str, int], Pen]:
    fence = (await _answer(client, http, "writer", {"tab": "ghost"}))[1]["fence"]
    pen = Pen(client=f"{client.name}g", interview=client.interview, at=time.time(), **fence)
    client.history.pens.append(pen)
    return fence, pen


def _after(mine: Pen, pen: Pen) -> bool:
    return mine.interview == pen.interview and (mine.epoch, mine.n) > (pen.epoch, pen.n)


async def _answer(client: Client, http: httpx2.AsyncClient, what: str, body: dict[str, Any]) -> tuple[int, Any]:
    """From any node, of one that can give one."""
    while True:
        url = f"{client.chance.choice(client.urls)}/v1/interviews/{client.interview}/{what}"
        try:
            answer = await http.post(url, json=body)
        except httpx2.HTTPError:
            answer = None
        client.note(f"{what}-{'none' if answer is None else answer.status_code}")
        if answer is not None and answer.status_code not in (429, 500, 503):
            return answer.status_code, json.loads(answer.content)
        await time_passes(AGAIN_SECONDS)


def _reply(status: int, said: dict[str, Any]) -> Reply:
    if status == 200:
        return Reply(kind="ack", at=time.time(), s=said["s"], rev=said.get("rev"),
                     durable=said.get("durable", "record"))  # fmt: skip
    return Reply(kind="err", at=time.time(), code=said["code"])
