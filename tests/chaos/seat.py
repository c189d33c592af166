"""One tab of one interview, kept as protocol/README.md says: a node that drains is left once another has said welcome.

Lighter than `client`, so that thousands fit into one process; it writes down the same.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.core.draft import checksum
from protocol.words import FIELDS
from tests.chaos.history import Feed, History, Op, Pen, Reply, Seen, hash_of, state_hash
from tests.until import time_passes
from tests.web.raw_socket import CLOSE, TEXT, Closed, RawSocket, events_of, frame

ARRIVE_SECONDS = 10.0
"""From asking for a ticket to the end of the missed events."""
BACKOFF_SECONDS = (0.2, 5.0)
"""As `welcome.reconnect` has it."""
FROM_ANOTHER_TAB = ("observer", "fenced")


class Elsewhere(Exception):
    """This node does not serve us now."""


class Move(NamedTuple):
    """From one socket to the next; `at` in seconds of the Unix epoch."""

    at: float
    without_seconds: float
    """How long there was no live socket."""
    took_seconds: float
    """From the first attempt on."""


class Line:
    """One connection that was welcomed."""

    def __init__(self, raw: RawSocket, port: int, position: int) -> None:
        self.raw, self.port = raw, port
        self.position = position
        """The last event that it has brought; it must go on right after the one that its hello named."""


class Seat:
    """Stays connected to one of `ports`, and saves when it is told to."""

    def __init__(
        self, name: str, interview: str, access: str, ports: Sequence[int], history: History, chance: random.Random
    ) -> None:
        self.name, self.interview, self.history = name, interview, history
        self.moves: list[Move] = []
        self.feed = Feed(client=name, interview=interview)
        history.feeds.append(self.feed)
        self._access, self._ports, self._chance = access, list(ports), chance
        self._line: Line | None = None
        self._port = chance.choice(self._ports)
        """Of the newest connection."""
        self._lost_at: float | None = None
        self._moving: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._epoch, self._position = 0, -1
        self._fence: Any = None
        self._rev = self._numbers = 0
        self._waiting: tuple[Op, asyncio.Future[Reply]] | None = None

    @property
    def seated(self) -> bool:
        return self._line is not None

    @property
    def unanswered(self) -> list[str]:
        return [self._waiting[0].id] if self._waiting else []

    async def sit_down(self) -> None:
        """Come in for the first time."""
        self._line = await self._come_in(self._port)
        self._run(self._read(self._line))

    def leave(self) -> None:
        """Go, for good."""
        for task in self._tasks:
            task.cancel()
        if self._line is not None:
            _close(self._line)

    async def save(self) -> Reply:
        """Write the next line. It is sent again on each new connection until there is an answer."""
        self._numbers += 1
        text = f"{self.name} writes line {self._numbers}"
        op = Op(
            client=self.name, interview=self.interview, id=f"{self.name}-{self._numbers:06d}", t="draft.save",
            d={"base": self._rev, "changes": [{"field": "functional_req", "text": text}]}, sent_at=time.time(),
            checksum=checksum({**dict.fromkeys(FIELDS, ""), "functional_req": text}),
        )  # fmt: skip
        self.history.ops.append(op)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting = (op, answer)
        self._send_waiting()
        reply = await answer
        self._rev = reply.rev or self._rev
        return reply

    # --- from one node to the next ---

    def _move(self) -> None:
        if not self._moves():
            self._moving = self._run(self._to_another())

    def _moves(self) -> bool:
        return self._moving is not None and not self._moving.done()

    async def _to_another(self) -> None:
        began, tries = time.time(), 0
        ports = sorted(self._ports, key=lambda port: port == self._port)  # the one that is left comes last
        while True:
            try:
                async with asyncio.timeout(ARRIVE_SECONDS):
                    line = await self._come_in(ports[tries % len(ports)])
                break
            except (Elsewhere, Closed, OSError, EOFError, TimeoutError):
                least, most = BACKOFF_SECONDS
                await time_passes(self._chance.uniform(0, min(most, least * 2 ** (tries // len(ports)))))
                tries += 1
        now, old = time.time(), self._line
        without = now - self._lost_at if self._lost_at is not None else 0.0
        self.moves.append(Move(now, without, now - began))
        self._line, self._lost_at = line, None
        if old is not None:
            _close(old)
        self._send_waiting()
        self._run(self._read(line))

    async def _come_in(self, port: int) -> Line:
        """Ticket, upgrade, hello, and all that was missed."""
        self._port = port
        raw = await RawSocket.connect(port)
        try:
            ticket = await ticket_for(port, self.interview, self._access)
            answer = await raw.upgrade("sdi.v1.json", f"ticket.{ticket}")
            if answer.status != 101:
                raise Elsewhere(answer)
            return await self._hello(raw, port)
        except BaseException:
            raw.close()
            raise

    async def _hello(self, raw: RawSocket, port: int) -> Line:
        hello: dict[str, Any] = {"proto": 1, "tab": self.name, "write": True, "fence": self._fence}
        hello["pending"] = self.unanswered
        if self._position >= 0:
            hello["resume"] = {"epoch": self._epoch, "s": self._position}
        line, asked_at = Line(raw, port, self._position), time.time()
        raw.send("hello", hello)
        while True:
            data = (await raw.frame())[1]
            said = json.loads(data)
            match said["t"]:
                case "welcome":
                    self._welcome(line, said["d"], asked_at)
                case "resumed":
                    return line
                case _:
                    self._hear(line, said, data)

    # --- what is heard ---

    async def _read(self, line: Line) -> None:
        """Until the connection ends, or another has taken its place."""
        try:
            while line is self._line:
                opcode, data = await line.raw.next_frame()
                if opcode == TEXT:
                    self._hear(line, json.loads(data), data)
        except Closed as closed:
            if line is not self._line:
                return
            self._line, self._lost_at = None, time.time()
            if closed.code >= 4500:
                self.feed.sent_away = closed.code
                return
            self._run(self._after(0.0))

    def _hear(self, line: Line, said: dict[str, Any], data: bytes) -> None:
        match said["t"]:
            case "drain":
                self._run(self._after(said["d"]["in_ms"] / 1000))
            case "ping":
                line.raw.send("pong")
            case "ack":
                self._settle(said["id"], said, "ack")
            case "err":
                self._refused(line, said)
            case _:
                for event in events_of(said, data):
                    self._event(line, json.loads(event), event)

    async def _after(self, seconds: float) -> None:
        await time_passes(seconds)
        self._move()

    def _welcome(self, line: Line, d: dict[str, Any], asked_at: float) -> None:
        self._fence = d["fence"] or self._fence
        if d["fence"]:
            pen = Pen(client=self.name, interview=self.interview, at=time.time(), s=d["head"], **d["fence"])
            self.history.pens.append(pen)
        self._epoch = d["epoch"]
        if d["mode"] == "snapshot":
            shown = d["snapshot"]
            self._position = line.position = shown["s"]
            state = state_hash(shown["phase"], shown["draft"]["rev"], checksum(shown["draft"]["fields"]))
            seen = Seen(kind="snapshot", epoch=self._epoch, s=shown["s"], hash=state, asked_at=asked_at,
                        live=d["recorded"] < d["head"])  # fmt: skip
            self.feed.seen.append(seen)
        for id, ack in d.get("commands", {}).items():
            self._settle(id, ack, "ack")

    def _event(self, line: Line, said: dict[str, Any], data: bytes) -> None:
        """For a moment two connections bring the same: what one has brought the other's repeats. Each must be whole."""
        s, live = said["s"], said.get("durable") == "live"
        if s > self._position or s != line.position + 1:
            data = data.replace(b',"durable":"live"', b"") if live else data
            self.feed.seen.append(Seen(kind="event", epoch=self._epoch, s=s, hash=hash_of(data), live=live))
        line.position = s
        self._position = max(self._position, s)

    def _refused(self, line: Line, err: dict[str, Any]) -> None:
        code = err["code"]
        if code in FROM_ANOTHER_TAB and (line is not self._line or self._moves()):
            return  # the pen went on to the next connection, and there it is sent again
        if err.get("temp"):
            self._run(self._again((err.get("retry_ms") or 200) / 1000))
        else:
            self._settle(err.get("id") or "", err, "err")

    async def _again(self, seconds: float) -> None:
        await time_passes(seconds)
        self._send_waiting()

    def _send_waiting(self) -> None:
        if self._waiting is None or self._line is None:
            return
        op = self._waiting[0]
        if self._fence is not None:
            op.fences.append((self._fence["epoch"], self._fence["n"]))
        self._line.raw.send_bytes(frame(TEXT, json.dumps({"t": op.t, "id": op.id, "d": op.d}).encode()))

    def _settle(self, id: str, said: dict[str, Any], kind: Any) -> None:
        if self._waiting is None or self._waiting[0].id != id:
            return
        op, answer = self._waiting
        self._waiting = None
        op.replies.append(
            Reply(kind=kind, at=time.time(), s=said.get("s", 0), rev=said.get("rev"), code=said.get("code", ""),
                  late=said.get("late", False), durable=said.get("durable", "record"))
        )  # fmt: skip
        answer.set_result(op.replies[-1])

    def _run(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _close(line: Line) -> None:
    line.raw.send_bytes(frame(CLOSE, b"\x03\xe8"))
    line.raw.writer.close()


async def ticket_for(port: int, interview: str, access: str) -> str:
    """A ticket of this node. Raises Elsewhere when it gives none."""
    lines = [
        f"POST /v1/interviews/{interview}/ticket HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {access}",
        "Content-Type: application/json", "Content-Length: 2", "", "{}",
    ]  # fmt: skip
    raw = await RawSocket.connect(port)
    try:
        raw.send_bytes("\r\n".join(lines).encode())
        answer = await raw.answer()
    finally:
        raw.close()
    if answer.status != 200:
        raise Elsewhere(answer)
    return str(json.loads(answer.body)["ticket"])
