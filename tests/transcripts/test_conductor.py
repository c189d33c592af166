"""The same transcripts on conductors with real servers and a clock that is moved: the core's outcome, each time."""

from __future__ import annotations

import pytest

from tests.conductor.nodes import Nodes
from tests.transcripts.conductor_stage import ConductorStage
from tests.transcripts.core_stage import CoreStage
from tests.transcripts.script import TRANSCRIPTS, essence, play


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_it_plays_as_on_the_core(nodes: Nodes, name: str) -> None:
    played = await play(name, await ConductorStage.open(nodes))
    assert essence(played) == essence(await play(name, CoreStage()))
