"""One process that listens: the socket, the loop, the web server, and an end that is clean or at least quick."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import math
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from engine.cli import Told
from engine.settings import Settings
from engine.telemetry import log

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send

BACKLOG = 2048
SEND_BUFFER_BYTES = 262_144
"""What the system keeps for a client that does not read. Without it, it is up to 4 MiB for each."""
TCP_USER_TIMEOUT_MS = 30_000
"""A peer that acknowledges nothing for this long is gone; without it, the descriptors of the dead pile up."""

DESCRIPTORS = 65_536
"""Each connection takes one, and many systems give a process 1,024 unless it asks for more."""

GARBAGE_AFTER = (50_000, 20, 20)
"""Of Python's collector of cycles, per generation. Its own (700, 10, 10) looks through all that a node holds again and
again: measured, a fifth of a save's CPU, and a p99 of 210 ms instead of 40."""

END_SECONDS = 2.0
"""How long requests may still take when the sockets have been let go."""


def listen(settings: Settings) -> socket.socket:
    """The listening socket, taken before anything is started. Raises Told when it cannot be had."""
    host, port = settings.host, settings.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except socket.gaierror:
        raise Told(f"{host} is not an address of this machine (ENGINE_HOST).") from None
    except OSError as error:
        raise Told(_why_not(error, host, port)) from None
    ask_for_descriptors()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # connections inherit these
    # asyncio's own loop does not see that these sockets are TCP, and an answer's body would wait 40 ms for its head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)
    return listening


def ask_for_descriptors() -> None:
    """As many as the system lets this process have, to `DESCRIPTORS`."""
    try:
        import resource
    except ImportError:  # not on this system
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _why_not(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"Port {port} of {host} is in use, perhaps by another `engine up`. Stop that program, or choose "
                f"another port: --port {port + 1} (or ENGINE_PORT={port + 1})."
            )
        case errno.EACCES | errno.EPERM:
            return f"This user may not listen on port {port}. Choose one above 1023: --port 8000 (or ENGINE_PORT)."
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine (ENGINE_HOST)."
        case _:
            return f"Cannot listen on {host}:{port}: {error.strerror}."


def run(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run `main(stop)` on uvloop; `stop` is set by Ctrl-C, SIGTERM and a closed terminal. A second one ends all."""
    from engine.live.store import ForeignRecord

    gc.freeze()  # what is imported stays
    gc.set_threshold(*GARBAGE_AFTER)
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        try:
            runner.run(_until_signalled(main))
        except ForeignRecord as error:
            raise Told(str(error)) from None


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not made for this system
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _until_signalled(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def signalled(number: signal.Signals) -> None:
        if stop.is_set() and task:
            task.cancel()
        log.info("stopping", signal=number.name)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # started by nohup, which means it
        loop.add_signal_handler(number, signalled, number)
    await main(stop)


async def serve(app: Starlette, settings: Settings, listening: socket.socket, stop: asyncio.Event) -> None:
    """Serve `app` until `stop`; then `app.state.drain()`, where there is one, tells the clients and lets them go."""
    failures: list[BaseException] = []
    server = _server(_noting(app, failures), settings, failures)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if failures:
            raise failures[0]
        if not serving.done():
            await _drain(app, server, settings)
    finally:
        stopped.cancel()
        server.should_exit = True
        await serving


async def _drain(app: Starlette, server: uvicorn.Server, settings: Settings) -> None:
    for open_socket in getattr(server, "servers", ()):  # none while it starts
        open_socket.close()  # no new ones: a client that comes back goes to another node
    drain = getattr(app.state, "drain", None)
    if drain is None:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(settings.drain_seconds):
            await drain()


def _server(
    app: Callable[[Scope, Receive, Send], Awaitable[None]], settings: Settings, failures: list[BaseException]
) -> uvicorn.Server:
    import uvicorn

    from engine.web.wire import Wire
    from protocol.words import FRAME_BYTES_MAX

    class Server(uvicorn.Server):
        """Leaves signals to `run`, which has more to stop than this, and tells why it could not start."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            try:
                await super().startup(sockets)
            except SystemExit:
                raise failures[0] if failures else RuntimeError("the server did not start") from None

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield

    config = uvicorn.Config(
        app,
        loop="none",
        lifespan="on",
        http=_http(),
        ws=Wire,
        ws_max_size=FRAME_BYTES_MAX,
        ws_per_message_deflate=False,  # its memory a socket, and its leak of secrets by length
        ws_ping_interval=None,  # the protocol's own heartbeats tell more
        ws_ping_timeout=None,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=max(1, math.ceil(min(settings.drain_seconds, END_SECONDS))),
    )
    return Server(config)


def _http() -> Any:
    """What speaks HTTP: with bounds of our own where httptools is there; h11, which has its own, elsewhere."""
    try:
        from engine.web.head import Head
    except ImportError:
        return "h11"
    return Head


def _noting(app: Starlette, failures: list[BaseException]) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The same app; what goes wrong while it starts is kept, for uvicorn would only print it."""

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except BaseException as error:
            if scope["type"] == "lifespan":
                failures.append(error)
            raise

    return noting
