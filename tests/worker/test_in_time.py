"""From a model's last byte to the candidate's socket: a real API node, a worker beside it, and all between them."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from engine.core.draft import checksum
from engine.record.catalog import load_packs
from engine.settings import Settings
from engine.wiring import open_backbone
from engine.worker.broker import make_broker, ring
from protocol.words import FIELDS
from tests.fake_model import FakeModel, Step
from tests.judging.stage import GARAGE, JUDGED, STRONG
from tests.web.listening import Node, Person, listening
from tests.web.raw_socket import RawSocket
from tests.worker.conftest import Working

MEDIAN_SECONDS_MAX = 0.1
"""What is promised of each criterion. The median is held to it: a machine may be busy with others for a moment."""
WORST_SECONDS_MAX = 1.0
NAMES = {criterion.id: criterion.name for criterion in JUDGED}


@pytest.fixture
async def node(settings: Settings) -> AsyncIterator[Node]:
    async with listening(settings) as node:
        await load_packs(node.parts.engine, [GARAGE])
        yield node


@asynccontextmanager
async def judged_by(settings: Settings, working: Working, **changes: Any) -> AsyncIterator[None]:
    """A worker that has nothing in common with the node but the servers."""
    broker = make_broker(settings)
    async with open_backbone(settings, partial(ring, broker)) as backbone:
        conductor = backbone.conductor
        async with working(announce=conductor.announce, narrate=conductor.narrate, **changes):
            yield
    await broker.shutdown()


async def handed_in(socket: RawSocket) -> None:
    socket.send("phase.proceed", {}, id="proceed-1")
    changes = [{"field": field, "text": text} for field, text in STRONG.items()]
    socket.send("draft.save", {"base": 0, "changes": changes}, id="save-0001")
    whole = checksum({field: STRONG.get(field, "") for field in FIELDS})
    socket.send("solution.submit", {"rev": 1, "checksum": whole}, id="submit-01")
    ack = await socket.receive("ack", "error", id="submit-01")
    assert ack["t"] == "ack", ack


async def leaves_twice(person: Person, interview: str) -> list[dict[str, Any]]:
    """All events that somebody saw, from when they came, who went away after two criteria, and after two more."""
    seen: list[dict[str, Any]] = []
    resume: dict[str, int] | None = None
    for criteria in (2, 2, len(GARAGE.rubric.criteria)):
        if seen and seen[-1]["t"] == "evaluation.completed":
            break  # all came at once
        socket = await person.open(interview)
        welcome = await socket.hello(write=False, **({"resume": resume} if resume else {}))
        while sum(event["t"] == "evaluation.criterion" for event in socket.events) < criteria:
            if socket.events and socket.events[-1]["t"] == "evaluation.completed":
                break
            await socket.frame()
        seen += socket.events
        resume = {"epoch": welcome["epoch"], "s": seen[-1]["s"]}
        socket.close()
    return seen


async def test_each_criterion_is_on_the_socket_in_time(
    settings: Settings,
    node: Node,
    working: Working,
    model: FakeModel,
    record_property: Callable[[str, object], None],
) -> None:
    """And who comes and goes meanwhile sees each of them once."""
    person = await node.person()
    interview = await person.start(GARAGE.id)
    socket = await person.join(interview, write=True)
    seen: dict[str, float] = {}
    model.script(Step(token_seconds=0.002, times=100))
    async with judged_by(settings, working, calls_parallel=2):
        leaving = asyncio.create_task(leaves_twice(person, interview))
        await handed_in(socket)
        while len(seen) < len(NAMES):
            event = await socket.receive("evaluation.criterion", "evaluation.failed")
            assert event["t"] == "evaluation.criterion", event
            if event["d"]["id"] in NAMES:
                seen[NAMES[event["d"]["id"]]] = asyncio.get_running_loop().time()
        await socket.receive("evaluation.completed")
        came = await leaving
    finished = {call.criterion: call.ended for call in model.calls if call.criterion}
    took = sorted(seen[name] - finished[name] for name in seen)
    record_property("seconds from the last byte to the socket", took)
    assert took[0] > 0
    assert statistics.median(took) < MEDIAN_SECONDS_MAX, took
    assert took[-1] < WORST_SECONDS_MAX
    assert came == [event for event in socket.events if came[0]["s"] <= event["s"] <= came[-1]["s"]]
    assert sum(event["t"] == "evaluation.criterion" for event in came) == len(GARAGE.rubric.criteria)
