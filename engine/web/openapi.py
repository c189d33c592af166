"""The OpenAPI 3.1 document, made from the operations: what it says is what the routes do."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from engine.web.operations import Operation
from engine.web.problems import PROBLEM_JSON, Kind, ProblemDetails

REF: Final = "#/components/schemas/{name}"
ALWAYS: Final = (Kind.UNAVAILABLE, Kind.INTERNAL)
IN_PATH: Final = re.compile(r"{(\w+)(?::\w+)?}")
ABOUT: Final = (
    "Timed mock system-design interviews. Sign in, start an interview, then play it over the WebSocket "
    "(see /asyncapi.json) or by commands here. Errors are RFC 9457 problem details with a stable `code`."
)


def document(operations: Sequence[Operation], base_url: str, version: str) -> dict[str, Any]:
    """The document for these operations."""
    shapes = _shapes(operations)
    schemas, components = msgspec.json.schema_components(list(shapes.values()), ref_template=REF)
    schema_of = {key: schema for key, schema in zip(shapes, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for one in operations:
        paths[IN_PATH.sub(r"{\1}", one.path)][one.method.lower()] = _operation(one, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Interview engine", "version": version, "description": ABOUT},
        "servers": [{"url": base_url}],
        "paths": dict(paths),
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _shapes(operations: Sequence[Operation]) -> dict[str, Any]:
    """Every type the document names, by what it is looked up with below."""
    found: dict[str, Any] = {"problem": ProblemDetails}
    for one in operations:
        for shape in (one.body, one.out, *(out for _, out in one.also.values())):
            if shape is not None:
                found[repr(shape)] = shape
        for field in msgspec.structs.fields(one.query) if one.query else ():
            found[f"{one.name}?{field.encode_name}"] = field.type
    return found


def _operation(one: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "tags": [one.tag],
        "responses": {**_successes(one, schema_of), **_failures(one, schema_of)},
    }
    if one.description:
        said["description"] = one.description
    if parameters := [*_in_path(one), *_in_query(one, schema_of)]:
        said["parameters"] = parameters
    if one.body is not None:
        required = any(field.required for field in msgspec.structs.fields(one.body))
        said["requestBody"] = {"required": required, "content": _json(schema_of[repr(one.body)])}
    match one.auth:
        case "required":
            said["security"] = [{"bearer": []}]
        case "optional":
            said["security"] = [{}, {"bearer": []}]
        case "none":
            said["security"] = []
    return said


def _in_path(one: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in IN_PATH.findall(one.path)
    ]


def _in_query(one: Operation, schema_of: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": field.encode_name,
            "in": "query",
            "required": field.required,
            "schema": schema_of[f"{one.name}?{field.encode_name}"],
        }
        for field in (msgspec.structs.fields(one.query) if one.query else ())
    ]


def _successes(one: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for status, (description, out) in {one.status: (one.summary, one.out), **one.also}.items():
        said[str(status)] = {"description": description}
        if out is not None:
            said[str(status)]["content"] = _json(schema_of[repr(out)], one.media_type)
    return said


def _failures(one: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    by_status: dict[int, list[str]] = defaultdict(list)
    for kind in dict.fromkeys((*one.errors, *_implied(one), *ALWAYS)):
        by_status[kind.value.status].append(kind.value.code)
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}. `code` is one of: {', '.join(codes)}.",
            "content": {PROBLEM_JSON: {"schema": schema_of["problem"]}},
        }
        for status, codes in sorted(by_status.items())
    }


def _implied(one: Operation) -> list[Kind]:
    """What the guards before an operation may answer."""
    implied: list[Kind] = []
    if one.body is not None:
        implied += [Kind.BAD_JSON, Kind.BAD_BODY, Kind.BAD_TEXT, Kind.NOT_JSON, Kind.TOO_LARGE, Kind.TIMEOUT]
    if one.query is not None:
        implied += [Kind.BAD_QUERY, Kind.BAD_TEXT]
    if one.auth != "none":
        implied.append(Kind.SIGNED_OUT)
    if one.method != "GET":
        implied.append(Kind.ORIGIN_REFUSED)
    if one.limit is not None:
        implied.append(Kind.TOO_MANY)
    if IN_PATH.search(one.path):
        implied.append(Kind.NOT_FOUND)
    return implied


def _json(schema: dict[str, Any], media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": schema}}
