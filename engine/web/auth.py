"""Who makes a request: the access token, the origin, and when a cookie may count."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import HTTPConnection, Request

from engine.identity.logins import Client
from engine.identity.tokens import Access
from engine.telemetry import log
from engine.web import cookies
from engine.web.parts import parts_of
from engine.web.problems import Kind, Problem

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
AGENT_CHARS_MAX = 300


async def current_user(request: Request) -> Access:
    """Who is signed in: user, login, and until when. Raises Problem 401."""
    access = await optional_user(request)
    if access is None:
        raise Problem(Kind.SIGNED_OUT, "Send `Authorization: Bearer <access token>`.")
    return access


async def optional_user(request: Request) -> Access | None:
    """Who is signed in; None without a token. A token that is not good is refused, not ignored."""
    if not hasattr(request.state, "access"):
        token = _bearer(request)
        request.state.access = None if token is None else await parts_of(request).logins.who(token)
    access: Access | None = request.state.access
    return access


def login_shown(request: Request) -> UUID | None:
    """The login whose refresh cookie this is, good or used; None for one that was made up. It lets nobody in."""
    token = cookies.refresh_of(request)
    return parts_of(request).logins.login_of(token) if token else None


def _bearer(request: Request) -> str | None:
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Problem(Kind.SIGNED_OUT, "Send `Authorization: Bearer <access token>`.")
    return token


def address_of(connection: HTTPConnection) -> str:
    """The client's address. Behind trusted proxies the server has already put the forwarded one in its place."""
    return connection.client.host if connection.client else ""


def client_of(request: Request, browser: str) -> Client:
    """Who asks, as far as the connection tells."""
    agent = request.headers.get("user-agent", "")[:AGENT_CHARS_MAX]
    return Client(browser=browser, address=address_of(request), agent=agent)


def check_origin(request: Request) -> None:
    """Refuse a page of another origin that wants to change something. Programs send no origin."""
    origin = request.headers.get("origin")
    if request.method not in SAFE and origin is not None and origin not in parts_of(request).settings.origins:
        raise _origin_refused()


def check_cookie_may_count(request: Request) -> None:
    """Refuse a cookie that a browser may have sent for another site's page.

    `check_origin` has seen the origin, where there is one; a browser that sends none says by Sec-Fetch-Site
    whose page it is.
    """
    site = request.headers.get("sec-fetch-site")
    if request.headers.get("origin") is None and site not in (None, "same-origin", "none"):
        raise _origin_refused()


def _origin_refused() -> Problem:
    log.warning("access_denied", reason="origin")
    return Problem(Kind.ORIGIN_REFUSED)
