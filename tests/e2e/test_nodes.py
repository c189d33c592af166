"""Two nodes, one interview: a client that moves, two tabs, and clients without a socket."""

from __future__ import annotations

import uuid
from typing import Any

from tests.e2e.conftest import SignIn
from tests.e2e.contract import Frame, Wire, checksum
from tests.stack import Candidate, Node, Stack

SLUG = "url-shortener"
MOVES = 6


async def ticket(candidate: Candidate, node: Node, interview: str) -> dict[str, Any]:
    found: dict[str, Any] = await candidate.call(node, "POST", f"/v1/interviews/{interview}/ticket", {})
    return found


def written(text: str, base: int) -> Frame:
    return {"base": base, "changes": [{"field": "functional_req", "text": text}]}


async def test_a_client_that_moves_between_nodes_sees_each_event_once(stack: Stack, sign_in: SignIn) -> None:
    candidate = await sign_in()
    interview = await candidate.start(stack.nodes[0], SLUG)
    tab, rev = "moving-tab", 0
    cursor: Frame | None = None
    hello: Frame = {}
    seen: list[Frame] = []
    async with Wire.open(await ticket(candidate, stack.nodes[1], interview), write=False) as watcher:
        for move in range(MOVES):
            node = stack.nodes[move % 2]
            async with Wire.open(await ticket(candidate, node, interview), tab=tab, cursor=cursor, **hello) as wire:
                assert wire.welcome["role"] == "writer"
                assert wire.welcome["mode"] == ("noop" if cursor else "snapshot")
                for _ in range(2):
                    rev = (await wire.ack("draft.save", written(f"revision {rev}", rev)))["rev"]
                seen += wire.events
                cursor, hello = wire.cursor, {"fence": wire.welcome["fence"]}
            # What happens while it is away is replayed on the next node.
            await _elsewhere(candidate, stack.nodes[(move + 1) % 2], interview, rev)
            rev += 1
            async with Wire.open(await ticket(candidate, node, interview), tab=tab, cursor=cursor, take=True) as wire:
                assert wire.welcome["mode"] == "replay"
                seen += wire.events
                cursor, hello = wire.cursor, {"fence": wire.welcome["fence"]}
        await watcher.until(lambda frame: frame.get("s") == seen[-1]["s"] and "ts" in frame)
        assert watcher.events == seen
    assert [event["s"] for event in seen] == list(range(1, 3 * MOVES + 1))
    stored = await candidate.call(stack.nodes[0], "GET", f"/v1/interviews/{interview}")
    assert [moment["s"] for moment in stored["timeline"]] == [event["s"] for event in seen]


async def _elsewhere(candidate: Candidate, node: Node, interview: str, rev: int) -> None:
    """The same candidate writes from another device, which takes the pen."""
    async with Wire.open(await ticket(candidate, node, interview), take=True) as wire:
        await wire.ack("draft.save", written("from elsewhere", rev))


async def test_two_tabs_one_writes_and_the_other_takes_the_pen(stack: Stack, sign_in: SignIn) -> None:
    candidate = await sign_in()
    one, two = stack.nodes
    interview = await candidate.start(one, SLUG)
    async with Wire.open(await ticket(candidate, one, interview), tab="first") as first:
        await first.ack("draft.save", written("by the first", 0))
        async with Wire.open(await ticket(candidate, two, interview), tab="second", write=False) as second:
            assert second.welcome["role"] == "observer"
            refused = await second.command("draft.save", written("by an observer", 1))
            assert refused["code"] == "observer"
            await first.ack("draft.save", written("still by the first", 1))
            live = await second.until(lambda frame: frame["t"] == "draft.saved")
            assert live["d"]["changes"][0]["text"] == "still by the first"
        async with Wire.open(
            await ticket(candidate, two, interview), tab="second", cursor=second.cursor, take=True
        ) as second:
            assert second.welcome["role"] == "writer"
            told = await first.until(lambda frame: frame["t"] == "role")
            assert told["d"]["role"] == "observer"
            late = await first.command("draft.save", written("too late", 2))
            assert late["code"] in ("fenced", "observer")
            await second.ack("draft.save", written("by the second", 2))
            seen = await first.until(lambda frame: frame.get("s") == second.s and "ts" in frame)
            assert seen["d"]["changes"][0]["text"] == "by the second"
            assert first.s == second.s == 3
            assert first.events[-1] == second.events[-1]


async def test_a_tab_whose_pen_was_taken_does_not_take_it_back_by_coming_back(stack: Stack, sign_in: SignIn) -> None:
    candidate = await sign_in()
    one, two = stack.nodes
    interview = await candidate.start(one, SLUG)
    async with Wire.open(await ticket(candidate, one, interview), tab="first") as first:
        old = first.welcome["fence"]
    async with Wire.open(await ticket(candidate, two, interview), tab="second", take=True) as second:
        async with Wire.open(await ticket(candidate, one, interview), tab="first", fence=old) as back:
            assert back.welcome["role"] == "observer"
        await second.ack("draft.save", written("undisturbed", 0))


async def test_the_operations_by_rest_beside_a_socket_that_observes(stack: Stack, sign_in: SignIn) -> None:
    candidate = await sign_in()
    one, two = stack.nodes
    interview = await candidate.start(one, SLUG)
    async with Wire.open(await ticket(candidate, two, interview), write=False) as observer:
        fence = (await candidate.call(one, "POST", f"/v1/interviews/{interview}/writer", {"tab": "curl"}))["fence"]
        send = _by_rest(candidate, one, interview, fence)
        asked = await send("clarify.ask", {"text": "How many links are created a day?"})
        saved = await send("draft.save", written("short links", 0))
        again = await send("draft.save", written("short links", 0), id=saved["id"])
        assert (again["s"], again["dup"]) == (saved["s"], True)
        conflict = await send("draft.save", written("on an old revision", 0), status=409)
        assert (conflict["code"], conflict["facts"]["rev"]) == ("conflict", 1)
        await send("phase.proceed")
        sum = checksum({"functional_req": "short links"})
        submitted = await send("solution.submit", {"rev": 1, "checksum": sum})
        await observer.until(lambda frame: frame["t"] in ("evaluation.completed", "evaluation.failed"))
        told = [event["t"] for event in observer.events[: submitted["s"]]]
        assert told[asked["s"] - 1] == "clarification.answered"
        assert told[-3:] == ["draft.saved", "phase.changed", "solution.submitted"]
    result = await candidate.call(two, "GET", f"/v1/interviews/{interview}/evaluation", status=200)
    assert result["state"] == "completed"


async def test_an_old_fence_writes_nothing_by_rest(stack: Stack, sign_in: SignIn) -> None:
    candidate = await sign_in()
    one, two = stack.nodes
    interview = await candidate.start(one, SLUG)
    writer = f"/v1/interviews/{interview}/writer"
    old = (await candidate.call(one, "POST", writer, {}))["fence"]
    new = (await candidate.call(two, "POST", writer, {"tab": "another"}))["fence"]
    refused = await _by_rest(candidate, one, interview, old)("draft.save", written("old", 0), status=409)
    assert refused["code"] == "fenced"
    assert (await _by_rest(candidate, one, interview, new)("draft.save", written("new", 0)))["rev"] == 1


async def test_a_stranger_gets_nothing(stack: Stack, sign_in: SignIn) -> None:
    owner, stranger = await sign_in(), await sign_in()
    interview = await owner.start(stack.nodes[0], SLUG)
    for method, path in (("GET", ""), ("POST", "/ticket"), ("POST", "/writer"), ("GET", "/evaluation")):
        found = await stranger.call(
            stack.nodes[1], method, f"/v1/interviews/{interview}{path}", {} if method == "POST" else None, status=404
        )
        assert found["code"] == "not_found"


def _by_rest(candidate: Candidate, node: Node, interview: str, fence: Frame) -> Any:
    async def send(name: str, body: Frame | None = None, *, id: str = "", status: int = 0) -> Any:
        command = {"t": name, "id": id or uuid.uuid4().hex, "d": body or {}, "fence": fence}
        return await candidate.call(node, "POST", f"/v1/interviews/{interview}/commands", command, status=status)

    return send
