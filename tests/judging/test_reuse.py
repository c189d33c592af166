"""What was judged before is given back, to whom it belongs, and to nobody else."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.judging.evaluation import evaluate
from engine.judging.judge_offline import OfflineJudge
from engine.judging.judge_openai import OpenAIJudge
from engine.judging.keeping import Bench
from engine.judging.reuse import material_hash
from engine.record import evaluations, results
from engine.record.events import driver
from protocol import events
from tests.fake_model import FakeModel, Step
from tests.judging.conftest import MakeBench
from tests.judging.stage import JUDGED, Heard, hand_in
from tests.judging.test_budget import CODE
from tests.judging.test_order import OF_CODE, Made, judges

__all__ = ["judges"]

LAST = JUDGED[-1].name


async def ask_again(engine: AsyncEngine, interview: UUID) -> None:
    async with driver(engine) as connection:
        await connection.execute(
            "INSERT INTO evaluation_runs (interview_id, run, state) VALUES ($1, 2, 'queued')", interview
        )


async def finished(bench: Bench, engine: AsyncEngine, interview: UUID, run: int = 1) -> results.Run:
    assert await evaluate(bench, interview, run) == "done"
    found = await results.read_run(engine, interview, run)
    assert found is not None
    return found


async def test_a_retry_asks_only_for_what_is_missing(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard
) -> None:
    interview = await hand_in(engine)
    model.script(Step(refusal="no", only=LAST))
    assert await evaluate(bench(), interview, 1) == "failed"
    await ask_again(engine, interview)
    heard.said.clear()
    again = await finished(bench(), engine, interview, 2)
    assert all(model.asked(criterion.name) == (2 if criterion.name == LAST else 1) for criterion in JUDGED)
    assert {one.run for one in again.judged} == {2}
    assert isinstance(again.ended, events.EvaluationCompleted)
    reused = {id: one.get("reused") for id, one in again.ended.receipt["criteria"].items() if one["judge"]}
    assert reused == {c.id: f"{interview}:1" for c in JUDGED[:-1]} | {JUDGED[-1].id: None}


async def test_the_same_again_is_given_back_whole(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard
) -> None:
    user = uuid4()
    first = await finished(bench(), engine, await hand_in(engine, user=user))
    model.calls.clear()
    heard.said.clear()
    second = await finished(bench(), engine, await hand_in(engine, user=user))
    assert model.calls == []
    assert first.ended is not None and second.ended is not None
    same = {"narrative", "score", "passed", "strengths", "weaknesses", "improvements"}
    assert {name: getattr(first.ended, name) for name in same} == {name: getattr(second.ended, name) for name in same}
    assert isinstance(second.ended, events.EvaluationCompleted)
    assert second.ended.receipt["used"]["input_tokens"] == 0


async def test_anything_else_is_judged_afresh(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard, judge: OpenAIJudge
) -> None:
    user, other = uuid4(), uuid4()
    first: dict[str, Any] = {"fields": {"code": CODE}, "user": user}
    changes: list[dict[str, Any]] = [
        first,
        {**first, "user": other},
        {**first, "fields": {"code": f"{CODE}!"}},
        {**first, "intents": ("pricing", "scale")},
    ]
    for change in changes:
        model.calls.clear()
        await finished(bench(), engine, await hand_in(engine, **change))
        assert model.asked(OF_CODE[0].name) == 1, change
    judge._model = "another"
    model.calls.clear()
    await finished(bench(), engine, await hand_in(engine, **first))
    assert all(model.asked(criterion.name) == 1 for criterion in OF_CODE)
    model.calls.clear()
    await finished(bench(), engine, await hand_in(engine, **first))
    assert model.calls == []


@pytest.mark.parametrize("stand_in", ["offline", "small"])
async def test_what_a_stand_in_gave_is_not_taken_for_the_judges_own(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard, judges: Made, stand_in: str
) -> None:
    user = uuid4()
    model.script(Step(status=503, model="fake-1", times=100))
    stands_in = OfflineJudge() if stand_in == "offline" else judges(stand_in)
    await finished(bench(fallbacks=(stands_in,)), engine, await hand_in(engine, {"code": CODE}, user=user))
    model.script()
    heard.said.clear()
    run = await finished(bench(), engine, await hand_in(engine, {"code": CODE}, user=user))
    assert isinstance(run.ended, events.EvaluationCompleted)
    assert run.ended.judge == "openai"
    assert all(model.asked(criterion.name) == 1 for criterion in OF_CODE)


async def test_one_request_holds_one_submission(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard
) -> None:
    """However many are judged at a time: no request holds a word of two."""
    words = [f"canary{uuid4().hex}" for _ in range(3)]
    papers = [await hand_in(engine, {"code": f"{CODE}\n# {word}"}) for word in words]
    heard.away = True
    assert set(await asyncio.gather(*(evaluate(bench(), paper, 1) for paper in papers))) == {"done"}
    held = [sum(word in str(call.body) for word in words) for call in model.calls]
    assert max(held) == 1
    assert sum(held) > len(words)


async def test_a_repeat_is_material_of_its_own(engine: AsyncEngine, judge: OpenAIJudge) -> None:
    handed = await evaluations.handed_in(engine, await hand_in(engine))
    assert handed is not None
    repeats = {material_hash(handed, judge, repeat=repeat) for repeat in range(3)}
    assert len(repeats) == 3
    changed = msgspec.structs.replace(handed, fields={**handed.fields, "extra": "more"}, checksum=handed.checksum)
    assert material_hash(changed, judge) not in repeats  # not by the checksum: anybody can make two texts of one
