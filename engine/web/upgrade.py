"""Who may open a socket: exact origin, known subprotocol, a ticket nobody has used. Before anything is accepted."""

from __future__ import annotations

from typing import NamedTuple

from redis.exceptions import RedisError
from starlette.websockets import WebSocket

from engine.failpoints import failpoint
from engine.live import logins, tickets
from engine.live.limits import Limit, network, take
from engine.live.line import Ask
from engine.live.store import Live
from engine.live.tickets import Ticket
from engine.settings import Settings
from engine.telemetry import log
from engine.web.auth import address_of
from protocol.codec import ENCODINGS, Encoding
from protocol.words import TICKET_PREFIX

BAD_REQUEST, UNAUTHORISED, FORBIDDEN, TOO_MANY, UNAVAILABLE = 400, 401, 403, 429, 503
AWAY_SECONDS = 1

REFUSALS = Limit("upgrade:client", 60, 60)
REFUSALS_OF_NETWORK = Limit("upgrade:network", 300, 60)
"""Only attempts that fail are counted: an office that comes back all at once after a restart does no harm."""


INSECURE = (
    "Sockets are opened by wss:// here. A proxy that ends TLS must say so by X-Forwarded-Proto, and be one of "
    "ENGINE_TRUSTED_PROXIES."
)


class Denied(NamedTuple):
    """The upgrade is answered with this instead."""

    status: int
    code: str
    detail: str
    retry_seconds: int = 0


class Granted(NamedTuple):
    """The upgrade may go on."""

    ticket: Ticket
    subprotocol: str
    encoding: Encoding


async def admit(ws: WebSocket, live: Live, settings: Settings) -> Granted | Denied:
    """Check an upgrade. A ticket that gets this far is used up, whatever comes of it."""
    try:
        return await _admit(ws, live, settings)
    except (RedisError, OSError) as error:
        log.warning("socket_without_live", error=type(error).__name__)
        return Denied(
            UNAVAILABLE, "unavailable", "The engine cannot look at tickets now; come back soon.", AWAY_SECONDS
        )


async def _admit(ws: WebSocket, live: Live, settings: Settings) -> Granted | Denied:
    checked = await _check(ws, live.ask, settings)
    if isinstance(checked, Granted):
        return checked
    address = address_of(ws)
    taken = await take(live.redis, [(REFUSALS, address), (REFUSALS_OF_NETWORK, network(address))])
    if taken.limit is None:
        return checked
    return Denied(TOO_MANY, "too_many", "Too many attempts; wait a little.", taken.wait_seconds)


async def _check(ws: WebSocket, ask: Ask, settings: Settings) -> Granted | Denied:
    if ws.scope["query_string"]:
        return Denied(BAD_REQUEST, "query_refused", "Nothing goes into the URL of a socket; tickets least of all.")
    if settings.base_url.startswith("https://") and ws.scope["scheme"] != "wss":
        return Denied(FORBIDDEN, "insecure", INSECURE)
    offered: list[str] = ws.scope["subprotocols"]
    subprotocol = next((name for name in offered if name in ENCODINGS), None)
    opaque = next((name.removeprefix(TICKET_PREFIX) for name in offered if name.startswith(TICKET_PREFIX)), None)
    if subprotocol is None:
        return Denied(BAD_REQUEST, "unknown_subprotocol", f"Offer one of: {', '.join(ENCODINGS)}.")
    origin = ws.headers.get("origin", "")
    if origin and origin not in settings.origins:
        return Denied(FORBIDDEN, "origin_refused", "This origin may not open sockets here.")
    ticket = await tickets.redeem(ask, opaque) if opaque else None
    if ticket is None:
        return Denied(UNAUTHORISED, "ticket_refused", "The ticket was used, is too old, or never was; get a new one.")
    failpoint("ticket")
    if ticket.origin != origin:
        return Denied(FORBIDDEN, "origin_refused", "The ticket was given to another origin.")
    if await logins.ended(ask, ticket.login):
        return Denied(UNAUTHORISED, "login_ended", "You signed out; sign in again.")
    return Granted(ticket, subprotocol, ENCODINGS[subprotocol])
