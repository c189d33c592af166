"""The feedback goes out while it is written; its failure costs nothing else."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

from redis.exceptions import ConnectionError as RedisAway

from engine.judging.judge_openai import OpenAIJudge
from engine.judging.narrative import Write, write_narrative
from engine.record.evaluations import Fence
from tests.fake_model import FakeModel, Step

FENCE = Fence(uuid4(), 1, 2)


def asking(judge: OpenAIJudge) -> Write:
    return partial(judge.narrate, "t", ["f"])


class Socket:
    def __init__(self, away: bool = False) -> None:
        self.pieces: list[tuple[int, str]] = []
        self.away = away

    async def narrate(self, interview: object, run: int, attempt: int, offset: int, text: str) -> None:
        if self.away:
            raise RedisAway
        assert (interview, run, attempt) == FENCE
        self.pieces.append((offset, text))


async def test_pieces_follow_one_another(judge: OpenAIJudge, model: FakeModel) -> None:
    text = "Grüße – 😀 " * 40
    model.script(Step(text=text, token_seconds=0.02))
    socket = Socket()
    assert (await write_narrative(asking(judge), socket.narrate, FENCE)).text == text.strip()
    assert len(socket.pieces) > 1
    offset = 0
    for at, piece in socket.pieces:
        assert at == offset
        offset += len(piece.encode())
    assert "".join(piece for _, piece in socket.pieces) == text


async def test_a_judge_that_cannot_write(judge: OpenAIJudge, model: FakeModel) -> None:
    for step in (Step(status=500), Step(cut=40), Step(finish="length"), Step(refusal="no")):
        model.script(step)
        assert (await write_narrative(asking(judge), Socket().narrate, FENCE)).text == ""


async def test_nobody_to_send_it_to(judge: OpenAIJudge, model: FakeModel) -> None:
    assert (await write_narrative(asking(judge), Socket(away=True).narrate, FENCE)).text != ""
