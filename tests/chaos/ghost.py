"""A second tab, without a socket: it takes the pen, loses it, and speaks all the same. What it says must not happen."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx2

from tests.chaos.client import ANSWER_SECONDS, Client
from tests.chaos.history import Op, Pen, Reply
from tests.chaos.script import OVER, Writer
from tests.loopback import http_client
from tests.until import time_passes

AGAIN_SECONDS = 0.1
LATE_WORDS = "Does somebody hear me?"


async def haunt(writer: Writer) -> None:
    """Take the pen from the writer, who takes it back, as it must to go on; then ask with the pen that is no more."""
    client, history = writer.client, writer.client.history
    async with http_client(timeout=ANSWER_SECONDS, headers=client.headers) as http:
        fence = (await _answer(client, http, "writer", {"tab": "ghost"}))[1]["fence"]
        pen = Pen(client=f"{client.name}g", interview=client.interview, at=time.time(), **fence)
        history.pens.append(pen)
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
        if answer is not None and answer.status_code not in (429, 500, 503):
            return answer.status_code, json.loads(answer.content)
        await time_passes(AGAIN_SECONDS)


def _reply(status: int, said: dict[str, Any]) -> Reply:
    if status == 200:
        return Reply(kind="ack", at=time.time(), s=said["s"], rev=said.get("rev"),
                     durable=said.get("durable", "record"))  # fmt: skip
    return Reply(kind="err", at=time.time(), code=said["code"])
