"""What surrounds every answer: ids, headers, CORS, metrics; and the documents for those who run it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Literal

import httpx2
import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from engine.record.catalog import Catalog
from engine.record.engine import make_engine
from engine.telemetry import render_metrics
from engine.web import routes_ops, routes_questions
from engine.web.app import create_app
from engine.web.operations import operation
from engine.web.parts import Parts
from tests.until import until
from tests.web.conftest import Browser, app_of, with_settings


def client_of(app: Starlette, parts: Parts) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=parts.settings.base_url)


@pytest.mark.parametrize("path", ["/healthz", "/openapi.json", "/v1/nothing", "/dev/mailbox"])
async def test_33_every_answer_has_the_security_headers(shared: Browser, path: str) -> None:
    headers = (await shared.call("GET", path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-request-id"]
    assert "server" not in headers


async def test_1_our_own_pages_may_call_and_others_may_not(shared: Browser) -> None:
    own = shared.parts.settings.base_url
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    ours = await shared.call("OPTIONS", "/v1/me", headers={"origin": own, **ask})
    assert ours.headers["access-control-allow-origin"] == own
    foreign = await shared.call("OPTIONS", "/v1/me", headers={"origin": "https://evil.example", **ask})
    assert "access-control-allow-origin" not in foreign.headers
    read = await shared.call("GET", "/v1/questions", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in read.headers


async def test_64_a_mistake_in_the_code_is_a_problem_without_its_text(parts: Parts) -> None:
    @operation("GET", "/v1/broken", auth="none")
    async def broken(request: Request) -> Response:
        """Break."""
        raise ValueError("candidate text")

    app = create_app(parts, (broken,))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=True)
    async with httpx2.AsyncClient(transport=transport, base_url=parts.settings.base_url) as http:
        answer = await http.get("/v1/broken")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert not re.search("candidate text|Traceback|ValueError|\\.py", answer.text)


async def test_a_route_is_declared_once(parts: Parts) -> None:
    health = routes_ops.health
    with pytest.raises(ValueError, match="declared twice"):
        create_app(parts, (health, health))


async def test_ready_says_no_while_a_service_is_away_or_the_node_drains(browser: Browser, parts: Parts) -> None:
    assert (await browser.call("GET", "/readyz")).json() == {"status": "ready"}
    accepting = {"now": False}
    draining = replace(parts, accepting=lambda: accepting["now"])
    app = create_app(draining, routes_ops.OPERATIONS)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=parts.settings.base_url) as http:
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/healthz")).status_code == 200
        accepting["now"] = True
        assert (await http.get("/readyz")).status_code == 200


async def test_10_however_many_ask_whether_a_node_is_ready_its_services_are_asked_once(
    browser: Browser, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[object] = []
    sa.event.listen(parts.engine.sync_engine, "checkout", lambda *args: taken.append(args))
    gone = asyncio.create_task(browser.call("GET", "/readyz"))
    asking = [asyncio.create_task(browser.call("GET", "/readyz")) for _ in range(20)]
    await until(lambda: bool(taken))
    gone.cancel()  # the first to ask did not wait for the answer
    assert {(await one).status_code for one in asking} == {200}
    assert len(taken) == 1
    monkeypatch.setattr(routes_ops, "GOOD_SECONDS", 0.0)
    assert (await browser.call("GET", "/readyz")).status_code == 200
    assert len(taken) == 2


async def test_a_service_that_is_away_is_a_503_that_says_when_to_come_back(parts: Parts) -> None:
    away = make_engine(with_settings(parts, database_url="postgresql://u:p@127.0.0.1:1/d").settings)
    app = create_app(
        replace(parts, catalog=Catalog(away), engine=away), (*routes_questions.OPERATIONS, *routes_ops.OPERATIONS)
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=parts.settings.base_url) as http:
        answer = await http.get("/v1/questions")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        assert (await http.get("/readyz")).status_code == 503
    await away.dispose()


async def test_71_metrics_name_routes_never_paths(shared: Browser) -> None:
    await shared.call("GET", "/v1/questions/no-such-question")
    await shared.call("GET", "/v1/some-secret-path")
    text = (await shared.call("GET", "/metrics")).text
    assert 'route="/v1/questions/{slug}"' in text
    assert "some-secret-path" not in text
    assert render_metrics(shared.parts.metrics)[0].decode().count("no-such-question") == 0


async def test_63_the_mailbox_is_there_in_development_only(browser: Browser, parts: Parts) -> None:
    await browser.ask_code("ada@example.com")
    page = await browser.call("GET", "/dev/mailbox")
    assert page.headers["content-type"].startswith("text/html")
    assert "is your code to sign in" in page.text
    assert page.headers["cache-control"] == "no-store"
    production = with_settings(parts, mode="production")
    paths = [getattr(route, "path", "") for route in routes_ops.routes(production, ())]
    assert not [path for path in paths if "mailbox" in path]


TOKEN = "t" * 40
SHOWN: list[tuple[Literal["development", "production"], str, str, int]] = [
    ("development", "", "", 200),
    ("development", TOKEN, "", 404),
    ("development", TOKEN, f"Bearer {TOKEN}", 200),
    ("production", "", "", 404),
    ("production", "", "Bearer ", 404),
    ("production", "", "Bearer", 404),
    ("production", TOKEN, "", 404),
    ("production", TOKEN, TOKEN, 404),
    ("production", TOKEN, f"Bearer {TOKEN[:-1]}", 404),
    ("production", TOKEN, f"Bearer {TOKEN} ", 404),
    ("production", TOKEN, "Bearer \xe9", 404),
    ("production", TOKEN, f"Bearer {TOKEN}", 200),
]


async def test_63_production_shows_its_metrics_to_whoever_shows_the_token(parts: Parts) -> None:
    for (mode, token), cases in groupby(SHOWN, key=lambda case: case[:2]):
        settings = with_settings(parts, mode=mode, metrics_token=token)
        async with client_of(app_of(settings), settings) as http:
            for _, _, shown, status in cases:
                headers = {b"authorization": shown.encode("latin-1")} if shown else {}
                answer = await http.get("/metrics", headers=headers)
                assert answer.status_code == status, (mode, token, shown)
                assert ("process_" in answer.text or "http_requests" in answer.text) == (status == 200)


HIDDEN = """/docs /redoc /debug /admin /metrics /dev/mailbox /dev/mailbox.json /dev /.env /.git/config /server-status
/openapi.yaml /swagger /actuator /__debug__/ /pyproject.toml /engine/settings.py /../settings.py""".split()


async def test_63_production_shows_nothing_to_those_who_look_around(parts: Parts) -> None:
    production = with_settings(parts, mode="production")
    app = app_of(production)
    assert not app.debug
    async with client_of(app, production) as http:
        for path in HIDDEN:
            answer = await http.get(path)
            assert answer.status_code == 404, path
            assert not {"server", "x-powered-by", "via"} & answer.headers.keys()


@pytest.mark.parametrize(("host", "status"), [("localhost:1", 200), ("10.0.0.7:8000", 200), ("evil.example", 404)])
async def test_the_mailbox_is_not_shown_to_a_page_that_points_its_name_here(
    shared: Browser, host: str, status: int
) -> None:
    assert (await shared.call("GET", "/dev/mailbox.json", headers={"host": host})).status_code == status


async def test_the_page_is_served_with_its_types(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>page</title>")
    (tmp_path / "app.js").write_text("export {};")
    (tmp_path / "style.css").write_text("p { }")
    app = create_app(parts, routes_ops.OPERATIONS, page=tmp_path)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=parts.settings.base_url) as http:
        for path, media_type in (("/", "text/html"), ("/app.js", "text/javascript"), ("/style.css", "text/css")):
            answer = await http.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(media_type)
            assert answer.headers["cache-control"] == "no-cache"
        for path in ("/missing.js", "/v1/missing", "/../conftest.py", "/%2e%2e/conftest.py"):
            assert (await http.get(path)).status_code == 404
        assert (await http.post("/v1/missing")).status_code == 404
