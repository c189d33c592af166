"""The socket's address, and the document that describes it."""

from __future__ import annotations

from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from engine.web.socket import serve_socket
from engine.web.sockets import Sockets

SOCKET_PATH = "/v1/socket"


def routes(sockets: Sockets) -> list[BaseRoute]:
    """What is reached by upgrade, and its AsyncAPI document."""
    described = resources.files("protocol").joinpath("asyncapi.json").read_bytes()

    async def asyncapi(request: Request) -> Response:
        return Response(described, media_type="application/json", headers={"access-control-allow-origin": "*"})

    async def socket(ws: WebSocket) -> None:
        await serve_socket(ws, sockets)

    return [WebSocketRoute(SOCKET_PATH, socket), Route("/asyncapi.json", asyncapi)]
