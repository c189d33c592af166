"""kill -9 of a worker at each stage of an evaluation: one result, no criterion bought more than twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.repeats import REPEATS
from engine.judging.evaluation import evaluate
from engine.record.events import driver
from protocol import events
from tests.fake_model import FakeModel, Step
from tests.judging.conftest import MakeBench
from tests.judging.stage import GARAGE, JUDGED, Heard, hand_in
from tests.until import until
from tests.worker.conftest import Working

NEVER = "-"


class Victims:
    """The process that forks workers, and the last it forked."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid = 0
        self._process = process

    async def make(self, *job: str, run: int = 1) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([*job, str(run)]).encode() + b"\n")
        self.pid = int(await self.line())

    async def line(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            return (await self._process.stdout.readline()).decode().strip()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def gone(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False


@pytest.fixture(scope="module")
async def victims() -> AsyncIterator[Victims]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.worker.victim", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    yield Victims(process)
    process.kill()
    await process.communicate()


async def state(engine: AsyncEngine) -> tuple[str, int]:
    """(state of the run, evaluations stored)."""
    async with driver(engine) as connection:
        row = await connection.fetchrow("SELECT state, (SELECT count(*) FROM evaluations) AS n FROM evaluation_runs")
    return row["state"], row["n"]


KILLS: dict[str, tuple[str, tuple[Step, ...], Callable[[FakeModel], bool]]] = {
    "before the first call": ("eval:1:start:1", (), lambda model: not model.calls),
    "in the middle of many": (
        NEVER,
        (Step(only=JUDGED[0].name), Step(hold=60, times=4)),
        lambda model: sum(call.outcome == "open" for call in model.calls) == 4,
    ),
    "after the last call, before the end is written": (
        f"eval:1:{JUDGED[-1].id}",
        (),
        lambda model: all(model.asked(criterion.name) for criterion in JUDGED),
    ),
    "after the end is written": ("eval:1:end", (), lambda model: model.asked("") == 1),
}


@pytest.mark.parametrize(("hang_at", "script", "reached"), KILLS.values(), ids=KILLS)
async def test_killed(
    engine: AsyncEngine,
    database_url: str,
    victims: Victims,
    working: Working,
    model: FakeModel,
    heard: Heard,
    hang_at: str,
    script: tuple[Step, ...],
    reached: Callable[[FakeModel], bool],
) -> None:
    interview = await hand_in(engine)
    model.script(*script)
    await victims.make(database_url, model.url, str(interview), hang_at)
    if hang_at == NEVER:
        await until(lambda: reached(model))
    else:
        assert await victims.line() == "hangs"
    assert reached(model)
    assert await state(engine) == (("done", 1) if hang_at.endswith(":end") else ("running", 0))
    victims.signal(signal.SIGKILL)
    await until(victims.gone)
    model.release()
    async with working():
        await until(lambda: heard.completed)
    assert await state(engine) == ("done", 1)
    assert {model.asked(criterion.name) for criterion in JUDGED} <= {1, 2}
    assert sorted(heard.order) == sorted(set(heard.order))
    assert sum(id.endswith(":end") for id in heard.order) == 1


@pytest.mark.parametrize("what", [JUDGED[-1].name, ""], ids=["the last criterion", "the feedback"])
async def test_killed_between_an_answer_and_its_write(
    engine: AsyncEngine,
    database_url: str,
    victims: Victims,
    working: Working,
    model: FakeModel,
    heard: Heard,
    what: str,
) -> None:
    """The model has answered, and Postgres holds the worker's write up until it is dead."""
    interview = await hand_in(engine)
    others = [Step(only=criterion.name) for criterion in JUDGED if criterion.name != what]
    model.script(*others, Step(hold=0))
    await victims.make(database_url, model.url, str(interview), NEVER)
    await until(lambda: model.asked(what) == 1)
    await until(lambda: judged(engine, len(GARAGE.rubric.criteria) - (what != "")))
    async with driver(engine) as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM evaluation_runs FOR UPDATE")
        model.release()
        await until(lambda: all(call.outcome == "answered" for call in model.calls))
        victims.signal(signal.SIGKILL)
        await until(victims.gone)
    assert await state(engine) == ("running", 0)
    async with working():
        await until(lambda: heard.completed)
    assert await state(engine) == ("done", 1)
    assert [model.asked(criterion.name) for criterion in JUDGED] == [1 + (c.name == what) for c in JUDGED]
    assert model.asked("") <= 2


async def judged(engine: AsyncEngine, criteria: int, run: int = 1) -> bool:
    async with driver(engine) as connection:
        kept = await connection.fetchval(
            "SELECT count(*) FROM jsonb_object_keys((SELECT verdicts FROM evaluation_runs WHERE run = $1))", run
        )
    return bool(kept == criteria)


async def test_killed_in_an_appeal(
    engine: AsyncEngine,
    database_url: str,
    victims: Victims,
    working: Working,
    model: FakeModel,
    heard: Heard,
    bench: MakeBench,
) -> None:
    """In the last of three judgings: exactly one end, and only what was under way is bought again."""
    last = JUDGED[-1]
    interview = await hand_in(engine)
    model.script(Step(mode="nothing", only=last.name))
    assert await evaluate(bench(appeals=1), interview, 1) == "done"
    heard.said.clear()
    heard.order.clear()
    async with driver(engine) as connection:
        appeal = json.dumps({"run": 2, "check": last.checks[0].id, "field": last.evidence[0], "quote": "q"})
        sql = "INSERT INTO evaluation_runs (interview_id, run, state, appeal) VALUES ($1, 2, 'queued', $2)"
        await connection.execute(sql, interview, appeal)
    model.script(Step(), Step(), Step(hold=60))
    await victims.make(database_url, model.url, str(interview), NEVER, run=2)
    await until(lambda: judged(engine, 2, run=2))
    victims.signal(signal.SIGKILL)
    await until(victims.gone)
    model.release()
    async with working():
        await until(lambda: "eval:2:end" in heard.said)
    done = heard.said["eval:2:end"]
    assert isinstance(done, events.EvaluationCompleted)
    assert len(done.appeals) == 1
    assert len(model.calls) == REPEATS + 1
    assert heard.order[0] == "eval:2:start:2"
    async with driver(engine) as connection:
        states = await connection.fetch("SELECT state FROM evaluation_runs ORDER BY run")
        assert [row["state"] for row in states] == ["done", "done"]
        assert await connection.fetchval("SELECT array_agg(run) FROM evaluations") == [2]


async def test_frozen_worker_wakes_too_late(
    engine: AsyncEngine, database_url: str, victims: Victims, working: Working, model: FakeModel, heard: Heard
) -> None:
    """SIGSTOP past the lease, then SIGCONT: the second worker's result stands, the first writes nothing."""
    interview = await hand_in(engine)
    model.script(Step(hold=60, only=JUDGED[0].name))
    await victims.make(database_url, model.url, str(interview), NEVER)
    await until(lambda: model.calls)
    victims.signal(signal.SIGSTOP)
    async with working():
        await until(lambda: heard.completed)
    before = await rows(engine)
    victims.signal(signal.SIGCONT)
    model.release()
    await until(victims.gone)
    assert await rows(engine) == before
    assert await state(engine) == ("done", 1)
    assert heard.completed is not None
    assert heard.completed.receipt["attempt"] == 2


async def rows(engine: AsyncEngine) -> list[object]:
    """All but what was used: what a frozen worker has bought was bought."""
    async with driver(engine) as connection:
        runs: list[object] = await connection.fetch("SELECT to_jsonb(r) - 'tokens' - 'cost' FROM evaluation_runs r")
        return runs + list(await connection.fetch("SELECT * FROM evaluations"))
