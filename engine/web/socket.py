"""One socket: moves frames between a client and the conductor, and decides nothing.

A reader that only reads, an applier that takes commands one by one, a writer, a heartbeat. Whoever ends first says
how the socket is closed.
"""

from __future__ import annotations

import asyncio
import random
import time
from secrets import token_hex
from typing import Any, assert_never

import msgspec
from redis.exceptions import RedisError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from engine.conductor import Conductor, Greeting, StateReset
from engine.live import tickets
from engine.live.fanout import News, Topic
from engine.recorder import AWAY, Lost, NotThere, Parked
from engine.telemetry import log
from engine.web.outbox import Full, Outbox
from engine.web.queue import Queue
from engine.web.sockets import Sockets
from engine.web.upgrade import Granted
from engine.web.welcome import welcome_body
from engine.web.wire import KEY, Wire
from protocol import codec
from protocol import messages as m
from protocol.codes import Close, Refuse
from protocol.words import (
    COMMANDS_IN_FLIGHT_MAX,
    FRAME_BYTES_MAX_BEFORE_HELLO,
    PROTOCOL_VERSION,
    Fence,
)

HELLO_SECONDS, SEND_SECONDS = 5.0, 10.0
ERRORS_MAX = 10
"""Bad frames in a row, after which nobody is at the other end whom errors help."""
BUDGET = 60
BUDGET_SECONDS = 10.0
"""Frames per socket and time; a typing person needs about a tenth of it."""
BUDGET_BYTES = 8_192
"""A frame costs one, and one more for each such piece: what is read must be paid for, whatever it says."""
OVER_BUDGET_MAX = 120
"""After so much in spite of refusals the socket is closed."""
AUTH_NOTICE_MS = 60_000
WRONG_KIND, TOO_BIG = 1003, 1009


class Closing(Exception):
    """The socket ends with this code."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Socket:
    """One open socket of one interview."""

    def __init__(self, ws: WebSocket, sockets: Sockets, granted: Granted) -> None:
        self.id, self.user = token_hex(8), granted.ticket.user
        self._ws, self._sockets = ws, sockets
        self._wire: Wire = ws.scope["extensions"][KEY]
        self._conductor: Conductor = sockets.conductor
        self._ticket, self._encoding = granted.ticket, granted.encoding
        self._outbox = Outbox()
        self._inbox: Queue[m.FromClient] = Queue(COMMANDS_IN_FLIGHT_MAX)
        self._news: list[News] | None = []
        """What came in before the welcome went out; None from then on."""
        self._fence: Fence | None = None
        self._narrated = ((0, 0), 0)
        """Of which run and attempt this client has how many characters."""
        self._epoch = self._position = self._told_live = self._errors = self._over = 0
        self._budget = float(BUDGET)
        self._heard_at = self._sent_at = self._spent_at = time.monotonic()
        self._ends: asyncio.Future[Closing] = asyncio.get_running_loop().create_future()

    @property
    def login(self) -> str:
        """The sign-in behind this socket."""
        return self._ticket.login

    async def run(self) -> None:
        """Serve until somebody ends it, then close with what they said."""
        closing = Closing(Close.INTERNAL)
        try:
            closing = await self._serve()
        except WebSocketDisconnect as gone:
            closing = Closing(gone.code)
        except (RedisError, *AWAY) as error:
            log.warning("socket_without_live", error=type(error).__name__)
            closing = Closing(Close.OVERLOADED)
        except Exception as error:
            log.error("socket_failed", exc_info=error)
        finally:
            await self._close(closing)

    def end(self, code: int, reason: str = "") -> None:
        """Ask this socket to close."""
        if not self._ends.done():
            self._ends.set_result(Closing(code, reason))

    def tell(self, frame: m.Frame) -> None:
        """Queue a frame for the client."""
        self._put(codec.encode(frame, self._encoding))

    async def _serve(self) -> Closing:
        fanout, interview = self._sockets.fanout, self._ticket.interview
        try:
            hello = await self._hello()
            topic = fanout.join(interview, self._hear)
            await self._sockets.end_if_over(self)
            if self._ends.done():  # before it could be seen to
                return self._ends.result()
            await fanout.confirmed(topic)
            await self._welcome(hello, topic)
            return await self._steady()
        except Closing as closing:
            return closing
        except (NotThere, Parked, Lost) as error:
            return Closing(_close_code(error))
        finally:
            fanout.leave(interview, self._hear)

    async def _steady(self) -> Closing:
        """Read, apply, write and beat, until the first of them ends."""
        works = [asyncio.create_task(w) for w in (self._read(), self._apply(), self._write(), self._beat())]
        for work in works:
            work.add_done_callback(self._ended)
        try:
            return await self._ends
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)

    def _ended(self, work: asyncio.Task[Any]) -> None:
        """One of the four is over: so is the socket, by what it raised."""
        if self._ends.done():
            return
        error = None if work.cancelled() else work.exception()
        match error:
            case None:
                self.end(Close.INTERNAL)
            case Closing() | WebSocketDisconnect():  # as a new one: what was raised holds on to this socket
                self.end(error.code, error.reason)
            case _:
                self._ends.set_exception(error)

    # --- hello ---

    async def _hello(self) -> m.Hello:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                data = await self._receive()
        except TimeoutError:
            raise Closing(Close.HELLO_TIMEOUT) from None
        if len(data) > FRAME_BYTES_MAX_BEFORE_HELLO:
            raise Closing(TOO_BIG)
        try:
            frame = codec.decode(data, self._encoding)
        except codec.BadFrame as bad:
            raise Closing(Close.PROTOCOL, bad.refuse.value.name) from None
        if not isinstance(frame, m.Hello):
            raise Closing(Close.PROTOCOL, "hello_expected")
        if frame.d.proto != PROTOCOL_VERSION:
            raise Closing(Close.VERSION, f"this engine speaks {PROTOCOL_VERSION}")
        return frame

    async def _welcome(self, hello: m.Hello, topic: Topic) -> None:
        body = msgspec.structs.replace(hello.d, write=hello.d.write and self._ticket.role == "writer")
        greeting = await self._conductor.hello(self._ticket.interview, body)
        loaded = greeting.arrival.loaded
        self._epoch, self._position = loaded.epoch, loaded.interview.seq
        self._fence = Fence(epoch=loaded.epoch, n=loaded.fence) if greeting.arrival.writes else None
        await self._sockets.fanout.start(topic, loaded.epoch, self._position)
        now = self._conductor.live.clock.now()
        self.tell(m.Welcome(d=welcome_body(greeting, self.id, self._sockets.settings, now, hello.d.t0)))
        self._replay(greeting)
        self.tell(m.Resumed(d=m.Through(s=self._position)))
        early, self._news = self._news or [], None
        for news in early:
            self._hear(news)

    def _replay(self, greeting: Greeting) -> None:
        missed, recorded = greeting.arrival.missed, greeting.arrival.loaded.recorded
        if greeting.durable == "live" and self._position > recorded:
            first, self._told_live = self._position - len(missed) + 1, self._position
            missed = tuple(codec.event_bytes(data, live=s > recorded) for s, data in enumerate(missed, first))
        if missed:
            self._put(codec.replay_bytes(missed, self._encoding))

    # --- from the client ---

    async def _receive(self) -> bytes:
        message: Any = await self._wire.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        self._heard_at = time.monotonic()
        text: str | None = message.get("text")
        if (text is None) == (self._encoding == "json"):
            raise Closing(WRONG_KIND)
        return message["bytes"] if text is None else text.encode()

    async def _read(self) -> None:
        """Read and decode. A full inbox stops the reading, and TCP tells the client."""
        while True:
            frame = self._understood(await self._receive())
            match frame:
                case None | m.Pong():
                    continue
                case m.TimeRequest(d=asked):
                    now = self._conductor.live.clock.now()
                    self.tell(m.Time(d=m.TimeBody(t0=asked.t0, t1=now, t2=now)))
                case m.Hello():
                    self.tell(Refuse.HELLO_TWICE.frame())
                case _:
                    await self._inbox.put(frame)

    def _understood(self, data: bytes) -> m.FromClient | None:
        """A frame, or None where it is answered already: it is none, or one too many."""
        paid = self._pay(1 + len(data) // BUDGET_BYTES)
        try:
            frame = codec.decode(data, self._encoding)
        except codec.BadFrame as bad:
            self._complain(bad)
            return None
        self._errors = 0
        if paid:
            return frame
        id = getattr(frame, "id", None)
        self.tell(Refuse.RATE_LIMITED.frame(id=id, retry_ms=round(1000 * BUDGET_SECONDS / BUDGET)))
        return None

    def _complain(self, bad: codec.BadFrame) -> None:
        self._errors += 1
        self._sockets.metrics.frames_refused.labels(bad.refuse.value.name).inc()
        if self._errors >= ERRORS_MAX:
            raise Closing(Close.TOO_MANY_ERRORS)
        self.tell(bad.refuse.frame(id=bad.id, at=bad.at, message=str(bad)))

    def _pay(self, cost: int) -> bool:
        """From a token bucket. False: it is empty; who goes on all the same is sent away."""
        now = time.monotonic()
        self._budget = min(BUDGET, self._budget + (now - self._spent_at) * BUDGET / BUDGET_SECONDS)
        self._spent_at = now
        if self._budget >= cost:
            self._budget, self._over = self._budget - cost, 0
            return True
        self._over += cost
        if self._over > OVER_BUDGET_MAX:
            raise Closing(Close.RATE)
        return False

    async def _apply(self) -> None:
        """Commands, one after the other."""
        while True:
            frame = await self._inbox.get()
            match frame:
                case m.AuthRefresh(d=body):
                    await self._refresh(body.ticket)
                case m.Hello() | m.Pong() | m.TimeRequest():
                    continue
                case (
                    m.ClarifyAsk() | m.ClarifyConfirm() | m.ClarifyReject() | m.DraftSave() | m.PhaseProceed()
                    | m.SolutionSubmit() | m.EvaluationRetry() | m.EvaluationAppeal()
                ):  # fmt: skip
                    await self._perform(frame)
                case _:
                    assert_never(frame)

    async def _perform(self, frame: m.Command) -> None:
        started = time.monotonic()
        try:
            reply = await self._conductor.handle(
                self._ticket.interview, frame, self._fence, lambda: self.tell(m.Pending(d=m.PendingBody(id=frame.id)))
            )
        except (StateReset, Lost, Parked, NotThere) as error:
            raise Closing(_close_code(error)) from None
        self.tell(reply)
        if isinstance(reply, m.Ack):
            tag = type(frame).__struct_config__.tag
            self._sockets.metrics.ack_seconds.labels(tag).observe(time.monotonic() - started)

    async def _refresh(self, opaque: str) -> None:
        """A new ticket of the same user for the same interview keeps the socket open for longer."""
        ticket = await tickets.redeem(self._conductor.live.ask, opaque)
        held = self._ticket
        if ticket is None or (ticket.user, ticket.interview) != (held.user, held.interview):
            raise Closing(Close.TICKET_EXPIRED)
        self._ticket = ticket
        await self._sockets.end_if_over(self)

    # --- to the client ---

    def _hear(self, news: News) -> None:
        """From the fan-out: queue what is new to this client."""
        if self._news is not None:
            self._news.append(news)
        elif news.bell.epoch < self._epoch:
            return  # of a numbering that was over when this client came in
        elif news.reset or news.bell.epoch > self._epoch:
            self.end(Close.STATE_RESET)
        elif news.narrative is not None:
            self._hear_narrative(*news.narrative)
        else:
            self._hear_events(news)

    def _hear_narrative(self, run: int, attempt: int, text: str) -> None:
        """Only what this client does not have yet; a new attempt starts from nothing."""
        known, has = self._narrated
        start = has if known == (run, attempt) else 0
        self._narrated = ((run, attempt), len(text))
        if len(text) > start:
            self.tell(m.EvaluationDelta(d=m.Delta(run=run, attempt=attempt, i=start, text=text[start:])))

    def _hear_events(self, news: News) -> None:
        recorded = news.bell.recorded
        for s, data in news.events:
            if s > self._position:
                self._position = s
                live = s > recorded
                self._told_live = s if live else self._told_live
                self._put(codec.event_bytes(data, self._encoding, live=live))
        if self._told_live and recorded >= self._told_live:
            self._told_live = 0
            self.tell(m.Recorded(d=m.Through(s=recorded)))
        if self._fence is not None and news.bell.fence > self._fence.n:
            self._fence = None
            self.tell(m.RoleChanged(d=m.RoleBody(role="observer")))

    def _put(self, data: bytes) -> None:
        try:
            self._outbox.put(data)
        except Full:
            self.end(Close.SLOW)

    async def _write(self) -> None:
        while frames := await self._outbox.get():
            self._sent_at = time.monotonic()
            if not self._wire.writable.is_set():
                try:
                    async with asyncio.timeout(SEND_SECONDS):
                        await self._wire.writable.wait()
                except TimeoutError:
                    raise Closing(Close.SLOW) from None
            if not self._wire.say(frames, text=self._encoding == "json"):
                raise WebSocketDisconnect(1006)

    async def _beat(self) -> None:
        """A ping when either side has been silent; any frame of the client's counts as an answer."""
        while True:
            self._check_time()
            every = self._sockets.settings.heartbeat_seconds * random.uniform(0.9, 1.1)
            idle = time.monotonic() - min(self._heard_at, self._sent_at)
            if idle < every:
                await asyncio.sleep(every - idle)
            else:
                await self._ask_for_life()
            await self._sockets.end_if_over(self)  # a subscription that is silently dead tells of no end

    async def _ask_for_life(self) -> None:
        await self._sockets.fanout.ring_again(self._ticket.interview)
        asked_at = time.monotonic()
        self.tell(m.Ping(d=m.Head(head=self._position, ts=self._conductor.live.clock.now())))
        await asyncio.sleep(self._sockets.settings.heartbeat_grace_seconds)
        if self._heard_at < asked_at:
            raise Closing(Close.NO_PONG)

    def _check_time(self) -> None:
        left_ms = self._ticket.expires_at - time.time_ns() // 1_000_000
        if left_ms <= 0:
            raise Closing(Close.TICKET_EXPIRED)
        if left_ms <= AUTH_NOTICE_MS:
            self.tell(m.AuthExpiring(d=m.AuthExpiringBody(in_ms=left_ms)))

    async def _close(self, closing: Closing) -> None:
        self._sockets.metrics.sockets_closed.labels(str(closing.code)).inc()
        if self._ws.application_state is WebSocketState.CONNECTED:
            try:
                async with asyncio.timeout(1.0):
                    await self._ws.close(closing.code, closing.reason)
            except (RuntimeError, OSError, TimeoutError, WebSocketDisconnect):
                log.debug("socket_gone_before_close")


def _close_code(error: Exception) -> int:
    match error:
        case NotThere():
            return Close.FORBIDDEN
        case Parked():
            return Close.PARKED
        case _:
            return Close.STATE_RESET
