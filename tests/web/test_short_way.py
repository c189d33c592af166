"""What is good is taken however it comes: by the short way of the engine's own, or by uvicorn's and websockets'."""

from __future__ import annotations

from typing import Any

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from protocol.words import FRAME_BYTES_MAX
from tests.until import time_passes
from tests.web.raw_socket import CONT, PING, TEXT, frame
from tests.web.test_frames import Stage, node, stage

__all__ = ["node", "stage"]

CUTS_OF_ONE = 15
"""A socket has a budget of 60 messages."""
SIZES = (125, 126, 127, 128, 4_095, 4_097, 65_535, 65_536, FRAME_BYTES_MAX)


def asked(t0: int, size: int = 0) -> bytes:
    """A message that is answered with the same number."""
    return (b'{"t":"time","d":{"t0":%d}}' % t0).ljust(size)


def masked(data: bytes, key: bytes, *, long: int = 0) -> bytes:
    """A text frame as clients send it. `long`: the bytes that its length takes, where that is not the fewest."""
    header = bytearray(frame(TEXT, data)[: -len(data) - 4])
    if long:
        header[1:] = bytes([0x80 | {2: 126, 8: 127}[long]]) + len(data).to_bytes(long)
    return bytes(header) + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(data))


async def test_messages_of_all_sizes_and_masks_are_read(stage: Stage) -> None:
    socket = await stage.person.join(stage.interview, write=False)
    for t0, size in enumerate(SIZES):
        socket.send_bytes(masked(asked(t0, size), bytes([t0, 255 - t0, 7, 0])))
        assert (await socket.receive("time"))["d"]["t0"] == t0


async def test_a_length_written_too_long_is_a_length(stage: Stage) -> None:
    socket = await stage.person.join(stage.interview, write=False)
    for t0, long in enumerate((2, 8)):
        socket.send_bytes(masked(asked(t0), b"mask", long=long))
        assert (await socket.receive("time"))["d"]["t0"] == t0


async def test_messages_are_read_wherever_the_stream_is_cut(stage: Stage) -> None:
    """A short message, one in two pieces with a ping between them, and a short one again, cut at each byte."""
    first, second = asked(2)[:9], asked(2)[9:]
    pieces = frame(TEXT, first, flags=0) + frame(PING, b"here") + frame(CONT, second)
    stream = masked(asked(1), b"\x01\x02\x03\x04") + pieces + masked(asked(3), b"\xff\xfe\xfd\xfc")
    for cut in range(1, len(stream)):
        if cut % CUTS_OF_ONE == 1:
            socket = await stage.person.join(stage.interview, write=False)
        socket.send_bytes(stream[:cut])
        await socket.writer.drain()
        await time_passes(0)
        socket.send_bytes(stream[cut:])
        for t0 in (1, 2, 3):
            assert (await socket.receive("time"))["d"]["t0"] == t0, f"cut at {cut}"


async def test_whole_short_messages_go_the_short_way(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It depends on how websockets reads; where that changes all goes the long way, which works and costs more."""
    socket = await stage.person.join(stage.interview, write=False)
    long_way: list[bytes] = []
    data_received = WebSocketsSansIOProtocol.data_received

    def noted(self: Any, data: bytes) -> None:
        long_way.append(data)
        data_received(self, data)

    monkeypatch.setattr(WebSocketsSansIOProtocol, "data_received", noted)
    for t0 in range(3):
        socket.send_bytes(frame(TEXT, asked(t0)) + frame(TEXT, asked(t0)))
        for _ in range(2):
            assert (await socket.receive("time"))["d"]["t0"] == t0
    assert long_way == []
    socket.send_bytes(frame(PING, b"x") + frame(TEXT, asked(9)))
    assert (await socket.receive("time"))["d"]["t0"] == 9
    assert len(long_way) == 1
    socket.send_bytes(frame(TEXT, asked(10)))
    assert (await socket.receive("time"))["d"]["t0"] == 10
    assert len(long_way) == 1, "and the short way again"
