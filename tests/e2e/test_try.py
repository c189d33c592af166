"""`engine try` plays a whole interview from a pipe."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from engine.cli.try_client import Client
from engine.cli.try_print import lines_of
from engine.cli.try_rest import Rest
from protocol import messages as m
from tests.stack import ROOT, Stack

PLAY_SECONDS = 30.0
SLUG = "parking-garage"
SCRIPT = """\
# questions, and yes to whatever was not certain
How many floors are there?
yes
What kinds of vehicles must fit?
yes
ask what is the meaning of life?
set functional_req Park a car, hand out a ticket, take the fee, open the gate.
proceed
language java
set entities @{entities}
set code <<END
class Garage {{
    Ticket enter(Vehicle vehicle);
}}
END
show code
time
submit
wait evaluation
"""
ENTITIES = "Garage: owns floors\nFloor: owns spots\nSpot: id, size\nTicket: spot, entered at – überall"


class Played(NamedTuple):
    status: int
    out: str
    err: str


@asynccontextmanager
async def trying(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`engine try`, its input and output in our hands."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "engine.cli", "try", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        cwd=ROOT, env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(PLAY_SECONDS):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def play(script: str, *arguments: str) -> Played:
    """Pipe a script into `engine try`."""
    async with trying(*arguments) as process:
        out, err = await process.communicate(script.encode())
    return Played(process.returncode or 0, out.decode(), err.decode())


async def test_a_whole_interview_from_a_pipe(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "entities.txt").write_text(ENTITIES, encoding="utf-8")
    script = SCRIPT.format(entities=tmp_path / "entities.txt")
    email = "piped@example.com"
    played = await play(script, "--url", stack.nodes[0].url, "--email", email, "--mailbox", "--question", SLUG)
    assert played.status == 0, played
    assert "Signed in as piped@example.com" in played.out
    assert "    Ticket enter(Vehicle vehicle);" in played.out
    assert "--- submitted by the candidate: revision 4" in played.out
    assert "Judged by the offline judge" in played.out
    assert "of 100" in played.out
    assert played.err == ""


async def test_what_was_piped_is_what_is_stored(stack: Stack, postgres: asyncpg.Connection, tmp_path: Path) -> None:
    (tmp_path / "entities.txt").write_text(ENTITIES, encoding="utf-8")
    script = SCRIPT.format(entities=tmp_path / "entities.txt")
    email = "stored@example.com"
    played = await play(
        script, "--url", stack.nodes[1].url, "--email", email, "--mailbox", "--question", SLUG, "--json"
    )
    assert played.status == 0, played
    frames = [json.loads(line) for line in played.out.splitlines()]
    [welcome] = [frame for frame in frames if frame["t"] == "welcome"]
    interview = welcome["d"]["snapshot"]["id"]
    seqs = [frame["s"] for frame in frames if "ts" in frame]
    assert seqs == list(range(1, len(seqs) + 1))
    stored = await postgres.fetchrow("SELECT * FROM solutions WHERE interview_id = $1", interview)
    assert stored["entities"] == ENTITIES
    assert stored["code"] == "class Garage {\n    Ticket enter(Vehicle vehicle);\n}"
    assert stored["language"] == "java"
    assert stored["submitted_at"] is not None
    bodies = await postgres.fetch("SELECT body FROM interview_events WHERE interview_id = $1 ORDER BY seq", interview)
    assert [json.loads(row["body"]) for row in bodies] == [frame for frame in frames if "ts" in frame]


@pytest.mark.parametrize("end", ["kill", "drain"])
async def test_it_goes_on_with_another_node_when_its_own_is_gone(stack: Stack, end: str) -> None:
    nodes = [part for node in stack.nodes for part in ("--url", node.url)]
    async with trying(*nodes, "--email", f"{end}@example.com", "--mailbox", "--question", SLUG) as process:
        assert process.stdin and process.stdout
        process.stdin.write(b"set functional_req before\n")
        while b"Saved: revision 1" not in (line := await process.stdout.readline()):
            assert line, "it ended"
        if end == "kill":
            stack.nodes[0].kill()
        else:
            assert await stack.nodes[0].stop() == 0
        rest = b"proceed\nset code after\nsubmit\nwait evaluation\nshow code\n"
        out, err = await process.communicate(rest)
    assert process.returncode == 0, (out, err)
    assert out.count(b"connected: ") == 1, "it came back once"
    assert (b"this node goes" in out) == (end == "drain")
    assert out.count(b"Saved: revision 2") == 1
    assert out.endswith(b"after\n")


@asynccontextmanager
async def connected(client: Client) -> AsyncIterator[None]:
    """From when it has been told all that it missed."""
    running = asyncio.create_task(client.run())
    try:
        async with asyncio.timeout(PLAY_SECONDS):
            await client.until(lambda: client.ready)
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_it_missed_is_taken_and_told_event_by_event(stack: Stack) -> None:
    heard: list[m.ToClient] = []
    async with Rest((stack.nodes[1].url,)) as rest:
        challenge = await rest.ask_code("missed@example.com")
        await rest.sign_in(challenge, await rest.mailed_code("missed@example.com", after=0))
        interview = (await rest.start(SLUG))["id"]
        client = Client(rest, interview, lambda frame, raw: heard.append(frame))
        async with connected(client):
            heard.clear()
        fence = (await rest.call("POST", f"/v1/interviews/{interview}/writer", {}))["fence"]
        for base in (0, 1):
            body = {"base": base, "changes": [{"field": "functional_req", "text": f"version {base + 1}"}]}
            save = {"t": "draft.save", "id": f"elsewhere-{base}", "d": body, "fence": fence}
            await rest.call("POST", f"/v1/interviews/{interview}/commands", save)
        async with connected(client):
            assert client.view is not None
            assert client.view.draft.fields["functional_req"] == "version 2"
    told = [line for frame in heard if not isinstance(frame, m.Welcome) for line in lines_of(frame)]
    assert told == ["Saved: revision 1", "Saved: revision 2"]


async def test_the_code_and_the_question_may_come_from_the_input(stack: Stack) -> None:
    played = await play("nobody@example.com\n000000\n", "--url", stack.nodes[0].url)
    assert played.status == 2
    assert "A code was sent to nobody@example.com." in played.out
    assert "not the code" in played.err


async def test_refusals_are_told_and_change_the_exit_status(stack: Stack) -> None:
    script = "1\nset code too early\nset nonsense x\nproceed\nfly away\nset code <<END\nnever ends\n"
    played = await play(script, "--url", stack.nodes[0].url, "--email", "refused@example.com", "--mailbox")
    assert played.status == 1, played
    for told in ("Refused, phase", "fly: no such command", "ended before END"):
        assert told in played.err
    assert "never ends" not in played.out


async def test_without_an_engine_it_says_so() -> None:
    played = await play("", "--url", "http://127.0.0.1:9", "--mailbox")
    assert (played.status, played.out) == (2, "")
    assert "http://127.0.0.1:9 does not answer" in played.err
