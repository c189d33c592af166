"""The same transcripts over real sockets of two nodes, in both encodings."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from protocol.words import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from tests.conductor.nodes import Nodes
from tests.transcripts.core_stage import CoreStage
from tests.transcripts.script import TRANSCRIPTS, essence, play
from tests.transcripts.socket_stage import SocketStage, listening


@pytest.mark.parametrize("name", TRANSCRIPTS)
@pytest.mark.parametrize("subprotocol", [SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK])
async def test_it_plays_as_on_the_core(nodes: Nodes, name: str, subprotocol: str) -> None:
    async with AsyncExitStack() as stack:
        addresses = [await stack.enter_async_context(listening(node)) for node in await nodes.two()]
        stage = await SocketStage.open(nodes, addresses, subprotocol)
        played = await play(name, stage)
        assert essence(played) == essence(await play(name, CoreStage()))
        await stage.close()
