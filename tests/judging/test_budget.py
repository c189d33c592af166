"""What a user's judging may cost in a day: counted also for what failed, and never passed in silence."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.judging.budget import Budget
from engine.judging.evaluation import evaluate
from engine.judging.judge_offline import OfflineJudge
from engine.judging.prices import Price, Prices
from engine.record.events import driver
from engine.record.past_runs import used_of_late
from tests.fake_model import FakeModel, Step
from tests.judging.conftest import MakeBench
from tests.judging.stage import JUDGED, Heard, hand_in

OF_CODE = next(criterion for criterion in JUDGED if "code" in criterion.evidence)
PRICES = Prices(version="test-1", models={"fake-1": Price(input=1.0, cached=0.1, output=10.0)})
LITTLE = Budget(tokens=1)


async def test_a_run_beyond_the_limit_goes_to_the_offline_judge(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard, offline: OfflineJudge
) -> None:
    assert (
        await evaluate(bench(budget=LITTLE, fallbacks=(offline,)), await hand_in(engine, {"code": CODE}), 1) == "done"
    )
    assert heard.completed is not None
    assert (heard.completed.judge, heard.completed.receipt["fallback"]) == ("offline", "over_budget")
    assert len(model.calls) == 1  # the first found nothing used yet


async def test_a_run_beyond_the_limit_fails_and_says_why(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard
) -> None:
    user = uuid4()
    first = await hand_in(engine, user=user)
    assert await evaluate(bench(), first, 1) == "done"
    limit = Budget(tokens=(await used_of_late(engine, first)).tokens)
    model.calls.clear()
    heard.said.clear()
    assert await evaluate(bench(budget=limit), await hand_in(engine, {"code": CODE}, user=user), 1) == "failed"
    assert model.calls == []
    assert heard.failed is not None
    assert (heard.failed.code, heard.failed.retryable) == ("judge_over_budget", True)
    assert "today" in heard.failed.message
    heard.said.clear()
    assert await evaluate(bench(budget=limit), await hand_in(engine, {"code": CODE}), 1) == "done"  # somebody else


async def test_yesterday_does_not_count(engine: AsyncEngine, bench: MakeBench) -> None:
    interview = await hand_in(engine, {"code": CODE})
    await evaluate(bench(prices=PRICES), interview, 1)
    used = await used_of_late(engine, interview)
    assert used.tokens > 0
    assert used.cost > 0
    async with driver(engine) as connection:
        await connection.execute("UPDATE evaluation_runs SET created_at = now() - interval '25 hours'")
    assert (await used_of_late(engine, interview)).tokens == 0


async def test_the_limit_in_money(engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard) -> None:
    budget = Budget(cost=0.000_001)
    assert await evaluate(bench(budget=budget, prices=PRICES), await hand_in(engine, {"code": CODE}), 1) == "failed"
    assert heard.failed is not None
    assert heard.failed.code == "judge_over_budget"
    assert len(model.calls) == 1


@pytest.mark.parametrize("step", [Step(text="no JSON"), Step(cut=100), Step(refusal="no"), Step(usage=False)])
async def test_what_failed_was_paid_for_too(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard, step: Step
) -> None:
    """Where the server does not say how many tokens it took, a guess by length stands in, and says so."""
    interview = await hand_in(engine, {"code": CODE})
    model.script(Step(**{**step.__dict__, "only": OF_CODE.name, "times": 100}))
    await evaluate(bench(), interview, 1)
    bought = len(model.calls)
    assert (await used_of_late(engine, interview)).tokens > bought * 500


async def test_receipt_says_what_it_cost(engine: AsyncEngine, bench: MakeBench, heard: Heard) -> None:
    interview = await hand_in(engine, {"code": CODE})
    await evaluate(bench(prices=PRICES), interview, 1)
    assert heard.completed is not None
    receipt = heard.completed.receipt
    used = receipt["used"]
    by_hand = (used["input_tokens"] - 0.9 * used["cached_tokens"] + 10 * used["output_tokens"]) / 1e6
    assert receipt["cost"]["amount"] == pytest.approx(by_hand, abs=1e-6)
    assert (receipt["cost"]["prices"], receipt["cost"]["unpriced"]) == ("test-1", [])
    assert (await used_of_late(engine, interview)).cost == pytest.approx(by_hand, abs=1e-6)
    spent = [*(one for one in receipt["criteria"].values() if one["judge"]), receipt["narrative"]]
    assert used["input_tokens"] == sum(one["input_tokens"] for one in spent)


async def test_a_model_without_a_price_costs_nobody_knows_what(
    engine: AsyncEngine, bench: MakeBench, heard: Heard
) -> None:
    await evaluate(bench(), await hand_in(engine, {"code": CODE}), 1)
    assert heard.completed is not None
    assert heard.completed.receipt["cost"] == {
        "amount": None,
        "currency": "USD",
        "prices": "none",
        "unpriced": ["fake-1"],
    }


CODE = """class Garage:
    def admit(self, vehicle): return self.policy.choose(self.floors, vehicle) or Refusal("FULL")
class Ticket: keeps plate, arrival, spot, colour, gate"""
