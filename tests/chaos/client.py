"""A small honest client that writes down all it does and sees. None of it is our client's code, nor the engine's."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from engine.core.draft import checksum as checksum_of
from tests.chaos.history import Feed, History, Op, Pen, Reply, Seen, hash_of, state_hash
from tests.loopback import http_client
from tests.until import time_passes
from tests.web.raw_socket import events_of

ANSWER_SECONDS = 8.0
"""After so long without an answer the connection is as good as dead."""
PAUSE_SECONDS = (0.02, 0.3)
LATELY = 12
TWICE = 0.05
"""How often a frame is doubled on its way."""
STOP_CODES = range(4500, 5000)


class Ended(Exception):
    """The engine said not to come back."""


class Client:
    """One tab of one interview: stays connected to any of the nodes, resumes, resends, and keeps a record."""

    def __init__(
        self, name: str, interview: str, access: str, urls: Sequence[str], history: History, chance: random.Random,
        *, role: str = "writer",
    ) -> None:  # fmt: skip
        self.name, self.interview, self.history, self.chance = name, interview, history, chance
        self.role = role
        self.snapshot: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.heard: Callable[[dict[str, Any]], None] = lambda event: None
        self.deadline_at = 0
        """Of the phase, as it was told: milliseconds of the Unix epoch."""
        self.resumes: list[tuple[float, float]] = []
        """Each time without a socket: from when to when, in seconds of the Unix epoch."""
        self.feed = Feed(client=name, interview=interview)
        history.feeds.append(self.feed)
        self._lately: deque[tuple[float, str]] = deque(maxlen=LATELY)
        self._next_url = itertools.cycle(chance.sample(urls, len(urls)))
        self.urls, self.headers = tuple(urls), {"authorization": f"Bearer {access}"}
        self._epoch, self._position = 0, -1
        self._asked_at = 0.0
        self._fence: Any = None
        self._waiting: dict[str, tuple[Op, asyncio.Future[Reply]]] = {}
        self._socket: ClientConnection | None = None
        self._progress_at = 0.0
        self._lost_at: float | None = None
        self._errands: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._numbers = 0

    # --- what a script may do ---

    async def command(self, t: str, d: dict[str, Any], checksum: int | None = None) -> Reply:
        """Send a command, again and again under the same id if it must be, until there is an answer that stands."""
        self._numbers += 1
        op = Op(
            client=self.name, interview=self.interview, id=f"{self.name}-{self._numbers:06d}", t=t, d=d,
            sent_at=time.time(), checksum=checksum,
        )  # fmt: skip
        self.history.ops.append(op)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if not self._waiting:
            self._progress_at = time.monotonic()
        self._waiting[op.id] = (op, future)
        if self._socket is not None:
            await self._send(op, self._socket)
        return await future

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what was heard makes this true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    @property
    def place(self) -> tuple[int, int]:
        """The epoch, and the last event it was told."""
        return self._epoch, self._position

    @property
    def unanswered(self) -> list[str]:
        """The ids of commands that wait for an answer."""
        return list(self._waiting)

    async def move(self) -> None:
        """Leave this connection for another one, perhaps of another node."""
        if self._socket is not None:
            await self._socket.close()

    def __str__(self) -> str:
        """Where it stands, for a trial that does not end."""
        lately = " ".join(f"{when - time.time():.1f}:{what}" for when, what in self._lately)
        state = "connected" if self._socket is not None else "not connected"
        mine = [op for op in self.history.ops if op.client == self.name and op.replies]
        said = [f"{op.t}: {op.replies[-1].code or 'ack'}" for op in mine]
        return f"{self.name} of {self.interview}, {state}, at {self._epoch}/{self._position}, " \
               f"unanswered {list(self._waiting)}, answered {said[-9:]}, lately {lately}"  # fmt: skip

    # --- staying connected ---

    async def run(self) -> None:
        """Until cancelled, or until the engine says not to come back (Ended)."""
        async with http_client(timeout=ANSWER_SECONDS, headers=self.headers) as http:
            while True:
                with suppress(OSError, WebSocketException, httpx2.HTTPError, TimeoutError, _Later):
                    await self._connection(http, self._resumed)
                await time_passes(self.chance.uniform(*PAUSE_SECONDS))

    async def _connection(self, http: httpx2.AsyncClient, resumed: Callable[[], None]) -> None:
        url = next(self._next_url)
        self.note(f"to-{url[-5:]}")
        answer = await http.post(f"{url}/v1/interviews/{self.interview}/ticket", json={"role": self.role})
        if answer.status_code != 200:
            self.note(f"ticket-{answer.status_code}")
            raise _Later(answer.text)
        ticket = answer.json()
        protocols = [Subprotocol(ticket["protocol"]), Subprotocol("ticket." + ticket["ticket"])]
        address = url.replace("http", "ws", 1) + "/v1/socket"
        async with connect(address, subprotocols=protocols, proxy=None, open_timeout=3, ping_interval=None) as socket:
            await self._greet(socket)
            self._progress_at = time.monotonic()
            try:
                async for data in self._frames(socket):
                    frame = json.loads(data)
                    self._hear(frame, data)
                    if frame["t"] == "resumed":
                        resumed()
                        await self._resend(socket)
                    elif frame["t"] == "ping":
                        await socket.send('{"t":"pong"}')
            finally:
                self._after(socket.close_code)
        raise _Later(f"closed with {socket.close_code}")

    def note(self, what: str) -> None:
        """For `str` of it."""
        self._lately.append((time.time(), what))

    def _resumed(self) -> None:
        if self._lost_at is not None:
            self.resumes.append((self._lost_at, time.time()))

    def _after(self, code: int | None) -> None:
        """What the close code means for the next connection."""
        self.note(f"closed-{code}")
        if self._socket is not None:
            self._lost_at = time.time()
        self._socket = None
        if code == 4101:
            self._epoch, self._position = 0, -1
        if code in STOP_CODES:
            self.feed.sent_away = code
            raise Ended(code)

    async def _greet(self, socket: ClientConnection) -> None:
        hello: dict[str, Any] = {"proto": 1, "tab": self.name, "write": self.role == "writer", "fence": self._fence}
        hello["pending"] = list(self._waiting)[:64]
        if self._position >= 0:
            hello["resume"] = {"epoch": self._epoch, "s": self._position}
        self._asked_at = time.time()
        await socket.send(json.dumps({"t": "hello", "d": hello}))

    async def _frames(self, socket: ClientConnection) -> AsyncIterator[bytes]:
        """Each frame; a connection on which an answer is overdue is left."""
        while not (self._waiting and time.monotonic() - self._progress_at > ANSWER_SECONDS):
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    data = await socket.recv(decode=False)
                yield data

    async def _send(self, op: Op, socket: ClientConnection) -> None:
        if self._fence is not None:
            op.fences.append((self._fence["epoch"], self._fence["n"]))
        frame = json.dumps({"t": op.t, "id": op.id, "a": max(0, self._position), "d": op.d})
        with suppress(WebSocketException, OSError):  # what is not answered is sent again
            for _ in range(2 if self.chance.random() < TWICE else 1):
                await socket.send(frame)

    async def _resend(self, socket: ClientConnection) -> None:
        """All that is unanswered, in order; only then may new commands go."""
        sent: set[str] = set()
        while rest := [op for op, _ in self._waiting.values() if op.id not in sent]:
            for op in rest:
                await self._send(op, socket)
                sent.add(op.id)
        self._socket = socket

    # --- what is heard ---

    def _hear(self, frame: dict[str, Any], data: bytes) -> None:
        self.note(f"{frame['t']}{frame.get('s', '')}")
        match frame["t"]:
            case "welcome":
                self._welcome(frame["d"])
            case "drain":
                self._run(self._leave(frame["d"]["in_ms"] / 1000))
            case "ack":
                self._answered(frame)
            case "err":
                self._refused(frame)
            case _:
                for event in events_of(frame, data):
                    self._apply(json.loads(event), event)
        self._changed.set()

    def _welcome(self, d: dict[str, Any]) -> None:
        self._fence, self.deadline_at = d["fence"] or self._fence, d["deadline_at"]
        if d["fence"]:
            pen = Pen(client=self.name, interview=self.interview, at=time.time(), s=d["head"], **d["fence"])
            self.history.pens.append(pen)
        self._epoch = d["epoch"]
        for ack in d.get("commands", {}).values():
            self._answered(ack)
        if d["mode"] == "snapshot":
            shown = d["snapshot"]
            self.snapshot, self._position = shown, shown["s"]
            state = state_hash(shown["phase"], shown["draft"]["rev"], checksum_of(shown["draft"]["fields"]))
            seen = Seen(kind="snapshot", epoch=self._epoch, s=self._position, hash=state, asked_at=self._asked_at,
                        live=d["recorded"] < d["head"])  # fmt: skip
            self.feed.seen.append(seen)
            self.heard({"t": "snapshot", "d": d["snapshot"]})

    def _apply(self, frame: dict[str, Any], data: bytes) -> None:
        live = frame.get("durable") == "live"
        data = data.replace(b',"durable":"live"', b"") if live else data
        self.feed.seen.append(Seen(kind="event", epoch=self._epoch, s=frame["s"], hash=hash_of(data), live=live))
        self._position = max(self._position, frame["s"])
        self.events.append(frame)
        self.deadline_at = frame["d"].get("deadline_at", self.deadline_at)
        self.heard(frame)

    def _answered(self, ack: dict[str, Any]) -> None:
        self._settle(ack["id"], Reply(kind="ack", at=time.time(), s=ack["s"], rev=ack.get("rev"),
                                      late=ack.get("late", False), durable=ack.get("durable", "record")))  # fmt: skip

    def _refused(self, err: dict[str, Any]) -> None:
        id, code = err.get("id") or "", err["code"]
        if err.get("temp") and id in self._waiting:
            self._run(self._again(self._waiting[id][0], (err.get("retry_ms") or 200) / 1000))
        elif code in ("observer", "fenced") and self.role == "writer" and self._socket is not None:
            self._fence = None  # another connection of this very tab was quicker: come in anew
            self._run(self._socket.close())
        else:
            self._settle(id, Reply(kind="err", at=time.time(), code=code))

    async def _leave(self, seconds: float) -> None:
        """This node goes: be gone by then, at the time it asked for."""
        socket = self._socket
        await time_passes(seconds)
        if socket is not None:
            await socket.close()

    async def _again(self, op: Op, seconds: float) -> None:
        await time_passes(seconds)
        if op.id in self._waiting and self._socket is not None:
            await self._send(op, self._socket)

    def _run(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _settle(self, id: str, reply: Reply) -> None:
        self._progress_at = time.monotonic()
        op, future = self._waiting.pop(id, (None, None))
        if op is None:  # answered before: both answers count
            op = next((op for op in reversed(self.history.ops) if op.id == id), None)
        if op is not None:
            op.replies.append(reply)
        if future is not None:
            future.set_result(reply)


class _Later(Exception):
    """Not now; another try may do."""
