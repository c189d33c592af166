"""Transcripts on the core alone: no server, no clock, no wait."""

from __future__ import annotations

import pytest

from tests.transcripts.core_stage import CoreStage
from tests.transcripts.script import TRANSCRIPTS, play


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_it_plays_as_written(name: str) -> None:
    await play(name, CoreStage())


async def test_a_stage_that_says_something_else_is_caught() -> None:
    class Forgetful(CoreStage):
        async def hears(self) -> dict[str, object]:
            heard = await super().hears()
            return heard | {"s": 99} if heard["t"] == "ack" else heard

    with pytest.raises(AssertionError, match=r"quotas\.txt:4"):
        await play("quotas", Forgetful())


async def test_a_frame_that_is_not_written_is_caught() -> None:
    class Talkative(CoreStage):
        async def says(self, frame: dict[str, object]) -> None:
            await super().says(frame)
            self._frames.append({"t": "pong"})

    with pytest.raises(AssertionError, match="pong"):
        await play("quotas", Talkative())
