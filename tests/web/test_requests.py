"""Requests that no library would send, and headers that only a proxy may: rows 4, 5, 9 to 11 and 59 to 65.

The node is reached by https through a proxy at 127.0.0.2; 127.0.0.1 is anybody.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from engine.core.pack import parse_pack
from engine.embedded import Embedded
from engine.record.catalog import load_packs
from engine.web import head
from tests.core.shipped import SMALL
from tests.until import until
from tests.web.listening import Node, Person, fresh_settings, listening
from tests.web.raw_socket import Answer, RawSocket

PAGE = "https://interviews.example.org"
PROXY, ANYBODY = "127.0.0.2", "127.0.0.1"
FAR_MS = 10**15
SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
async def node(servers: Embedded, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    folder = tmp_path_factory.mktemp("requests")
    settled = fresh_settings(servers, template, folder, public_url=PAGE, trusted_proxies=[PROXY])
    async with settled as settings, listening(settings) as node:
        yield node


@pytest.fixture(scope="module")
async def person(node: Node) -> Person:
    return await node.person()


@pytest.fixture(scope="module")
async def interview(person: Person) -> str:
    return await person.start()


async def ask(node: Node, data: bytes, source: str = ANYBODY) -> Answer:
    """What is answered to these bytes."""
    socket = await node.connect(local_addr=(source, 0))
    socket.send_bytes(data)
    return await socket.answer()


async def get(node: Node, path: str, source: str = ANYBODY, **headers: str) -> Answer:
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: x",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return await ask(node, "\r\n".join([*lines, "", ""]).encode(), source)


async def answers(socket: RawSocket) -> list[int]:
    """The statuses of all answers until the server ends the connection."""
    found = []
    while True:
        try:
            found.append((await socket.answer()).status)
        except asyncio.IncompleteReadError:
            return found


# --- 4: tokens ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["access_token", "token", "authorization", "ticket", "api_key"])
async def test_4_a_token_in_the_query_signs_nobody_in(node: Node, person: Person, name: str) -> None:
    token = person.http.headers["authorization"].removeprefix("Bearer ")
    assert (await get(node, f"/v1/me?{name}={token}")).status == 401
    assert (await get(node, f"/v1/me?{name}={token}", authorization=f"Bearer {token}")).status == 200


# --- 5 and 65: what a proxy may say -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said", "status"),
    [
        (PROXY, {"X-Forwarded-Proto": "https"}, 101),
        (PROXY, {"X-Forwarded-Proto": "wss"}, 101),
        (PROXY, {"X-Forwarded-Proto": "http"}, 403),
        (PROXY, {}, 403),
        (ANYBODY, {}, 403),
        (ANYBODY, {"X-Forwarded-Proto": "https"}, 403),
        (ANYBODY, {"X-Forwarded-Proto": "https", "X-Forwarded-For": PROXY}, 403),
        (ANYBODY, {"Forwarded": "proto=https;for=127.0.0.2", "X-Forwarded-Scheme": "https"}, 403),
        (ANYBODY, {"Front-End-Https": "on", "X-Url-Scheme": "https"}, 403),
    ],
)
async def test_5_a_socket_comes_by_tls_and_only_the_proxy_may_say_so(
    node: Node, person: Person, interview: str, source: str, said: dict[str, str], status: int
) -> None:
    ticket = await person.own_ticket(interview, origin=PAGE)
    socket = await node.connect(local_addr=(source, 0))
    answer = await socket.upgrade("sdi.v1.json", f"ticket.{ticket}", headers={"Origin": PAGE, **said})
    assert answer.status == status, answer
    if status == 403:
        assert json.loads(answer.body)["code"] == "insecure"


SPOOFS = ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "Via"]


@pytest.mark.parametrize("name", SPOOFS)
async def test_65_nobody_is_counted_as_somebody_else_for_saying_so(node: Node, name: str) -> None:
    key = f"{{limits}}:rest:get_question:{ANYBODY}"
    await node.parts.redis.set(key, FAR_MS)
    for value in ("203.0.113.9", "for=203.0.113.9", "127.0.0.2", "203.0.113.9, 127.0.0.2"):
        assert (await get(node, "/v1/questions/lru-cache-ttl", **{name: value})).status == 429
    await node.parts.redis.delete(key)


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("1.2.3.4, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.2, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 127.0.0.2", "203.0.113.9"),
        ("1.2.3.4,203.0.113.9 , 127.0.0.2", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
async def test_65_behind_the_proxy_the_last_hop_that_is_not_trusted_is_counted(
    node: Node, said: str, counted: str
) -> None:
    assert (await get(node, "/v1/questions/lru-cache-ttl", PROXY, X_Forwarded_For=said)).status == 200
    key = f"{{limits}}:rest:get_question:{counted}"
    await node.parts.redis.set(key, FAR_MS)
    assert (await get(node, "/v1/questions/lru-cache-ttl", PROXY, X_Forwarded_For=said)).status == 429
    assert (await get(node, "/v1/questions/lru-cache-ttl", PROXY, X_Forwarded_For="198.51.100.1")).status == 200
    await node.parts.redis.delete(key)


# --- 8: hosts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "a/b?c", "a b", "x@y", "[::1", "a\tb", ""])
async def test_8_no_answer_repeats_the_host_it_was_asked_by(
    node: Node, person: Person, interview: str, host: str
) -> None:
    token = person.http.headers["authorization"]
    for line, body in (
        ("GET /v1/questions HTTP/1.1", ""),
        ("GET /openapi.json HTTP/1.1", ""),
        ("GET /v1/questions/ HTTP/1.1", ""),
        (f"POST /v1/interviews/{interview}/ticket HTTP/1.1", "{}"),
    ):
        lines = [line, f"Host: {host}", f"Authorization: {token}", "X-Forwarded-Host: evil.example",
                 "Content-Type: application/json", f"Content-Length: {len(body)}", "", body]  # fmt: skip
        answer = await ask(node, "\r\n".join(lines).encode())
        assert answer.status in (200, 400, 404)
        assert b"evil.example" not in answer.body
        assert not {"location", "link", "content-location"} & answer.headers.keys()
        if answer.status == 200 and line.startswith("POST"):
            assert json.loads(answer.body)["url"] == "wss://interviews.example.org/v1/socket"


# --- 11: heads that are too large ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("GET /healthz HTTP/1.1", head.HEADERS_MAX - 1, 200),
        ("GET /healthz HTTP/1.1", head.HEADERS_MAX, 431),
        ("GET /healthz HTTP/1.1", 3_000, 431),
        (f"GET /healthz?{'x' * 8_000} HTTP/1.1", 0, 200),
        (f"GET /healthz?{'x' * 8_192} HTTP/1.1", 0, 414),
        (f"GET /{'x' * 40_000} HTTP/1.1", 0, 414),
    ],
    ids=["as many as may", "one header more", "3,000 headers", "a long query", "too long a query", "a very long path"],
)
async def test_11_a_head_has_bounds(node: Node, line: str, headers: int, status: int) -> None:
    lines = [line, "Host: x", *(f"X-{i}: x" for i in range(headers)), "", ""]
    answer = await ask(node, "\r\n".join(lines).encode())
    assert answer.status == status
    if status != 200:
        assert json.loads(answer.body)["request_id"] == answer.headers["x-request-id"]


# --- 59: one request is one request --------------------------------------------------------------------------

START = b"POST /v1/auth/otp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b'{"email":"a@example.com"}'
SMUGGLING: dict[str, bytes] = {
    "Content-Length twice, differing": b"Content-Length: 25\r\nContent-Length: 0\r\n\r\n" + BODY,
    "Content-Length twice, the same": b"Content-Length: 25\r\nContent-Length: 25\r\n\r\n" + BODY,
    "Content-Length as a list": b"Content-Length: 25, 25\r\n\r\n" + BODY,
    "Content-Length and chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and Content-Length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunked, then another": b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked misspelt": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a length with a sign": b"Content-Length: +25\r\n\r\n" + BODY,
    "a length in hex": b"Content-Length: 0x19\r\n\r\n" + BODY,
    "a length past 64 bits": b"Content-Length: 18446744073709551616\r\n\r\n",
    "a chunk's size with 0x": b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk's size past 64 bits": b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx\r\n0\r\n\r\n",
    "a negative chunk": b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "a chunk that is longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\nhello\r\n0\r\n\r\n",
    "a header that goes on in the next line": b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a header without a name": b": x\r\nContent-Length: 0\r\n\r\n",
    "NUL in a header": b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
    "a bare CR in a header": b"X: a\rContent-Length: 5\r\nContent-Length: 0\r\n\r\n",
    "a space in a name": b"X Y: a\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("case", SMUGGLING)
async def test_59_what_two_servers_could_read_differently_is_refused_with_all_that_follows(
    node: Node, case: str
) -> None:
    socket = await node.connect()
    socket.send_bytes(START + SMUGGLING[case] + SMUGGLED)
    statuses = await answers(socket)
    assert statuses[-1:] == [400], statuses
    assert len(statuses) == 1, f"the smuggled request was answered: {statuses}"


async def test_59_a_body_in_chunks_is_a_body(node: Node) -> None:
    start = (
        b"POST /v1/auth/otp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    answer = await ask(node, start + b'9\r\n{"email":\r\n3;x=y\r\n"a"\r\n1\r\n}\r\n0\r\n\r\n')
    assert (answer.status, json.loads(answer.body)["code"]) == (422, "bad_address")


async def test_59_chunks_without_end_are_cut_off(node: Node) -> None:
    socket = await node.connect()
    start = (
        b"POST /v1/auth/otp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    socket.send_bytes(start + b"1000\r\n" + b" " * 4_096 + b"\r\n")
    for _ in range(40):
        socket.send_bytes(b"1000\r\n" + b" " * 4_096 + b"\r\n")
    assert (await socket.answer()).status == 413


@pytest.mark.parametrize(
    "line",
    [
        "TRACE / HTTP/1.1", "CONNECT evil.example:443 HTTP/1.1", "GET * HTTP/1.1", "BREW /v1/me HTTP/1.1",
        "GET /v1/me HTTP/3.0", "GET /v1/me", "\x16\x03\x01",
    ],
)  # fmt: skip
async def test_59_a_strange_first_line_gets_nothing(node: Node, line: str) -> None:
    answer = await ask(node, f"{line}\r\nHost: x\r\n\r\n\r\n".encode("latin-1"))
    assert answer.status in (400, 401, 404, 405), answer


# --- 60: ranges ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/index.html", "/openapi.json", "/dev/mailbox.css"])
async def test_60_a_thousand_ranges_are_the_whole_once(node: Node, path: str) -> None:
    plain = await get(node, path)
    many = await get(node, path, Range="bytes=" + ",".join(f"{i}-{i}" for i in range(0, 2_000, 2)))
    assert (many.status, many.body) == (200, plain.body)
    assert "content-range" not in many.headers


# --- 61 and 62: input ----------------------------------------------------------------------------------------


async def test_61_a_command_id_is_one_command_and_starts_at_once_are_one(node: Node) -> None:
    person = await node.person()
    starts = await asyncio.gather(*(
        person.http.post("/v1/questions/lru-cache-ttl/interviews", headers={"Idempotency-Key": "key-1"})
        for _ in range(20)
    ))  # fmt: skip
    assert sorted(answer.status_code for answer in starts) == [200] * 19 + [201]
    [id] = {answer.json()["id"] for answer in starts}
    other = await person.http.post("/v1/questions/parking-garage/interviews", headers={"Idempotency-Key": "key-1"})
    assert (other.status_code, other.json()["code"]) == (409, "id_reused")

    fence = (await person.http.post(f"/v1/interviews/{id}/writer", json={})).json()["fence"]
    save: dict[str, Any] = {"t": "draft.save", "id": "save-0001", "fence": fence}
    texts = ["one", "one", "two"]
    saved = [
        await person.http.post(
            f"/v1/interviews/{id}/commands",
            json={**save, "d": {"base": 0, "changes": [{"field": "functional_req", "text": text}]}},
        )
        for text in texts
    ]
    assert [answer.status_code for answer in saved] == [200, 200, 422]
    assert (saved[1].json()["dup"], saved[2].json()["code"]) == (True, "id_reused")


@pytest.mark.parametrize("key", ["", "x" * 101, "a b", "\xe9"])
async def test_61_a_key_that_is_none_is_refused(person: Person, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    answer = await person.http.post("/v1/questions/lru-cache-ttl/interviews", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_header")


COMMANDS: dict[str, Any] = {
    "a list for the type": {"t": ["draft.save"]},
    "a number for the id": {"id": 5},
    "an id too long": {"id": "x" * 1_000},
    "an object for the id": {"id": {"$ne": None}},
    "a list for the data": {"d": []},
    "text for the fence": {"fence": "1"},
    "a negative fence": {"fence": {"epoch": -1, "n": -1}},
    "a fence past 64 bits": {"fence": {"epoch": 2**70, "n": 1}},
    "a number with a point for a revision": {"d": {"base": 0.5, "changes": []}},
    "true for a revision": {"d": {"base": True, "changes": []}},
    "text for a revision": {"d": {"base": "0", "changes": []}},
    "a field that is none": {"d": {"base": 0, "changes": [{"field": "score", "text": "100"}]}},
}


@pytest.mark.parametrize("case", COMMANDS)
async def test_62_nothing_is_taken_for_another_type(person: Person, interview: str, case: str) -> None:
    body = {"t": "draft.save", "id": "command-1", "d": {"base": 0, "changes": []}, **COMMANDS[case]}
    answer = await person.http.post(f"/v1/interviews/{interview}/commands", json=body)
    assert answer.status_code == 422, answer.text
    assert (await person.http.get(f"/v1/interviews/{interview}")).json()["snapshot"]["draft"]["rev"] == 0


@pytest.mark.parametrize(
    ("slug", "status", "code", "says"),
    [
        ("locked", 409, "not_playable", "This question is locked."),
        ("soon", 409, "not_playable", "This question is not ready yet."),
        ("retired", 404, "not_found", "There is no such question."),
        ("draft", 404, "not_found", "There is no such question."),
        ("no-such", 404, "not_found", "There is no such question."),
    ],
)
async def test_what_cannot_be_started_says_so_and_starts_nothing(
    node: Node, person: Person, interview: str, slug: str, status: int, code: str, says: str
) -> None:
    changes: dict[str, Any] = {"locked": {"access": "locked"}, "soon": {"status": "coming_soon"}}
    pack = msgspec.structs.replace(parse_pack(SMALL), id=slug, **changes.get(slug, {"status": slug}))
    if slug != "no-such":
        await load_packs(node.parts.engine, [pack])
    answer = await person.http.post(f"/v1/questions/{slug}/interviews")
    assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (status, code, says)
    history = (await person.http.get("/v1/interviews")).json()["items"]
    assert [item["id"] for item in history] == [interview]


async def test_the_history_comes_in_pages(node: Node) -> None:
    person = await node.person()
    started = [await person.start(slug) for slug in ("lru-cache-ttl", "parking-garage", "url-shortener")]
    seen: list[str] = []
    cursor = ""
    for more in (True, True, False):
        page = (await person.http.get(f"/v1/interviews?limit=1{cursor}")).json()
        seen += [item["id"] for item in page["items"]]
        assert (page["next_cursor"] is not None) == more
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == started[::-1]


# --- 9 and 10: who keeps us waiting ---------------------------------------------------------------------------


async def test_9_a_head_that_trickles_in_has_the_time_of_one_that_does_not(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "HEAD_SECONDS", 0.2)
    socket = await node.connect()
    closed = asyncio.create_task(socket.answer())
    piece = iter(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 10_000)

    async def trickles() -> bool:
        socket.send_bytes(bytes([next(piece)]))
        return closed.done()

    await until(trickles)
    assert (await closed).status == 408


async def test_10_a_proxy_may_have_as_many_connections_waiting_as_it_likes(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "WAITING_MAX", 2)
    waiting = [await node.connect() for _ in range(4)]
    for socket in waiting:
        socket.send_bytes(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await socket.answer()).status == 200
