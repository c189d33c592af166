"""Who stands in for whom: an outage moves the run on, an unusable answer its criterion, and the receipt names all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.judging.breaker import FAILURES_MAX, Breaker
from engine.judging.evaluation import evaluate
from engine.judging.judge import JudgeError
from engine.judging.judge_offline import OfflineJudge
from engine.judging.judge_openai import OpenAIJudge
from engine.record import results
from engine.telemetry import make_metrics
from tests.fake_model import FakeModel, Step
from tests.judging.conftest import BACKOFF_SECONDS, CALL_SECONDS, MakeBench
from tests.judging.stage import JUDGED, Heard, hand_in
from tests.judging.test_budget import CODE
from tests.judging.test_judge_openai import CASE, FOREVER

FIRST, SMALL, OTHER = "fake-1", "small", "other"
OF_CODE = [criterion for criterion in JUDGED if "code" in criterion.evidence]
"""Who hands in code alone is judged on these: enough, where it does not matter how many."""
ONE = OF_CODE[1]
NOWHERE = "http://127.0.0.1:9/v1"
Made = Callable[..., OpenAIJudge]


@pytest.fixture
async def judges(model: FakeModel) -> AsyncIterator[Made]:
    """Makes judges of the fake server's models, or of another server."""
    made: list[OpenAIJudge] = []

    def make(name: str, base_url: str = "", call_seconds: float = CALL_SECONDS, **more: Any) -> OpenAIJudge:
        judge = OpenAIJudge(
            api_key="",
            base_url=base_url or model.url,
            model=name,
            call_seconds=call_seconds,
            metrics=make_metrics(),
            backoff_seconds=BACKOFF_SECONDS,
            **more,
        )
        made.append(judge)
        return judge

    yield make
    for judge in made:
        await judge.close()


def receipt_of(heard: Heard) -> dict[str, Any]:
    assert heard.completed is not None
    return heard.completed.receipt


def asked(heard: Heard) -> dict[str, str]:
    """Which model each judged criterion's verdicts are of."""
    return {id: one["asked"] for id, one in receipt_of(heard)["criteria"].items() if one["judge"] == "openai"}


async def test_an_outage_moves_the_run_to_the_next_model(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard, judges: Made, offline: OfflineJudge
) -> None:
    model.script(Step(only=JUDGED[0].name), Step(status=503, model=FIRST, times=FOREVER))
    assert await evaluate(bench(fallbacks=(judges(SMALL), offline)), await hand_in(engine), 1) == "done"
    receipt = receipt_of(heard)
    assert (receipt["judge"], receipt["fallback"]) == ("openai", "unavailable")
    assert asked(heard) == {c.id: SMALL for c in JUDGED} | {JUDGED[0].id: FIRST}
    assert receipt["models"] == [FIRST, "small-1"]
    assert set(receipt["criteria"][JUDGED[1].id]["missed"][0]["outcomes"]) == {"unavailable"}
    assert "missed" not in receipt["criteria"][JUDGED[-1].id]  # by then nobody asks the first any more


async def test_the_second_provider(
    engine: AsyncEngine, bench: MakeBench, heard: Heard, judges: Made, offline: OfflineJudge, model: FakeModel
) -> None:
    dead = Breaker()
    first, small = judges(FIRST, NOWHERE, breaker=dead), judges(SMALL, NOWHERE, breaker=dead)
    second = judges(OTHER, provider="second")
    order = bench(judge=first, fallbacks=(small, second, offline))
    assert await evaluate(order, await hand_in(engine, {"code": CODE}), 1) == "done"
    assert set(asked(heard).values()) == {OTHER}
    assert {one.get("provider") for one in receipt_of(heard)["criteria"].values() if one["judge"]} == {"second"}
    assert model.url not in str(receipt_of(heard))


@pytest.mark.parametrize("step", [Step(text="All met."), Step(refusal="no"), Step(mode="obey")])
async def test_an_unusable_answer_is_asked_of_the_next_model_alone(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard, judges: Made, step: Step
) -> None:
    model.script(Step(**{**step.__dict__, "only": ONE.name, "model": FIRST, "times": FOREVER}))
    assert await evaluate(bench(fallbacks=(judges(SMALL),)), await hand_in(engine, {"code": CODE}), 1) == "done"
    assert asked(heard) == {c.id: FIRST for c in OF_CODE} | {ONE.id: SMALL}
    assert receipt_of(heard)["fallback"] is None
    assert receipt_of(heard)["criteria"][ONE.id]["missed"][0]["asked"] == FIRST


async def test_a_wrong_shape_may_go_to_the_offline_judge(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard, offline: OfflineJudge
) -> None:
    """The whole run is called offline then: one criterion says less than a judged one."""
    model.script(Step(only=ONE.name, text="All met.", times=FOREVER))
    assert await evaluate(bench(fallbacks=(offline,)), await hand_in(engine, {"code": CODE}), 1) == "done"
    assert heard.completed is not None
    assert heard.completed.judge == "offline"
    judge = {id: one["judge"] for id, one in receipt_of(heard)["criteria"].items() if one["judge"]}
    assert judge == {c.id: "openai" for c in OF_CODE} | {ONE.id: "offline"}


@pytest.mark.parametrize(
    "steps",
    [
        [Step(refusal="no", times=FOREVER)],
        [Step(mode="obey", times=FOREVER)],
        [Step(refusal="no", model=FIRST), Step(status=503, model=SMALL, times=FOREVER)],
    ],
    ids=["refused", "captured", "refused, then an outage"],
)
async def test_who_makes_a_model_decline_does_not_get_the_offline_judge(
    engine: AsyncEngine,
    bench: MakeBench,
    model: FakeModel,
    heard: Heard,
    judges: Made,
    offline: OfflineJudge,
    steps: list[Step],
) -> None:
    model.script(*(Step(**{**step.__dict__, "only": ONE.name}) for step in steps))
    interview = await hand_in(engine, {"code": CODE})
    assert await evaluate(bench(fallbacks=(judges(SMALL), offline)), interview, 1) == "failed"
    assert heard.failed is not None
    assert heard.failed.code in ("judge_refused", "judge_captured")
    run = await results.read_run(engine, interview, 1)
    assert run is not None
    assert ONE.id not in {one.id for one in run.judged} >= {c.id for c in OF_CODE} - {ONE.id}  # kept for the retry


async def test_out_of_time_the_offline_judge_takes_what_is_left(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard, judges: Made, offline: OfflineJudge
) -> None:
    model.script(Step(only=JUDGED[0].name), Step(hold=0, times=FOREVER))
    order = bench(fallbacks=(judges(SMALL), offline), job_seconds=0.3)
    assert await evaluate(order, await hand_in(engine), 1) == "done"
    assert receipt_of(heard)["fallback"] == "job_timeout"
    assert asked(heard) == {JUDGED[0].id: FIRST}


async def test_out_of_time_nobody_stands_in_for_who_declined(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard, judges: Made, offline: OfflineJudge
) -> None:
    model.script(Step(refusal="no", only=OF_CODE[0].name, model=FIRST), Step(hold=0, model=SMALL))
    order = bench(fallbacks=(judges(SMALL), offline), job_seconds=0.6)
    assert await evaluate(order, await hand_in(engine, {"code": CODE}), 1) == "failed"
    assert heard.failed is not None
    assert heard.failed.code == "judge_job_timeout"


async def test_the_feedback_does_not_outlast_the_job(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard, judges: Made
) -> None:
    model.script(*(Step(only=criterion.name) for criterion in OF_CODE), Step(hold=10, times=FOREVER))
    order = bench(judge=judges(FIRST, call_seconds=60.0), job_seconds=1.0)
    async with asyncio.timeout(10):
        assert await evaluate(order, await hand_in(engine, {"code": CODE}), 1) == "done"
    assert model.asked("") == 1
    assert heard.completed is not None
    assert heard.completed.narrative == ""


async def test_models_of_one_provider_share_its_breaker(model: FakeModel, judges: Made) -> None:
    breaker = Breaker()
    first, small = judges(FIRST, breaker=breaker), judges(SMALL, breaker=breaker)
    model.script(Step(status=500, times=FOREVER))
    for judge in (first, first, small):
        with pytest.raises(JudgeError, match="unavailable"):
            await judge.judge_criterion(CASE, JUDGED[0])
    assert len(model.calls) == FAILURES_MAX
    assert {call.body["model"] for call in model.calls} == {FIRST}
