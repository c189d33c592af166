"""Every answer that a test of the web room provokes is held against the OpenAPI document.

What the document does not say, the engine must not answer: a status, a content type, a header it promises, a body.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import httpx2
import jsonschema_rs

from engine.settings import Settings
from engine.web.openapi import document
from engine.web.problems import PROBLEM_JSON
from engine.wiring import all_operations

ON_EVERY_ANSWER = ("x-request-id", "content-security-policy", "x-content-type-options", "referrer-policy")
IN_PATH = re.compile(r"{\w+}")
PROBLEM = {"$ref": "#/components/schemas/ProblemDetails"}


class Documented:
    """The document, ready to be asked."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.said = said
        self._paths = [(re.compile(IN_PATH.sub("[^/]+", path)), path) for path in said["paths"]]
        self._validators: dict[str, jsonschema_rs.Draft202012Validator] = {}

    def methods_of(self, path: str) -> dict[str, Any] | None:
        """The operations at a path; None where the document knows none."""
        return next((self.said["paths"][name] for shape, name in self._paths if shape.fullmatch(path)), None)

    def check(self, answer: httpx2.Response) -> None:
        """Raises AssertionError for an answer that is not as the document says."""
        asked = answer.request
        about = f"{asked.method} {asked.url.path} -> {answer.status_code} {answer.text[:300]}"
        for name in ON_EVERY_ANSWER:
            assert name in answer.headers, f"{name} is missing: {about}"
        assert "server" not in answer.headers, about
        if "access-control-request-method" in asked.headers:
            return  # a browser's own question, whose answer no program reads
        if answer.status_code >= 400:
            self._is_problem(answer, about)
        methods = self.methods_of(asked.url.path)
        if methods is not None:
            self._is_said(answer, methods, about)

    def _is_problem(self, answer: httpx2.Response, about: str) -> None:
        assert answer.headers["content-type"] == PROBLEM_JSON, about
        assert answer.headers["cache-control"] == "no-store", about
        if answer.request.method == "HEAD":
            return
        self.validate(answer.json(), PROBLEM, about)
        assert answer.json()["request_id"] == answer.headers["x-request-id"], about
        assert answer.json()["status"] == answer.status_code, about

    def _is_said(self, answer: httpx2.Response, methods: dict[str, Any], about: str) -> None:
        operation = methods.get("get" if answer.request.method == "HEAD" else answer.request.method.lower())
        if operation is None:
            assert answer.status_code == 405, about
            known = {method.upper() for method in methods} | ({"HEAD"} if "get" in methods else set())
            assert set(answer.headers["allow"].split(", ")) == known, about
            return
        said = operation["responses"].get(str(answer.status_code))
        assert said is not None, f"a status the document does not know: {about}"
        for name in said["headers"]:
            header = self.said["components"]["headers"][name]
            if header.get("required"):
                self.validate(_as(header["schema"], answer.headers[name]), header["schema"], about)
        if answer.request.method == "HEAD":
            return
        if "content" not in said:
            assert answer.content == b"", about
            return
        [(media_type, content)] = said["content"].items()
        assert answer.headers["content-type"] == media_type, about
        self.validate(answer.json(), content["schema"], about)
        if answer.status_code >= 400:
            assert answer.json()["code"] in content["examples"], f"a code the document does not know: {about}"

    def validate(self, value: Any, schema: dict[str, Any], about: str) -> None:
        """Raises AssertionError where `value` does not fit `schema`, whose references are the document's."""
        key = str(schema)
        if key not in self._validators:
            whole = {**schema, "components": self.said["components"]}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        faults = [f"{list(fault.instance_path)}: {fault.message}" for fault in self._validators[key].iter_errors(value)]
        assert not faults, f"{faults}: {about}"


def _as(schema: dict[str, Any], value: str) -> Any:
    return int(value) if schema.get("type") == "integer" else value


@cache
def documented(google: bool, base_url: str) -> Documented:
    """The document of these settings."""
    settings = Settings(google_client_id="client" if google else "")
    return Documented(document(all_operations(settings), base_url, "0"))


def checking(settings: Settings) -> dict[str, list[Any]]:
    """Event hooks for a client of the engine: whatever it is answered is checked."""

    async def check(answer: httpx2.Response) -> None:
        await answer.aread()
        documented(bool(settings.google_client_id), settings.base_url).check(answer)

    return {"response": [check]}
