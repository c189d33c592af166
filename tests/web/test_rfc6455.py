"""RFC 6455 as a server must keep it: the cases that fuzzing clients try (Autobahn's groups 1 to 7, 9 and 10), our own.

Each is bytes on a raw socket, and what comes back: messages and pongs in order, then how the connection ends. They run
against an echo served exactly as the engine is served, so that the engine's own protocol refuses nothing first; and
what breaks the RFC at once against the engine too, before hello. `test_frames` has the engine after it.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from engine.cli import serving
from engine.embedded import Embedded
from engine.settings import load_settings
from protocol.words import FRAME_BYTES_MAX
from tests.web.listening import Node, Person, fresh_settings, listening
from tests.web.raw_socket import (
    ANSWER_SECONDS,
    BINARY,
    CLOSE,
    CONT,
    FIN,
    PING,
    PONG,
    TEXT,
    Closed,
    RawSocket,
    fragments,
    frame,
)

NORMAL, PROTOCOL_ERROR, NO_CODE, NOT_UTF8, TOO_BIG = 1000, 1002, 1005, 1007, 1009
SLOWLY_BYTES_MAX = 300
"""What is short is sent a second time byte by byte."""
SLICE_BYTES = 997
"""And what is long, in slices."""
Came = tuple[int, bytes]


class Case(NamedTuple):
    """Bytes; the messages and pongs that come back; the code of the close that ends it. 0: the socket lives on."""

    wire: bytes
    comes: Sequence[Came] = ()
    code: int = 0
    slowly: bool = True
    """Also bit by bit. Not where something follows the peer's own close: it may find nobody there."""


def close(code: int = NORMAL, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + reason)


def echoed(opcode: int, data: bytes, wire: bytes = b"") -> Case:
    return Case(wire or frame(opcode, data), [(opcode, data)])


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)] or [b""]


def numbered(group: str, cases: Iterable[Case]) -> dict[str, Case]:
    return {f"{group}.{i}": case for i, case in enumerate(cases, 1)}


HELLO = frame(TEXT, b"Hello")
SAID = (TEXT, b"Hello")
ODD = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
GREETING = "Hello-µ@ßöäüàá-UTF-8!!".encode()
SIZES = (0, 125, 126, 127, 128, 65_535, 65_536)
LARGE = (65_536, FRAME_BYTES_MAX)
FIRST, LAST, ALONE = 0, FIN, FIN


def rest(data: bytes, flags: int = LAST) -> bytes:
    return frame(CONT, data, flags=flags)


FRAMING = {
    **numbered("1.1", (echoed(TEXT, b"*" * size) for size in SIZES)),
    **numbered("1.2", (echoed(BINARY, b"\xfe" * size) for size in SIZES)),
}
PINGS = numbered(
    "2",
    [
        *(Case(frame(PING, data), [(PONG, data)]) for data in (b"", b"Hello", ODD, b"\xfe" * 125)),
        Case(frame(PING, b"\xfe" * 126), code=PROTOCOL_ERROR),
        Case(frame(PONG)),
        Case(frame(PONG, b"unasked")),
        Case(frame(PONG, b"unasked") + frame(PING, b"asked"), [(PONG, b"asked")]),
        Case(b"".join(frame(PING, b"%d" % i) for i in range(10)), [(PONG, b"%d" % i) for i in range(10)]),
    ],
)
RESERVED = {
    **{f"3.{rsv}": Case(frame(TEXT, b"Hello", flags=FIN | rsv << 4), code=PROTOCOL_ERROR) for rsv in range(1, 8)},
    **{
        f"3.{rsv}-{name}-after-a-message": Case(HELLO + frame(op, b"", flags=FIN | rsv << 4), [SAID], PROTOCOL_ERROR)
        for name, op in {"text": TEXT, "binary": BINARY, "ping": PING, "pong": PONG, "close": CLOSE}.items()
        for rsv in (1, 2, 4, 7)
    },
}
OPCODES = {
    **{
        f"4.{op}": Case(frame(op, data), code=PROTOCOL_ERROR)
        for op in (*range(3, 8), *range(11, 16))
        for data in (b"",)
    },
    **{
        f"4.{op}-after-a-message": Case(HELLO + frame(op, b"x") + frame(PING), [SAID], PROTOCOL_ERROR)
        for op in (*range(3, 8), *range(11, 16))
    },
}
FRAGMENTS = numbered(
    "5",
    [
        Case(frame(PING, b"a", flags=FIRST) + rest(b"b"), code=PROTOCOL_ERROR),
        Case(frame(PONG, b"a", flags=FIRST) + rest(b"b"), code=PROTOCOL_ERROR),
        echoed(TEXT, b"Hello", fragments([b"Hel", b"lo"])),
        echoed(BINARY, ODD, fragments(pieces(ODD, 1), BINARY)),
        Case(frame(TEXT, b"Hel", flags=FIRST) + frame(PING, b"?") + rest(b"lo"), [(PONG, b"?"), SAID]),
        Case(rest(b"x") + HELLO, code=PROTOCOL_ERROR),
        Case(rest(b"x", FIRST) + HELLO, code=PROTOCOL_ERROR),
        Case(fragments([b"Hel", b"lo"]) + rest(b"x", FIRST) + HELLO, [SAID], PROTOCOL_ERROR),
        Case(fragments([b"Hel", b"lo"]) + rest(b"x"), [SAID], PROTOCOL_ERROR),
        Case(frame(TEXT, b"a", flags=FIRST) + frame(TEXT, b"b"), code=PROTOCOL_ERROR),
        Case(frame(TEXT, b"a", flags=FIRST) + frame(BINARY, b"b", flags=FIRST), code=PROTOCOL_ERROR),
        Case(
            frame(TEXT, b"1", flags=FIRST) + rest(b"2", FIRST) + frame(PING, b"i") + rest(b"3", FIRST)
            + rest(b"4", FIRST) + frame(PING, b"ii") + rest(b"5"),
            [(PONG, b"i"), (PONG, b"ii"), (TEXT, b"12345")],
        ),
    ],
)  # fmt: skip
GOOD_TEXTS = [
    b"", GREETING, "κόσμε".encode(), *(chr(point).encode() for point in (0x00, 0x80, 0x800, 0x10000)),
    *(chr(point).encode() for point in (0x7F, 0x7FF, 0xFFFF, 0x10FFFF, 0xD7FF, 0xE000, 0xFFFD, 0xFEFF, 0xFFFE)),
    *(chr(plane * 0x10000 + 0xFFFE).encode() for plane in range(1, 17)), "\ufdd0\ufdef".encode(),
]  # fmt: skip
BAD_TEXTS = [
    "κόσμε".encode() + b"\xed\xa0\x80edited", *("κόσμε".encode()[:cut] for cut in (1, 3, 5)),  # cut short
    b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf",  # 5, 6
    b"\xf7\xbf\xbf\xbf", b"\xf4\x90\x80\x80",  # beyond Unicode
    b"\x80", b"\xbf", b"\x80\xbf" * 3, bytes(range(0x80, 0xC0)),  # continuations of nothing
    *(b"".join(bytes([byte, 0x20]) for byte in starts)
      for starts in (range(0xC0, 0xE0), range(0xE0, 0xF0), range(0xF0, 0xF8), range(0xF8, 0xFC), (0xFC, 0xFD))),
    b"\xdf", b"\xef\xbf", b"\xe0\x80", b"\xf0\x80\x80", b"\xf7\xbf\xbf", b"\xc0\xe0\x80\xf0\x80\x80",
    b"\xfe", b"\xff", b"\xfe\xfe\xff\xff",
    b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf",  # overlong
    b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf", b"\xc0\x80", b"\xe0\x80\x80",
    *(bytes([0xED, middle, last]) for middle in (0xA0, 0xAD, 0xAE, 0xAF, 0xB0, 0xBE, 0xBF) for last in (0x80, 0xBF)),
    b"\xed\xa0\x80\xed\xb0\x80", b"\xed\xaf\xbf\xed\xbf\xbf",  # surrogates, also in pairs
]  # fmt: skip
TEXTS = {
    **numbered("6.good", (echoed(TEXT, text) for text in GOOD_TEXTS)),
    **numbered("6.good-in-bytes", (echoed(TEXT, text, fragments(pieces(text, 1))) for text in GOOD_TEXTS)),
    "6.1.2": echoed(TEXT, b"", fragments([b"", b"", b""])),
    "6.1.3": echoed(TEXT, b"middle", fragments([b"", b"middle", b""])),
    **numbered("6.bad", (Case(frame(TEXT, text), code=NOT_UTF8) for text in BAD_TEXTS)),
    **numbered("6.bad-in-bytes", (Case(fragments(pieces(text, 1)), code=NOT_UTF8) for text in BAD_TEXTS)),
    "6.4-bad-in-the-middle": Case(fragments([GREETING, b"\xf4\x90\x80\x80", b"edited"]), code=NOT_UTF8),
    "6.no-text-need-be-utf8": echoed(BINARY, b"\xff\xfe"),
}
CLOSES = {
    "7.1.1": Case(HELLO + close(), [SAID], NORMAL),
    "7.1.2": Case(close() + close(), code=NORMAL, slowly=False),
    "7.1.3": Case(close() + frame(PING), code=NORMAL, slowly=False),
    "7.1.4": Case(close() + HELLO, code=NORMAL, slowly=False),
    # The library takes a message that is left unfinished for an error; the RFC leaves room for both.
    "7.1.5": Case(frame(TEXT, b"a", flags=FIRST) + close() + rest(b"b"), code=PROTOCOL_ERROR),
    "7.1.6": Case(frame(TEXT, b"B" * 65_536) + HELLO + close(), [(TEXT, b"B" * 65_536), SAID], NORMAL),
    "7.3.1": Case(frame(CLOSE), code=NO_CODE),
    "7.3.2": Case(frame(CLOSE, b"a"), code=PROTOCOL_ERROR),
    "7.3.4": Case(close(reason=b"Hello"), code=NORMAL),
    "7.3.5": Case(close(reason=b"*" * 123), code=NORMAL),
    "7.3.6": Case(close(reason=b"*" * 124), code=PROTOCOL_ERROR),
    "7.5.1": Case(close(reason=BAD_TEXTS[0]), code=NOT_UTF8),
    **{f"7.7-{code}": Case(close(code), code=code) for code in
       (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)},
    **{f"7.9-{code}": Case(close(code), code=PROTOCOL_ERROR) for code in
       (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)},
}  # fmt: skip
LIMITS = {
    **numbered("9.1", (echoed(TEXT, b"*" * size) for size in LARGE)),
    **numbered("9.2", (echoed(BINARY, b"\x00" * size) for size in LARGE)),
    **{f"9.3-in-pieces-of-{size}": echoed(TEXT, b"*" * FRAME_BYTES_MAX, fragments(pieces(b"*" * FRAME_BYTES_MAX, size)))
       for size in (256, 1_024, 4_096, 65_536)},
    "9.too-long": Case(frame(BINARY, b"x" * (FRAME_BYTES_MAX + 1)), code=TOO_BIG),
    "9.too-long-in-pieces": Case(fragments(pieces(b"x" * (FRAME_BYTES_MAX + 1), 65_536), BINARY), code=TOO_BIG),
    "10.1.1": echoed(TEXT, b"*" * 65_536, fragments(pieces(b"*" * 65_536, 1_300))),
}  # fmt: skip
CASES = FRAMING | PINGS | RESERVED | OPCODES | FRAGMENTS | TEXTS | CLOSES | LIMITS
BREACHES = (PROTOCOL_ERROR, NOT_UTF8, TOO_BIG)
AT_ONCE = {
    name: case for name, case in CASES.items() if case.code in BREACHES and not case.comes and "in-bytes" not in name
}


async def echo(ws: WebSocket) -> None:
    """What came goes back."""
    await ws.accept()
    while (message := await ws.receive())["type"] == "websocket.receive":
        await ws.send({**message, "type": "websocket.send"})


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    """Where the echo listens."""
    settings = load_settings({}, port=0, drain_seconds=1.0)
    listening_socket, stop = serving.listen(settings), asyncio.Event()
    served = serving.serve(Starlette(routes=[WebSocketRoute("/v1/socket", echo)]), settings, listening_socket, stop)
    task = asyncio.create_task(served)
    yield listening_socket.getsockname()[1]
    stop.set()
    await task


async def outcome(socket: RawSocket, case: Case) -> tuple[list[Came], int]:
    """What comes back, and the code of the end; 0 when all has come and a ping is still answered."""
    came: list[Came] = []
    asked = (PONG, b"still there?")
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                if not case.code and len(came) == len(case.comes):
                    socket.send_bytes(frame(PING, asked[1]))
                came.append(await socket.next_frame())
                if came[-1] == asked:
                    return came[:-1], 0
    except Closed as closed:
        return came, closed.code


def as_it_should(case: Case, came: list[Came], code: int) -> bool:
    """Pongs may overtake messages. What came before an error may go unanswered, but never wrongly answered."""
    if code != case.code:
        return False
    if code:
        return came == list(case.comes[: len(came)])
    return sorted(came, key=_is_pong) == sorted(case.comes, key=_is_pong)


def _is_pong(one: Came) -> bool:
    return one[0] == PONG


@pytest.mark.parametrize("name", CASES)
async def test_an_echo_keeps_the_rfc(port: int, name: str) -> None:
    case = CASES[name]
    step = 1 if len(case.wire) <= SLOWLY_BYTES_MAX else SLICE_BYTES
    for written in ([case.wire], *([pieces(case.wire, step)] if case.slowly else [])):
        socket = await RawSocket.connect(port, limit=2 * FRAME_BYTES_MAX)
        assert (await socket.upgrade()).status == 101
        for data in written:
            socket.send_bytes(data)
            if data is not case.wire:
                await asyncio.sleep(0)  # to the system, each by itself
        came, code = await outcome(socket, case)
        assert as_it_should(case, came, code), (came[:9], code)
        socket.close()


@pytest.fixture(scope="module")
async def node(servers: Embedded, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    folder = tmp_path_factory.mktemp("rfc6455")
    async with fresh_settings(servers, template, folder) as settings, listening(settings) as node:
        yield node


@pytest.fixture(scope="module")
async def guest(node: Node) -> tuple[Person, str]:
    """Somebody with an interview."""
    person = await node.person()
    return person, await person.start()


@pytest.mark.parametrize("name", AT_ONCE)
async def test_the_engine_keeps_it_before_hello(guest: tuple[Person, str], name: str) -> None:
    person, interview = guest
    socket = await person.open(interview)
    socket.send_bytes(AT_ONCE[name].wire)
    assert (await socket.end()).code == AT_ONCE[name].code
    assert person.node.closed_with(4001) == 0
    socket.close()
