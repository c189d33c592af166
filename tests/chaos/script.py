"""One interview as a scripted person plays it: asks, writes, proceeds, submits; or lets the clock do the last two."""

from __future__ import annotations

import asyncio
import random
import time
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from engine.core.draft import checksum
from protocol.words import FIELDS, Field
from tests.chaos.client import Client
from tests.chaos.history import Reply
from tests.until import time_passes

ASKS = (
    "Should it be thread safe?", "What happens when it is full?", "How many users are there?", "Is there a fee?",
    "What is the weather like?", "How long does an entry live?", "Do we need statistics? And do links expire?",
)  # fmt: skip
REQUIREMENTS: tuple[Field, ...] = ("functional_req", "non_functional_req")
THINK_SECONDS = (0.01, 0.08)
SLOW_SECONDS = 0.15
"""Between the saves of somebody who writes until the end: within the budget of a socket."""
MOVES = 0.04
"""How often somebody goes to another node without any need."""
WORDS = (
    "cache entry evicts oldest lock guards table writer reader thread bucket queue retry index shard vehicle floor "
    "ticket lot gate sensor price hour level stores returns keeps fails counts waits expires later before after under "
    "over when because every single small large busy"
).split()
WORDS_A_LINE = 9
"""So that there is something to judge, and the model is asked."""
OVER = frozenset({"phase", "deadline_passed"})
LOST = frozenset({"phase", "conflict", "not_as_stored"})


class Writer:
    """The draft as its writer knows it."""

    def __init__(self, client: Client, chance: random.Random) -> None:
        self.client, self.chance = client, chance
        self.rev = 0
        self.fields: dict[Field, str] = dict.fromkeys(FIELDS, "")
        self.phase = "clarifying"
        self.evaluation = ""
        client.heard = self.hear

    def hear(self, frame: dict[str, Any]) -> None:
        """What the socket brings: a snapshot replaces everything; of one's own saves the acks tell."""
        d = frame["d"]
        match frame["t"]:
            case "snapshot":
                self.phase, self.rev, self.fields = d["phase"], d["draft"]["rev"], dict(d["draft"]["fields"])
                self.evaluation = (d.get("evaluation") or {}).get("state", "")
            case "phase.changed":
                self.phase = d["phase"]
            case "solution.submitted":
                self.phase = "submitted"
            case "evaluation.requested" | "evaluation.completed" | "evaluation.failed" as t:
                self.evaluation = t.removeprefix("evaluation.")

    async def save(self, fields: tuple[Field, ...]) -> Reply:
        """Write one more line somewhere: as the whole field, or as a splice at its end."""
        words = " ".join(self.chance.sample(WORDS, WORDS_A_LINE))
        field, line = self.chance.choice(fields), f"{self.client.name} {self.rev + 1} – {words}\n"
        text = self.fields[field] + line
        after = {**self.fields, field: text}
        change: dict[str, Any] = {"field": field, "text": text}
        if self.chance.random() < 0.5:
            end = len(self.fields[field].encode("utf-16-le")) // 2
            change = {"field": field, "splices": [{"at": end, "ins": line}], "checksum": zlib.crc32(text.encode())}
        reply = await self.client.command("draft.save", {"base": self.rev, "changes": [change]}, checksum(after))
        if reply.kind == "ack":
            self.rev, self.fields = reply.rev or 0, after
        return reply

    async def ask(self) -> Reply:
        return await self.client.command("clarify.ask", {"text": self.chance.choice(ASKS)})

    async def submit(self) -> Reply:
        return await self.client.command("solution.submit", {"rev": self.rev, "checksum": checksum(self.fields)})

    async def think(self) -> None:
        if self.chance.random() < MOVES:
            await self.client.move()
        await time_passes(self.chance.uniform(*THINK_SECONDS))


async def play(
    client: Client, chance: random.Random, *, patient: bool, between: Callable[[Writer], Awaitable[None]] | None = None,
    last: Callable[[Writer], Awaitable[None]] | None = None,
) -> None:  # fmt: skip
    """The whole interview, to the end of its evaluation. A patient one leaves both ends to the clock.

    `between`: what else befalls its writer while clarifying; `last`: what a patient one does at the end of its time.
    """
    writer = Writer(client, chance)
    await client.until(lambda: bool(client.snapshot))
    await _clarify(writer, chance)
    if between is not None and writer.phase == "clarifying":
        await between(writer)
    if patient:
        await client.until(lambda: writer.phase != "clarifying")
    else:
        await client.command("phase.proceed", {})
    await _design(writer, 1_000 if patient else chance.randint(4, 10), SLOW_SECONDS if patient else 0, stops=bool(last))
    if not patient:
        await _submit(writer)
    elif last is not None and writer.phase == "design":
        await last(writer)
    await _evaluated(writer)


async def _submit(writer: Writer) -> None:
    """Until it stands: Redis may have lost what was only live, the text or the end of clarifying."""
    while (await writer.submit()).code in LOST and writer.phase != "submitted":
        await writer.think()
        if writer.phase == "clarifying":
            await writer.client.command("phase.proceed", {})


async def _clarify(writer: Writer, chance: random.Random) -> None:
    for _ in range(chance.randint(2, 6)):
        await writer.think()
        if writer.phase != "clarifying":
            return
        if chance.random() < 0.3:
            await asyncio.gather(writer.ask(), writer.save(REQUIREMENTS))
        else:
            await (writer.ask() if chance.random() < 0.4 else writer.save(REQUIREMENTS))


async def _design(writer: Writer, saves: int, pause_seconds: float, *, stops: bool) -> None:
    """`stops`: at the deadline; otherwise as soon as it is told that time is up."""
    for _ in range(saves):
        await writer.think()
        await time_passes(pause_seconds)
        if stops and time.time() * 1000 > writer.client.deadline_at:
            return
        if writer.phase == "submitted" or (await writer.save(FIELDS)).code in OVER:
            return


async def _evaluated(writer: Writer) -> None:
    """Wait for the result; a run that failed, for its worker was killed once too often, is asked for again."""
    while writer.evaluation != "completed":
        await writer.client.until(lambda: writer.evaluation in ("completed", "failed"))
        if writer.evaluation == "failed":
            await writer.client.command("evaluation.retry", {})
            await writer.client.until(lambda: writer.evaluation != "failed")
