"""The short form of `./run fuzz-rest`: a few requests an operation, always the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.embedded import Embedded
from tests.web.fuzz import fuzz
from tests.web.listening import Node, fresh_settings, listening


@pytest.fixture
async def node(servers: Embedded, template: str, tmp_path: Path) -> AsyncIterator[Node]:
    async with fresh_settings(servers, template, tmp_path) as settings, listening(settings) as node:
        yield node


async def test_schemathesis_finds_nothing(node: Node, tmp_path: Path) -> None:
    options = ["--phases", "examples", "--seed", "1"]
    status, said = await fuzz(node, tmp_path, options, real_ids=True)
    assert status == 0, said
