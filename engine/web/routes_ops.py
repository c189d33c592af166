"""For those who run it: alive, ready, metrics, the OpenAPI document; in development, the mailbox."""

from __future__ import annotations

import asyncio
import html
import ipaddress
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from hmac import compare_digest
from importlib import metadata
from typing import Literal
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from engine.identity.mail_development import Delivered, delivered
from engine.telemetry import log, render_metrics
from engine.web.openapi import document
from engine.web.operations import Operation, Unlimited, operation, reply
from engine.web.parts import Parts, parts_of
from engine.web.problems import Kind, Problem

READY_SECONDS = 2.0
GOOD_SECONDS = 1.0
"""A probe's result serves whoever asks within this time of its start: anybody may ask, as often as they like."""
NO_STORE = {"cache-control": "no-store"}


class Health(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["ok", "ready"]


ASKED_BY_MACHINES = Unlimited("A balancer or supervisor that was told 429 would take the node for a dead one.")


@operation("GET", "/healthz", out=Health, auth="none", limit=ASKED_BY_MACHINES, tag="operations")
async def health(request: Request) -> Health:
    """This process is alive. Says nothing of its services: a restart would not help them."""
    return Health(status="ok")


@operation("GET", "/readyz", out=Health, auth="none", limit=ASKED_BY_MACHINES, tag="operations")
async def readiness(request: Request) -> Health:
    """This node takes work: its services answer, and it does not drain."""
    if not parts_of(request).accepting():
        raise Problem(Kind.UNAVAILABLE, "This node is starting or draining.", retry_seconds=1)
    if not await _probe_of(request).ready():
        raise Problem(Kind.UNAVAILABLE, "Postgres or Redis does not answer.", retry_seconds=1)
    return Health(status="ready")


class Probe:
    """Asks the services of one node, once for all who want to know at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._started_at = parts, 0.0
        self._asking: asyncio.Task[bool] | None = None

    async def ready(self) -> bool:
        """Whether the services answered when they were last asked, `GOOD_SECONDS` ago at most or now."""
        asking, now = self._asking, time.monotonic()
        if asking is None or (asking.done() and now - self._started_at >= GOOD_SECONDS):
            asking = self._asking = asyncio.create_task(self._ask())
            self._started_at = now
        return await asyncio.shield(asking)  # one who goes away takes nobody's answer along

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(READY_SECONDS), asyncio.TaskGroup() as services:
                services.create_task(_postgres(self._parts))
                services.create_task(_redis(self._parts))
        except Exception as error:
            log.warning("not_ready", exc_info=error)
            return False
        return True


def _probe_of(request: Request) -> Probe:
    """The probe of the application that this request came to."""
    state = request.app.state
    if not hasattr(state, "probe"):
        state.probe = Probe(parts_of(request))
    probe: Probe = state.probe
    return probe


async def _postgres(parts: Parts) -> None:
    async with parts.engine.connect() as connection:
        await connection.execute(sa.text("SELECT 1"))


async def _redis(parts: Parts) -> None:
    await parts.redis.ping()


async def metrics(request: Request) -> Response:
    """For Prometheus: open in development; in production only to whoever shows the token, and else not there."""
    settings = parts_of(request).settings
    shown, token = request.headers.get("authorization", ""), settings.metrics_token
    open_to_all = not token and not settings.production
    if not open_to_all and not (token and compare_digest(shown.encode(), f"Bearer {token}".encode())):
        raise Problem(Kind.NOT_FOUND)
    body, media_type = render_metrics(parts_of(request).metrics)
    return Response(body, headers=NO_STORE, media_type=media_type)


OPERATIONS = (health, readiness)


def routes(parts: Parts, operations: Sequence[Operation]) -> list[BaseRoute]:
    """Routes that are no operations: documents, metrics, and the mailbox outside production."""
    described = msgspec.json.encode(document(operations, parts.settings.base_url, metadata.version("interview-engine")))

    async def openapi(request: Request) -> Response:
        return Response(described, media_type="application/json", headers={"access-control-allow-origin": "*"})

    found: list[BaseRoute] = [Route("/openapi.json", openapi), Route("/metrics", metrics)]
    if not parts.settings.production:
        found += [
            Route("/dev/mailbox", mailbox_page),
            Route("/dev/mailbox.json", mailbox_json),
            Route("/dev/mailbox.css", mailbox_style),
        ]
    return found


async def mailbox_json(request: Request) -> Response:
    return reply(await _mails(request))


async def mailbox_page(request: Request) -> Response:
    """The mails of development as a page that looks again by itself. No script, so nothing to get wrong."""
    mails = "".join(_as_article(mail) for mail in await _mails(request)) or "<p>No mail yet.</p>"
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Development mailbox</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="refresh" content="3"><link rel="stylesheet" href="/dev/mailbox.css"></head>'
        "<body><main><h1>Development mailbox</h1><p>Mail this engine would have sent, newest first. "
        f"Production has no such page.</p>{mails}</main></body></html>"
    )
    return Response(page, media_type="text/html", headers=NO_STORE)


async def mailbox_style(request: Request) -> Response:
    return Response(STYLE, media_type="text/css")


async def _mails(request: Request) -> list[Delivered]:
    """The mails, for whoever names this machine as we do or by its address: any other name may be a stranger's
    that points here, so that a page of theirs could read the codes."""
    host, own = request.url.hostname or "", urlsplit(parts_of(request).settings.base_url).hostname
    if host not in (own, "localhost") and not _is_address(host):
        raise Problem(Kind.NOT_FOUND)
    return await delivered(parts_of(request).redis)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _as_article(mail: Delivered) -> str:
    at = datetime.fromtimestamp(mail.at / 1000, UTC).strftime("%H:%M:%S UTC")
    return (
        f"<article><h2>{html.escape(mail.subject)}</h2><p>to <b>{html.escape(mail.to)}</b>, {at}</p>"
        f"<pre>{html.escape(mail.text)}</pre></article>"
    )


STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 42rem; margin: 2rem auto; padding: 0 1rem; }
article { border: 1px solid #8886; border-radius: .5rem; padding: .5rem 1rem; margin: 1rem 0; }
h2 { font-size: 1.2rem; margin: .25rem 0; }
pre { white-space: pre-wrap; margin: .5rem 0; }
"""
