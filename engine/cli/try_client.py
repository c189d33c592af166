"""A client of one interview, as clients should be: sockets come and go under it, nothing it said or heard is lost."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from engine.cli.try_rest import Refused, Rest, is_loopback
from engine.core.draft import Draft
from engine.core.interview import Interview, evolve
from protocol import codec
from protocol import messages as m
from protocol.codes import Close, comes_back
from protocol.views import Snapshot
from protocol.words import PROTOCOL_VERSION, TICKET_PREFIX, Cursor, Fence

OPEN_SECONDS = 10.0
CLOSE_SECONDS = 1.0
WELCOME_SECONDS = 10.0
GIVE_UP_SECONDS = 60.0
"""Without any welcome for this long, it is not a matter of one node or of a moment."""
RECONNECT = m.Reconnect(min_ms=200, max_ms=5_000, jitter=1.0)
"""Until a welcome says otherwise."""
RESUMES_MAX = 3
"""After so many in a row that came to nothing, begin again without a cursor."""
LOST = 1006
ASKED_TO_GO = 1000
"""We closed the socket, because the node drains or to take the pen: nothing is wrong, so no pause."""
ID_BYTES = 13

Heard = Callable[[m.ToClient, bytes], None]


class Stopped(Exception):
    """The engine does not want this client back, or cannot be reached."""


class Client:
    """One tab. `run()` keeps it connected; `do()` sends a command until it is answered; `view` is the interview."""

    def __init__(self, rest: Rest, interview: str, heard: Heard) -> None:
        self._rest, self._interview, self._heard = rest, interview, heard
        self.view: Interview | None = None
        self.role: str = "writer"
        self.narrative = ""
        self._tab = secrets.token_hex(8)
        self._epoch: int | None = None
        self._fence: Fence | None = None
        self._take = False
        self._pending: dict[str, tuple[m.Command, asyncio.Future[m.Ack | m.Refusal]]] = {}
        self._ws: ClientConnection | None = None
        """Open, welcomed and up to date."""
        self._welcomed = False
        self._leaving: asyncio.Task[None] | None = None
        self._reconnect, self._silence_seconds = RECONNECT, OPEN_SECONDS
        self._ahead_ms = 0.0
        """How far the engine's clock is ahead of ours."""
        self._changed = asyncio.Event()

    # --- what a person does ---

    async def do(self, command: Callable[[str], m.Command]) -> m.Ack | m.Refusal:
        """Send the command made for a fresh id, again on every new socket, until it is answered."""
        frame = command(secrets.token_hex(ID_BYTES))
        while True:
            future: asyncio.Future[m.Ack | m.Refusal] = asyncio.get_running_loop().create_future()
            self._pending[frame.id] = (frame, future)
            await self._send(frame)
            reply = await future
            if isinstance(reply, m.Ack) or not reply.temp:
                return reply
            await asyncio.sleep((reply.retry_ms or RECONNECT.min_ms) / 1000)

    async def take_pen(self) -> None:
        """Come in anew and take the pen from whoever has it."""
        self._take, self.role = True, "coming"
        if self._ws is not None:
            self._leaving = asyncio.create_task(_leave(self._ws, 0))
        await self.until(lambda: self.role in ("writer", "observer"))

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for a frame after which `condition()` holds."""
        while not condition():
            changed = self._changed
            await changed.wait()

    @property
    def ready(self) -> bool:
        """Connected, and told all that was missed."""
        return self._ws is not None

    @property
    def seconds_left(self) -> float:
        """Until the phase ends, by the engine's clock."""
        if self.view is None:
            return 0.0
        return (self.view.deadline_at - self._ahead_ms) / 1000 - time.time()

    # --- the connection ---

    async def run(self) -> None:
        """Connect, and again, until cancelled. Raises Stopped."""
        tries, heard_at = 0, time.monotonic()
        while True:
            code = await self._one_socket()
            if self._welcomed:
                tries, heard_at = 0, time.monotonic()
            else:
                tries += 1
            if not comes_back(code):
                raise Stopped(f"the engine closed the socket: {_name(code)}")
            if time.monotonic() - heard_at > GIVE_UP_SECONDS:
                raise Stopped("the engine could not be reached")
            if code == Close.STATE_RESET or tries >= RESUMES_MAX:
                self._epoch = self._fence = None
            if not self._take:
                self._rest.next_node()
            if not (self._welcomed and code == ASKED_TO_GO):
                await asyncio.sleep(self._pause(tries))

    def _pause(self, tries: int) -> float:
        longest: float = min(self._reconnect.max_ms, self._reconnect.min_ms * 2**tries)
        return random.uniform(1 - self._reconnect.jitter, 1.0) * longest / 1000

    async def _one_socket(self) -> int:
        """One connection from ticket to close; the code it ended with."""
        self._welcomed, self._leaving = False, None
        try:
            ticket = await self._rest.ticket(self._interview)
            async with connect(
                ticket["url"],
                subprotocols=[ticket["protocol"], TICKET_PREFIX + ticket["ticket"]],
                proxy=None if is_loopback(ticket["url"]) else True,
                compression=None,
                ping_interval=None,
                max_size=None,
                open_timeout=OPEN_SECONDS,
                close_timeout=CLOSE_SECONDS,
            ) as ws:
                return await self._talk(ws)
        except Refused as refused:
            if refused.again_seconds is None and refused.status < 500:
                raise Stopped(str(refused)) from None
            await asyncio.sleep(random.uniform(1, 2) * (refused.again_seconds or 0))
        except (OSError, TimeoutError, InvalidHandshake, httpx2.TransportError):
            pass  # the pause and the next node are the answer
        return LOST

    async def _talk(self, ws: ClientConnection) -> int:
        try:
            await ws.send(self._hello().decode())
            while True:
                async with asyncio.timeout(self._silence_seconds if self._welcomed else WELCOME_SECONDS):
                    data = await ws.recv()
                raw = data.encode() if isinstance(data, str) else data
                await self._hear(ws, codec.decode_to_client(raw), raw)
        except ConnectionClosed as closed:
            if self._leaving is not None and closed.rcvd is not None:
                return ASKED_TO_GO
            return closed.rcvd.code if closed.rcvd else LOST
        finally:
            self._ws = None

    def _hello(self) -> bytes:
        resume = None
        if self._epoch is not None and self.view is not None:
            resume = Cursor(epoch=self._epoch, s=self.view.seq)
        body = m.HelloBody(
            proto=PROTOCOL_VERSION,
            tab=self._tab,
            write=self.role != "observer",
            take=self._take,
            fence=self._fence,
            resume=resume,
            pending=tuple(self._pending),
            t0=time.time() * 1000,
        )
        return codec.encode(m.Hello(d=body))

    async def _send(self, frame: m.Frame) -> None:
        """Send if connected. What is lost is sent again by whoever waits for its answer."""
        if self._ws is None:
            return
        try:
            await self._ws.send(codec.encode(frame).decode())
        except ConnectionClosed:
            self._ws = None

    # --- from the engine ---

    async def _hear(self, ws: ClientConnection, frame: m.ToClient, raw: bytes) -> None:
        match frame:
            case m.EventFrame():
                if not self._follows(frame):
                    return
            case m.Welcome(d=body):
                self._welcome(body)
            case m.Replay(d=replay):
                for event in replay.events:
                    self._follows(event)
            case m.Ack(id=id) | m.Refusal(id=str(id)):
                self._answered(id, frame)
            case m.RoleChanged(d=role):
                self.role = role.role
            case m.EvaluationDelta(d=delta):
                self.narrative = self.narrative[: delta.i] + delta.text
            case _:
                await self._obey(ws, frame)
        self._heard(frame, raw)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _obey(self, ws: ClientConnection, frame: m.ToClient) -> None:
        """What asks the client to do something."""
        match frame:
            case m.Resumed():
                self._ws = ws
                for command, _ in tuple(self._pending.values()):
                    await self._send(command)
            case m.Ping():
                await ws.send(codec.encode(m.Pong(a=self.view.seq if self.view else None)).decode())
            case m.Drain(d=drain):
                self._leaving = asyncio.create_task(_leave(ws, drain.in_ms / 1000))
            case m.AuthExpiring():
                ticket = await self._rest.fresh_ticket(self._interview)
                await ws.send(codec.encode(m.AuthRefresh(d=m.AuthRefreshBody(ticket=ticket["ticket"]))).decode())

    def _follows(self, frame: m.EventFrame) -> bool:
        """Apply an event once, in order. Raises Stopped at a gap, which the engine promised not to leave."""
        if self.view is None or frame.s <= self.view.seq:
            return False
        if frame.s != self.view.seq + 1:
            raise Stopped(f"event {frame.s} came after {self.view.seq}")
        self.view = evolve(self.view, frame)
        return True

    def _welcome(self, body: m.WelcomeBody) -> None:
        self._welcomed, self._take = True, False
        self._epoch, self._fence, self.role = body.epoch, body.fence, body.role
        self._reconnect = body.reconnect
        self._silence_seconds = (1.1 * body.heartbeat.every_ms + body.heartbeat.grace_ms) / 1000
        self._ahead_ms = body.now - time.time() * 1000
        if body.snapshot is not None:
            self.view = _view(body.snapshot)
        for id, ack in body.commands.items():
            self._answered(id, ack)

    def _answered(self, id: str, reply: m.Ack | m.Refusal) -> None:
        _, future = self._pending.pop(id, (None, None))
        if future is not None and not future.done():
            future.set_result(reply)


async def _leave(ws: ClientConnection, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await ws.close()


def _view(snapshot: Snapshot) -> Interview:
    """A snapshot as the value that events are folded into. What only the engine knows stays empty."""
    draft = snapshot.draft
    return Interview(
        id=snapshot.id,
        pack="",
        started_at=snapshot.started_at,
        deadline_at=snapshot.deadline_at,
        design_ms=0,
        seq=snapshot.s,
        phase=snapshot.phase,
        clarifications=snapshot.clarifications,
        draft=Draft(rev=draft.rev, language=draft.language, fields=draft.fields),
        submission=snapshot.submission,
        evaluation=snapshot.evaluation,
    )


def _name(code: int) -> str:
    return f"{code} {Close(code).name.lower()}" if code in {int(known) for known in Close} else str(code)
