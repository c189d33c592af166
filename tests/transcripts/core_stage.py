"""The core alone: a list of frames, and a clock that is a number."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from engine.core.interview import Interview, due_at, previous_question
from engine.core.machine import Announce, Asked, ClockRan, Command, Decided, decide
from engine.core.matcher import compile_rules, match
from protocol import commands, events
from protocol.codec import BadFrame, command_of, encode
from protocol.messages import EVENT_FRAMES, Ack, Frame
from tests.core.playing import STARTED_AT, fresh, happen
from tests.transcripts.script import PACK

RULES = compile_rules(PACK.clarification)
BODIES = {str(frame.__struct_config__.tag): body for body, frame in EVENT_FRAMES.items()}


def event(kind: str, body: dict[str, Any]) -> events.Event:
    """A worker's word from what a transcript says."""
    made: events.Event = msgspec.convert(body, BODIES[kind])
    return made


class CoreStage:
    """Decide, evolve, and say what came of it."""

    def __init__(self) -> None:
        self.interview, self.now = fresh(PACK), STARTED_AT
        self._frames: deque[dict[str, Any]] = deque()

    async def says(self, frame: dict[str, Any]) -> None:
        try:
            command = command_of(frame)
        except BadFrame as bad:
            self._tell(bad.refuse.frame(id=bad.id, at=bad.at, message=str(bad)))
            return
        body: Command = self._asked(command.d.text) if isinstance(command.d, commands.Ask) else command.d
        decision = decide(self.interview, PACK, body, self.now)
        if isinstance(decision, Decided):
            self._happens(decision)
            first = decision.events[0]
            rev = first.rev if isinstance(first, events.DraftSaved) else None
            self._tell(Ack(id=command.id, s=self.interview.seq, rev=rev, late=getattr(first, "late", False)))
        else:
            self._tell(decision.refuse.frame(id=command.id, at=decision.at, **decision.facts))

    def _asked(self, text: str) -> Asked:
        return Asked(match(RULES, text, previous_question(self.interview)), RULES.tier.version)

    async def hears(self) -> dict[str, Any]:
        return self._frames.popleft()

    async def hears_nothing(self) -> None:
        assert not self._frames, self._frames

    async def works(self, kind: str, body: dict[str, Any]) -> None:
        self._decided(Announce(event(kind, body)))  # type: ignore[arg-type]

    async def waits(self, ms: int, *, from_deadline: bool) -> None:
        self.now = (self.interview.deadline_at if from_deadline else self.now) + ms
        while (due := due_at(self.interview)) is not None and due <= self.now:
            self._decided(ClockRan())

    async def is_cut(self) -> None:
        """There is nothing to cut."""

    async def ends(self) -> Interview:
        return self.interview

    def _decided(self, command: Command) -> None:
        decision = decide(self.interview, PACK, command, self.now)
        if isinstance(decision, Decided):
            self._happens(decision)

    def _happens(self, decided: Decided) -> None:
        self.interview, frames = happen(self.interview, decided, self.now)
        for frame in frames:
            self._tell(frame)

    def _tell(self, frame: Frame) -> None:
        self._frames.append(msgspec.json.decode(encode(frame)))
