"""Every route of the real route table, and every guard. A route that lacks one is named here, with the reason."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import msgspec
import pytest
from starlette.routing import BaseRoute, Route

import engine.web
from engine.embedded import Embedded
from engine.web.bodies import BODY_BYTES_MAX
from engine.web.operations import USUAL_SECONDS, Unlimited
from engine.web.problems import PROBLEM_JSON
from engine.web.socket import BUDGET, BUDGET_BYTES
from engine.wiring import all_operations, build_app
from protocol.words import FRAME_BYTES_MAX
from tests.loopback import http_client
from tests.web.documented import checking
from tests.web.listening import Node, Person, fresh_settings, listening

# Upgrades, which are no routes, have their guards in test_upgrades.py and test_frames.py.
NO_OPERATIONS = {
    "/openapi.json": "a constant, for anybody, also for pages of other origins",
    "/asyncapi.json": "a constant, for anybody, also for pages of other origins",
    "/metrics": "for one machine, which shows a token; test_63_... has its guards",
    "/dev/mailbox": "in development only",
    "/dev/mailbox.json": "in development only",
    "/dev/mailbox.css": "in development only",
}
FOR_ANYBODY = {
    "GET /healthz": "a supervisor has no account",
    "GET /readyz": "a balancer has no account",
    "POST /v1/auth/otp": "how one signs in",
    "POST /v1/auth/otp/verify": "how one signs in",
    "POST /v1/auth/google": "how one signs in",
    "GET /v1/auth/methods": "says how one signs in",
    "POST /v1/auth/refresh": "the refresh token says who it is",
    "POST /v1/auth/logout": "the refresh token says who it is",
    "GET /v1/questions": "the catalog is open",
    "GET /v1/questions/{slug}": "the catalog is open",
}
WITHOUT_LIMIT = {
    "GET /healthz": "a supervisor that was refused would restart the node",
    "GET /readyz": "a balancer that was refused would take the node out",
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "PROPFIND")
SAMPLES = {"slug": "lru-cache-ttl", "id": "3a21d740-4e53-4baa-80d5-a59a372de410"}
FAR_MS = 10**15
"""An instant no limit comes to."""
EVIL = {"origin": "https://evil.example"}


class Op(NamedTuple):
    method: str
    path: str
    said: dict[str, Any]
    """What the OpenAPI document has of it."""

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def url(self) -> str:
        return self.path.format(**SAMPLES)

    @property
    def takes_a_body(self) -> bool:
        return "requestBody" in self.said


@pytest.fixture(scope="module")
async def node(servers: Embedded, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    """The engine as it listens, with all it may have."""
    folder = tmp_path_factory.mktemp("guards")
    settled = fresh_settings(servers, template, folder, google_client_id="client")
    async with settled as settings, listening(settings) as node:
        yield node


@pytest.fixture(scope="module")
async def stranger(node: Node) -> httpx2.AsyncClient:
    node.clients.append(http_client(base_url=node.url, event_hooks=checking(node.settings)))
    return node.clients[-1]


@pytest.fixture(scope="module")
async def person(node: Node) -> Person:
    return await node.person()


@pytest.fixture(scope="module")
async def ops(node: Node, stranger: httpx2.AsyncClient) -> list[Op]:
    """Every operation, from the route table; what it takes, from the document."""
    said = (await stranger.get("/openapi.json")).json()["paths"]
    return [
        Op(method, path, said.get(path, {}).get(method.lower(), {}))
        for path, methods in table(node.app.routes)
        if path not in NO_OPERATIONS
        for method in sorted(methods - {"HEAD"})
    ]


def table(routes: list[BaseRoute]) -> Iterator[tuple[str, set[str]]]:
    for route in routes:
        assert isinstance(route, Route), f"what is a {type(route).__name__}?"
        yield route.path, set(getattr(route, "methods", None) or ())


@pytest.fixture(autouse=True)
async def _no_limit_is_near(node: Node) -> None:
    await forget_limits(node)


async def forget_limits(node: Node) -> None:
    if marks := [key async for key in node.parts.redis.scan_iter("{limits}:*")]:
        await node.parts.redis.delete(*marks)


def problem(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == PROBLEM_JSON, answer.text
    return answer.status_code, answer.json()["code"]


# --- the table ---------------------------------------------------------------------------------------------


async def test_every_route_is_an_operation_or_says_why_not(node: Node, ops: list[Op]) -> None:
    routed = {path for path, _ in table(node.app.routes)}
    assert set(NO_OPERATIONS) <= routed
    assert [op.name for op in ops if not op.said] == []
    names = {op.name for op in ops}
    assert len(names) == len(ops)
    assert names >= FOR_ANYBODY.keys() | WITHOUT_LIMIT.keys(), "an exemption of a route that is gone"


async def test_production_routes_no_development_and_no_more_than_development(node: Node) -> None:
    production = msgspec.structs.replace(
        node.settings, mode="production", smtp_host="mail.example.org", public_url="https://interviews.example.org"
    )
    here = {path for path, _ in table(node.app.routes)}
    there = {path for path, _ in table(build_app(production).routes)}
    assert here - there == {path for path in NO_OPERATIONS if path.startswith("/dev/")}
    assert there <= here


def test_a_body_is_read_in_one_place_only() -> None:
    """Where its size, its time and its type are looked at."""
    reads = re.compile(r"request\.(stream|body|json|form)\(")
    folder = Path(next(iter(engine.web.__path__)))
    found = {file.name for file in folder.glob("*.py") if reads.search(file.read_text())}
    assert found == {"bodies.py"}


# --- the guards --------------------------------------------------------------------------------------------


async def test_59_a_method_that_is_not_there_is_told_those_that_are(ops: list[Op], person: Person) -> None:
    paths = {op.path: {other.method for other in ops if other.path == op.path} for op in ops}
    for path, there in paths.items():
        for method in METHODS:
            if method not in there:
                answer = await person.http.request(method, path.format(**SAMPLES))
                assert problem(answer) == (405, "method_not_allowed"), f"{method} {path}"
                assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == there


async def test_1_no_page_of_another_origin_changes_anything(
    ops: list[Op], stranger: httpx2.AsyncClient, person: Person
) -> None:
    for op in ops:
        for client in (stranger, person.http):
            answer = await client.request(op.method, op.url, headers=EVIL)
            if op.method != "GET":
                assert problem(answer) == (403, "origin_refused"), op.name
            assert "access-control-allow-origin" not in answer.headers, op.name


async def test_whoever_has_not_signed_in_is_told_to(ops: list[Op], stranger: httpx2.AsyncClient) -> None:
    open_to_all = set()
    for op in ops:
        answer = await stranger.request(op.method, op.url)
        if not (answer.status_code == 401 and answer.json()["code"] == "signed_out"):
            open_to_all.add(op.name)
        for said in ("Bearer x", "Basic YTpi", "Bearer"):
            refused = await stranger.request(op.method, op.url, headers={"authorization": said})
            if op.name not in FOR_ANYBODY or {"bearer": []} in op.said["security"]:
                assert problem(refused) == (401, "signed_out"), op.name
    assert open_to_all - {"POST /v1/auth/refresh"} == FOR_ANYBODY.keys() - {"POST /v1/auth/refresh"}


async def test_10_every_operation_is_limited_for_users_and_for_strangers_with_their_network(
    node: Node, ops: list[Op], stranger: httpx2.AsyncClient, person: Person
) -> None:
    limits = {f"{one.method} {one.path}": one.limit for one in all_operations(node.settings)}
    without = {name for name, limit in limits.items() if isinstance(limit, Unlimited)}
    assert without == WITHOUT_LIMIT.keys()
    for op in ops:
        limit = limits[op.name]
        if isinstance(limit, Unlimited):
            continue
        cases = [(stranger, ":127.0.0.1"), (stranger, ":network:127.0.0.0/24")]
        if {"bearer": []} in op.said["security"]:
            cases.append((person.http, f":user:{person.access.user}"))
        for client, mark in cases:
            key = f"{{limits}}:{limit.name}{mark}"
            await node.parts.redis.set(key, FAR_MS)
            refused = await client.request(op.method, op.url)
            assert problem(refused) == (429, "too_many"), (op.name, mark)
            assert int(refused.headers["retry-after"]) >= 1
            await node.parts.redis.delete(key)


async def test_10_what_is_refused_may_be_done_when_it_says(node: Node, stranger: httpx2.AsyncClient) -> None:
    answers = [await stranger.get("/v1/questions/lru-cache-ttl") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    now_ms = node.parts.conductor.live.clock.now()
    key = "{limits}:rest:get_question:127.0.0.1"
    await node.parts.redis.set(key, now_ms + USUAL_SECONDS * 1000 + 30_000)  # half a minute too full
    refused = await stranger.get("/v1/questions/lru-cache-ttl")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) in (30, 31)


@pytest.mark.parametrize(("pieces", "chunked", "passing"), [(32, False, 1), (5, False, 10), (0, True, 1)])
async def test_10_commands_are_counted_by_their_bytes_as_on_the_socket(
    node: Node, person: Person, pieces: int, chunked: bool, passing: int
) -> None:
    await forget_limits(node)
    body, url = b" " * (pieces * BUDGET_BYTES), f"/v1/interviews/{SAMPLES['id']}/commands"
    assert passing == BUDGET // (1 + (FRAME_BYTES_MAX if chunked else len(body)) // BUDGET_BYTES)

    async def in_chunks() -> AsyncIterator[bytes]:
        yield b" "

    answers = [
        await person.http.post(
            url, content=in_chunks() if chunked else body, headers={"content-type": "application/json"}
        )
        for _ in range(passing + 1)
    ]
    assert [answer.status_code for answer in answers] == [400] * passing + [429]
    await forget_limits(node)


BAD_BODIES: list[tuple[str, dict[str, Any], int, str]] = [
    ("59 another type", {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type"),
    ("59 a form", {"data": {"a": "b"}}, 415, "unsupported_media_type"),
    ("60 a multipart bomb", {"files": {f"f{i}": b"x" for i in range(200)}}, 415, "unsupported_media_type"),
    ("59 compressed", {"content": b"{}", "headers": {"content-type": "application/json", "content-encoding": "gzip"}},
     415, "unsupported_media_type"),
    ("59 too large", {"content": b" " * (FRAME_BYTES_MAX + 1), "headers": {"content-type": "application/json"}},
     413, "too_large"),
    ("20 not JSON", {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "bad_json"),
    ("20 an array", {"json": [1]}, 422, "bad_body"),
    ("24 NUL", {"json": {"x": "\0"}}, 422, "bad_text"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "sent", "status", "code"), BAD_BODIES, ids=[row[0] for row in BAD_BODIES])
async def test_bodies_are_guarded_wherever_one_is_taken(
    node: Node, ops: list[Op], person: Person, case: str, sent: dict[str, Any], status: int, code: str
) -> None:
    for op in ops:
        if op.takes_a_body:
            await forget_limits(node)
            assert problem(await person.http.request(op.method, op.url, **sent)) == (status, code), op.name


async def test_a_body_has_one_limit_but_for_commands_which_have_the_sockets(ops: list[Op], person: Person) -> None:
    assert BODY_BYTES_MAX < FRAME_BYTES_MAX
    for op in ops:
        if op.takes_a_body:
            body = b'{"x":"' + b"x" * BODY_BYTES_MAX + b'"}'
            answer = await person.http.request(
                op.method, op.url, content=body, headers={"content-type": "application/json"}
            )
            assert (answer.status_code == 413) != op.path.endswith("/commands"), op.name


async def test_78_nothing_an_operation_says_is_kept_by_a_cache(
    ops: list[Op], stranger: httpx2.AsyncClient, person: Person
) -> None:
    for op in ops:
        for client in (stranger, person.http):
            for method in {op.method, "HEAD" if op.method == "GET" else op.method}:
                answer = await client.request(method, op.url)
                assert answer.headers["cache-control"] == "no-store", op.name


async def test_60_nothing_is_given_in_ranges_but_the_pages_own_files(ops: list[Op], person: Person) -> None:
    """Those are small, and Starlette merges ranges that overlap (CVE-2025-62727)."""
    for op in ops:
        if op.method == "GET":
            answer = await person.http.get(op.url, headers={"range": "bytes=0-0,1-1,2-2,0-,-5"})
            assert answer.status_code != 206, op.name
            assert "content-range" not in answer.headers


@pytest.mark.parametrize("path", [*sorted(NO_OPERATIONS), "/", "/nothing", "/v1/nothing", "/v1/me/", "/%00", "//v1/me"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
async def test_whatever_is_no_operation_changes_nothing_and_has_the_headers_all_the_same(
    stranger: httpx2.AsyncClient, method: str, path: str
) -> None:
    answer = await stranger.request(method, path, headers=EVIL)  # the client's hook looks at the headers
    assert answer.status_code in (200, 404, 405)
    if method not in ("GET", "HEAD"):
        assert answer.status_code in (404, 405)
