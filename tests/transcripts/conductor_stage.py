"""Two conductors on real servers; the connection that is cut comes back to the other one."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from engine.conductor import deadlines
from engine.core.interview import Interview
from engine.live.fanout import News
from protocol.codec import BadFrame, command_of, encode
from protocol.messages import Frame
from protocol.words import Cursor
from tests.conductor.nodes import Candidate, Nodes, start
from tests.transcripts.core_stage import event
from tests.transcripts.script import PACK


class ConductorStage:
    """A socket's way of using a conductor, without a socket."""

    def __init__(self, nodes: Nodes, interview: str) -> None:
        self._nodes, self._interview = nodes, interview
        self._seat = Candidate(nodes.first, interview)
        self._frames: deque[dict[str, Any]] = deque()
        self._cursor: Cursor | None = None
        self._announced = 0

    @classmethod
    async def open(cls, nodes: Nodes) -> ConductorStage:
        """A fresh interview, and somebody in it with the pen."""
        await nodes.open()
        stage = cls(nodes, await start(nodes.first, slug=PACK.id))
        await stage._come_in()
        return stage

    async def says(self, frame: dict[str, Any]) -> None:
        try:
            command = command_of(frame)
        except BadFrame as bad:
            self._tell(bad.refuse.frame(id=bad.id, at=bad.at, message=str(bad)))
        else:
            self._tell(await self._seat.says(command))

    async def hears(self) -> dict[str, Any]:
        return self._frames.popleft()

    async def hears_nothing(self) -> None:
        assert not self._frames, self._frames

    async def works(self, kind: str, body: dict[str, Any]) -> None:
        self._announced += 1
        conductor = self._seat.node.conductor
        await conductor.announce(self._interview, f"eval:{self._announced}", event(kind, body))

    async def waits(self, ms: int, *, from_deadline: bool) -> None:
        if from_deadline:
            self._nodes.until((await self._seat.state()).deadline_at + ms)
        else:
            self._nodes.later(ms)
        await deadlines.poll(self._seat.node.conductor)

    async def is_cut(self) -> None:
        self._seat.node.fanout.leave(self._interview, self._hear)
        first, second = self._nodes.all
        self._seat.node = second if self._seat.node is first else first
        mode = await self._come_in()
        assert mode == "noop"

    async def ends(self) -> Interview:
        return await self._seat.state()

    async def _come_in(self) -> str:
        seat = self._seat
        topic = seat.node.fanout.join(self._interview, self._hear)
        await seat.node.fanout.confirmed(topic)

        arrival = (await seat.hello(fence=seat.fence, resume=self._cursor)).arrival
        loaded = arrival.loaded
        self._cursor = Cursor(epoch=loaded.epoch, s=loaded.interview.seq)
        await seat.node.fanout.start(topic, loaded.epoch, loaded.interview.seq)
        return arrival.mode

    def _hear(self, news: News) -> None:
        for s, data in news.events:
            if self._cursor is not None and s > self._cursor.s:
                assert s == self._cursor.s + 1
                self._cursor = Cursor(epoch=self._cursor.epoch, s=s)
                self._frames.append(msgspec.json.decode(data))

    def _tell(self, frame: Frame) -> None:
        self._frames.append(msgspec.json.decode(encode(frame)))
