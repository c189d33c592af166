"""Feedback in words, shown while it is written. It is an extra: without it the verdicts stand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID

import msgspec
from redis.exceptions import RedisError

from engine.judging.bullets import Bullets
from engine.judging.judge import JudgeError, Spent, Written
from engine.judging.remarks import Remarks
from engine.record.evaluations import Fence
from engine.telemetry import log
from protocol.events import EvaluationCriterion

PIECE_SECONDS: Final = 0.1
"""Tokens are gathered for so long: a reader sees flowing text, Redis a tenth of the writes."""
LAST_SECONDS: Final = 1.0
"""For the last piece; the result does not wait longer for it."""

Narrate = Callable[[UUID, int, int, int, str], Awaitable[None]]
"""(interview, run, attempt, offset in bytes, text)."""


Write = Callable[[Callable[[str], None]], Awaitable[Written]]
"""Asks a judge for feedback, which it gives piece by piece to whom it is handed."""


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """The bullets, all of them as one text, and what it took."""

    remarks: Remarks = Remarks()
    text: str = ""
    spent: Spent = Spent()


async def write_narrative(
    write: Write, results: Sequence[EvaluationCriterion], narrate: Narrate, fence: Fence
) -> Feedback:
    """The feedback, sent on bullet by bullet, each once it is verified; empty when the judge could not write it."""
    tail = _Tail(narrate, fence)
    bullets = Bullets(results, tail.add)
    sending = asyncio.create_task(tail.send())
    try:
        written = await write(bullets.read)
        bullets.end()
        tail.ended.set()
        await asyncio.wait({sending}, timeout=LAST_SECONDS)
        return Feedback(remarks=bullets.remarks, text=bullets.text, spent=written.spent)
    except JudgeError as error:
        log.warning("narrative_failed", interview=fence.interview, run=fence.run, reason=error.code)
        return Feedback(spent=error.spent)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


class _Tail:
    """What was written and is not yet sent."""

    def __init__(self, narrate: Narrate, fence: Fence) -> None:
        self.ended = asyncio.Event()
        self._narrate, self._fence = narrate, fence
        self._waiting: list[str] = []
        self._offset = 0

    def add(self, text: str) -> None:
        self._waiting.append(text)

    async def send(self) -> None:
        """Send until all is sent, or until sending fails: the whole text is in the result anyway."""
        while self._waiting or not self.ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PIECE_SECONDS):
                    await self.ended.wait()
            text, self._waiting = "".join(self._waiting), []
            if not text:
                continue
            try:
                await self._narrate(*self._fence, self._offset, text)
            except (RedisError, OSError) as error:
                log.warning("narrative_not_sent", interview=self._fence.interview, error=type(error).__name__)
                return
            self._offset += len(text.encode())
