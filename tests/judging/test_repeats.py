"""Near the pass mark a submission is judged three times: majority, band, bill, and what a kill or an outage leaves."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.pack import encode_pack
from engine.core.repeats import NEAR_POINTS, REPEATS
from engine.judging.evaluation import evaluate
from engine.record import results
from engine.record.events import driver
from protocol.words import Field
from tests.fake_model import FakeModel, Step
from tests.judging.conftest import MakeBench
from tests.judging.stage import GARAGE, JUDGED, STRONG, Heard, hand_in
from tests.judging.test_budget import CODE
from tests.judging.test_order import OF_CODE
from tests.until import until

FIELDS: dict[Field, str] = {"apis": STRONG["apis"]}
(ONE,) = (criterion for criterion in JUDGED if "apis" in criterion.evidence)
"""Operations alone are judged on this: enough, where it does not matter how many."""


async def test_one_dissent_is_outvoted(engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard) -> None:
    await evaluate(bench(), await hand_in(engine, FIELDS), 1)
    honest = heard.criteria()[ONE.id]
    assert honest.points > 0 and heard.completed is not None
    score = heard.completed.score
    heard.said.clear()
    model.script(Step(mode="nothing", only=ONE.name))  # the first says no; the other two do not
    interview = await hand_in(engine, FIELDS)
    assert await evaluate(bench(repeat="always"), interview, 1) == "done"
    first, agreed = (one for one in heard.said.values() if getattr(one, "id", "") == ONE.id)
    assert (getattr(first, "points", None), getattr(agreed, "points", None)) == (0, honest.points)
    assert getattr(agreed, "times", None) == REPEATS
    done = heard.completed
    assert done is not None and done.band is not None
    assert (done.score, done.band.high, done.band.times) == (score, score, REPEATS)
    assert done.band.low < score
    assert model.asked(ONE.name) == REPEATS
    view = await results.read_view(engine, interview)
    assert view is not None
    assert view.result == done
    met = [one for one in next(one for one in view.judged if one.id == ONE.id).verdicts if one.verdict == "met"]
    assert {one.votes for one in met} == {2}


async def test_the_bill_is_of_all_judgings(engine: AsyncEngine, bench: MakeBench, heard: Heard) -> None:
    await evaluate(bench(repeat="always"), await hand_in(engine, FIELDS), 1)
    assert heard.completed is not None
    receipt: dict[str, Any] = heard.completed.receipt
    assert receipt["repeats"]["when"] == "always"
    again = receipt["repeats"]["criteria"]
    assert again.keys() == {f"{ONE.id}:{n}" for n in (2, 3)}
    paid = [one for one in (*receipt["criteria"].values(), *again.values()) if one["judge"]]
    assert receipt["used"]["input_tokens"] == sum(one["input_tokens"] for one in (*paid, receipt["narrative"]))


@pytest.mark.parametrize(("away", "times"), [(0, REPEATS), (NEAR_POINTS, REPEATS), (NEAR_POINTS + 1, 1)])
async def test_near_the_pass_mark(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard, away: int, times: int
) -> None:
    """The mark of the stored pack is put so far from the score."""
    await evaluate(bench(), await hand_in(engine, FIELDS), 1)
    assert heard.completed is not None
    score = heard.completed.score
    marks = msgspec.structs.replace(GARAGE.rubric.pass_mark, mid=round(score) + away - (away == NEAR_POINTS))
    rubric = msgspec.structs.replace(GARAGE.rubric, pass_mark=marks)
    interview = await hand_in(engine, FIELDS)
    async with driver(engine) as connection:
        body = encode_pack(msgspec.structs.replace(GARAGE, rubric=rubric))
        await connection.execute("UPDATE question_packs SET body = $1", body)
    model.script()
    heard.said.clear()
    assert await evaluate(bench(repeat="near"), interview, 1) == "done"
    assert model.asked(ONE.name) == times
    assert heard.completed is not None
    assert (heard.completed.band is None) == (times == 1)


async def test_an_outage_on_the_way_costs_the_repeats_alone(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard
) -> None:
    model.script(Step(only=ONE.name), Step(status=400, times=100))
    assert await evaluate(bench(repeat="always"), await hand_in(engine, FIELDS), 1) == "done"
    assert heard.completed is not None
    assert (heard.completed.judge, heard.completed.band) == ("openai", None)


async def test_an_attempt_that_ends_leaves_its_judgings(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard
) -> None:
    """No judging of a criterion is bought more than twice, whatever the next attempt finds."""
    model.script(*(Step(only=one.name, times=2) for one in OF_CODE[:-1]), Step(only=OF_CODE[-1].name), Step(hold=0))
    interview = await hand_in(engine, {"code": CODE})
    working = asyncio.create_task(evaluate(bench(repeat="always"), interview, 1))
    await until(lambda: model.asked(OF_CODE[-1].name) == 2)  # the second of three is under way
    await until(lambda: kept(engine, len(GARAGE.rubric.criteria) + len(OF_CODE) - 1))
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert await evaluate(bench(repeat="always"), interview, 1) == "done"
    assert [model.asked(one.name) for one in OF_CODE] == [REPEATS] * (len(OF_CODE) - 1) + [REPEATS + 1]
    assert heard.completed is not None and heard.completed.band is not None


async def kept(engine: AsyncEngine, count: int) -> bool:
    async with driver(engine) as connection:
        sql = "SELECT count(*) FROM jsonb_object_keys((SELECT verdicts FROM evaluation_runs))"
        return bool(await connection.fetchval(sql) == count)


async def test_repeats_are_not_bought_again(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard
) -> None:
    user = uuid4()
    await evaluate(bench(repeat="always"), await hand_in(engine, FIELDS, user=user), 1)
    first = heard.completed
    model.script()
    heard.said.clear()
    await evaluate(bench(repeat="always"), await hand_in(engine, FIELDS, user=user), 1)
    assert model.calls == []
    assert first is not None and heard.completed is not None
    assert (heard.completed.score, heard.completed.band) == (first.score, first.band)


async def test_what_looks_for_words_is_not_asked_again(
    engine: AsyncEngine, bench: MakeBench, heard: Heard, offline: Any
) -> None:
    await evaluate(bench(judge=offline, repeat="always"), await hand_in(engine), 1)
    assert heard.completed is not None
    assert heard.completed.band is None
    assert {one.times for one in heard.criteria().values()} == {1}
