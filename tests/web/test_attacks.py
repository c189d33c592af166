"""Rows 26 to 33 of the catalogue of attacks: right frames with wrong intent, over real connections to a real node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from engine.core.draft import checksum
from engine.core.interview import GRACE_MS
from engine.embedded import Embedded
from engine.live.keys import keys_of
from protocol.words import FIELDS, Field
from tests.web.listening import Node, Person, fresh_settings, listening
from tests.web.raw_socket import RawSocket

HOUR_MS = 3_600_000
HOSTILE = {
    "31-resp": "*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\ny\r\n",
    "31-lua": "]] redis.call('FLUSHALL') --[[",
    "31-hash-tag": "{i00}:state {} {other}:commands",
    "31-format": "%s %n %d ${HOME} {0} {0.__class__}",
    "32-sql": "'; DROP TABLE interview_sessions; --",
    "32-quotes": "\\' \" ` $1 :name %(name)s E'\\x00'",
    "32-copy": "\\N\t\\.\n",
    "33-script": "<script>alert(document.cookie)</script>",
    "33-image": '<img src=x onerror="fetch(`//evil.example`)">',
    "33-markdown": "[click](javascript:alert(1)) ![x](//evil.example/?q=1)",
    "33-entities": "&lt;b&gt; &#x3C;svg/onload=alert(1)&#x3E;",
    "33-bidi": "\u202egnp.exe \u2066\u2069 e\u0301\u0301\u0301 \U0001f9d1\u200d\U0001f4bb",
}


@pytest.fixture(scope="module")
async def node(servers: Embedded, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    folder = tmp_path_factory.mktemp("attacks")
    async with fresh_settings(servers, template, folder) as settings, listening(settings) as node:
        yield node


class Stage(NamedTuple):
    person: Person
    interview: str
    socket: RawSocket


@pytest.fixture
async def stage(node: Node) -> Stage:
    person = await node.person()
    interview = await person.start()
    return Stage(person, interview, await person.join(interview))


@pytest.fixture(scope="module")
async def reader(node: Node) -> Person:
    """Somebody who only looks around."""
    return await node.person()


def whole(text: str, field: Field = "functional_req") -> list[dict[str, Any]]:
    return [{"field": field, "text": text}]


def sum_of(**fields: str) -> int:
    return checksum({field: fields.get(field, "") for field in FIELDS})


async def timeline(stage: Stage) -> list[str]:
    detail = (await stage.person.http.get(f"/v1/interviews/{stage.interview}")).json()
    return [moment["t"] for moment in detail["timeline"]]


# --- 26: who may ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("GET", "/evaluation", None),
        ("POST", "/ticket", {}),
        ("POST", "/ticket", {"role": "observer"}),
        ("POST", "/writer", {}),
        ("POST", "/commands", {"t": "phase.proceed", "id": "command-1", "d": {}}),
    ],
)
async def test_26_anothers_interview_is_as_if_it_were_not(
    node: Node, stage: Stage, method: str, path: str, body: Any
) -> None:
    stranger = await node.person()
    answers = [
        await stranger.http.request(method, f"/v1/interviews/{id}{path}", json=body)
        for id in (stage.interview, "00000000-0000-4000-8000-000000000000")
    ]
    told = [{key: value for key, value in answer.json().items() if key != "request_id"} for answer in answers]
    assert told[0] == told[1]
    assert told[0]["status"] == 404
    assert await timeline(stage) == []


async def test_26_an_observer_hears_all_and_changes_nothing(stage: Stage) -> None:
    observer = await stage.person.join(stage.interview, role="observer", write=True, take=True)
    for t, d in (("phase.proceed", {}), ("draft.save", {"base": 0, "changes": whole("mine")})):
        refusal = await observer.command(t, d)
        assert (refusal["t"], refusal["code"]) == ("err", "observer")
    ack = await stage.socket.command("draft.save", {"base": 0, "changes": whole("theirs")})
    assert ack["t"] == "ack"
    assert (await observer.receive("draft.saved"))["s"] == ack["s"]


async def test_26_a_stale_writer_is_told_and_its_late_frames_change_nothing(stage: Stage) -> None:
    newer = await stage.person.join(stage.interview, tab="newer")
    assert (await stage.socket.receive("role"))["d"]["role"] == "observer"
    refusal = await stage.socket.command("draft.save", {"base": 0, "changes": whole("late")})
    assert refusal["code"] in ("fenced", "observer")
    assert (await newer.command("draft.save", {"base": 0, "changes": whole("new")}))["rev"] == 1


# --- 27: phases -------------------------------------------------------------------------------------------


async def refused(socket: RawSocket, t: str, d: Any) -> str:
    reply = await socket.command(t, d)
    assert reply["t"] == "err", reply
    code: str = reply["code"]
    return code


async def test_27_no_phase_can_be_skipped_or_gone_back_to(stage: Stage) -> None:
    socket = stage.socket
    submit = {"rev": 0, "checksum": sum_of()}
    assert await refused(socket, "solution.submit", submit) == "phase"
    assert await refused(socket, "draft.save", {"base": 0, "changes": whole("x", "code")}) == "phase"
    assert await refused(socket, "evaluation.retry", {}) == "phase"
    assert (await socket.command("phase.proceed"))["t"] == "ack"
    assert await refused(socket, "phase.proceed", {}) == "phase"
    assert await refused(socket, "clarify.ask", {"text": "Is it thread safe?"}) == "phase"
    assert await refused(socket, "clarify.reject", {"ref": 1}) == "phase"
    assert await refused(socket, "solution.submit", {"rev": 1, "checksum": 1}) == "not_as_stored"
    assert (await socket.command("solution.submit", submit))["t"] == "ack"
    assert await refused(socket, "solution.submit", submit) == "phase"
    assert await refused(socket, "draft.save", {"base": 0, "changes": whole("x")}) == "phase"
    assert await refused(socket, "evaluation.retry", {}) == "not_failed"
    assert await timeline(stage) == ["phase.changed", "solution.submitted"]


async def test_27_a_submit_that_is_repeated_is_one_submit(stage: Stage) -> None:
    await stage.socket.command("phase.proceed")
    submit = {"rev": 0, "checksum": sum_of()}
    first = await stage.socket.command("solution.submit", submit, id="submit-1")
    again = await stage.socket.command("solution.submit", submit, id="submit-1")
    assert (again["s"], again["dup"], first.get("dup", False)) == (first["s"], True, False)


# --- 28: clocks -------------------------------------------------------------------------------------------


async def test_28_no_clock_of_the_clients_moves_a_deadline(node: Node, stage: Stage) -> None:
    socket, clock = stage.socket, node.parts.conductor.live.clock
    await socket.command("phase.proceed")
    deadline_at = (await stage.person.http.get(f"/v1/interviews/{stage.interview}")).json()["deadline_at"]
    lie = {"ts": deadline_at - HOUR_MS, "now": 0, "t0": 0}
    try:
        clock.offset_ms += deadline_at - clock.now() + 100
        late = await socket.command("draft.save", {"base": 0, "changes": whole("in the grace"), **lie})
        assert (late["t"], late["late"]) == ("ack", True)
        clock.offset_ms += GRACE_MS
        # Whoever was first: the clause in the machine, or the clock that has submitted by now.
        code = await refused(socket, "draft.save", {"base": 1, "changes": whole("too late"), **lie})
        assert code in ("deadline_passed", "phase")
        submitted = await socket.receive("solution.submitted")
        assert (submitted["d"]["by"], submitted["d"]["rev"]) == ("clock", 1)
        assert submitted["d"]["checksum"] == sum_of(functional_req="in the grace")
    finally:
        clock.offset_ms = 0


async def test_28_a_deadline_is_never_early(node: Node, stage: Stage) -> None:
    clock = node.parts.conductor.live.clock
    deadline_at = (await stage.person.http.get(f"/v1/interviews/{stage.interview}")).json()["deadline_at"]
    try:
        clock.offset_ms += deadline_at - clock.now() - 1_500
        asked = await stage.socket.command("clarify.ask", {"text": "Is it used by many threads?"})
        assert asked["t"] == "ack"
        changed = await stage.socket.receive("phase.changed")
        assert changed["d"]["by"] == "clock"
        assert deadline_at <= changed["ts"] <= deadline_at + 1_000
    finally:
        clock.offset_ms = 0


# --- 29 and 30: again, and all at once --------------------------------------------------------------------


async def test_29_what_was_captured_and_is_played_again_has_its_first_outcome(stage: Stage) -> None:
    save = {"base": 0, "changes": whole("once")}
    first = await stage.socket.command("draft.save", save, id="captured-1")
    thief = await stage.person.join(stage.interview, tab="other")
    again = await thief.command("draft.save", save, id="captured-1")
    assert (again["s"], again["rev"], again["dup"]) == (first["s"], first["rev"], True)
    assert await refused_as(thief, "draft.save", {"base": 1, "changes": whole("twice")}, "captured-1") == "id_reused"
    old = await stage.socket.command("draft.save", save, id="captured-1")
    assert old.get("dup") or old["code"] in ("fenced", "observer")
    assert await timeline(stage) == ["draft.saved"]


async def refused_as(socket: RawSocket, t: str, d: Any, id: str) -> str:
    reply = await socket.command(t, d, id=id)
    assert reply["t"] == "err", reply
    code: str = reply["code"]
    return code


async def test_30_of_200_submits_at_once_one_has_an_effect(node: Node, stage: Stage) -> None:
    await stage.socket.command("phase.proceed")
    submit = {"rev": 0, "checksum": sum_of()}
    fence = (await stage.person.http.post(f"/v1/interviews/{stage.interview}/writer", json={})).json()["fence"]

    async def by_rest(i: int) -> str:
        body = {"t": "solution.submit", "id": f"rest-submit-{i}", "d": submit, "fence": fence}
        answer = await stage.person.http.post(f"/v1/interviews/{stage.interview}/commands", json=body)
        return "ack" if answer.status_code == 200 else str(answer.json()["code"])

    async def by_socket(socket: RawSocket) -> list[str]:
        for i in range(100):
            socket.send("solution.submit", submit, id=f"socket-submit-{i}")
        replies = [await socket.receive("ack", "err") for _ in range(100)]
        return [str(reply.get("code", "ack")) for reply in replies]

    socket = await stage.person.join(stage.interview, tab="rest")  # the tab that has the pen: the fence goes on to it
    fence = {"epoch": fence["epoch"], "n": fence["n"] + 1}
    by_rests = asyncio.gather(*(by_rest(i) for i in range(100)))
    said = [*await by_socket(socket), *await by_rests]
    assert said.count("ack") == 1
    assert set(said) <= {"ack", "phase", "rate_limited", "too_many"}
    assert (await timeline(stage)).count("solution.submitted") == 1
    runs = await node.fetch("SELECT run FROM evaluation_runs WHERE interview_id = $1", stage.interview)
    assert len(runs) == 1


async def test_30_the_same_command_at_once_on_many_connections_takes_effect_once(stage: Stage) -> None:
    fence = (await stage.person.http.post(f"/v1/interviews/{stage.interview}/writer", json={})).json()["fence"]
    body = {"t": "draft.save", "id": "same-save-1", "d": {"base": 0, "changes": whole("once")}, "fence": fence}
    answers = await asyncio.gather(
        *(stage.person.http.post(f"/v1/interviews/{stage.interview}/commands", json=body) for _ in range(40))
    )
    acks = [answer.json() for answer in answers]
    assert {(ack["s"], ack["rev"]) for ack in acks} == {(1, 1)}
    assert sum(not ack.get("dup", False) for ack in acks) == 1


# --- 31 to 33: content ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", HOSTILE)
async def test_31_to_33_content_is_content_wherever_it_goes(node: Node, stage: Stage, case: str) -> None:
    text = HOSTILE[case]
    before = {key async for key in node.parts.redis.scan_iter() if stage.interview.encode() not in key}
    assert (await stage.socket.command("clarify.ask", {"text": text}))["t"] == "ack"
    ack = await stage.socket.command("draft.save", {"base": 0, "changes": whole(text)})
    assert ack["rev"] == 1

    said, saved = stage.socket.events[-2], stage.socket.events[-1]
    assert said["t"] == "clarification.answered"
    assert squeezed(said["d"]["text"]) in squeezed(text)  # one question of the message, as it was written
    assert saved["d"]["changes"][0]["text"] == text
    rows = await node.fetch("SELECT functional_req FROM solutions WHERE interview_id = $1", stage.interview)
    assert [row[0] for row in rows] == [text]
    assert await node.parts.redis.hget(keys_of(stage.interview).state, "f:functional_req") == text.encode()
    await never_a_page(stage, text)
    again = await stage.person.join(stage.interview, tab="other")
    assert (await again.command("draft.save", {"base": 1, "changes": whole(text + "!")}))["rev"] == 2

    after = {key async for key in node.parts.redis.scan_iter() if stage.interview.encode() not in key}
    assert {key for key in after - before if not key.startswith((b"{i", b"{limits}", b"ticket:"))} == set()


def squeezed(text: str) -> str:
    return "".join(text.split())


async def never_a_page(stage: Stage, text: str) -> None:
    """Row 33: it comes back raw, as data, under a policy that would not run it."""
    answer = await stage.person.http.get(f"/v1/interviews/{stage.interview}")
    assert answer.json()["snapshot"]["draft"]["fields"]["functional_req"] == text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy and "object-src 'none'" in policy


@pytest.mark.parametrize("text", [*HOSTILE.values(), "%", "_", "%%%%", "'", "\\"])
async def test_32_a_search_is_a_search(reader: Person, text: str) -> None:
    answer = await reader.http.get("/v1/questions", params={"q": text})
    assert answer.status_code in (200, 422)
    if answer.status_code == 200:
        assert answer.json()["items"] == []


@pytest.mark.parametrize("sort", ["title; DROP TABLE users", "title desc, 1", "id)", "(SELECT 1)", "password"])
async def test_32_what_to_sort_by_is_one_of_a_list(reader: Person, sort: str) -> None:
    assert (await reader.http.get("/v1/questions", params={"sort": sort})).status_code == 422


@pytest.mark.parametrize("id", ["1", "*", "{i00}:x", "..%2f..", "%00", "' OR 1=1 --", "٠" * 32])
async def test_31_an_id_is_an_id(reader: Person, id: str) -> None:
    assert (await reader.http.get(f"/v1/interviews/{id}")).status_code in (404, 422)


async def test_the_node_is_as_well_as_before(node: Node, stage: Stage) -> None:
    assert node.closed_with(4001) == 0
    assert (await node.fetch("SELECT count(*) FROM interview_sessions WHERE parked IS NOT NULL"))[0][0] == 0
    await stage.socket.alive()
