"""Sockets over real connections: deadlines, heartbeats, slow readers, sign-out, drains. Limits are only shortened."""

from __future__ import annotations

import asyncio
import socket as sockets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import msgspec
import pytest

from engine.embedded import Embedded
from engine.live.keys import keys_of
from engine.settings import Settings
from engine.web import socket as web_socket
from engine.web import wire
from protocol.codec import decode
from protocol.messages import ClarifyAsk, DraftSave
from protocol.words import (
    FIELD_BYTES_MAX,
    FRAME_BYTES_MAX,
    FRAME_BYTES_MAX_BEFORE_HELLO,
    SUBPROTOCOL_JSON,
    SUBPROTOCOL_MSGPACK,
    Fence,
)
from tests.until import time_passes, until
from tests.web.listening import Node, Person, fresh_settings, listening
from tests.web.raw_socket import BINARY, PING, TEXT, Closed, RawSocket, frame

BEAT_SECONDS = 0.3
SLOW, NO_PONG, DRAINED, TICKET_EXPIRED, HELLO_TIMEOUT, FORBIDDEN = 4002, 4003, 4000, 4100, 4408, 4505


@pytest.fixture(scope="module")
async def settings(
    servers: Embedded, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Settings]:
    async with fresh_settings(servers, template, tmp_path_factory.mktemp("sockets")) as settings:
        yield settings


@pytest.fixture(scope="module")
async def node(settings: Settings) -> AsyncIterator[Node]:
    async with listening(settings) as node:
        yield node


@pytest.fixture
async def beating(settings: Settings) -> AsyncIterator[Node]:
    """A node whose heart beats fast."""
    quick = msgspec.structs.replace(settings, heartbeat_seconds=BEAT_SECONDS, heartbeat_grace_seconds=BEAT_SECONDS)
    async with listening(quick) as node:
        yield node


async def sitting(node: Node) -> tuple[Person, str]:
    """Somebody in an interview."""
    person = await node.person()
    return person, await person.start()


def save(base: int, text: str) -> dict[str, Any]:
    return {"base": base, "changes": [{"field": "functional_req", "text": text}]}


# --- hello -------------------------------------------------------------------------------------------------


def test_the_limits_are_those_of_the_contract() -> None:
    assert (web_socket.HELLO_SECONDS, FRAME_BYTES_MAX_BEFORE_HELLO, FRAME_BYTES_MAX) == (5.0, 4_096, 262_144)


@pytest.mark.parametrize("said", [b"", frame(PING), frame(TEXT, b'{"t":', flags=0)], ids=["silence", "ping", "half"])
async def test_who_does_not_say_hello_in_time_is_closed(
    node: Node, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(web_socket, "HELLO_SECONDS", BEAT_SECONDS)
    person, interview = await sitting(node)
    socket = await person.open(interview)
    socket.send_bytes(said)
    assert (await socket.end()).code == HELLO_TIMEOUT


async def test_a_client_that_vanishes_leaves_nothing_behind(node: Node) -> None:
    person, interview = await sitting(node)
    bell, redis = keys_of(interview).bell, node.parts.redis
    before = node.open_sockets
    gone = [await person.join(interview, write=False) for _ in range(5)]
    assert node.open_sockets == before + 5
    assert dict(await redis.pubsub_numsub(bell)) == {bell.encode(): 1}
    for socket in gone:
        socket.close()
    await until(lambda: node.open_sockets == before)

    async def unsubscribed() -> bool:
        return dict(await redis.pubsub_numsub(bell)) == {bell.encode(): 0}

    await until(unsubscribed)


# --- coming back -------------------------------------------------------------------------------------------


async def coming_in(person: Person, interview: str, protocol: str, resume: Any = None) -> tuple[RawSocket, list[bytes]]:
    """An observer's socket in either encoding, and the frames it got, to `resumed`."""
    packing, opcode = (msgspec.json, TEXT) if protocol == SUBPROTOCOL_JSON else (msgspec.msgpack, BINARY)
    socket, frames = await person.open(interview, protocol=protocol), [b""]
    hello = {"t": "hello", "d": {"proto": 1, "tab": "tab", "write": False, "resume": resume}}
    socket.send_bytes(frame(opcode, packing.encode(hello)))
    while b"resumed" not in frames[-1]:
        frames.append((await socket.frame())[1])
    return socket, frames[1:]


@asynccontextmanager
async def record_away(node: Node) -> AsyncIterator[None]:
    """The record takes nothing meanwhile."""
    await node.fetch("ALTER TABLE solutions RENAME COLUMN extra TO other")
    try:
        yield
    finally:
        await node.fetch("ALTER TABLE solutions RENAME COLUMN other TO extra")


@pytest.mark.parametrize("live", [False, True], ids=["recorded", "live"])
@pytest.mark.parametrize(
    ("protocol", "opening", "comma", "end"),
    [(SUBPROTOCOL_JSON, b'":[', b",", b"]}}"), (SUBPROTOCOL_MSGPACK, b"\x93", b"", b"")],
)
async def test_all_that_was_missed_comes_in_one_frame_each_event_as_it_came_alone(
    node: Node, protocol: str, opening: bytes, comma: bytes, end: bytes, live: bool
) -> None:
    person, interview = await sitting(node)
    writer = await person.join(interview)
    watcher, _ = await coming_in(person, interview, protocol)
    await writer.command("draft.save", save(0, "in the record"))
    async with record_away(node) if live else nullcontext():
        for rev in (1, 2):
            await writer.command("draft.save", save(rev, "and this, if it can be"))
        alone = [(await watcher.frame())[1] for _ in range(3)]
        back, frames = await coming_in(person, interview, protocol, {"epoch": 1, "s": 0})
    assert [b"live" in event for event in alone] == [False, live, live]
    _, replay, _ = frames
    assert b"replay" in replay and replay.endswith(b"events" + opening + comma.join(alone) + end)
    if live:
        assert b"recorded" in (await back.frame())[1]


# --- heartbeats --------------------------------------------------------------------------------------------


async def test_a_silent_client_is_pinged_and_closed(beating: Node) -> None:
    person, interview = await sitting(beating)
    socket = await person.join(interview)
    ping = await socket.receive("ping")
    assert ping["d"]["head"] == 0
    assert (await socket.end()).code == NO_PONG


@pytest.mark.parametrize("answer", [("pong", None), ("time", {"t0": 1})], ids=["pong", "any frame"])
async def test_whatever_a_client_says_keeps_its_socket_open(beating: Node, answer: tuple[str, Any]) -> None:
    person, interview = await sitting(beating)
    socket = await person.join(interview)
    for _ in range(4):
        await socket.receive("ping")
        socket.send(*answer)
    await socket.alive()


async def test_the_heartbeat_brings_an_event_whose_doorbell_was_lost(beating: Node, node: Node) -> None:
    person, interview = await sitting(beating)
    writer = await Person(node, person.http, person.access).join(interview)
    socket = await person.join(interview, write=False)
    beating.parts.conductor.fanout._say("UNSUBSCRIBE", keys_of(interview).bell)
    ack = await writer.command("draft.save", save(0, "heard of by the heartbeat"))
    assert (await socket.receive("draft.saved"))["s"] == ack["s"]


# --- a client that does not read -----------------------------------------------------------------------------


async def test_a_client_that_does_not_read_is_cut_off_and_disturbs_nobody(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_socket, "SEND_SECONDS", 1.0)
    monkeypatch.setattr(wire, "LINGER_SECONDS", 0.2)
    person, interview = await sitting(node)
    fence = Fence(**(await person.http.post(f"/v1/interviews/{interview}/writer", json={})).json()["fence"])
    slow = await not_reading(node, person, interview)
    bystander, theirs = await sitting(node)
    other = await bystander.join(theirs)
    before, worst, rev = node.closed_with(SLOW), 0.0, 0
    while node.closed_with(SLOW) == before:
        text = chr(ord("a") + rev % 26) * FIELD_BYTES_MAX
        body = {"t": "draft.save", "id": f"large-save-{rev}", "d": save(rev, text)}
        command = decode(msgspec.json.encode(body))
        assert isinstance(command, DraftSave | ClarifyAsk)
        ack = await node.parts.conductor.handle(interview, command, fence)
        rev += 1
        started = time.monotonic()
        await other.ping()
        worst = max(worst, time.monotonic() - started)
        assert rev < 120, f"{ack}: far more than its buffers hold was taken for this client"
    assert worst < 1.0
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert await slow.end()  # its connection is really gone, whatever it still finds in its buffers
    again = await person.join(interview, tab="again", write=False)
    assert (await again.command("phase.proceed"))["code"] == "observer"


async def not_reading(node: Node, person: Person, interview: str) -> RawSocket:
    """A socket that was welcomed, with a small window, and reads no more."""
    connection = sockets.socket()
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", node.settings.port))
    slow = RawSocket(*await asyncio.open_connection(sock=connection, limit=4_096))
    node.sockets.append(slow)
    await slow.upgrade("sdi.v1.json", "ticket." + await person.own_ticket(interview))
    await slow.hello(write=False)
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    return slow


# --- signing in and out --------------------------------------------------------------------------------------


async def test_58_a_socket_is_told_that_its_sign_in_ends_and_lives_on_with_a_new_ticket(beating: Node) -> None:
    person, interview = await sitting(beating)
    socket = await person.open(interview, seconds=30)
    await socket.hello()
    assert 0 < (await socket.receive("auth.expiring"))["d"]["in_ms"] <= 30_000
    socket.send("auth.refresh", {"ticket": await person.ticket(interview)}, id="refresh-1")
    await socket.alive()
    told: list[str] = []
    while told.count("ping") < 4:
        told.append((await socket.receive("ping", "auth.expiring"))["t"])
        socket.send("pong")
    assert told.count("auth.expiring") <= 1  # one was on its way


async def test_58_a_socket_ends_with_its_sign_in_however_busy_it_is(beating: Node) -> None:
    person, interview = await sitting(beating)
    socket = await person.open(interview, seconds=1)
    await socket.hello()
    assert (await busy(socket)).code == TICKET_EXPIRED


async def busy(socket: RawSocket) -> Closed:
    """Never silent for a whole beat, until the connection ends."""
    try:
        while True:
            await socket.alive()
            await time_passes(BEAT_SECONDS / 2)
    except Closed as closed:
        return closed


async def test_58_a_ticket_of_somebody_else_renews_nothing(node: Node) -> None:
    person, interview = await sitting(node)
    stranger, theirs = await sitting(node)
    for ticket in ("made-up", await stranger.ticket(theirs), await person.ticket(await person.start("parking-garage"))):
        socket = await person.join(interview)
        socket.send("auth.refresh", {"ticket": ticket}, id="refresh-1")
        assert (await socket.end()).code == TICKET_EXPIRED


async def test_54_a_refresh_token_used_twice_closes_the_sockets_of_its_login(node: Node) -> None:
    person, interview = await sitting(node)
    socket = await person.join(interview)
    body, thief = {"refresh_token": person.refresh}, {"user-agent": "another"}
    assert (await person.http.post("/v1/auth/refresh", json=body)).status_code == 200
    await socket.alive()
    assert (await person.http.post("/v1/auth/refresh", json=body, headers=thief)).status_code == 401
    assert (await socket.end()).code == FORBIDDEN
    assert (await person.http.get("/v1/me")).status_code == 401


async def test_56_signing_out_closes_the_sockets_of_that_login_on_every_node(node: Node, settings: Settings) -> None:
    async with listening(settings) as other:
        person, interview = await sitting(node)
        elsewhere = Person(other, person.http, person.access)
        mine = [await person.join(interview), await elsewhere.join(interview, write=False)]
        bystander, theirs = await sitting(other)
        witness = await bystander.join(theirs)
        started = time.monotonic()
        assert (await person.http.post("/v1/auth/logout", json={})).status_code == 204
        assert [(await socket.end()).code for socket in mine] == [FORBIDDEN, FORBIDDEN]
        assert time.monotonic() - started < 2
        await witness.alive()


async def test_56_a_node_that_did_not_hear_of_it_closes_the_sockets_when_it_hears_again(node: Node) -> None:
    person, interview = await sitting(node)
    socket = await person.join(interview)
    redis = node.parts.redis
    await redis.set(f"login:{person.access.login}:ended", b"1", ex=900)  # and nobody was told
    await socket.alive()
    await redis.client_kill_filter(_type="pubsub")
    assert (await socket.end()).code == FORBIDDEN


async def test_56_a_node_that_never_hears_of_it_closes_the_socket_at_a_heartbeat_however_busy(beating: Node) -> None:
    person, interview = await sitting(beating)
    socket = await person.join(interview)
    await beating.parts.redis.set(f"login:{person.access.login}:ended", b"1", ex=900)  # and nobody was told
    async with asyncio.timeout(10 * BEAT_SECONDS):
        assert (await busy(socket)).code == FORBIDDEN


async def test_56_a_socket_that_comes_in_while_its_login_ends_is_closed(node: Node) -> None:
    person, interview = await sitting(node)
    socket = await person.open(interview)
    await node.parts.redis.set(f"login:{person.access.login}:ended", b"1", ex=900)
    with pytest.raises(Closed) as closed:
        await socket.hello()
    assert closed.value.code == FORBIDDEN


async def test_58_a_ticket_of_a_login_that_ended_renews_nothing(node: Node) -> None:
    person, interview = await sitting(node)
    socket, ticket = await person.join(interview), await person.ticket(interview)
    await node.parts.redis.set(f"login:{person.access.login}:ended", b"1", ex=900)
    socket.send("auth.refresh", {"ticket": ticket}, id="refresh-1")
    assert (await socket.end()).code == FORBIDDEN


# --- leaving -------------------------------------------------------------------------------------------------


async def typing(socket: RawSocket, acked: list[tuple[int, int]]) -> Closed:
    """Save one line after the other until the connection ends; what was acknowledged is kept."""
    rev = 0
    try:
        while True:
            reply = await socket.command("draft.save", save(rev, f"line {rev}"))
            assert reply["t"] == "ack", reply
            rev = reply["rev"]
            acked.append((rev, reply["s"]))
            await time_passes(0.2)
    except Closed as closed:
        return closed


async def test_a_draining_node_tells_everybody_and_loses_nothing(settings: Settings) -> None:
    async with listening(settings) as leaving:
        seats = [await sitting(leaving) for _ in range(4)]
        open_ones = [await person.join(interview) for person, interview in seats]
        acked: list[list[tuple[int, int]]] = [[] for _ in seats]
        people = [asyncio.create_task(typing(s, a)) for s, a in zip(open_ones, acked, strict=True)]
        idle = await seats[0][0].join(seats[0][1], write=False)
        await until(lambda: all(acked))
        started = time.monotonic()
        leaving.stop.set()
        assert (await idle.receive("drain"))["d"]["in_ms"] >= 0
        ends = [await person for person in people]
        assert {end.code for end in ends} == {DRAINED}
        assert time.monotonic() - started < settings.drain_seconds + 1
        for (_, interview), mine in zip(seats, acked, strict=True):
            rows = await leaving.fetch("SELECT rev FROM solutions WHERE interview_id = $1", interview)
            assert rows[0][0] >= mine[-1][0]


async def test_a_node_that_leaves_gives_no_tickets_and_is_not_ready(settings: Settings) -> None:
    async with listening(settings) as leaving:
        person, interview = await sitting(leaving)
        await person.join(interview)  # keeps the node busy
        line = await leaving.connect()  # new ones are not taken any more
        headers = f"Host: x\r\nAuthorization: {person.http.headers['authorization']}\r\nContent-Length: 0\r\n\r\n"

        async def ask(what: str) -> int:
            line.send_bytes(f"{what} HTTP/1.1\r\n{headers}".encode())
            return (await line.answer()).status

        assert await ask("GET /readyz") == 200
        leaving.stop.set()

        async def refused() -> bool:
            return await ask("GET /readyz") == 503

        await until(refused)
        assert await ask(f"POST /v1/interviews/{interview}/ticket") == 503
