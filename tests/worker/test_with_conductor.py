"""Worker, queue, conductor, recorder and both stores together: from a submission to its recorded end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from engine.core.draft import checksum
from engine.identity.leaving import delete_account
from engine.record import evaluations, interviews, results
from engine.record.catalog import load_packs
from engine.record.events import driver, read_events
from engine.settings import Settings
from engine.telemetry import make_metrics
from engine.wiring import Backbone, open_backbone
from engine.worker.broker import make_broker, ring
from engine.worker.reapers import one_round
from protocol import commands, events
from protocol.codec import decode_event
from protocol.messages import Ack, Command, DraftSave, EvaluationRetry, PhaseProceed, Refusal, SolutionSubmit
from protocol.words import FIELDS, Change, Fence
from tests.fake_model import FakeModel, Step
from tests.judging.stage import GARAGE, JUDGED, STRONG
from tests.planted import places
from tests.until import until
from tests.worker.conftest import Working


class Candidate:
    """Somebody in an interview, with the pen."""

    def __init__(self, backbone: Backbone, interview: str, fence: Fence) -> None:
        self.interview, self.backbone = interview, backbone
        self._fence = fence

    async def says(self, frame: Command) -> Ack | Refusal:
        return await self.backbone.conductor.handle(self.interview, frame, self._fence)

    async def hears(self) -> list[events.Event]:
        """All that is recorded."""
        recorded = await read_events(self.backbone.engine, self.interview)
        return [decode_event(event.body).d for event in recorded]

    async def ended(self, run: int) -> events.EvaluationCompleted | events.EvaluationFailed | None:
        for event in await self.hears():
            if isinstance(event, events.EvaluationCompleted | events.EvaluationFailed) and event.run == run:
                return event
        return None

    async def hands_in(self) -> None:
        changes = tuple(Change(field=field, text=text) for field, text in STRONG.items())
        assert isinstance(await self.says(PhaseProceed(id="proceed-1")), Ack)
        assert isinstance(await self.says(DraftSave(id="save-0001", d=commands.Save(base=0, changes=changes))), Ack)
        sum = checksum({field: STRONG.get(field, "") for field in FIELDS})
        said = await self.says(SolutionSubmit(id="submit-01", d=commands.Submit(rev=1, checksum=sum)))
        assert isinstance(said, Ack)
        assert said.durable == "record"


@pytest.fixture
async def backbone(settings: Settings) -> AsyncIterator[Backbone]:
    broker = make_broker(settings)
    async with open_backbone(settings, partial(ring, broker)) as made:
        await load_packs(made.engine, [GARAGE])
        yield made
    await broker.shutdown()


@pytest.fixture
async def candidate(backbone: Backbone) -> Candidate:
    user = uuid4()
    async with driver(backbone.engine) as connection:
        await connection.execute("INSERT INTO users (id, email, email_key) VALUES ($1, 'a@b.org', 'a@b.org')", user)
    row, _ = await interviews.start(backbone.engine, user, GARAGE.id, backbone.live.clock.now())
    fence = await backbone.conductor.take_pen(str(row.id), "tab")
    return Candidate(backbone, str(row.id), fence)


@asynccontextmanager
async def at_work(working: Working, backbone: Backbone, **changes: object) -> AsyncIterator[None]:
    conductor = backbone.conductor
    async with working(announce=conductor.announce, narrate=conductor.narrate, **changes):
        yield


async def test_from_submission_to_recorded_end(candidate: Candidate, backbone: Backbone, working: Working) -> None:
    async with at_work(working, backbone):
        await candidate.hands_in()
        done = await until(lambda: candidate.ended(1))
    assert isinstance(done, events.EvaluationCompleted)
    said = [event for event in await candidate.hears() if isinstance(event, events.EvaluationCriterion)]
    assert sorted(event.id for event in said) == sorted(criterion.id for criterion in GARAGE.rubric.criteria)
    view = await results.read_view(backbone.engine, UUID(candidate.interview))
    assert view is not None
    assert view.result == done
    assert await evaluations.to_announce(backbone.engine) == []
    tail = await backbone.live.narrative(candidate.interview)
    assert tail == (1, 1, done.narrative)
    met = {one.check for event in said for one in event.verdicts if one.verdict == "met" and one.quote}
    assert done.first_shown == dict.fromkeys(met, 0)
    assert {rule.intent for rule in done.unasked} == {rule.intent for rule in GARAGE.clarification.rules}


async def test_all_of_redis_is_lost_meanwhile(
    candidate: Candidate, backbone: Backbone, working: Working, model: FakeModel, settings: Settings
) -> None:
    model.script(Step(only=JUDGED[0].name), Step(hold=60, times=100))
    async with at_work(working, backbone), Redis.from_url(settings.redis_url) as client:
        await candidate.hands_in()
        await until(lambda: len(model.calls) > 1)
        await client.flushdb()
        model.release()
        await until(lambda: candidate.ended(1))
    heard = await candidate.hears()
    criteria = [event.id for event in heard if isinstance(event, events.EvaluationCriterion)]
    assert sorted(criteria) == sorted(criterion.id for criterion in GARAGE.rubric.criteria)
    assert sum(isinstance(event, events.EvaluationCompleted) for event in heard) == 1
    assert all(model.asked(criterion.name) == 1 for criterion in JUDGED)


async def test_failed_and_asked_for_again(
    candidate: Candidate, backbone: Backbone, working: Working, model: FakeModel
) -> None:
    model.script(Step(refusal="no"))
    async with at_work(working, backbone):
        await candidate.hands_in()
        failed = await until(lambda: candidate.ended(1))
        assert isinstance(failed, events.EvaluationFailed)
        assert failed.code == "judge_refused"
        assert isinstance(await candidate.says(EvaluationRetry(id="retry-001")), Ack)
        assert isinstance(await until(lambda: candidate.ended(2)), events.EvaluationCompleted)
    view = await results.read_view(backbone.engine, UUID(candidate.interview))
    assert view is not None
    assert (view.run, view.state) == (2, "completed")


@pytest.mark.parametrize("meanwhile", ["a criterion is judged", "the narrative is written"])
async def test_77_the_account_is_deleted_while(
    candidate: Candidate, backbone: Backbone, working: Working, model: FakeModel, settings: Settings, meanwhile: str
) -> None:
    """The worker finds its lease lost, and nothing of what was handed in comes back."""
    words = ["self.policy.allocate(vehicle)", "a@b.org"]
    assert words[0] in STRONG["code"]
    done = JUDGED[:1] if meanwhile == "a criterion is judged" else JUDGED
    held = Step(hold=300, times=100)  # the first bullet of the feedback is out by then
    model.script(*(Step(only=criterion.name) for criterion in done), held)
    metrics, live = make_metrics(), backbone.live
    lost = metrics.evaluations.labels(judge="openai", outcome="lost")._value
    async with at_work(working, backbone, metrics=metrics):
        await candidate.hands_in()
        await until(lambda: len(model.calls) > len(done))
        if done == JUDGED:
            await until(lambda: live.narrative(candidate.interview))
        user = UUID(await backbone.conductor.owner(candidate.interview))
        assert await places(words, settings.database_url, live.redis)
        assert await delete_account(backbone.engine, live, user, 900)
        model.release()
        await until(lambda: lost.get() == 1)
        await one_round(backbone.engine, _not_rung, backbone.conductor.announce)
    assert await places(words, settings.database_url, live.redis) == []
    assert await live.narrative(candidate.interview) is None


async def _not_rung(interview: UUID, run: int) -> bool:
    raise AssertionError("rung for a run that is gone")
