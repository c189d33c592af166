"""Clients that mean harm slowly: each is given up in time, holds little until then, and disturbs nobody.

Ids begin with their row in the catalogue of attacks, as those of `test_frames`, which has what is wrong at once (12 to
19: frames, sizes, floods). `test_upgrades` has heads and tickets. What takes long is only shortened here.
"""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import chain, repeat
from typing import Any, NamedTuple

import msgspec
import pytest

from engine.cli import serving
from engine.embedded import Embedded
from engine.settings import Settings
from engine.web import head, routes_socket, upgrade, wire
from engine.web import socket as web_socket
from protocol.codec import decode
from protocol.codes import Close
from protocol.messages import Ack, DraftSave, PhaseProceed
from protocol.words import FIELD_BYTES_MAX, FIELDS, FRAME_BYTES_MAX_BEFORE_HELLO, Fence
from tests.until import time_passes, until
from tests.web.listening import Node, Person, fresh_settings, listening
from tests.web.raw_socket import ANSWER_SECONDS, CONT, FIN, PING, RSV1, TEXT, RawSocket, fragments, frame

TOO_BIG, SLOW, NO_PONG, RATE, TOO_MANY_ERRORS, HELLO_TIMEOUT = 1009, 4002, 4003, 4004, 4506, 4408
REQUEST_TIMEOUT = 408
QUICK_SECONDS = 0.3
"""For what takes 5 to 20 s otherwise."""
TRICKLE_SECONDS = 0.05
SMALL_WINDOW = 4_096
SAVES_MAX = 60
"""Of the largest fields: far more than all buffers hold."""


@pytest.fixture(scope="module")
async def settings(
    servers: Embedded, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Settings]:
    async with fresh_settings(servers, template, tmp_path_factory.mktemp("hostile")) as settings:
        yield settings


@pytest.fixture(scope="module")
async def node(settings: Settings) -> AsyncIterator[Node]:
    async with listening(settings) as node:
        yield node


@pytest.fixture(scope="module")
async def beating(settings: Settings) -> AsyncIterator[Node]:
    """A node whose heart beats fast."""
    fast = msgspec.structs.replace(settings, heartbeat_seconds=QUICK_SECONDS, heartbeat_grace_seconds=QUICK_SECONDS)
    async with listening(fast) as node:
        yield node


class Attacker(NamedTuple):
    """Somebody with an interview of their own."""

    node: Node
    person: Person
    interview: str

    async def open(self) -> RawSocket:
        """Accepted, and not yet introduced."""
        return await self.person.open(self.interview)

    async def join(self) -> RawSocket:
        return await self.person.join(self.interview)

    async def join_deaf(self) -> RawSocket:
        """A socket that was welcomed, has a small window, and reads no more by itself."""
        line = sockets.socket()
        line.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, SMALL_WINDOW)
        line.setblocking(False)
        await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", self.node.settings.port))
        socket = RawSocket(*await asyncio.open_connection(sock=line, limit=SMALL_WINDOW))
        self.node.sockets.append(socket)
        await socket.upgrade("sdi.v1.json", "ticket." + await self.person.own_ticket(self.interview))
        await socket.hello(write=False)
        socket.writer.transport.pause_reading()  # type: ignore[attr-defined]
        return socket

    async def say_much(self) -> None:
        """Save the largest fields, which every socket is told, until one of them is given up."""
        gone = self.node.closed_with(SLOW)
        fence = Fence(
            **(await self.person.http.post(f"/v1/interviews/{self.interview}/writer", json={})).json()["fence"]
        )
        for rev in range(SAVES_MAX):
            text = chr(ord("a") + rev % 26) * FIELD_BYTES_MAX
            body = {"base": rev, "changes": [{"field": "functional_req", "text": text}]}
            save = decode(msgspec.json.encode({"t": "draft.save", "id": f"large-save-{rev}", "d": body}))
            assert isinstance(save, DraftSave)
            await self.node.parts.conductor.handle(self.interview, save, fence)
            if self.node.closed_with(SLOW) > gone:
                return


@asynccontextmanager
async def trickling(socket: RawSocket, data: Iterable[bytes]) -> AsyncIterator[None]:
    """While the block runs, send these one by one, slowly."""

    async def trickle() -> None:
        for one in data:
            socket.send_bytes(one)
            await time_passes(TRICKLE_SECONDS)

    task = asyncio.create_task(trickle())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def sipping(socket: RawSocket) -> None:
    """Take a little of what has come, now and then."""
    transport = socket.writer.transport
    while True:
        transport.resume_reading()  # type: ignore[attr-defined]
        await socket.reader.read(1)
        transport.pause_reading()  # type: ignore[attr-defined]
        await time_passes(TRICKLE_SECONDS)


HELLO = b'{"t":"hello","d":{"proto":1,"tab":"a"}}'
HALF = frame(TEXT, b'{"t":', flags=0)
PINGS = frame(PING)


async def trickle_a_head(attacker: Attacker) -> int:
    socket = await attacker.node.connect()
    async with trickling(socket, chain([b"GET /healthz HTTP/1.1\r\nX: "], repeat(b"x"))):
        return (await socket.answer()).status


async def trickle_a_hello(attacker: Attacker) -> int:
    socket = await attacker.open()
    async with trickling(socket, (bytes([byte]) for byte in frame(TEXT, HELLO + b" " * 1_000))):
        return (await socket.end()).code


async def ping_before_hello(attacker: Attacker) -> int:
    socket = await attacker.open()
    async with trickling(socket, repeat(PINGS)):
        return (await socket.end()).code


async def say_hello_at_length(attacker: Attacker) -> int:
    socket = await attacker.open()
    socket.send_bytes(fragments([HELLO, *[b" " * 64] * (FRAME_BYTES_MAX_BEFORE_HELLO // 64)]))
    return (await socket.end()).code


async def leave_a_message_half(attacker: Attacker) -> int:
    """Pings below the protocol are no sign of somebody there."""
    socket = await attacker.join()
    socket.send_bytes(HALF)
    async with trickling(socket, repeat(PINGS)):
        return (await socket.end()).code


async def add_to_a_message_for_ever(attacker: Attacker) -> int:
    socket = await attacker.join()
    socket.send_bytes(HALF)
    async with trickling(socket, repeat(frame(CONT, b" ", flags=0))):
        return (await socket.end()).code


async def vanish(attacker: Attacker) -> int:
    """As one whose cable was pulled: nothing is read, said or closed."""
    socket = await attacker.join_deaf()
    gone = attacker.node.closed_with(NO_PONG)
    await until(lambda: attacker.node.closed_with(NO_PONG) > gone)
    return await _really_gone(socket, NO_PONG)


async def read_nothing(attacker: Attacker) -> int:
    socket = await attacker.join_deaf()
    await attacker.say_much()
    return await _really_gone(socket, SLOW)


async def read_a_byte_now_and_then(attacker: Attacker) -> int:
    socket = await attacker.join_deaf()
    sips = asyncio.create_task(sipping(socket))
    try:
        await attacker.say_much()
    finally:
        sips.cancel()
        await asyncio.wait({sips})
    return await _really_gone(socket, SLOW)


async def _really_gone(socket: RawSocket, code: int) -> int:
    """Its connection is closed too, whatever it still finds in its buffers: the bytes may be no whole frames."""
    socket.writer.transport.resume_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(ANSWER_SECONDS):
        with suppress(ConnectionError):
            while await socket.reader.read(65_536):
                continue
    return code


async def ask_the_time(attacker: Attacker) -> int:
    socket = await attacker.join()
    socket.send_bytes(frame(TEXT, b'{"t":"time","d":{"t0":1}}') * 400)
    return (await socket.end()).code


async def send_single_bytes(attacker: Attacker) -> int:
    socket = await attacker.join()
    socket.send_bytes(frame(TEXT, b"x") * 500)
    return (await socket.end()).code


async def send_very_many_single_bytes(attacker: Attacker) -> int:
    socket = await attacker.join()
    socket.send_bytes(frame(TEXT, b"x") * 2_100)
    return (await socket.end()).code


async def send_nothing_often(attacker: Attacker) -> int:
    socket = await attacker.join()
    socket.send_bytes(frame(TEXT) * 500)
    return (await socket.end()).code


ROWS: dict[str, tuple[Callable[[Attacker], Awaitable[int]], int]] = {
    "9-a-head-byte-by-byte": (trickle_a_head, REQUEST_TIMEOUT),
    "9-hello-byte-by-byte": (trickle_a_hello, HELLO_TIMEOUT),
    "9-pings-and-no-hello": (ping_before_hello, HELLO_TIMEOUT),
    "15-a-long-hello-in-pieces": (say_hello_at_length, TOO_BIG),
    "15-half-a-message-and-pings": (leave_a_message_half, NO_PONG),
    "15-a-message-without-end": (add_to_a_message_for_ever, NO_PONG),
    "18-400-times": (ask_the_time, RATE),
    "18-single-bytes": (send_single_bytes, TOO_MANY_ERRORS),
    "18-2100-single-bytes": (send_very_many_single_bytes, RATE),
    "18-empty-messages": (send_nothing_often, TOO_MANY_ERRORS),
    "vanishes": (vanish, NO_PONG),
    "reads-nothing": (read_nothing, SLOW),
    "reads-a-byte-now-and-then": (read_a_byte_now_and_then, SLOW),
}
BY_HEARTBEAT = (vanish, leave_a_message_half, add_to_a_message_for_ever)


@pytest.mark.parametrize("row", ROWS)
async def test_who_means_harm_is_given_up_and_disturbs_nobody(
    node: Node, beating: Node, monkeypatch: pytest.MonkeyPatch, row: str
) -> None:
    for module, name in ((web_socket, "HELLO_SECONDS"), (web_socket, "SEND_SECONDS"), (head, "HEAD_SECONDS")):
        monkeypatch.setattr(module, name, QUICK_SECONDS)
    monkeypatch.setattr(wire, "LINGER_SECONDS", QUICK_SECONDS)
    attack, code = ROWS[row]
    at = beating if attack in BY_HEARTBEAT else node
    person, other = await at.person(), await node.person()
    bystander = await other.join(await other.start())
    assert await attack(Attacker(at, person, await person.start())) == code
    await bystander.ping()
    for one in (node, beating):
        await let_go(one)
        assert one.closed_with(Close.INTERNAL) == 0, "a handler broke"


async def test_who_has_written_what_json_writes_six_times_as_long_is_let_in_again(node: Node) -> None:
    person = await node.person()
    interview = await person.start()
    answer = await person.http.post(f"/v1/interviews/{interview}/writer", json={})
    fence = Fence(**answer.json()["fence"])
    conductor, text = node.parts.conductor, "\x01" * FIELD_BYTES_MAX
    said: list[dict[str, Any]] = [{"t": "phase.proceed", "id": "proceed-1", "d": {}}]
    for rev, field in enumerate(FIELDS):
        save = {"base": rev, "changes": [{"field": field, "text": text}]}
        said.append({"t": "draft.save", "id": f"save-{field}", "d": save})
    for one in said:
        command = decode(msgspec.msgpack.encode(one), "msgpack")
        assert isinstance(command, PhaseProceed | DraftSave)
        assert isinstance(await conductor.handle(interview, command, fence), Ack)
    socket = await person.open(interview)
    welcome = await socket.hello()
    assert welcome["snapshot"]["draft"]["fields"] == dict.fromkeys(FIELDS, text)
    await socket.alive()
    await let_go(node)


async def let_go(node: Node) -> None:
    for socket in node.sockets:
        socket.close()
    node.sockets.clear()
    await until(lambda: node.open_sockets == 0)


def test_what_the_system_holds_for_a_connection_is_bounded(settings: Settings) -> None:
    """Accepted connections have the listening one's bounds: on bytes, and on waiting for a peer that says nothing."""
    with (
        serving.listen(msgspec.structs.replace(settings, port=0)) as taken,
        sockets.create_connection(taken.getsockname()),
        taken.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF) <= 2 * serving.SEND_BUFFER_BYTES
        if hasattr(sockets, "TCP_USER_TIMEOUT"):  # not on every system
            held = accepted.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_USER_TIMEOUT)
            assert held == serving.TCP_USER_TIMEOUT_MS


async def test_what_is_cancelled_from_below_ends_its_socket(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled(self: web_socket.Socket) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(web_socket.Socket, "_apply", cancelled)
    async with listening(settings) as node:  # the others' count such ends
        person = await node.person()
        socket = await person.join(await person.start())
        assert (await socket.end()).code == Close.INTERNAL


async def test_a_bad_frame_before_the_answer_ends_the_connection(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be neither read nor closed, and what came after it would be kept."""
    entered, held = asyncio.Event(), asyncio.Event()

    async def slow(*args: Any) -> Any:
        entered.set()
        await held.wait()
        return await upgrade.admit(*args)

    monkeypatch.setattr(routes_socket, "admit", slow)
    socket = await node.connect()
    answering = asyncio.create_task(socket.upgrade("sdi.v1.json", "ticket.none"))
    await entered.wait()
    socket.send_bytes(frame(PING, flags=FIN | RSV1))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await answering
    held.set()
