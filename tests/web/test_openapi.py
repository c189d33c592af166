"""The OpenAPI document is valid, and true: every operation is in it, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from starlette.applications import Starlette
from starlette.routing import Route

from engine.web.parts import Parts
from engine.wiring import all_operations
from tests.web.conftest import Browser, app_of, with_settings

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


async def test_what_is_answered_is_what_is_said(shared: Browser, said: dict[str, Any]) -> None:
    for path, status in (("/v1/me", 200), ("/v1/questions", 200), ("/v1/auth/methods", 200), ("/healthz", 200)):
        answer = await shared.call("GET", path)
        assert answer.status_code == status
        content = said["paths"][path]["get"]["responses"][str(status)]["content"]["application/json"]
        Draft202012Validator({**content["schema"], "components": said["components"]}).validate(answer.json())


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
