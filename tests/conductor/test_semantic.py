"""An interview whose questions the semantic tier reads."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import msgspec
import pytest

from engine.core.matcher import Compiled, Matched
from engine.semantic import model
from engine.semantic.tier import VERSION
from engine.settings import Settings, SettingsError
from engine.wiring import make_backbone
from protocol.messages import Refusal
from tests.conductor.nodes import Nodes, ask, candidate, execute

pytest.importorskip("onnxruntime")


async def test_a_question_is_read_by_it_and_the_record_says_so(hall_settings: Settings) -> None:
    settings = msgspec.structs.replace(hall_settings, matcher="semantic")
    async with AsyncExitStack() as stack:
        nodes = Nodes(settings, stack)
        here = await candidate(await nodes.open())
        await asyncio.gather(*(here.does(ask()) for _ in range(3)))
        rows = await execute(here.node, "SELECT DISTINCT matcher, intent FROM clarification_logs")
        assert [tuple(row) for row in rows] == [(VERSION, "change_giving")]


async def test_when_too_many_wait_it_is_refused_for_now(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(compiled: Compiled, text: str, previous: str) -> tuple[Matched, ...]:
        raise asyncio.QueueFull

    here, command = await candidate(nodes.first), ask()
    with monkeypatch.context() as busy:
        busy.setattr(nodes.first.matching, "match", full)
        reply = await here.says(command)
        assert isinstance(reply, Refusal)
        assert (reply.code, reply.retry_ms) == ("unavailable", 1_000)
    assert not (await here.does(command)).dup


def test_without_the_extra_a_node_says_how_to_get_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ring(interview: str, run: int) -> None: ...

    monkeypatch.setattr(model, "NEEDED", ("no_such_runtime",))
    with pytest.raises(SettingsError, match=r"ENGINE_MATCHER: .* pip install 'interview-engine\[semantic\]'"):
        make_backbone(msgspec.structs.replace(settings, matcher="semantic"), ring)
