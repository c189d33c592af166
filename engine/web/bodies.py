"""What a request brings, read strictly: the body as JSON, the query, words and ids in the path."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, TypeVar, get_args, get_origin
from uuid import UUID

import msgspec
from starlette.requests import Request

from engine.web.problems import ErrorAt, Kind, Problem
from protocol.codec import plain_json

T = TypeVar("T", bound=msgspec.Struct)

BODY_BYTES_MAX = 65_536
BODY_SECONDS = 10.0
"""A body that takes longer to arrive holds a connection for nothing."""
JSON = re.compile(r"application/json(\s*;\s*charset=\"?utf-8\"?)?", re.IGNORECASE)
WHOLE = re.compile(r"-?[0-9]{1,20}", re.ASCII)
"""msgspec would also take 1e2 and 1.0."""
WORD = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
WORD_CHARS_MAX = 80


async def read_body(request: Request, shape: type[T], bytes_max: int = BODY_BYTES_MAX) -> T:
    """The body as a value of `shape`; an empty body where every field has a default. Raises Problem, BadFrame."""
    data = await read_bytes(request, bytes_max)
    if not data and not any(field.required for field in msgspec.structs.fields(shape)):
        return shape()
    if not JSON.fullmatch(request.headers.get("content-type", "")):
        raise Problem(Kind.NOT_JSON)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(Kind.NOT_JSON, "The body must not be compressed.")
    try:
        return msgspec.convert(plain_json(data), shape)
    except msgspec.ValidationError as error:
        raise Problem(Kind.BAD_BODY, errors=(located(error),)) from None


def announced(request: Request, bytes_max: int) -> int:
    """How many bytes of body may come at most, before any is read: all there may be where no length is told."""
    if "transfer-encoding" in request.headers:
        return bytes_max
    length = request.headers.get("content-length", "0")
    return min(int(length[:20]), bytes_max) if length.isdecimal() else 0


async def read_bytes(request: Request, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The body, refused before it is read where it says that it is too large. Raises Problem."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > bytes_max:
        raise Problem(Kind.TOO_LARGE, f"A body may have {bytes_max} bytes.")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise Problem(Kind.TOO_LARGE, f"A body may have {bytes_max} bytes.")
    except TimeoutError:
        raise Problem(Kind.TIMEOUT) from None
    return bytes(body)


def read_query(request: Request, shape: type[T]) -> T:
    """The query as a value of `shape`; a name may stand once. Raises Problem."""
    known = {field.encode_name: _is_int(field.type) for field in msgspec.structs.fields(shape)}
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            continue
        if name in given:
            raise Problem(Kind.BAD_QUERY, errors=(ErrorAt(name, "stands twice"),))
        if "\x00" in value:
            raise Problem(Kind.BAD_TEXT, errors=(ErrorAt(name, "holds a NUL character"),))
        if known[name] and not WHOLE.fullmatch(value):
            raise Problem(Kind.BAD_QUERY, errors=(ErrorAt(name, "is no whole number"),))
        given[name] = value
    try:
        return msgspec.convert(given, shape, strict=False)
    except msgspec.ValidationError as error:
        fault = located(error)
        raise Problem(Kind.BAD_QUERY, errors=(ErrorAt(fault.at.removeprefix("$."), fault.message),)) from None


def _is_int(kind: Any) -> bool:
    return (get_args(kind)[0] if get_origin(kind) is Annotated else kind) is int


def path_word(request: Request, name: str) -> str:
    """A slug in the path. Raises Problem NOT_FOUND for what can be no slug."""
    word = str(request.path_params[name])
    if len(word) > WORD_CHARS_MAX or not WORD.fullmatch(word):
        raise Problem(Kind.NOT_FOUND)
    return word


def path_id(request: Request, name: str) -> UUID:
    """An id in the path. Raises Problem NOT_FOUND for what can be no id."""
    text = str(request.path_params[name])
    try:
        id = UUID(text)
    except ValueError:
        raise Problem(Kind.NOT_FOUND) from None
    if str(id) != text.lower():
        raise Problem(Kind.NOT_FOUND)
    return id


def located(error: msgspec.ValidationError) -> ErrorAt:
    """msgspec ends its messages with "- at `$.a[0].b`"; said the other way round."""
    message, _, at = str(error).partition(" - at `")
    return ErrorAt(at.rstrip("`") or "$", message)
