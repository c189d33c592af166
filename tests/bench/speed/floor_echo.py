"""F0: uvicorn and Starlette send back the bytes that came. What sockets alone cost.

python -m tests.bench.speed.floor_echo [--deflate] PORT
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

PATH = "/v1/socket"
BACKLOG = 4_096


async def echo(ws: WebSocket) -> None:
    await ws.accept(subprotocol=ws.scope["subprotocols"][0])
    try:
        while True:
            await ws.send_text(await ws.receive_text())
    except WebSocketDisconnect:
        return


def serve(
    socket: Callable[[WebSocket], Awaitable[None]],
    lifespan: Callable[[Any], AbstractAsyncContextManager[None]] | None = None,
) -> None:
    """Serve one socket handler on the port of the command line, as uvicorn's documentation says."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    app = Starlette(routes=[WebSocketRoute(PATH, socket)], lifespan=lifespan)
    uvicorn.run(
        app,
        port=int(sys.argv[-1]),
        loop="uvloop",
        http="httptools",
        ws_per_message_deflate="--deflate" in sys.argv,  # off unless asked for: it would cost the floor 40 KB a socket
        backlog=BACKLOG,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    serve(echo)
