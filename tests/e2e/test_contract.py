"""A client built on the AsyncAPI document alone plays a whole interview."""

from __future__ import annotations

import zlib

from tests.e2e.conftest import SignIn
from tests.e2e.contract import Frame, Wire, checksum
from tests.stack import Stack

SLUG = "lru-cache-ttl"
REQUIREMENTS = "get and put in constant time; entries expire. – äöü 😀"
CODE = "class Cache:\n    def get(self, key): ...\n"


async def test_a_whole_interview_by_the_document_alone(stack: Stack, sign_in: SignIn) -> None:
    node = stack.nodes[0]
    candidate = await sign_in()
    interview = await candidate.start(node, SLUG)
    ticket = await candidate.call(node, "POST", f"/v1/interviews/{interview}/ticket", {})
    async with Wire.open(ticket) as wire:
        assert (wire.welcome["mode"], wire.welcome["role"], wire.welcome["phase"]) == (
            "snapshot", "writer", "clarifying",
        )  # fmt: skip
        await _clarify(wire)
        await _design(wire)
        submitted = wire.events[-1]
        evaluated = await wire.until(lambda frame: frame["t"] in ("evaluation.completed", "evaluation.failed"))
        assert submitted["d"]["by"] == "candidate"
        _check_evaluation(wire.events, evaluated)
    stored = await candidate.call(node, "GET", f"/v1/interviews/{interview}/evaluation", status=200)
    assert stored["state"] == "completed"
    assert stored["result"]["score"] == evaluated["d"]["score"]


async def _clarify(wire: Wire) -> None:
    await wire.ack("clarify.ask", {"text": "What happens when the cache is full?"})
    said = wire.events[-1]["d"]
    assert said["response"]
    if said["kind"] == "confirm":
        await wire.ack("clarify.confirm", {"ref": wire.s})
    await wire.ack("clarify.ask", {"text": "zzz qqq"})
    assert wire.events[-1]["d"]["kind"] == "fallback"
    save = {"base": 0, "changes": [{"field": "functional_req", "text": REQUIREMENTS}]}
    assert (await wire.ack("draft.save", save))["rev"] == 1
    early = {"base": 1, "changes": [{"field": "code", "text": CODE}]}
    refused = await wire.command("draft.save", early)
    assert (refused["t"], refused["code"]) == ("err", "phase")
    await wire.ack("phase.proceed")


async def _design(wire: Wire) -> None:
    save = {"base": 1, "changes": [{"field": "code", "text": CODE}], "language": "go"}
    await wire.ack("draft.save", save)
    spliced = REQUIREMENTS + "!"
    units = len(REQUIREMENTS.encode("utf-16-le")) // 2
    splice = {"at": units, "del": 0, "ins": "!"}
    change = {"field": "functional_req", "splices": [splice], "checksum": zlib.crc32(spliced.encode())}
    saved = await wire.ack("draft.save", {"base": 2, "changes": [change]})
    fields = {"functional_req": spliced, "code": CODE}
    assert wire.events[-1]["d"]["checksum"] == checksum(fields)
    wrong = await wire.command("solution.submit", {"rev": saved["rev"], "checksum": 1})
    assert wrong["code"] == "not_as_stored"
    await wire.ack("solution.submit", {"rev": saved["rev"], "checksum": checksum(fields)})


def _check_evaluation(events: list[Frame], evaluated: Frame) -> None:
    assert evaluated["t"] == "evaluation.completed", evaluated
    started = next(event for event in events if event["t"] == "evaluation.started")
    judged = [event["d"]["id"] for event in events if event["t"] == "evaluation.criterion"]
    assert sorted(judged) == sorted(criterion["id"] for criterion in started["d"]["criteria"])
    assert 0 <= evaluated["d"]["score"] <= 100


async def test_a_command_sent_twice_takes_effect_once(stack: Stack, sign_in: SignIn) -> None:
    node = stack.nodes[0]
    candidate = await sign_in()
    interview = await candidate.start(node, SLUG)
    async with Wire.open(await candidate.call(node, "POST", f"/v1/interviews/{interview}/ticket", {})) as wire:
        body = {"base": 0, "changes": [{"field": "functional_req", "text": "once"}]}
        first = await wire.ack("draft.save", body, id="the-same-id-1")
        again = await wire.ack("draft.save", body, id="the-same-id-1")
        assert (again["s"], again["rev"], again.get("dup")) == (first["s"], first["rev"], True)
        assert len(wire.events) == 1
        body["base"] = 7
        reused = await wire.command("draft.save", body, id="the-same-id-1")
        assert reused["code"] == "id_reused"
