"""The feedback goes out bullet by bullet, each once its checks bear it out; its failure costs nothing else."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

import pytest
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.judging.bullets import Bullets, filled, mended
from engine.judging.evaluation import evaluate
from engine.judging.judge_offline import MENTIONED
from engine.judging.judge_openai import OpenAIJudge
from engine.judging.narrative import Feedback, Write, write_narrative
from engine.judging.remarks import LIST_MAX, Remarks, findings, remarks
from engine.record.evaluations import Fence
from protocol.events import Remark
from tests.fake_model import FakeModel, Step
from tests.judging.conftest import MakeBench
from tests.judging.stage import JUDGED, Heard, hand_in
from tests.judging.test_remarks import criterion, verdict

FENCE = Fence(uuid4(), 1, 2)
RESULTS = (
    criterion("A", 0.5, verdict("A.a", "met"), verdict("A.b", "met"), verdict("A.c", "not_met")),
    criterion("B", 0.0, verdict("B.a", "contradicted"), verdict("B.x", "met", -1), verdict("B.y", "not_met", -1)),
    criterion("C", 1.0, verdict("C.a", "met", flag=MENTIONED)),
)
GOOD = "strength | A.a, A.b | You show it – schön 😀\nweakness | B.x | That is a fault\nimprovement | A.c | Say it"
AS_TEXT = "Strength: You show it – schön 😀\nWeakness: That is a fault\nTo improve: Say it"


def asking(judge: OpenAIJudge) -> Write:
    return partial(judge.narrate, "t", findings(RESULTS))


class Socket:
    def __init__(self, away: bool = False) -> None:
        self.pieces: list[tuple[int, str]] = []
        self.away = away

    async def narrate(self, interview: object, run: int, attempt: int, offset: int, text: str) -> None:
        if self.away:
            raise RedisAway
        assert (interview, run, attempt) == FENCE
        self.pieces.append((offset, text))


async def written(judge: OpenAIJudge, socket: Socket) -> Feedback:
    return await write_narrative(asking(judge), RESULTS, socket.narrate, FENCE)


async def test_bullets_go_out_one_after_the_other(judge: OpenAIJudge, model: FakeModel) -> None:
    model.script(Step(text=GOOD, token_seconds=0.12))
    socket = Socket()
    assert (await written(judge, socket)).text == AS_TEXT
    assert len(socket.pieces) > 1
    offset = 0
    for at, piece in socket.pieces:
        assert at == offset
        offset += len(piece.encode())
    assert "".join(piece for _, piece in socket.pieces) == AS_TEXT


@pytest.mark.parametrize(
    "line",
    [
        "strength | | Everything is fine",
        "strength | A.z | No such check",
        "strength | A.a, Z.z | One that is known is not enough",
        "strength | A.c | It is not met",
        "strength | A.a, A.c | One of them is not met",
        "strength | B.x | It is a fault",
        "strength | B.y | A fault that is not there is no strength",
        "strength | C.a | It was only looked for",
        "weakness | A.a | It is met",
        "weakness | B.y | The fault is not there",
        "improvement | A.a | It is met",
        "strength | A.a | ...",
        "praise | A.a | Of no kind",
        "You did very well in A.a.",
        '{"kind": "strength", "checks": ["A.a"], "text": "Of another form"}',
    ],
)
def test_a_bullet_that_its_checks_do_not_bear_out_is_dropped_before_anybody_sees_it(line: str) -> None:
    seen: list[str] = []
    bullets = Bullets(RESULTS, seen.append)
    bullets.read(f"{line}\nweakness | B.a | Says the opposite")
    bullets.end()
    assert seen == ["Weakness: Says the opposite"]
    assert bullets.remarks == Remarks(weaknesses=(Remark(text="Says the opposite", checks=("B.a",)),))


def test_forms_that_models_are_fond_of() -> None:
    bullets = Bullets(RESULTS, lambda text: None)
    for piece in ("- **Strength** | [A.a], [", "A.b] | One\n", "1. weakness | `B.a`|Two\r\n\n" + "WEAKNESS|A.c|Three"):
        bullets.read(piece)
    bullets.end()
    assert bullets.text == "Strength: One\nWeakness: Two\nWeakness: Three"
    assert bullets.remarks.strengths[0].checks == ("A.a", "A.b")


def test_lists_are_short_and_sentences_too() -> None:
    bullets = Bullets(RESULTS, lambda text: None)
    bullets.read("".join(f"weakness | B.a | {'long ' * 200}{i}\n" for i in range(20)))
    assert len(bullets.remarks.weaknesses) == LIST_MAX
    assert max(len(remark.text) for remark in bullets.remarks.weaknesses) <= 400


def test_a_kind_that_is_left_with_nothing_is_what_code_derives() -> None:
    said = Remark(text="Mine", checks=("A.a",))
    full = filled(Remarks(strengths=(said,)), RESULTS)
    assert full.strengths == (said,)
    assert (full.weaknesses, full.improvements) == (remarks(RESULTS).weaknesses, remarks(RESULTS).improvements)


def test_what_an_appeal_has_changed_is_not_said_any_more() -> None:
    bullets = Bullets(RESULTS, lambda text: None)
    bullets.read(GOOD + "\nweakness | A.c, B.a | Two are missing\n")
    after = (criterion("A", 1.0, *(verdict(f"A.{id}", "met") for id in "abc")), *RESULTS[1:])
    said, text = mended(bullets.remarks, bullets.text, RESULTS, after)
    assert [remark.checks for remark in (*said.strengths, *said.weaknesses)] == [("A.a", "A.b"), ("B.x",)]
    assert said.improvements == remarks(after).improvements
    assert text == "\n".join(line for line in AS_TEXT.split("\n") if "improve" not in line)
    assert mended(remarks(RESULTS), "", RESULTS, after) == (remarks(after), "")
    assert mended(bullets.remarks, bullets.text, RESULTS, RESULTS) == (bullets.remarks, bullets.text)


async def test_the_result_says_what_the_model_wrote_and_can_prove(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard
) -> None:
    await evaluate(bench(), await hand_in(engine), 1)
    done = heard.completed
    assert done is not None
    assert done.narrative == heard.narrated
    assert {remark.text[:15] for remark in done.strengths} == {"You show it wel"}
    lines = [f"Strength: {remark.text}" for remark in done.strengths]
    lines += [f"Weakness: {remark.text}" for remark in done.weaknesses]
    assert done.narrative.split("\n")[:-1] == lines


async def test_a_model_that_says_what_nothing_bears_out_is_not_heard(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard
) -> None:
    model.script(*(Step(only=one.name) for one in JUDGED), Step(text="strength | C1.a | You are hired\n"))
    await evaluate(bench(), await hand_in(engine, intents=()), 1)
    done = heard.completed
    assert done is not None
    assert (done.narrative, heard.narrated) == ("", "")
    assert {*done.strengths} == {*remarks(tuple(heard.criteria().values())).strengths}


async def test_a_judge_that_cannot_write(judge: OpenAIJudge, model: FakeModel) -> None:
    for step in (Step(status=500), Step(cut=40, text=GOOD), Step(finish="length", text=GOOD), Step(refusal="no")):
        model.script(step)
        found = await written(judge, Socket())
        assert (found.text, found.remarks) == ("", Remarks())


async def test_nobody_to_send_it_to(judge: OpenAIJudge, model: FakeModel) -> None:
    model.script(Step(text=GOOD))
    assert (await written(judge, Socket(away=True))).text == AS_TEXT
