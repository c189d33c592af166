"""The proxy does what it says to connections, and nothing to what it is not told to."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.chaos.proxy import CUT_BYTES_MAX, Frames, Proxy
from tests.until import until

BODY = bytes(range(256)) * 8
HEAD = b"GET /v1/socket HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n\r\n"


class Echo:
    """A server that gives back what it gets, in the pieces that it got, and says goodbye."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                self.pieces.append(data)
                writer.write(data)
            self.ended.set()
            writer.write(b"goodbye")
            await writer.drain()
        except ConnectionError:
            self.ended.set()
        finally:
            writer.close()


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo.answer, "127.0.0.1", 0)
    async with Proxy("echo", "127.0.0.1", server.sockets[0].getsockname()[1], random.Random(1)) as proxy:
        yield proxy
    server.close()


async def opened(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that goes through: it has carried a byte there and back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"!")
    assert await reader.readexactly(1) == b"!"
    return reader, writer


async def test_left_alone_it_carries_all_and_ends_with_both(proxy: Proxy, echo: Echo) -> None:
    reader, writer = await opened(proxy)
    writer.write(BODY)
    assert await reader.readexactly(len(BODY)) == BODY
    writer.write_eof()
    assert await reader.read() == b"goodbye"
    writer.close()
    await until(lambda: proxy.open == 0)
    assert not proxy.done


async def test_slow_is_whole_and_in_order_and_ends(proxy: Proxy, echo: Echo) -> None:
    reader, writer = await opened(proxy)
    async with proxy.slow("slice"), proxy.slow("delay"):
        writer.write(BODY)
        assert await reader.readexactly(len(BODY)) == BODY
    assert len(echo.pieces) > 20
    echo.pieces.clear()
    writer.write(BODY)
    assert await reader.readexactly(len(BODY)) == BODY
    assert len(echo.pieces) <= 4
    writer.close()


async def test_a_new_connection_is_slow_too(proxy: Proxy, echo: Echo) -> None:
    async with proxy.slow("slice"):
        reader, writer = await opened(proxy)
        writer.write(BODY)
        assert await reader.readexactly(len(BODY)) == BODY
    assert len(echo.pieces) > 20
    writer.close()


async def test_cut_is_in_the_middle(proxy: Proxy) -> None:
    reader, writer = await opened(proxy)
    assert len(proxy.strike("cut")) == 1
    writer.write(BODY * 4)
    assert len(await reader.read()) <= CUT_BYTES_MAX
    writer.close()
    await until(lambda: proxy.open == 0)


async def test_half_closed_the_server_may_still_speak(proxy: Proxy, echo: Echo) -> None:
    reader, writer = await opened(proxy)
    proxy.strike("half-close")
    assert await reader.read() == b"goodbye"
    assert echo.ended.is_set()
    writer.close()


async def test_reset_is_an_error_on_both_sides(proxy: Proxy, echo: Echo) -> None:
    reader, writer = await opened(proxy)
    proxy.strike("reset")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    await echo.ended.wait()
    writer.close()


async def test_a_black_hole_swallows_until_it_is_forgotten_and_others_go_on(proxy: Proxy, echo: Echo) -> None:
    reader, writer = await opened(proxy)
    struck = proxy.strike("black-hole")
    writer.write(BODY)
    other_reader, other = await opened(proxy)
    assert echo.pieces == [b"!", b"!"]
    proxy.heal(struck)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    other.write(b"?")
    assert await other_reader.readexactly(1) == b"?"
    for one in (writer, other):
        one.close()


async def test_a_share_is_a_share_and_is_counted(proxy: Proxy) -> None:
    writers = [(await opened(proxy))[1] for _ in range(20)]
    struck = len(proxy.strike("reset", 0.5))
    assert 0 < struck < 20
    assert proxy.done["reset"] == struck
    await until(lambda: proxy.open == 20 - struck)
    for writer in writers:
        writer.close()


async def test_where_nobody_listens_the_connection_ends() -> None:
    async with Proxy("nobody", "127.0.0.1", 1, random.Random(1)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await _ended(reader)
        writer.close()


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def test_a_clients_next_text_is_doubled_and_no_other() -> None:
    heard: list[str | bytes] = []

    async def listen(socket: ServerConnection) -> None:
        async for message in socket:
            heard.append(message)
            await socket.send(message)

    async with serve(listen, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with (
            Proxy("node", "127.0.0.1", port, random.Random(1), frames=True) as proxy,
            connect(f"ws://127.0.0.1:{proxy.port}", proxy=None, compression=None) as client,
        ):
            await client.send("first")
            assert await client.recv() == "first"
            proxy.strike("double")
            for message in (b"bytes", "x" * 70_000, "last"):
                await client.send(message)
            await until(lambda: heard[-1:] == ["last"])
    assert heard == ["first", b"bytes", "x" * 70_000, "x" * 70_000, "last"]


def frame(body: bytes, opcode: int = 1) -> bytes:
    size = len(body)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)
    return bytes([0x80 | opcode]) + length + b"mask" + body


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_frames_are_whole_however_they_come(bodies: list[bytes], chance: random.Random) -> None:
    sent = HEAD + b"".join(map(frame, bodies))
    cuts = sorted(chance.choices(range(len(HEAD), len(sent) + 1), k=4))
    frames, found = Frames(), []
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        found += frames.feed(sent[begin:end])
    assert found == [(HEAD, False), *((frame(body), True) for body in bodies)]


def test_what_is_no_websocket_goes_through_as_it_comes() -> None:
    frames = Frames()
    posted = b"POST /v1/x HTTP/1.1\r\nHost: here\r\n\r\n{}"
    assert frames.feed(posted) == [(posted, False)]
    assert frames.feed(posted[:9]) == [(posted[:9], False)]
    assert frames.feed(frame(b"pong", opcode=10)) == [(frame(b"pong", opcode=10), False)]
