"""The socket's address, and the document that describes it."""

from __future__ import annotations

from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketClose

from engine.telemetry import bind_contextvars
from engine.web.socket import Socket
from engine.web.sockets import Sockets
from engine.web.upgrade import Denied, admit

SOCKET_PATH = "/v1/socket"


def upgrades(sockets: Sockets) -> ASGIApp:
    """What answers every upgrade."""

    async def upgrade(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == SOCKET_PATH:
            await _serve(WebSocket(scope, receive, send), sockets)
        else:
            await WebSocketClose()(scope, receive, send)

    return upgrade


async def _serve(ws: WebSocket, sockets: Sockets) -> None:
    """One connection, from the upgrade to the end. A denied upgrade is an HTTP answer."""
    admitted = await admit(ws, sockets.conductor.live, sockets.settings)
    if isinstance(admitted, Denied):
        await sockets.deny(ws, admitted)
        return
    await ws.accept(subprotocol=admitted.subprotocol)
    socket = Socket(ws, sockets, admitted)
    bind_contextvars(connection=socket.id, interview=admitted.ticket.interview)  # of this task, which ends with it
    sockets.enter(socket)
    try:
        await socket.run()
    finally:
        sockets.leave(socket)


def document() -> Route:
    """The AsyncAPI document."""
    described = resources.files("protocol").joinpath("asyncapi.json").read_bytes()

    async def asyncapi(request: Request) -> Response:
        return Response(described, media_type="application/json", headers={"access-control-allow-origin": "*"})

    return Route("/asyncapi.json", asyncapi)
