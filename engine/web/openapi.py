"""The OpenAPI 3.1 document, made from the operations: what it says is what the routes do.

tests/web/documented.py holds every answer that any test of the web room provokes against it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from engine.web import cookies
from engine.web.bodies import WORD, WORD_CHARS_MAX
from engine.web.examples import EXAMPLES
from engine.web.operations import Operation, Unlimited
from engine.web.problems import (
    PROBLEM_JSON,
    RETRY_STATUSES,
    Failure,
    Kind,
    Meaning,
    ProblemDetails,
    meaning_of,
    type_of,
)

REF: Final = "#/components/schemas/{name}"
ALWAYS: Final = (Kind.BAD_REQUEST, Kind.TARGET_TOO_LONG, Kind.HEAD_TOO_LARGE, Kind.INTERNAL, Kind.UNAVAILABLE)
"""Before an operation is known (engine/web/head.py), and whatever it is."""
IN_PATH: Final = re.compile(r"{(\w+)(?::\w+)?}")
PATH_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "slug": {"type": "string", "pattern": f"^{WORD.pattern}$", "maxLength": WORD_CHARS_MAX},
    "id": {"type": "string", "format": "uuid"},
}
HEADERS: Final[dict[str, dict[str, Any]]] = {
    "X-Request-Id": {
        "description": "Names this answer in the logs; tell it to whoever runs the engine.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
    "Retry-After": {
        "description": "After so many seconds the same request may succeed.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}},
    "Cache-Control": {"required": True, "schema": {"const": "no-store"}},
    "Set-Cookie": {"description": "HttpOnly; see the cookies in the security schemes.", "schema": {"type": "string"}},
}
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
    https = base_url.startswith("https://")
    for one in operations:
        paths[IN_PATH.sub(r"{\1}", one.path)][one.method.lower()] = _operation(one, schema_of, https)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Interview engine", "version": version, "description": ABOUT},
        "servers": [{"url": base_url}],
        "paths": dict(paths),
        "components": {
            "schemas": components,
            "headers": HEADERS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                **{
                    name: {"type": "apiKey", "in": "cookie", "name": cookies.named(name, https), "description": about}
                    for name, about in cookies.ABOUT.items()
                },
            },
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


def _operation(one: Operation, schema_of: dict[str, Any], https: bool) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "description": "\n\n".join(filter(None, (one.description, _limit(one)))),
        "tags": [one.tag],
        "responses": {**_successes(one, schema_of), **_failures(one, schema_of)},
        "security": _security(one),
    }
    if parameters := [*_in_path(one), *_in_query(one, schema_of), *_in_headers(one), *_in_cookies(one, https)]:
        said["parameters"] = parameters
    if one.body is not None:
        required = any(field.required for field in msgspec.structs.fields(one.body))
        said["requestBody"] = {"required": required, "content": _json(schema_of[repr(one.body)], one.body)}
    return said


def _limit(one: Operation) -> str:
    if isinstance(one.limit, Unlimited):
        return f"No limit: {one.limit.reason}"
    whom = {"required": "a user", "optional": "a user, or an address that is not signed in", "none": "an address"}
    said = f"At most {one.limit.count} in {one.limit.window_seconds} s for {whom[one.auth]}."
    if cookies.REFRESH in one.reads_cookies:
        said += " A login whose cookie is shown is counted by itself."
    if one.limit.bytes_each is None:
        return said
    return f"{said} Each {one.limit.bytes_each} bytes of body count as one more; a body in chunks as the largest."


def _security(one: Operation) -> list[dict[str, list[str]]]:
    ways: list[dict[str, list[str]]] = [{"bearer": []}] if one.auth != "none" else []
    if cookies.REFRESH in one.reads_cookies:
        ways.append({cookies.REFRESH: []})
    return [{}, *ways] if ways and one.auth != "required" else ways


def _in_path(one: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": PATH_SCHEMAS[name],
            "example": EXAMPLES[f"path {name}"],
        }
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


def _in_headers(one: Operation) -> list[dict[str, Any]]:
    return [{"name": name, "in": "header", "required": False, **said} for name, said in one.headers.items()]


def _in_cookies(one: Operation, https: bool) -> list[dict[str, Any]]:
    """The refresh token is a way to sign in, and described as such."""
    return [
        {"name": cookies.named(name, https), "in": "cookie", "required": False, "schema": {"type": "string"},
         "description": cookies.ABOUT[name]}
        for name in one.reads_cookies
        if name != cookies.REFRESH
    ]  # fmt: skip


def _successes(one: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for status, (description, out) in {one.status: (one.summary, one.out), **one.also}.items():
        headers = ["X-Request-Id", "Cache-Control", *(["Set-Cookie"] if one.sets_cookies else [])]
        said[str(status)] = {"description": description, "headers": _headers(headers)}
        if out is not None:
            said[str(status)]["content"] = _json(schema_of[repr(out)], out, one.media_type, status)
    return said


def _failures(one: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    by_status: dict[int, dict[str, Meaning]] = defaultdict(dict)
    for failure in (*one.errors, *_implied(one), *ALWAYS):
        meaning = meaning_of(failure)
        by_status[meaning.status].setdefault(meaning.code, meaning)
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}. `code` is one of: {', '.join(codes)}.",
            "headers": _headers(["X-Request-Id", "Cache-Control", *_headers_of(status)]),
            "content": {
                PROBLEM_JSON: {
                    "schema": schema_of["problem"],
                    "examples": {code: {"value": _example(meaning)} for code, meaning in codes.items()},
                }
            },
        }
        for status, codes in sorted(by_status.items())
    }


def _headers_of(status: int) -> list[str]:
    if status in RETRY_STATUSES:
        return ["Retry-After"]
    return ["WWW-Authenticate"] if status == HTTPStatus.UNAUTHORIZED else []


def _headers(names: Sequence[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _example(meaning: Meaning) -> dict[str, Any]:
    return {
        "type": type_of(meaning),
        "title": meaning.title,
        "status": meaning.status,
        "code": meaning.code,
        "request_id": EXAMPLES["request id"],
    }


def _implied(one: Operation) -> list[Failure]:
    """What the guards before an operation may answer."""
    implied: list[Failure] = []
    if one.body is not None:
        implied += [Kind.BAD_JSON, Kind.BAD_BODY, Kind.BAD_TEXT, Kind.NOT_JSON, Kind.TOO_LARGE, Kind.TIMEOUT]
    if one.query is not None:
        implied += [Kind.BAD_QUERY, Kind.BAD_TEXT]
    if one.auth != "none":
        implied.append(Kind.SIGNED_OUT)
    if one.method != "GET":
        implied.append(Kind.ORIGIN_REFUSED)
    if not isinstance(one.limit, Unlimited):
        implied.append(Kind.TOO_MANY)
    if IN_PATH.search(one.path):
        implied.append(Kind.NOT_FOUND)
    return implied


def _json(
    schema: dict[str, Any], shape: Any, media_type: str = "application/json", status: int | None = None
) -> dict[str, Any]:
    """A schema with its examples: those of this status, where its shape says different things by it."""
    name = getattr(shape, "__name__", "")
    examples = EXAMPLES.get(f"{name} {status}", EXAMPLES.get(name, {}))
    return {media_type: {"schema": schema, "examples": {title: {"value": value} for title, value in examples.items()}}}
