"""Who may open a socket: exact origin, known subprotocol, a ticket nobody has used. Before anything is accepted."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from redis.asyncio import Redis
from starlette.websockets import WebSocket

from engine.live import logins, tickets
from engine.live.tickets import Ticket
from protocol.codec import ENCODINGS, Encoding
from protocol.words import TICKET_PREFIX

BAD_REQUEST, UNAUTHORISED, FORBIDDEN = 400, 401, 403


class Denied(NamedTuple):
    """The upgrade is answered with this instead."""

    status: int
    code: str
    detail: str


class Granted(NamedTuple):
    """The upgrade may go on."""

    ticket: Ticket
    subprotocol: str
    encoding: Encoding


async def admit(ws: WebSocket, redis: Redis, origins: frozenset[str]) -> Granted | Denied:
    """Check an upgrade. A ticket that gets this far is used up, whatever comes of it."""
    if ws.scope["query_string"]:
        return Denied(BAD_REQUEST, "query_refused", "Nothing goes into the URL of a socket; tickets least of all.")
    offered: list[str] = ws.scope["subprotocols"]
    subprotocol = next((name for name in offered if name in ENCODINGS), None)
    opaque = next((name.removeprefix(TICKET_PREFIX) for name in offered if name.startswith(TICKET_PREFIX)), None)
    if subprotocol is None:
        return Denied(BAD_REQUEST, "unknown_subprotocol", f"Offer one of: {', '.join(ENCODINGS)}.")
    origin = ws.headers.get("origin", "")
    if origin and origin not in origins:
        return Denied(FORBIDDEN, "origin_refused", "This origin may not open sockets here.")
    ticket = await tickets.redeem(redis, opaque) if opaque else None
    if ticket is None:
        return Denied(UNAUTHORISED, "ticket_refused", "The ticket was used, is too old, or never was; get a new one.")
    if ticket.origin != origin:
        return Denied(FORBIDDEN, "origin_refused", "The ticket was given to another origin.")
    if await logins.ended(redis, UUID(ticket.login)):
        return Denied(UNAUTHORISED, "login_ended", "You signed out; sign in again.")
    return Granted(ticket, subprotocol, ENCODINGS[subprotocol])
