"""The OpenAPI document is valid, and true: every operation is in it, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from openapi_spec_validator import validate
from starlette.applications import Starlette
from starlette.routing import Route

from engine.web.examples import EXAMPLES
from engine.web.openapi import document
from engine.web.parts import Parts
from engine.web.problems import PROBLEM_JSON
from engine.wiring import all_operations
from protocol.codec import command_of
from protocol.messages import CommandFrame
from tests.web.conftest import Browser, app_of, with_settings
from tests.web.documented import ON_EVERY_ANSWER, Documented

NOT_OPERATIONS = re.compile(r"/openapi\.json|/metrics|/dev/mailbox(\.json|\.css)?|/v1/\{rest:path\}")


@pytest.fixture(scope="module")
async def said(shared: Browser) -> dict[str, Any]:
    """The document as it is served."""
    document: dict[str, Any] = (await shared.call("GET", "/openapi.json")).json()
    return document


async def test_the_document_is_valid(said: dict[str, Any]) -> None:
    validate(said)


async def test_every_route_is_in_the_document(said: dict[str, Any], app: Starlette) -> None:
    routed = {
        (route.path, method.lower())
        for route in app.routes
        if isinstance(route, Route) and not NOT_OPERATIONS.fullmatch(route.path)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert routed == {(path, method) for path, methods in said["paths"].items() for method in methods}


async def test_every_operation_says_what_it_is_and_how_it_fails(said: dict[str, Any]) -> None:
    ids = [one["operationId"] for methods in said["paths"].values() for one in methods.values()]
    assert len(ids) == len(set(ids))
    for methods in said["paths"].values():
        for one in methods.values():
            assert one["summary"].endswith(".")
            assert {"500", "503"} <= one["responses"].keys()


def contents(said: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, media type object) of every body that goes in or out."""
    for path, methods in said["paths"].items():
        for method, one in methods.items():
            bodies = {"body": one["requestBody"]} if "requestBody" in one else {}
            for name, body in {**bodies, **one["responses"]}.items():
                for content in body.get("content", {}).values():
                    yield f"{method} {path} {name}", content


async def test_every_body_has_examples_and_each_fits_its_schema(said: dict[str, Any]) -> None:
    checker = Documented(said)
    for where, content in contents(said):
        assert content["examples"], f"engine/web/examples.py has none for {where}"
        for title, example in content["examples"].items():
            checker.validate(example["value"], content["schema"], f"{where}: {title}")
    for methods in said["paths"].values():
        for one in methods.values():
            for parameter in one.get("parameters", ()):
                if "example" in parameter:
                    checker.validate(parameter["example"], parameter["schema"], parameter["name"])


async def test_no_example_is_of_a_shape_that_is_gone(said: dict[str, Any], parts: Parts) -> None:
    with_google = document(all_operations(with_settings(parts, google_client_id="client").settings), "", "0")
    known = set(with_google["components"]["schemas"])
    assert {name.split()[0] for name in EXAMPLES} - known == {"path", "request"}


async def test_the_example_commands_are_commands(said: dict[str, Any]) -> None:
    for title, body in EXAMPLES["CommandBody"].items():
        frame = command_of({name: value for name, value in body.items() if name != "fence"})
        assert isinstance(frame, CommandFrame), title


async def test_what_may_be_refused_for_its_frequency_says_when_to_come_back(said: dict[str, Any]) -> None:
    for path, methods in said["paths"].items():
        for one in methods.values():
            assert ("429" in one["responses"]) != one["description"].endswith("dead one."), path
            for status in {"429", "503"} & one["responses"].keys():
                assert "Retry-After" in one["responses"][status]["headers"], path


@pytest.mark.parametrize(
    ("status", "headers", "body", "fault"),
    [
        (201, {}, b"{}", "a status the document does not know"),
        (200, {"content-type": "text/html"}, b"{}", "healthz"),
        (200, {}, b'{"status": "fine"}', "is not one of"),
        (200, {"x-request-id": ""}, b'{"status": "ok"}', "does not match"),
        (503, {"content-type": PROBLEM_JSON}, b"", "Retry-After"),
    ],
)
async def test_an_answer_the_document_does_not_know_fails_the_test_that_got_it(
    said: dict[str, Any], status: int, headers: dict[str, str], body: bytes, fault: str
) -> None:
    usual = dict.fromkeys(ON_EVERY_ANSWER, "x") | {
        "x-request-id": "0" * 32, "content-type": "application/json", "cache-control": "no-store",
    }  # fmt: skip
    if status == 503:
        details = {"type": "x", "title": "x", "status": 503, "code": "unavailable", "request_id": "0" * 32}
        body = json.dumps(details).encode()
    asked = httpx2.Request("GET", "http://127.0.0.1/healthz")
    checker = Documented(said)
    if status == 200 and not headers:
        checker.check(httpx2.Response(200, headers=usual, content=b'{"status": "ok"}', request=asked))
    with pytest.raises((AssertionError, KeyError), match=fault):
        checker.check(httpx2.Response(status, headers=usual | headers, content=body, request=asked))


async def test_no_rule_answer_or_rubric_has_a_place_in_the_catalog(said: dict[str, Any]) -> None:
    fields = set(said["components"]["schemas"]["Question"]["properties"])
    assert not fields & {"rules", "clarification", "rubric", "reference", "hints", "pack_hash", "id"}


async def test_google_is_in_the_document_only_where_it_works(parts: Parts) -> None:
    with_google = with_settings(parts, google_client_id="client")
    names = {one.name for one in all_operations(with_google.settings)}
    assert "sign_in_with_google" in names
    assert "sign_in_with_google" not in {one.name for one in all_operations(parts.settings)}
    routed = [getattr(route, "path", "") for route in app_of(with_google).routes]
    assert "/v1/auth/google" in routed
