"""The two cookies: one that knows the browser again, one that keeps it signed in. Scripts read neither."""

from __future__ import annotations

import re
import secrets

from starlette.requests import Request
from starlette.responses import Response

from engine.web.parts import parts_of

BROWSER, REFRESH = "otp_browser", "refresh"
ABOUT = {
    BROWSER: "Knows the browser that asked for a code or a nonce, which count in it alone.",
    REFRESH: "The refresh token of a browser that is signed in.",
}
BROWSER_TTL_SECONDS = 180 * 86_400
BROWSER_BYTES = 24
BROWSER_SHAPE = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)
REFRESH_PATH = "/v1/auth"


def browser_of(request: Request) -> str:
    """What this browser was given before; empty when it has nothing of ours."""
    value = request.cookies.get(_name(request, BROWSER), "")
    return value if BROWSER_SHAPE.fullmatch(value) else ""


def new_browser() -> str:
    """A fresh value for a browser: 192 random bits."""
    return secrets.token_urlsafe(BROWSER_BYTES)


def keep_browser(request: Request, response: Response, browser: str) -> None:
    """Let the browser be known again. Lax, so that it also counts on the way back from a mail."""
    response.set_cookie(
        _name(request, BROWSER), browser, BROWSER_TTL_SECONDS, path="/", secure=_https(request),
        httponly=True, samesite="lax",
    )  # fmt: skip


def refresh_of(request: Request) -> str | None:
    """The refresh token in the cookie."""
    return request.cookies.get(_name(request, REFRESH)) or None


def keep_refresh(request: Request, response: Response, token: str, ttl_seconds: int) -> None:
    """Keep the browser signed in."""
    response.set_cookie(
        _name(request, REFRESH), token, ttl_seconds, path=_refresh_path(request), secure=_https(request),
        httponly=True, samesite="strict",
    )  # fmt: skip


def drop_refresh(request: Request, response: Response) -> None:
    """Forget that the browser was signed in."""
    response.delete_cookie(
        _name(request, REFRESH), path=_refresh_path(request), secure=_https(request), httponly=True, samesite="strict"
    )


def named(name: str, https: bool) -> str:
    """A cookie's name. `__Host-` keeps other hosts and plain HTTP from setting it; it is allowed with HTTPS only."""
    return f"__Host-{name}" if https else name


def _https(request: Request) -> bool:
    return parts_of(request).settings.base_url.startswith("https://")


def _name(request: Request, name: str) -> str:
    return named(name, _https(request))


def _refresh_path(request: Request) -> str:
    return "/" if _https(request) else REFRESH_PATH  # `__Host-` demands the root
