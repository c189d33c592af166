"""Telling the interview what the record holds. Under fixed ids, so that it may be said twice and is heard once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final
from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.failpoints import failpoint
from engine.record import results
from engine.recorder import AWAY, Lost, NotThere, Parked
from engine.telemetry import log
from protocol import events

TELL_SECONDS: Final = 5.0
"""Longer than any healthy commit; what is not said now is said by a reaper."""

Announce = Callable[[UUID, str, events.Event], Awaitable[bool]]
UNTOLD: Final = (RedisError, TimeoutError, *AWAY)
NOT_THIS_ONE: Final = (Lost, Parked, NotThere)
"""Trouble of one interview: the next one may be told."""


async def tell(announce: Announce, interview: UUID, command_id: str, body: events.Event) -> bool | None:
    """Announce. False: refused, said before, or this interview cannot hear. None: nobody could be told now.

    The record is the truth either way.
    """
    try:
        async with asyncio.timeout(TELL_SECONDS):
            return await announce(interview, command_id, body)
    except (*NOT_THIS_ONE, *UNTOLD) as error:
        log.warning("not_announced", interview=interview, command=command_id, error=type(error).__name__)
        return False if isinstance(error, NOT_THIS_ONE) else None


async def announce_end(engine: AsyncEngine, announce: Announce, interview: UUID, run: int) -> bool:
    """Announce all of a run that has ended, from the record. False: it has not, or somebody could not be told.

    Raises what Postgres raises when it is away.
    """
    stored = await results.read_run(engine, interview, run)
    if stored is None or stored.ended is None:
        return False
    for id, body in _words(stored, stored.ended):
        if await tell(announce, interview, f"eval:{run}:{id}", body) is None:
            return False
    failpoint("announced")
    return True


def word_of(result: events.EvaluationCriterion) -> str:
    """What a criterion's result is called in the id of its announcement; judged again it is another word."""
    return result.id if result.times == 1 else f"{result.id}:x{result.times}"


def _words(run: results.Run, ended: results.Ended) -> Iterator[tuple[str, events.Event]]:
    """All that is to be said of a run, in order, by the ids it is known by; of an appeal, what it has changed."""
    judged = [result for result in run.judged if result.run == run.run]
    if isinstance(ended, events.EvaluationCompleted):
        criteria = results.names(judged)
        yield (
            f"start:{run.attempt}",
            events.EvaluationStarted(run=run.run, attempt=run.attempt, judge=ended.judge, criteria=criteria),
        )
    for result in judged:
        yield word_of(result), result
    yield "end", ended
