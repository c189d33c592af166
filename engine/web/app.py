"""The ASGI application: routes from operations, and an envelope around every answer."""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from engine.settings import Settings
from engine.telemetry import Metrics, bound_contextvars, log
from engine.web import operations as ops
from engine.web.operations import Operation
from engine.web.parts import Parts, parts_of
from engine.web.problems import answer

__all__ = ["PAGE", "Parts", "create_app", "parts_of"]

PAGE = Path(__file__).resolve().parents[2] / "clients" / "js-example"
"""The example page, beside the engine in a checkout and in a wheel alike."""
PREFLIGHT_SECONDS = 600
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml",
         ".webmanifest": "application/manifest+json", ".woff2": "font/woff2"}  # fmt: skip
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
GOOGLE = "https://accounts.google.com"


def create_app(
    parts: Parts,
    operations: Sequence[Operation],
    routes: Sequence[BaseRoute] = (),
    *,
    upgrades: ASGIApp | None = None,
    lifespan: Lifespan[Starlette] | None = None,
    page: Path = PAGE,
) -> Starlette:
    """The application. `routes` are what is no operation: documents. The page comes last.

    `upgrades` answers who asks for a socket, and stands before all that is for HTTP.
    """
    settings = parts.settings
    cors = Middleware(
        CORSMiddleware,
        allow_origins=sorted(settings.origins),
        allow_credentials=True,
        allow_methods=METHODS,
        allow_headers=["authorization", "content-type", "idempotency-key"],
        expose_headers=["retry-after", "x-request-id"],
        max_age=PREFLIGHT_SECONDS,
    )
    app = Starlette(
        routes=[*routes, *ops.routes(operations)],
        middleware=[Middleware(Envelope, upgrades or WebSocketClose(), settings, parts.metrics), cors],
        exception_handlers={HTTPException: _http_problem},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    # Not a route: a route that takes every path would hide that a path is known by another method.
    app.router.default = Page(page)
    app.state.parts = parts
    return app


async def _http_problem(request: Request, error: Exception) -> Response:
    return answer(error, request.state.request_id)


class Page:
    """The example page's files, where no route takes the path."""

    def __init__(self, folder: Path) -> None:
        for suffix, media_type in TYPES.items():  # the machine's own table may say otherwise, or nothing
            mimetypes.add_type(media_type, suffix)
        self._files = StaticFiles(directory=folder, html=True) if folder.is_dir() else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._files is None or scope["method"] not in ("GET", "HEAD") or scope["path"].startswith("/v1/"):
            raise HTTPException(404)
        # No ranges: of files this small a hundred pieces would be larger than the whole.
        headers = [header for header in scope["headers"] if header[0] != b"range"]
        await self._files({**scope, "headers": headers}, receive, send)


def security_headers(settings: Settings) -> dict[str, str]:
    """Headers of every answer. Only what the page needs is allowed; Google's button only where it is in use."""
    google = bool(settings.google_client_id)
    policy = {
        "default-src": ["'self'"],
        "script-src": ["'self'", f"{GOOGLE}/gsi/client"] if google else ["'self'"],
        "style-src": ["'self'", f"{GOOGLE}/gsi/style"] if google else ["'self'"],
        "frame-src": [f"{GOOGLE}/gsi/"] if google else ["'none'"],
        "connect-src": ["'self'", *_sockets(settings), *([f"{GOOGLE}/gsi/"] if google else [])],
        "img-src": ["'self'", "data:", "https:"],  # avatars are where their owners keep them
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
    headers = {
        "content-security-policy": "; ".join(f"{name} {' '.join(of)}" for name, of in policy.items()),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin-allow-popups" if google else "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
    }
    if settings.base_url.startswith("https://"):
        headers["strict-transport-security"] = "max-age=31536000"
    return headers


def _sockets(settings: Settings) -> list[str]:
    """The page's own origins as browsers name them for sockets: older ones do not count them to 'self'."""
    return sorted(origin.replace("http", "ws", 1) for origin in settings.origins)


class Envelope:
    """Around every HTTP answer: a request id, security headers, a metric, a log line, and a problem for errors."""

    def __init__(self, app: ASGIApp, upgrades: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._upgrades, self._metrics = app, upgrades, metrics
        self._headers = security_headers(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            app = self._upgrades if scope["type"] == "websocket" else self._app
            await app(scope, receive, send)
            return
        request_id, started = uuid4().hex, time.monotonic()
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def enveloped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        with bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, enveloped)
            except Exception as error:
                if status:  # half an answer is out: the server ends the connection
                    raise
                await answer(error, request_id)(scope, receive, enveloped)
            self._count(scope, status, time.monotonic() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = _route_of(scope)
        method = scope["method"] if scope["method"] in (*METHODS, "HEAD", "OPTIONS") else "other"
        self._metrics.http_requests.labels(method, route, str(status)).inc()
        self._metrics.http_seconds.labels(route).observe(seconds)
        if status >= 500:
            log.warning("request_answered", method=method, route=route, status=status)


def _route_of(scope: Scope) -> str:
    """The route as it is declared: never a path, which holds ids and whatever a stranger types."""
    route = scope.get("route")
    return str(getattr(route, "path", "")) or "page"
