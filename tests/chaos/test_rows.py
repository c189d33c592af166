"""rows.md is true: every row is there, and so is whatever it names. And the rows that no other room shows."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from engine.embedded import Embedded
from engine.recorder import AWAY
from tests.chaos import ghost, nemesis
from tests.chaos.points import cases
from tests.chaos.proxy import FAULTS
from tests.stack import ROOT, Candidate, running_stack
from tests.until import until

ROWS = 55
TABLE = Path(__file__).with_name("rows.md").read_text()
WAYS = ("clients", "redis", "postgres", "model")
KINDS = ("node", "worker")
SPARE = 3
"""Descriptors that a node may still open."""
MORE = 30


def named(pattern: str) -> list[str]:
    return re.findall(f"`{pattern}`", TABLE)


def test_every_row_is_there_and_says_something() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", TABLE, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, ROWS + 1))
    assert all("`" in shown or shown.startswith("No test") or shown.startswith("Not met") for _, _, shown in rows)


def test_every_test_is_there() -> None:
    found = named(r"(tests/[\w/]+\.py::\w+)")
    assert found
    for one in found:
        path, _, name = one.partition("::")
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), one


def test_every_failpoint_is_in_the_matrix() -> None:
    known = {f"{case.point}={case.action}" for case in cases()}
    assert set(named(r"([a-z.]+=[a-z:.\d]+)")) <= known


def test_every_fault_of_the_storm_is_one() -> None:
    source = Path(nemesis.__file__).read_text()
    known = {*KINDS, *(f"term {kind}" for kind in KINDS), *(f"{fault} {way}" for fault in FAULTS for way in WAYS)}
    for fault in named("storm: ([a-z -]+)"):
        assert fault in known or f'"{fault}"' in source or hasattr(ghost, fault), fault


def test_a_full_disk_is_postgres_away() -> None:
    assert issubclass(asyncpg.DiskFullError, AWAY)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of another process is set by prlimit, Linux's own")
async def test_a_node_without_descriptors_keeps_those_who_are_in(
    servers: Embedded, template: str, tmp_path: Path
) -> None:
    """It takes nobody more, and does when there is room again."""
    async with running_stack(servers, template, tmp_path, nodes=1, workers=0) as stack:
        node = stack.nodes[0]
        person = await Candidate.sign_in(node)
        interview = await person.start(node, "lru-cache-ttl")
        ticket = await person.call(node, "POST", f"/v1/interviews/{interview}/ticket", {})
        protocols = [Subprotocol(ticket["protocol"]), Subprotocol("ticket." + ticket["ticket"])]
        async with connect(ticket["url"], subprotocols=protocols, proxy=None) as tab:
            await tab.send(json.dumps({"t": "hello", "d": {"proto": 1, "tab": "t", "write": True}}))
            assert json.loads(await tab.recv())["t"] == "welcome"
            held, limits = len(os.listdir(f"/proc/{node.pid}/fd")), resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (held + SPARE, limits[1]))
            with ExitStack() as crowd:
                for _ in range(MORE):
                    crowd.enter_context(socket.create_connection(("127.0.0.1", node.port)))
                await until(lambda: len(os.listdir(f"/proc/{node.pid}/fd")) >= held + SPARE - 1)
                await tab.send(
                    json.dumps({"t": "clarify.ask", "id": "one-more-question", "d": {"text": "Thread safe?"}})
                )
                while (frame := json.loads(await tab.recv()))["t"] != "ack":
                    assert frame["t"] != "err", frame
                assert "durable" not in frame  # it is recorded: what is not says so
            resource.prlimit(node.pid, resource.RLIMIT_NOFILE, limits)
            await node.ready()
        await person.close()
