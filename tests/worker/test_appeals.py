"""An appeal from the candidate's command to its recorded end: both verdicts, the score by arithmetic, one end."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import msgspec
import pytest

from engine.core.repeats import REPEATS
from engine.judging.judge_offline import OfflineJudge
from engine.record import results
from engine.record.evaluations import claim
from engine.wiring import Backbone
from protocol import commands, events
from protocol.messages import Ack, EvaluationAppeal, EvaluationRetry, Refusal
from protocol.views import EvaluationView
from tests.fake_model import FakeModel, Step
from tests.judging.stage import GARAGE, JUDGED
from tests.until import until
from tests.worker.conftest import Working
from tests.worker.test_with_conductor import Candidate, at_work, backbone, candidate

__all__ = ["backbone", "candidate"]

CONCURRENCY = next(criterion for criterion in JUDGED if criterion.id == "C6")
CHECK = "C6.b"
QUOTE = "finding and claiming a spot is one atomic step"
SAYS_NO = Step(mode="nothing", only=CONCURRENCY.name)


def appeal(quote: str = QUOTE) -> EvaluationAppeal:
    return EvaluationAppeal(id="appeal-01", d=commands.Appeal(check=CHECK, field="code", quote=quote))


async def stands(candidate: Candidate) -> EvaluationView:
    view = await results.read_view(candidate.backbone.engine, UUID(candidate.interview))
    assert view is not None
    return view


async def live(candidate: Candidate) -> EvaluationView:
    view = (await candidate.backbone.conductor.view(candidate.interview)).evaluation
    assert view is not None
    return in_order(view)


def in_order(view: EvaluationView) -> EvaluationView:
    """Live holds the criteria as they landed, the record as the rubric has them."""
    judged = tuple(sorted(view.judged, key=lambda one: one.id))
    return msgspec.structs.replace(view, judged=judged)


def verdict_of(view: EvaluationView) -> events.CheckVerdict:
    return next(verdict for one in view.judged for verdict in one.verdicts if verdict.check == CHECK)


async def judged(candidate: Candidate, run: int = 1) -> events.EvaluationCompleted:
    done = await until(lambda: candidate.ended(run))
    assert isinstance(done, events.EvaluationCompleted), done
    return done


async def test_an_appeal_that_is_right(
    candidate: Candidate, backbone: Backbone, working: Working, model: FakeModel
) -> None:
    model.script(SAYS_NO)
    async with at_work(working, backbone, appeals=1):
        await candidate.hands_in()
        first = await judged(candidate)
        assert (first.appeals_left, verdict_of(await stands(candidate)).verdict) == (1, "not_met")
        refused = await candidate.says(appeal("these words were never written"))
        assert isinstance(refused, Refusal)
        assert (refused.code, refused.at) == ("not_quoted", "$.d.quote")
        model.script(SAYS_NO)  # one of three still says no
        assert isinstance(await candidate.says(appeal()), Ack)
        second = await judged(candidate, 2)
    (decided,) = second.appeals
    assert (decided.before.verdict, decided.after.verdict, decided.after.votes) == ("not_met", "met", 2)
    assert (decided.score_before, decided.score_after) == (first.score, second.score)
    check = next(check for check in CONCURRENCY.checks if check.id == CHECK)
    most = sum(check.points for check in CONCURRENCY.checks if check.points > 0)
    assert second.score == pytest.approx(first.score + CONCURRENCY.weight * check.points / most, abs=0.1)
    assert second.appeals_left == 0
    view = await stands(candidate)
    assert (view.run, view.state, view.result) == (1, "completed", second)
    assert view.appeal is not None and view.appeal.state == "completed"
    assert verdict_of(view) == decided.after
    changed = [event for event in await candidate.hears() if getattr(event, "run", 0) == 2]
    kinds = [type(event).__name__.removeprefix("Evaluation") for event in changed]
    assert kinds == ["Appealed", "Started", "Criterion", "Completed"]
    assert await live(candidate) == in_order(view)


async def test_an_appeal_that_changes_nothing(
    candidate: Candidate, backbone: Backbone, working: Working, model: FakeModel
) -> None:
    model.script(Step(mode="nothing", only=CONCURRENCY.name, times=3))
    async with at_work(working, backbone, appeals=1):
        await candidate.hands_in()
        first = await judged(candidate)
        before = await stands(candidate)
        await candidate.says(appeal())
        second = await judged(candidate, 2)
    (decided,) = second.appeals
    assert (decided.before.verdict, decided.after.verdict, decided.after.votes) == ("not_met", "not_met", 2)
    after = await stands(candidate)
    assert after.judged == before.judged
    same = ("score", "passed", "band", "strengths", "weaknesses", "improvements", "narrative", "first_shown", "unasked")
    assert all(getattr(second, name) == getattr(first, name) for name in same)


async def test_it_is_blind_and_paid_for(
    candidate: Candidate, backbone: Backbone, working: Working, model: FakeModel
) -> None:
    """The judge is asked as it was asked first, but for the mark, and the order that follows from it."""
    model.script(SAYS_NO)
    async with at_work(working, backbone, appeals=1):
        await candidate.hands_in()
        await judged(candidate)
        asked = [plain(call.body) for call in model.calls if call.criterion == CONCURRENCY.name]
        model.script()
        await candidate.says(appeal())
        second = await judged(candidate, 2)
    again = [plain(call.body) for call in model.calls]
    assert len(again) == REPEATS
    assert {*again} == {*asked}
    (own,) = second.receipt["appeals"]
    assert own["run"] == 2
    assert own["used"]["input_tokens"] > 0
    assert second.receipt["used"]["input_tokens"] > own["used"]["input_tokens"]


def plain(body: dict[str, Any]) -> str:
    """A request without its mark, the order of its statements, and its trip-wires."""
    said = body["messages"][-1]["content"]
    head, _, last = said.partition("STATEMENTS TO CHECK")
    asks = {check.ask for criterion in GARAGE.rubric.criteria for check in criterion.checks}
    statements = [line.partition(": ")[2] for line in last.splitlines()]
    return re.sub("⟦[^⟧]*⟧", "", head) + "\n".join(sorted(asks.intersection(statements)))


async def test_a_failed_appeal_leaves_the_result_and_is_retried(
    candidate: Candidate, backbone: Backbone, working: Working, model: FakeModel
) -> None:
    """Nobody who looks for words stands in; what was bought is not bought again; then it ends as it should."""
    model.script(SAYS_NO)
    async with at_work(working, backbone, appeals=1, calls_parallel=1, fallbacks=(OfflineJudge(),)):
        await candidate.hands_in()
        first = await judged(candidate)
        model.script(Step(), Step(), Step(status=400))
        await candidate.says(appeal())
        failed = await until(lambda: candidate.ended(2))
        assert isinstance(failed, events.EvaluationFailed)
        assert failed.retryable
        view = await stands(candidate)
        assert (view.state, view.result) == ("completed", first)
        assert view.appeal is not None and view.appeal.failure == failed
        assert await live(candidate) == in_order(view)
        assert isinstance(await candidate.says(EvaluationRetry(id="retry-001")), Ack)
        second = await judged(candidate, 3)
    assert len(model.calls) == REPEATS + 1
    assert second.appeals[0].after.verdict == "met"
    assert await claim(backbone.engine, UUID(candidate.interview), 3, owner="x", lease_seconds=1) is None


async def test_what_no_model_judged_leaves_no_appeal(
    candidate: Candidate, backbone: Backbone, working: Working
) -> None:
    async with at_work(working, backbone, appeals=1, judge=OfflineJudge()):
        await candidate.hands_in()
        assert (await judged(candidate)).appeals_left == 0
    refused = await candidate.says(appeal())
    assert isinstance(refused, Refusal)
    assert refused.code == "not_appealable"
