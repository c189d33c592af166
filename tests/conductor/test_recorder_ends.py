"""A recorder whose sweep has died would leave what others left lying for ever: it ends, and its process with it."""

from __future__ import annotations

import asyncio

import pytest

from engine.live.store import Live
from engine.recorder import Recorder
from engine.telemetry import make_metrics
from tests.conductor.nodes import Nodes

NEVER_SECONDS = 5.0


class Broken(Live):
    async def dirty(self, for_ms: int) -> list[str]:
        raise AssertionError("a mistake in the code")


async def test_a_sweep_that_breaks_ends_the_recorder(nodes: Nodes) -> None:
    node = nodes.first
    recorder = Recorder(node.engine, Broken(node.redis, node.live.clock), node.fanout, make_metrics())
    async with asyncio.timeout(NEVER_SECONDS):
        with pytest.raises(ExceptionGroup):
            await recorder.run(asyncio.Event())
