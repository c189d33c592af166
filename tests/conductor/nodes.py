"""Nodes, and people who play interviews on them."""

from __future__ import annotations

import itertools
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import asyncpg

from engine.conductor import Greeting
from engine.core.draft import checksum
from engine.core.interview import Interview
from engine.core.pack import parse_pack
from engine.live.fanout import News
from engine.live.values import Loaded
from engine.record import interviews
from engine.record.events import driver, read_events
from engine.settings import Settings
from engine.wiring import Backbone, open_backbone
from protocol import commands as c
from protocol import messages as m
from protocol.words import Change, Cursor, Fence, Field
from tests.core.shipped import SMALL, packs

SMALL_PACK = parse_pack(SMALL)
PACKS = [SMALL_PACK, packs()["parking-garage"]]
ASK = "Does it give change back?"
_ids = itertools.count(1)


def fresh_id() -> str:
    """An id for a command, never used before in this run."""
    return f"command-{next(_ids)}"


class Nodes:
    """All nodes of a test. What they ring the queue for is in `rung`."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self.settings, self.rung = settings, list[tuple[str, int]]()
        self._stack, self._open = stack, list[Backbone]()

    async def open(self) -> Backbone:
        """One more node."""
        node = await self._stack.enter_async_context(open_backbone(self.settings, self._ring, self.offset_ms))
        self._open.append(node)
        return node

    async def two(self) -> tuple[Backbone, Backbone]:
        """The first node and a second."""
        return self.first, await self.open()

    @property
    def first(self) -> Backbone:
        return self._open[0]

    @property
    def all(self) -> tuple[Backbone, ...]:
        return tuple(self._open)

    @property
    def offset_ms(self) -> int:
        return self._open[0].live.clock.offset_ms if self._open else 0

    def later(self, ms: int) -> None:
        """Time passes: Redis's clock, as every node reads it, goes on by `ms`."""
        for node in self._open:
            node.live.clock.offset_ms += ms

    def until(self, at_ms: int) -> None:
        """Time passes until it is `at_ms`."""
        self.later(at_ms - self.first.live.clock.now())

    async def _ring(self, interview: str, run: int) -> None:
        self.rung.append((interview, run))


class Candidate:
    """One tab in one interview."""

    def __init__(self, node: Backbone, interview: str, tab: str = "tab") -> None:
        self.node, self.interview, self.tab = node, interview, tab
        self.fence: Fence | None = None

    @property
    def conductor(self) -> Any:
        return self.node.conductor

    async def hello(self, **more: Any) -> Greeting:
        """Come in, and hold the pen if it is given."""
        greeting = await self.node.conductor.hello(self.interview, m.HelloBody(proto=1, tab=self.tab, **more))
        if greeting.arrival.writes:
            loaded = greeting.arrival.loaded
            self.fence = Fence(epoch=loaded.epoch, n=loaded.fence)
        return greeting

    async def says(self, frame: m.Command, **more: Any) -> m.Ack | m.Refusal:
        return await self.node.conductor.handle(self.interview, frame, self.fence, **more)

    async def does(self, frame: m.Command) -> m.Ack:
        """Say it, and have it acknowledged."""
        reply = await self.says(frame)
        assert isinstance(reply, m.Ack), reply
        return reply

    async def refused(self, frame: m.Command) -> str:
        """Say it, and have it refused with this code."""
        reply = await self.says(frame)
        assert isinstance(reply, m.Refusal), reply
        return reply.code

    async def state(self) -> Interview:
        return (await self.loaded()).interview

    async def loaded(self) -> Loaded:
        return await self.node.conductor.load(self.interview)

    async def submits(self, **more: Any) -> m.Ack | m.Refusal:
        """Submit what is stored."""
        draft = (await self.state()).draft
        body = c.Submit(rev=draft.rev, checksum=checksum(draft.fields))
        return await self.says(m.SolutionSubmit(id=fresh_id(), d=body), **more)

    async def recorded(self) -> list[bytes]:
        """The events that Postgres holds."""
        return [event.body for event in await read_events(self.node.engine, self.interview)]


async def start(node: Backbone, *, slug: str = SMALL_PACK.id) -> str:
    """A fresh user's fresh interview."""
    user = uuid4()
    async with driver(node.engine) as connection:
        await connection.execute("INSERT INTO users (id, email, email_key) VALUES ($1, $2, $2)", user, f"{user}@x.org")
    row, _ = await interviews.start(node.engine, user, slug, node.live.clock.now())
    return str(row.id)


async def candidate(node: Backbone, **more: Any) -> Candidate:
    """Somebody who has just started an interview, with the pen."""
    seat = Candidate(node, await start(node, **more))
    await seat.hello()
    assert seat.fence is not None
    return seat


def ask(text: str = ASK, id: str | None = None) -> m.ClarifyAsk:
    return m.ClarifyAsk(id=id or fresh_id(), d=c.Ask(text=text))


def save(base: int, text: str, *, field: Field = "functional_req", id: str | None = None) -> m.DraftSave:
    return m.DraftSave(id=id or fresh_id(), d=c.Save(base=base, changes=(Change(field=field, text=text),)))


def proceed() -> m.PhaseProceed:
    return m.PhaseProceed(id=fresh_id())


class Listener:
    """A socket's side of the fan-out: what it would have sent, checked to be without gap or repetition."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.position = 0
        self.news: list[News] = []
        self._early: list[News] | None = []
        """What came before hello was answered; None from then on."""

    def __call__(self, news: News) -> None:
        if self._early is not None:
            self._early.append(news)
            return
        self.news.append(news)
        for s, data in news.events:
            if s > self.position:
                assert s == self.position + 1, f"{s} came after {self.position}"
                self.position = s
                self.events.append(data)

    async def join(self, node: Backbone, interview: str, resume: Cursor | None = None) -> Greeting:
        """As a socket does it: listen, then hello, then on from where hello stood."""
        topic = node.fanout.join(interview, self)
        await node.fanout.confirmed(topic)
        body = m.HelloBody(proto=1, tab="watch", write=False, resume=resume)
        greeting = await node.conductor.hello(interview, body)
        loaded = greeting.arrival.loaded
        self.starts(loaded.interview.seq)
        await node.fanout.start(topic, loaded.epoch, self.position)
        return greeting

    def starts(self, position: int) -> None:
        """Hello was answered: what came meanwhile counts from there."""
        self.position = position
        early, self._early = self._early or [], None
        for news in early:
            self(news)


async def execute(node: Backbone, sql: str, *values: Any) -> Any:
    """One statement on the test's database, and its rows."""
    connection = await asyncpg.connect(node.settings.database_url)
    try:
        return await connection.fetch(sql, *values)
    finally:
        await connection.close()
