"""A submission that kills its workers: set aside after some, listed, harmless when asked for again, and let go."""

from __future__ import annotations

import asyncio
import signal
from uuid import UUID

from click.testing import CliRunner, Result
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.cli.evaluations import command
from engine.judging.evaluation import evaluate
from engine.record import evaluations
from engine.record.evaluations import ATTEMPTS_MAX, EXHAUSTED
from engine.record.events import driver
from engine.record.past_runs import forgive, set_aside
from engine.settings import Settings
from engine.wiring import Backbone
from engine.worker.reapers import one_round
from engine.worker.tasks import SUSPECT_FROM, Workshop
from protocol import events
from protocol.messages import Ack, EvaluationRetry
from tests.fake_model import FakeModel, Step
from tests.judging.conftest import MakeBench
from tests.judging.stage import Heard, hand_in
from tests.until import until
from tests.worker.conftest import Working
from tests.worker.test_killed import Victims, victims
from tests.worker.test_reapers import Bells, shift
from tests.worker.test_with_conductor import Candidate, at_work, backbone, candidate

__all__ = ["backbone", "candidate", "victims"]


async def ask_again(engine: AsyncEngine, interview: UUID, run: int) -> None:
    async with driver(engine) as connection:
        await connection.execute(
            "INSERT INTO evaluation_runs (interview_id, run, state) VALUES ($1, $2, 'queued')", interview, run
        )


async def said(settings: Settings, *arguments: str) -> Result:
    """What `engine evaluations ...` says."""
    environ = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "ENGINE_SECRET_KEY": settings.secret_key,
    }
    return await asyncio.to_thread(CliRunner().invoke, command, arguments, env=environ)


async def test_a_submission_that_kills_its_workers(
    engine: AsyncEngine, database_url: str, settings: Settings, victims: Victims, model: FakeModel, heard: Heard
) -> None:
    interview, other = await hand_in(engine), await hand_in(engine)
    bells = Bells()
    for attempt in range(1, ATTEMPTS_MAX + 1):
        if attempt < ATTEMPTS_MAX:  # what a claim and then nothing comes to; the last kill is a real one
            await evaluations.claim(engine, interview, 1, owner="victim", lease_seconds=1)
        else:
            await victims.make(database_url, model.url, str(interview), f"eval:1:start:{attempt}")
            assert await victims.line() == "hangs"
            victims.signal(signal.SIGKILL)
            await until(victims.gone)
        await shift(engine, 100)
        assert heard.failed is None
        await one_round(engine, bells.ring, heard.announce)
    assert heard.failed is not None
    assert heard.failed.code == EXHAUSTED.code
    assert bells.rung.count(other) == ATTEMPTS_MAX  # the others flow
    (aside,) = await set_aside(engine)
    assert (aside.interview, aside.run, aside.attempts, aside.error) == (interview, 1, ATTEMPTS_MAX, EXHAUSTED.code)
    listed = (await said(settings, "parked")).output
    assert str(interview) in listed and str(other) not in listed
    assert f"after {ATTEMPTS_MAX} attempts" in listed and "worker victim" in listed


async def test_asking_again_kills_nobody_more(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard
) -> None:
    """A new run of it ends at once, until whoever runs the engine has forgiven what happened."""
    interview = await hand_in(engine)
    for _ in range(ATTEMPTS_MAX):
        await evaluations.claim(engine, interview, 1, owner="a", lease_seconds=1)
        await shift(engine, 100)
    await one_round(engine, Bells().ring, heard.announce)
    await ask_again(engine, interview, 2)
    assert await evaluate(bench(), interview, 2) == "not_claimed"
    await one_round(engine, Bells().ring, heard.announce)
    assert [(aside.run, aside.attempts) for aside in await set_aside(engine)] == [(2, ATTEMPTS_MAX)]
    await forgive(engine, [interview])
    await ask_again(engine, interview, 3)
    heard.said.clear()
    assert await evaluate(bench(), interview, 3) == "done"
    assert await set_aside(engine) == []


async def test_a_drain_is_no_crash(engine: AsyncEngine, bench: MakeBench, heard: Heard) -> None:
    interview = await hand_in(engine)
    for attempt in range(1, 2 * ATTEMPTS_MAX):
        claim = await evaluations.claim(engine, interview, 1, owner="a", lease_seconds=5)
        assert claim is not None
        assert await evaluations.release(engine, evaluations.Fence(interview, 1, attempt))
    assert await evaluate(bench(), interview, 1) == "done"


async def test_suspects_are_evaluated_one_at_a_time(
    engine: AsyncEngine, bench: MakeBench, model: FakeModel, heard: Heard
) -> None:
    """Else whoever shares a worker with the one that kills it would be set aside with it. Others do not wait."""
    suspect, another, fresh = [await hand_in(engine) for _ in range(3)]
    async with driver(engine) as connection:
        await connection.execute(
            "UPDATE evaluation_runs SET attempt = $2 WHERE interview_id = ANY($1::uuid[])",
            [suspect, another],
            SUSPECT_FROM,
        )
    model.script(Step(hold=60, times=100))

    async def running(*interviews: UUID) -> bool:
        async with driver(engine) as connection:
            rows = await connection.fetch("SELECT interview_id FROM evaluation_runs WHERE state = 'running'")
        return {row["interview_id"] for row in rows} == {*interviews}

    shop = Workshop(bench(), evaluations_max=2)
    first = asyncio.create_task(shop.work(suspect, 1))
    await until(lambda: running(suspect))
    for _ in range(2):
        await shop.work(another, 1)  # comes back at once, also when it is rung for again
    assert await running(suspect)
    second = asyncio.create_task(shop.work(fresh, 1))
    await until(lambda: running(suspect, fresh))
    model.release()
    await asyncio.gather(first, second)
    await until(lambda: ended(engine, 3))


async def ended(engine: AsyncEngine, runs: int) -> bool:
    async with driver(engine) as connection:
        return bool(await connection.fetchval("SELECT count(*) = $1 FROM evaluations", runs))


async def test_it_is_let_go_again(
    candidate: Candidate, backbone: Backbone, working: Working, settings: Settings
) -> None:
    await candidate.hands_in()
    async with driver(backbone.engine) as connection:
        await connection.execute("UPDATE evaluation_runs SET attempt = $1, forgiven = 0", ATTEMPTS_MAX)
    await one_round(backbone.engine, _nobody, backbone.conductor.announce)
    failed = await candidate.ended(1)
    assert isinstance(failed, events.EvaluationFailed)
    assert (failed.code, failed.retryable) == (EXHAUSTED.code, True)
    assert isinstance(await candidate.says(EvaluationRetry(id="retry-001")), Ack)
    await one_round(backbone.engine, _nobody, backbone.conductor.announce)
    assert isinstance(await candidate.ended(2), events.EvaluationFailed)
    let_go = await said(settings, "retry", "--all")
    assert let_go.exit_code == 0, let_go.output
    assert f"{candidate.interview} will be judged again." in let_go.output
    async with at_work(working, backbone):
        assert isinstance(await until(lambda: candidate.ended(3)), events.EvaluationCompleted)
    assert "None is set aside." in (await said(settings, "parked")).output
    again = await said(settings, "retry", candidate.interview)
    assert again.exit_code == 2
    assert "Not failed, or not there" in again.output


async def _nobody(interview: UUID, run: int) -> bool:
    raise AssertionError("rung for a run that is set aside")
