"""One REST operation: how it is reached, what it takes and gives, and the guards before it.

`@operation` turns a handler into a value from which both the routes and the OpenAPI document are made, so that
neither can forget the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.live.limits import Limit, take
from engine.web.auth import address_of, check_origin, current_user, optional_user
from engine.web.bodies import BODY_BYTES_MAX, read_body, read_query
from engine.web.parts import parts_of
from engine.web.problems import Kind, Problem

Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]
Auth = Literal["none", "optional", "required"]
Handler = Callable[..., Awaitable[Any]]
"""Takes the request, then the body or the query where one is declared. Gives the `out` value, None for 204, or a
Response where headers or cookies belong to the answer."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation of the REST interface."""

    method: Method
    path: str
    handler: Handler
    summary: str
    description: str
    tag: str
    body: type[msgspec.Struct] | None
    query: type[msgspec.Struct] | None
    out: Any
    status: int
    also: dict[int, tuple[str, Any]]
    """Other statuses of success: what each says, and what it gives."""
    errors: tuple[Kind, ...]
    auth: Auth
    limit: Limit | None
    media_type: str
    body_bytes_max: int

    @property
    def name(self) -> str:
        """The operation's id: its handler's name."""
        return self.handler.__name__

    async def __call__(self, request: Request) -> Response:
        """Guards, then the handler, then the answer."""
        check_origin(request)
        user = await _GUARDS[self.auth](request)
        if self.limit is not None:
            subject = address_of(request) if user is None else str(user.user)
            taken = await take(parts_of(request).redis, [(self.limit, subject)])
            if taken.limit is not None:
                raise Problem(Kind.TOO_MANY, retry_seconds=taken.wait_seconds)
        given: list[Any] = []
        if self.body is not None:
            given.append(await read_body(request, self.body, self.body_bytes_max))
        if self.query is not None:
            given.append(read_query(request, self.query))
        answer = await self.handler(request, *given)
        return answer if isinstance(answer, Response) else reply(answer, self.status)


async def _nobody(request: Request) -> None:
    return None


_GUARDS = {"none": _nobody, "optional": optional_user, "required": current_user}


def operation(
    method: Method,
    path: str,
    *,
    body: type[msgspec.Struct] | None = None,
    query: type[msgspec.Struct] | None = None,
    out: Any = None,
    status: int | None = None,
    also: dict[int, tuple[str, Any]] | None = None,
    errors: Sequence[Kind] = (),
    auth: Auth = "required",
    limit: Limit | None = None,
    tag: str = "",
    media_type: str = "application/json",
    body_bytes_max: int = BODY_BYTES_MAX,
) -> Callable[[Handler], Operation]:
    """Declare a handler as an operation. Its docstring is the summary (first line) and the description."""

    def declare(handler: Handler) -> Operation:
        summary, _, description = (handler.__doc__ or "").partition("\n")
        return Operation(
            method=method,
            path=path,
            handler=handler,
            summary=summary.strip(),
            description="\n".join(line.strip() for line in description.strip().splitlines()),
            tag=tag or path.split("/")[2 if path.startswith("/v1/") else 1],
            body=body,
            query=query,
            out=out,
            status=status or (200 if out is not None else 204),
            also=also or {},
            errors=tuple(errors),
            auth=auth,
            limit=limit,
            media_type=media_type,
            body_bytes_max=body_bytes_max,
        )

    return declare


def reply(value: Any, status: int = 200) -> Response:
    """A value as JSON that no cache keeps; None as no content."""
    headers = {"cache-control": "no-store"}
    if value is None:
        return Response(status_code=204, headers=headers)
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def routes(operations: Sequence[Operation]) -> list[Route]:
    """One route a path, so that a wrong method is told all the right ones."""
    by_path: dict[str, dict[str, Operation]] = {}
    for one in operations:
        methods = by_path.setdefault(one.path, {})
        if one.method in methods:
            raise ValueError(f"{one.method} {one.path} is declared twice")
        methods[one.method] = one
    return [Route(path, _dispatch(methods), methods=list(methods)) for path, methods in by_path.items()]


def _dispatch(methods: dict[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await methods["GET" if request.method == "HEAD" else request.method](request)

    return endpoint
