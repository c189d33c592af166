"""One REST operation: how it is reached, what it takes and gives, and the guards before it.

`@operation` turns a handler into a value from which both the routes and the OpenAPI document are made, so that
neither can forget the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.identity.refused import SignInRefused
from engine.identity.tokens import Access
from engine.live.limits import Limit, network, take
from engine.telemetry import log
from engine.web import cookies
from engine.web.auth import address_of, check_origin, current_user, login_shown, optional_user
from engine.web.bodies import BODY_BYTES_MAX, announced, read_body, read_query
from engine.web.parts import parts_of
from engine.web.problems import Failure, Kind, Problem

Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]
Auth = Literal["none", "optional", "required"]
Handler = Callable[..., Awaitable[Any]]
"""Takes the request, then the body or the query where one is declared. Gives the `out` value, None for 204, or a
Response where headers or cookies belong to the answer."""

USUAL_COUNT, USUAL_SECONDS = 300, 60
"""What an operation allows that names no limit of its own: five a second, which no page comes near."""
NETWORK_FACTOR = 5
"""A whole network may do what five of its addresses may: an office has one, and so has whoever rents a rack."""


class Unlimited(NamedTuple):
    """An operation that is never refused for being called too often, and why that is right."""

    reason: str


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
    errors: tuple[Failure, ...]
    auth: Auth
    limit: Limit | Unlimited
    media_type: str
    body_bytes_max: int
    reads_cookies: tuple[str, ...]
    sets_cookies: tuple[str, ...]
    headers: dict[str, dict[str, Any]]
    """Request headers it looks at, as OpenAPI describes a parameter."""

    @property
    def name(self) -> str:
        """The operation's id: its handler's name."""
        return self.handler.__name__

    async def __call__(self, request: Request) -> Response:
        """Guards, then the handler, then the answer."""
        check_origin(request)
        await self._admit(request)
        given: list[Any] = []
        if self.body is not None:
            given.append(await read_body(request, self.body, self.body_bytes_max))
        if self.query is not None:
            given.append(read_query(request, self.query))
        answer = await self.handler(request, *given)
        return answer if isinstance(answer, Response) else reply(answer, self.status)

    async def _admit(self, request: Request) -> None:
        """Who it is, and how often. Whoever fails to say who they are is counted as a stranger. Raises Problem."""
        refused: Exception | None = None
        user: Access | None = None
        try:
            user = await _GUARDS[self.auth](request)
        except (Problem, SignInRefused) as error:
            refused = error
        if isinstance(self.limit, Limit):
            login = login_shown(request) if cookies.REFRESH in self.reads_cookies else None
            cost = self.limit.cost(announced(request, self.body_bytes_max))
            await _count(request, self.limit, user, login, cost)
        if refused is not None:
            raise refused


async def _count(request: Request, limit: Limit, user: Access | None, login: UUID | None, cost: int) -> None:
    """Take `cost` from what the user may do, or their login, or a stranger's address and its network.

    Raises Problem TOO_MANY. Who shows a login's cookie is no stranger: no neighbour can use up what is theirs.
    """
    if user is not None:
        wanted = [(limit, f"user:{user.user}")]
    elif login is not None:
        wanted = [(limit, f"login:{login}")]
    else:
        address = address_of(request)
        of_network = Limit(f"{limit.name}:network", limit.count * NETWORK_FACTOR, limit.window_seconds)
        wanted = [(limit, address), (of_network, network(address))]
    taken = await take(parts_of(request).redis, wanted, cost)
    if taken.limit is not None:
        log.warning("request_limited", kind=taken.limit.name, user=str(user.user) if user else None)
        raise Problem(Kind.TOO_MANY, retry_seconds=taken.wait_seconds)


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
    errors: Sequence[Failure] = (),
    auth: Auth = "required",
    limit: Limit | Unlimited | None = None,
    tag: str = "",
    media_type: str = "application/json",
    body_bytes_max: int = BODY_BYTES_MAX,
    reads_cookies: Sequence[str] = (),
    sets_cookies: Sequence[str] = (),
    headers: dict[str, dict[str, Any]] | None = None,
) -> Callable[[Handler], Operation]:
    """Declare a handler as an operation. Its docstring is the summary (first line) and the description.

    Without a `limit` it has the usual one; to have none takes a reason.
    """

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
            limit=limit or Limit(f"rest:{handler.__name__}", USUAL_COUNT, USUAL_SECONDS),
            media_type=media_type,
            body_bytes_max=body_bytes_max,
            reads_cookies=tuple(reads_cookies),
            sets_cookies=tuple(sets_cookies),
            headers=headers or {},
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
