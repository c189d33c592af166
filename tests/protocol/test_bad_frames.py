"""What is not a frame: which refusal, where in the frame, whose. And whatever comes, nothing but BadFrame."""

from __future__ import annotations

import gc
import time
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol import examples
from protocol.codec import BadFrame, Encoding, decode, encode
from protocol.codes import Refuse
from protocol.commands import Ask
from protocol.messages import ClarifyAsk
from protocol.words import ASK_CHARS_MAX, FIELD_BYTES_MAX, FRAME_BYTES_MAX

ID = "abcdefgh"
CODE, SPLICE = '{"field":"code"}', '{"at":0}'
FUZZ_SECONDS_MAX = 0.02
LARGE_SECONDS_MAX = 0.2
"""Of this process's own time, for 256 KiB made to cost the most; a socket's budget counts bytes as well."""
TRIES = 4


def refused(data: bytes, encoding: Encoding = "json") -> tuple[Refuse, str | None, str | None]:
    with pytest.raises(BadFrame) as bad:
        decode(data, encoding)
    assert str(bad.value)
    return bad.value.refuse, bad.value.at, bad.value.id


def ask(d: str, id: str = f'"id":"{ID}",') -> bytes:
    return f'{{"t":"clarify.ask",{id}"d":{d}}}'.encode()


def save(d: str) -> bytes:
    return f'{{"t":"draft.save","id":"{ID}","d":{{"base":0,{d}}}}}'.encode()


NOT_JSON = {
    "20 empty": b"",
    "20 not json": b"nonsense",
    "20 array": b"[]",
    "20 array with a frame": b'[{"t":"pong"}]',
    "20 string": b'"pong"',
    "20 null": b"null",
    "20 byte order mark": b'\xef\xbb\xbf{"t":"pong"}',
    "20 trailing bytes": b'{"t":"pong"} x',
    "20 two frames": b'{"t":"pong"}{"t":"pong"}',
    "13 not utf-8": ask('"\xff"').decode().encode("latin-1"),
    "13 a surrogate in utf-8": b'{"t":"pong","x":"\xed\xa0\x80"}',
    "13 overlong": b'{"t":"pong","x":"\xc0\xaf"}',
    "21 deep arrays": b"[" * 65_536,
    "21 deep objects": b'{"a":' * 30_000,
    "21 a little too deep": b'{"t":"pong","d":' + b'{"a":' * 40 + b"1" + b"}" * 41,
    "21 an int of 5000 digits": b'{"t":"pong","a":' + b"1" * 5_000 + b"}",
    "21 50000 objects": b'{"t":"pong","x":[' + b"{}," * 50_000 + b"{}]}",
    "22 nan": b'{"t":"pong","a":NaN}',
    "22 infinity": b'{"t":"time","d":{"t0":Infinity}}',
    "22 minus infinity": b'{"t":"time","d":{"t0":-Infinity}}',
    "23 a key twice": b'{"t":"pong","t":"pong"}',
    "23 a key twice, deep": ask('{"text":"a","text":"b"}'),
    "24 a raw nul": ask('{"text":"\0"}'),
}


@pytest.mark.parametrize("data", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_one_json_object_is_bad_json(data: bytes) -> None:
    refuse, _, id = refused(data)
    assert (refuse, id) == (Refuse.BAD_JSON, None)


BAD: dict[str, tuple[bytes, Refuse, str | None, str | None]] = {
    "no type": (b"{}", Refuse.UNKNOWN_TYPE, "$.t", None),
    "a type nobody knows": (b'{"t":"clarify.guess","id":"abcdefgh"}', Refuse.UNKNOWN_TYPE, "$.t", ID),
    "a type that is a number": (b'{"t":5}', Refuse.UNKNOWN_TYPE, "$.t", None),
    "a type that is a list": (b'{"t":["pong"]}', Refuse.UNKNOWN_TYPE, "$.t", None),
    "22 a number out of range": (b'{"t":"time","d":{"t0":1e999}}', Refuse.BAD_FRAME, "$.d.t0", None),
    "22 a float for an int": (b'{"t":"pong","a":1.0}', Refuse.BAD_FRAME, "$.a", None),
    "22 2^63": (b'{"t":"pong","a":9223372036854775808}', Refuse.BAD_FRAME, "$.a", None),
    "22 a negative": (b'{"t":"pong","a":-1}', Refuse.BAD_FRAME, "$.a", None),
    "22 a string for an int": (b'{"t":"pong","a":"1"}', Refuse.BAD_FRAME, "$.a", None),
    "22 a bool for an int": (b'{"t":"pong","a":true}', Refuse.BAD_FRAME, "$.a", None),
    "24 an escaped nul": (ask('{"text":"a\\u0000"}'), Refuse.BAD_TEXT, None, ID),
    "24 a lone surrogate": (ask('{"text":"\\ud800"}'), Refuse.BAD_TEXT, None, ID),
    "24 surrogates in the wrong order": (ask('{"text":"\\udc00\\ud800"}'), Refuse.BAD_TEXT, None, ID),
    "24 a nul where nobody looks": (ask('{"text":"a","x":[{"\\u0000":1}]}'), Refuse.BAD_TEXT, None, ID),
    "24 a nul in the type": (b'{"t":"\\u0000","id":"abcdefgh"}', Refuse.BAD_TEXT, None, ID),
    "24 a surrogate for an id": (ask('{"text":"a"}', '"id":"\\ud800",'), Refuse.BAD_TEXT, None, None),
    "no body": (f'{{"t":"clarify.ask","id":"{ID}"}}'.encode(), Refuse.BAD_FRAME, "$", ID),
    "no text": (ask("{}"), Refuse.BAD_FRAME, "$.d", ID),
    "an empty question": (ask('{"text":""}'), Refuse.BAD_FRAME, "$.d.text", ID),
    "a long question": (ask(f'{{"text":"{"a" * (ASK_CHARS_MAX + 1)}"}}'), Refuse.BAD_FRAME, "$.d.text", ID),
    "a body that is text": (ask('"text"'), Refuse.BAD_FRAME, "$.d", ID),
    "no id": (ask('{"text":"a"}', ""), Refuse.BAD_FRAME, "$", None),
    "a short id": (ask('{"text":"a"}', '"id":"a",'), Refuse.BAD_FRAME, "$.id", "a"),
    "an id like the clock's": (ask('{"text":"a"}', '"id":"clock:design",'), Refuse.BAD_FRAME, "$.id", "clock:design"),
    "an id with a newline": (ask('{"text":"a"}', '"id":"abcdefgh\\n",'), Refuse.BAD_FRAME, "$.id", "abcdefgh\n"),
    "an id that is a number": (ask('{"text":"a"}', '"id":12345678,'), Refuse.BAD_FRAME, "$.id", None),
    "an id too long to say back": (ask('{"text":"a"}', f'"id":"{"a" * 99}",'), Refuse.BAD_FRAME, "$.id", None),
    "an unknown field of the draft": (save('"changes":[{"field":"x","text":""}]'), Refuse.BAD_FRAME,
                                      "$.d.changes[0].field", ID),
    "a splice before the start": (save('"changes":[{"field":"code","checksum":1,"splices":[{"at":-1}]}]'),
                                  Refuse.BAD_FRAME, "$.d.changes[0].splices[0].at", ID),
    "a checksum of 33 bits": (save('"changes":[{"field":"code","checksum":4294967296}]'), Refuse.BAD_FRAME,
                              "$.d.changes[0].checksum", ID),
    "eight changes": (save(f'"changes":[{",".join([CODE] * 8)}]'), Refuse.BAD_FRAME,
                      "$.d.changes", ID),
    "257 splices": (save(f'"changes":[{{"field":"code","splices":[{",".join([SPLICE] * 257)}]}}]'),
                    Refuse.BAD_FRAME, "$.d.changes[0].splices", ID),
    "a field too long": (save(f'"changes":[{{"field":"code","text":"{"x" * (FIELD_BYTES_MAX + 1)}"}}]'),
                         Refuse.BAD_FRAME, "$.d.changes[0].text", ID),
    "a language nobody speaks": (save('"language":"cobol"'), Refuse.BAD_FRAME, "$.d.language", ID),
    "a tab with a newline": (b'{"t":"hello","d":{"proto":1,"tab":"a\\n"}}', Refuse.BAD_FRAME, "$.d.tab", None),
    "a pending id that is none": (b'{"t":"hello","d":{"proto":1,"tab":"a","pending":["x"]}}', Refuse.BAD_FRAME,
                                  "$.d.pending[0]", None),
    "15 too large": (b'{"t":"pong","x":"' + b"a" * FRAME_BYTES_MAX + b'"}', Refuse.TOO_LARGE, None, None),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_a_frame_that_does_not_fit_is_told_where_and_whose(case: tuple[bytes, Refuse, str | None, str | None]) -> None:
    data, *expected = case
    assert refused(data) == tuple(expected)


NOT_MSGPACK: dict[str, tuple[Any, Refuse, str | None]] = {
    "empty": (b"", Refuse.BAD_JSON, None),
    "never used": (b"\xc1", Refuse.BAD_JSON, None),
    "trailing bytes": (msgspec.msgpack.encode({"t": "pong"}) + b"x", Refuse.BAD_JSON, None),
    "an array of 4 G items": (b"\xdd\xff\xff\xff\xff", Refuse.BAD_JSON, None),
    "a map of 4 G items": (b"\xdf\xff\xff\xff\xff", Refuse.BAD_JSON, None),
    "deep": (b"\x91" * 70_000, Refuse.BAD_JSON, None),
    "a map for a key": (b"\x81\x80\x01", Refuse.BAD_JSON, None),
    "an array for a key": (b"\x81\x90\x01", Refuse.UNKNOWN_TYPE, "$.t"),
    "not utf-8": (b"\x81\xa1t\xa1\xff", Refuse.BAD_JSON, None),
    "bytes for text": ({"t": "clarify.ask", "id": ID, "d": {"text": b"a"}}, Refuse.BAD_FRAME, "$.d.text"),
    "nul": ({"t": "clarify.ask", "id": ID, "d": {"text": "a\0"}}, Refuse.BAD_TEXT, None),
    "nan": ({"t": "time", "d": {"t0": float("nan")}}, Refuse.BAD_FRAME, "$.d.t0"),
    "infinity": ({"t": "time", "d": {"t0": float("inf")}}, Refuse.BAD_FRAME, "$.d.t0"),
    "a number for a key": ({"t": "pong", "d": {1: 2}}, Refuse.BAD_FRAME, "$.d"),
}


@pytest.mark.parametrize("case", NOT_MSGPACK.values(), ids=NOT_MSGPACK)
def test_messagepack_is_read_as_strictly(case: tuple[Any, Refuse, str | None]) -> None:
    said, refuse, at = case
    data = said if isinstance(said, bytes) else msgspec.msgpack.encode(said)
    assert refused(data, "msgpack")[:2] == (refuse, at)


def test_bidirectional_marks_and_combining_characters_are_text() -> None:
    text = "\u202e" + "e" + "\u0301" * 900
    frame = decode(ask(msgspec.json.encode({"text": text}).decode()))
    assert frame == ClarifyAsk(id=ID, d=Ask(text=text))


# --- whatever comes ----------------------------------------------------------------------------------------


def survives(data: bytes, encoding: Encoding, seconds_max: float = FUZZ_SECONDS_MAX) -> None:
    """It decodes or is refused, in bounded time of this process: the best of some, for it has other work too."""
    assert any(seconds(data, encoding) < seconds_max for _ in range(TRIES))


def seconds(data: bytes, encoding: Encoding) -> float:
    gc.freeze()  # what this process holds besides is no part of the cost
    began = time.process_time()
    with suppress(BadFrame):
        decode(data, encoding)
    taken = time.process_time() - began
    gc.unfreeze()
    return taken


SAID = [encode(frame, encoding) for frame in examples.FROM_CLIENT for encoding in ("json", "msgpack")]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=6)
    | st.binary(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
shapes = st.fixed_dictionaries(
    {"t": st.sampled_from([frame.__struct_config__.tag for frame in examples.FROM_CLIENT]) | values},
    optional={"id": st.just(ID) | values, "a": values, "d": values},
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64))
@example(b"\x91" * 64)
def test_garbage_is_refused(data: bytes) -> None:
    survives(data, "json")
    survives(data, "msgpack")


@settings(max_examples=300, deadline=None)
@given(said=st.sampled_from(SAID), at=st.integers(0, 400), cut=st.integers(0, 8), put=st.binary(max_size=4))
def test_a_frame_that_was_damaged_is_refused_or_still_one(said: bytes, at: int, cut: int, put: bytes) -> None:
    at %= len(said)
    damaged = said[:at] + put + said[at + cut :]
    survives(damaged, "json")
    survives(damaged, "msgpack")


@settings(max_examples=300, deadline=None)
@given(shapes)
def test_a_frame_of_any_shape_is_refused_or_one(said: Any) -> None:
    survives(msgspec.json.encode(said), "json")
    survives(msgspec.msgpack.encode(said), "msgpack")


LARGE: dict[str, tuple[bytes, Encoding]] = {
    "numbers": (b'{"t":"pong","x":[' + b"0," * 130_000 + b"0]}", "json"),
    "lists": (b'{"t":"pong","x":[' + b"[]," * 87_000 + b"0]}", "json"),
    "strings": (b'{"t":"pong","x":[' + b'"",' * 87_000 + b"0]}", "json"),
    "keys": (b'{"t":"pong","d":{' + b",".join(b'"%d":1' % i for i in range(26_000)) + b"}}", "json"),
    "objects": (b'{"t":"pong","x":[' + b"{}," * 87_000 + b"0]}", "json"),
    "escapes": (b'{"t":"pong","x":"' + b"\\u00e9" * 43_000 + b'"}', "json"),
    "small ints": (b"\x82\xa1t\xa4pong\xa1x\xdd" + (260_000).to_bytes(4, "big") + b"\x00" * 260_000, "msgpack"),
    "small maps": (b"\x82\xa1t\xa4pong\xa1x\xdd" + (260_000).to_bytes(4, "big") + b"\x80" * 260_000, "msgpack"),
}


@pytest.mark.parametrize("case", LARGE.values(), ids=LARGE)
def test_the_largest_frame_costs_a_bounded_time(case: tuple[bytes, Encoding]) -> None:
    data, encoding = case
    assert FRAME_BYTES_MAX * 0.9 < len(data) <= FRAME_BYTES_MAX
    survives(data, encoding, LARGE_SECONDS_MAX)
