"""All sockets of this node: what each needs, how many there are, and how they leave."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from starlette.websockets import WebSocket

from engine.conductor import Conductor
from engine.failpoints import failpoint
from engine.live import logins
from engine.live.fanout import Fanout
from engine.settings import Settings
from engine.telemetry import Metrics, log
from engine.web.problems import Kind, Meaning, Problem, answer
from engine.web.upgrade import Denied
from protocol.codes import Close
from protocol.messages import Drain, DrainBody

if TYPE_CHECKING:
    from engine.web.socket import Socket

MOVING_MAX = 48
"""Clients on their way to other nodes at a time: enough to keep those busy, few enough to be let in at once."""
BATCH_SECONDS = 0.1
MOVE_SECONDS, STRAGGLER_SECONDS = 3.0, 1.0
"""What the last to be told have to find a place, and what it takes to close who is still here."""
SOCKETS_PER_USER_MAX = 5
"""On one node. A person has a tab or two; what is forgotten in the background must not add up."""


class Sockets:
    """What every socket of this process shares."""

    def __init__(self, settings: Settings, conductor: Conductor, fanout: Fanout, metrics: Metrics) -> None:
        self.settings, self.conductor, self.fanout, self.metrics = settings, conductor, fanout, metrics
        self.draining = False
        self._open: set[Socket] = set()
        self._of_user: dict[str, dict[Socket, None]] = {}
        """Each user's, the oldest first."""
        self._none_left = asyncio.Event()
        fanout.login_ended, fanout.logins_unheard = self.end_login, self.end_unheard

    def end_login(self, login: str) -> None:
        """Close the sockets of a login that was ended."""
        for socket in tuple(self._open):
            if socket.login == login:
                socket.end(Close.FORBIDDEN, "signed out")

    async def end_unheard(self) -> None:
        """Close the sockets of logins that were ended while this node could not hear of it."""
        for socket in tuple(self._open):
            await self.end_if_over(socket)

    async def end_if_over(self, socket: Socket) -> None:
        """Close a socket whose login was ended, whether or not this node heard of it."""
        if await logins.ended(self.conductor.live.ask, socket.login):
            socket.end(Close.FORBIDDEN, "signed out")

    async def deny(self, ws: WebSocket, denied: Denied) -> None:
        """Answer the upgrade with HTTP instead."""
        request_id = uuid4().hex
        log.info("socket_denied", code=denied.code, request_id=request_id)
        problem = Problem(Kind.BAD_REQUEST, denied.detail, retry_seconds=denied.retry_seconds or None)
        problem.meaning = Meaning(denied.code, denied.status, "The socket was refused.")
        response = answer(problem, request_id)
        response.headers.update({"x-request-id": request_id, "x-content-type-options": "nosniff"})
        await ws.send_denial_response(response)

    def enter(self, socket: Socket) -> None:
        """Count a socket that was opened. For one too many of a user's, the oldest goes."""
        self._open.add(socket)
        own = self._of_user.setdefault(socket.user, {})
        own[socket] = None
        for oldest in list(own)[:-SOCKETS_PER_USER_MAX]:
            oldest.end(Close.REPLACED_BY_USER, "too many sockets")
        self._none_left.clear()
        self.metrics.sockets_open.inc()

    def leave(self, socket: Socket) -> None:
        """It is closed."""
        self._open.discard(socket)
        own = self._of_user[socket.user]
        del own[socket]
        if not own:
            del self._of_user[socket.user]
        self.metrics.sockets_open.dec()
        if not self._open:
            self._none_left.set()

    async def drain(self, seconds: float) -> None:
        """Ask every client to go elsewhere, as fast as they find a place, and close who is still here in the end."""
        self.draining = True
        failpoint("draining")
        log.info("draining", sockets=len(self._open))
        last_seconds = min(STRAGGLER_SECONDS, seconds / 4)
        ends = time.monotonic() + seconds - last_seconds
        all_told = ends - min(MOVE_SECONDS, seconds / 4)
        told: set[Socket] = set()
        while time.monotonic() < ends and (untold := self._open - told):
            told &= self._open
            left_seconds = max(BATCH_SECONDS, all_told - time.monotonic())
            # At least so many that all are told in time: some may never go, or the others be slow to take them.
            count = max(MOVING_MAX - len(told), math.ceil(len(untold) * BATCH_SECONDS / left_seconds))
            for socket in itertools.islice(untold, count):
                socket.tell(Drain(d=DrainBody(in_ms=round(random.uniform(0, BATCH_SECONDS * 1000)))))
                told.add(socket)
            await self._empty(BATCH_SECONDS)
        failpoint("drained")
        await self._empty(ends - time.monotonic())
        for socket in tuple(self._open):
            socket.end(Close.DRAIN, "draining")
        await self._empty(last_seconds)

    async def _empty(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                if self._open:
                    await self._none_left.wait()
        except TimeoutError:
            return
