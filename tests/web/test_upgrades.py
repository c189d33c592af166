"""Who may open a socket: rows 1 to 11 of the catalogue of attacks. What is denied is told by HTTP.

Row 5 is in test_requests.py, on a node behind a proxy.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from engine import failpoints
from engine.embedded import Embedded
from engine.live.tickets import TICKET_TTL_SECONDS
from engine.web import head
from engine.web.routes_interviews import TICKETS
from engine.web.sockets import SOCKETS_PER_USER_MAX
from engine.web.upgrade import REFUSALS, REFUSALS_OF_NETWORK
from protocol.codes import Close
from tests.until import until
from tests.web.listening import Node, Person, fresh_settings, listening
from tests.web.raw_socket import Answer

PAGE = "https://interviews.example.org"
JSON = "sdi.v1.json"


@pytest.fixture(scope="module")
async def node(servers: Embedded, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    folder = tmp_path_factory.mktemp("upgrades")
    settled = fresh_settings(servers, template, folder, allowed_origins=[PAGE])
    async with settled as settings, listening(settings) as node:
        yield node


class Stage(NamedTuple):
    person: Person
    interview: str

    async def ask(self, *protocols: str, **options: Any) -> Answer:
        return await (await self.person.node.connect()).upgrade(*protocols, **options)

    async def ticket(self, origin: str = "") -> str:
        return "ticket." + await self.person.own_ticket(self.interview, origin=origin)


@pytest.fixture(scope="module")
async def stage(node: Node) -> Stage:
    person = await node.person()
    return Stage(person, await person.start())


def problem(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    code: str = json.loads(answer.body)["code"]
    return code


async def test_while_redis_is_away_it_is_told_so_and_the_next_ticket_is_good(stage: Stage) -> None:
    failpoints.arm(["ticket=raise"])
    answer = await stage.ask(JSON, await stage.ticket())
    assert (answer.status, problem(answer), answer.headers["retry-after"]) == (503, "unavailable", "1")
    assert (await stage.ask(JSON, await stage.ticket())).status == 101


# --- 1: origins --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [
        "null", "https://evil.example", f"{PAGE}.evil.example", "http://interviews.example.org", f"{PAGE}:444",
        PAGE.upper(), f"{PAGE}.", f"{PAGE}/", "data:text/html", f"{PAGE}, {PAGE}",
    ],
)  # fmt: skip
async def test_1_an_origin_that_is_not_exactly_ours_is_denied(stage: Stage, origin: str) -> None:
    answer = await stage.ask(JSON, await stage.ticket(), headers={"Origin": origin})
    assert (answer.status, problem(answer)) == (403, "origin_refused")


async def test_1_a_page_of_ours_opens_a_socket_with_a_ticket_it_was_given(stage: Stage) -> None:
    ticket = await stage.person.ticket(stage.interview, origin=PAGE)
    answer = await stage.ask(JSON, f"ticket.{ticket}", headers={"Origin": PAGE})
    assert answer.status == 101


@pytest.mark.parametrize(("given_to", "shown_by"), [(PAGE, ""), ("", PAGE)])
async def test_3_a_ticket_is_bound_to_the_origin_it_was_given_to(stage: Stage, given_to: str, shown_by: str) -> None:
    ticket = await stage.person.ticket(stage.interview, **({"origin": given_to} if given_to else {}))
    answer = await stage.ask(JSON, f"ticket.{ticket}", headers={"Origin": shown_by or None})
    assert (answer.status, problem(answer)) == (403, "origin_refused")


# --- 2 and 3: tickets --------------------------------------------------------------------------------------


async def test_2_cookies_and_access_tokens_open_no_socket(stage: Stage) -> None:
    token = stage.person.http.headers["authorization"]
    answer = await stage.ask(JSON, headers={"Cookie": "refresh=x", "Authorization": token, "Origin": PAGE})
    assert (answer.status, problem(answer)) == (401, "ticket_refused")


async def test_3_a_ticket_opens_one_socket_however_many_try(stage: Stage) -> None:
    ticket = await stage.ticket()
    answers = await asyncio.gather(*(stage.ask(JSON, ticket) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [101, *[401] * 7]


async def test_3_a_ticket_that_was_shown_is_used_up_even_if_it_was_denied(stage: Stage) -> None:
    ticket = await stage.ticket()
    assert (await stage.ask(JSON, ticket, headers={"Origin": PAGE})).status == 403
    assert (await stage.ask(JSON, ticket)).status == 401


@pytest.mark.parametrize("made_up", ["", "nothing", "a" * 4_000])
async def test_3_a_made_up_ticket_opens_nothing(stage: Stage, made_up: str) -> None:
    answer = await stage.ask(JSON, f"ticket.{made_up}")
    assert (answer.status, problem(answer)) == (401, "ticket_refused")


async def test_3_a_ticket_that_was_changed_opens_nothing(stage: Stage) -> None:
    assert (await stage.ask(JSON, await stage.ticket() + "x")).status == 401


@pytest.mark.parametrize("made_up", ["\xe9", "../login", "a b", "a;b"])
async def test_3_what_is_no_subprotocol_value_does_not_get_that_far(stage: Stage, made_up: str) -> None:
    assert (await stage.ask(JSON, f"ticket.{made_up}")).status == 400


async def test_3_a_ticket_lives_for_30_seconds(node: Node, stage: Stage) -> None:
    ticket = await stage.person.ticket(stage.interview)
    assert 0 < await node.parts.redis.pttl(f"ticket:{ticket}") <= TICKET_TTL_SECONDS * 1000 == 30_000


async def test_3_others_get_no_ticket_for_an_interview_and_cannot_tell_it_from_none(node: Node, stage: Stage) -> None:
    stranger = await node.person()
    theirs = await stranger.http.post(f"/v1/interviews/{stage.interview}/ticket", json={})
    none = await stranger.http.post("/v1/interviews/00000000-0000-4000-8000-000000000000/ticket", json={})
    told = [{key: value for key, value in answer.json().items() if key != "request_id"} for answer in (theirs, none)]
    assert theirs.status_code == none.status_code == 404
    assert told[0] == told[1]


async def test_3_a_ticket_of_a_login_that_ended_opens_nothing(node: Node) -> None:
    person = await node.person()
    stage = Stage(person, await person.start())
    ticket = await stage.ticket()
    assert (await person.http.post("/v1/auth/logout", json={})).status_code == 204
    answer = await stage.ask(JSON, ticket)
    assert (answer.status, problem(answer)) == (401, "login_ended")


# --- 4 to 8: the request -----------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["?ticket=x", "?access_token=x", "?x"])
async def test_4_nothing_goes_into_the_url(stage: Stage, query: str) -> None:
    answer = await stage.ask(JSON, await stage.ticket(), path=f"/v1/socket{query}")
    assert (answer.status, problem(answer)) == (400, "query_refused")


async def test_4_not_even_when_the_host_hides_it(stage: Stage) -> None:
    answer = await stage.ask(JSON, await stage.ticket(), path="/v1/socket?ticket=x", headers={"Host": "a#"})
    assert answer.status == 400


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"headers": {"Sec-WebSocket-Version": "12"}}, 400),  # RFC 6455 would like 426; the library says 400
        ({"headers": {"Sec-WebSocket-Version": None}}, 400),
        ({"headers": {"Sec-WebSocket-Key": None}}, 400),
        ({"headers": {"Sec-WebSocket-Key": "c2hvcnQ="}}, 400),
        ({"headers": {"Upgrade": "h2c"}}, 404),  # an ordinary GET, and there is no such page
        ({"line": "POST /v1/socket HTTP/1.1"}, 405),
        ({"line": "GET /v1/socket HTTP/1.0"}, 101),  # the library does not look at it, and no harm comes of it
        ({"line": "GET /v1/sockets HTTP/1.1"}, 403),
    ],
)
async def test_6_what_is_no_upgrade_is_answered_as_http(stage: Stage, options: dict[str, Any], status: int) -> None:
    assert (await stage.ask(JSON, await stage.ticket(), **options)).status == status


async def test_a_denied_upgrade_is_no_error_of_ours(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("ERROR", logger="uvicorn.error"):
        assert (await stage.ask(JSON, "ticket.none")).status == 401
        assert (await stage.ask(JSON, await stage.ticket())).status == 101  # by then the other has ended
    assert caplog.records == []


@pytest.mark.parametrize("offered", [(), ("sdi.v2.json",), ("SDI.V1.JSON",), ("chat", "json")])
async def test_7_without_a_subprotocol_we_know_there_is_no_socket(stage: Stage, offered: tuple[str, ...]) -> None:
    answer = await stage.ask(*offered, await stage.ticket())
    assert (answer.status, problem(answer)) == (400, "unknown_subprotocol")


async def test_7_the_answer_names_the_subprotocol_and_never_the_ticket(stage: Stage) -> None:
    answer = await stage.ask("sdi.v9.json", await stage.ticket(), "sdi.v1.msgpack")
    assert answer.headers["sec-websocket-protocol"] == "sdi.v1.msgpack"


@pytest.mark.parametrize("offer", ["permessage-deflate", "permessage-deflate; client_max_window_bits=99", "x-unknown"])
async def test_16_no_extension_is_negotiated(stage: Stage, offer: str) -> None:
    answer = await stage.ask(JSON, await stage.ticket(), headers={"Sec-WebSocket-Extensions": offer})
    assert answer.status == 101
    assert "sec-websocket-extensions" not in answer.headers


@pytest.mark.parametrize("host", ["a/b?c", "evil.example/v1/socket?x=", "a b", ""])
async def test_8_a_poisoned_host_changes_nothing(stage: Stage, host: str) -> None:
    answer = await stage.ask(JSON, await stage.ticket(), headers={"Host": host})
    assert answer.status in (101, 400)


@pytest.mark.parametrize("more", [b"X: y\r\n", b"x", b"X: "], ids=["headers", "line", "header"])
async def test_11_a_head_without_end_is_refused_before_it_costs_anything(node: Node, more: bytes) -> None:
    socket = await node.connect()
    socket.send_bytes(b"GET /healthz HTTP/1.1\r\nX: " + more * 100_000)
    answer = await socket.answer()
    assert (answer.status, problem(answer)) == (431, "head_too_large")


@pytest.mark.parametrize("said", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nX: "])
async def test_9_a_head_that_does_not_come_is_not_waited_for(
    node: Node, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(head, "HEAD_SECONDS", 0.1)
    socket = await node.connect()
    socket.send_bytes(said)
    assert (await socket.answer()).status == 408


async def test_10_an_address_that_keeps_many_heads_waiting_is_refused_more(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "WAITING_MAX", 3)
    silent = [await node.connect() for _ in range(3)]
    refused = await (await node.connect()).answer()
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    silent[0].close()
    await until(lambda: len(silent) - 1 >= head.Head.waiting["127.0.0.1"])
    socket = await node.connect()
    socket.send_bytes(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await socket.answer()).status == 200


async def test_10_whoever_tries_tickets_is_told_to_wait_and_good_ones_never_count(node: Node, stage: Stage) -> None:
    for limit, subject in ((REFUSALS, "127.0.0.1"), (REFUSALS_OF_NETWORK, "127.0.0.0/24")):
        key = f"{{limits}}:{limit.name}:{subject}"
        await node.parts.redis.set(key, 10**15)
        denied = await stage.ask(JSON, "ticket.made-up")
        assert (denied.status, problem(denied)) == (429, "too_many")
        assert int(denied.headers["retry-after"]) > 0
        assert (await stage.ask(JSON, await stage.ticket())).status == 101
        await node.parts.redis.delete(key)


async def test_10_tickets_have_a_limit(node: Node) -> None:
    person = await node.person()
    interview = await person.start()
    await node.parts.redis.set(f"{{limits}}:{TICKETS.name}:user:{person.access.user}", 10**15)
    refused = await person.http.post(f"/v1/interviews/{interview}/ticket", json={})
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
    assert int(refused.headers["retry-after"]) > 0


async def test_10_a_sixth_socket_of_a_user_closes_the_oldest(node: Node) -> None:
    person, other = await node.person(), await node.person()
    interview = await person.start()
    bystander = await other.join(await other.start())
    sockets = [await person.join(interview, tab=f"tab-{i}") for i in range(SOCKETS_PER_USER_MAX)]
    for oldest in (0, 1):
        sockets.append(await person.join(interview, tab=f"tab-{len(sockets)}"))
        closed = await sockets[oldest].end()
        assert closed.code == Close.REPLACED_BY_USER
    for socket in (*sockets[2:], bystander):
        await socket.alive()


async def test_64_what_is_denied_is_a_problem_with_an_id(stage: Stage) -> None:
    answer = await stage.ask(JSON, "ticket.made-up")
    body = json.loads(answer.body)
    assert body["request_id"] == answer.headers["x-request-id"]
    assert (body["status"], answer.headers["cache-control"]) == (401, "no-store")
    assert "server" not in answer.headers


async def test_one_connection_may_ask_many_things(node: Node) -> None:
    socket = await node.connect()
    for _ in range(3):
        socket.send_bytes(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await socket.answer()).status == 200


async def test_11_more_headers_than_anybody_needs_are_refused(stage: Stage) -> None:
    many = {f"X-{i}": "x" for i in range(200)}
    assert (await stage.ask(JSON, await stage.ticket(), headers=many)).status == 431
    long = {"X-Long": "x" * 20_000}
    assert (await stage.ask(JSON, await stage.ticket(), headers=long)).status == 431
