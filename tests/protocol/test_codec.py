"""What is said is what is heard, in both encodings; what nobody should say cannot be heard."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol import codec, commands, events
from protocol import messages as m
from protocol.codec import (
    BadFrame,
    Encoding,
    command_of,
    decode,
    decode_event,
    decode_to_client,
    encode,
    event_bytes,
    replay_bytes,
)
from protocol.codes import Refuse
from protocol.words import FIELDS, FRAME_BYTES_MAX, Change
from tests.protocol import speaking

encodings = pytest.mark.parametrize("encoding", ["json", "msgpack"])
FROM_CLIENT: tuple[Any, ...] = get_args(m.FromClient)
TO_CLIENT: tuple[Any, ...] = get_args(m.ToClient)
EVENTS: tuple[Any, ...] = get_args(m.EventToClient)
few = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


def named(frame: Any) -> str:
    return str(frame.__struct_config__.tag)


@encodings
@pytest.mark.parametrize("kind", FROM_CLIENT, ids=named)
@few
@given(data=st.data())
def test_a_clients_frame_is_heard_as_it_was_said(kind: Any, encoding: Encoding, data: st.DataObject) -> None:
    frame = data.draw(speaking.of(kind))
    assert decode(encode(frame, encoding), encoding) == frame


@encodings
@pytest.mark.parametrize("kind", TO_CLIENT, ids=named)
@few
@given(data=st.data())
def test_the_servers_frame_is_heard_as_it_was_said(kind: Any, encoding: Encoding, data: st.DataObject) -> None:
    frame = data.draw(speaking.of(kind))
    assert decode_to_client(encode(frame, encoding), encoding) == frame


def test_only_time_is_said_both_ways() -> None:
    assert {named(kind) for kind in FROM_CLIENT} & {named(kind) for kind in TO_CLIENT} == {"time"}


@encodings
@pytest.mark.parametrize("kind", [kind for kind in TO_CLIENT if kind is not m.Time], ids=named)
def test_what_only_the_engine_says_no_client_can_say(kind: Any, encoding: Encoding) -> None:
    said = {"t": named(kind), "id": "abcdefgh", "s": 1, "ts": 1, "d": {}}
    data = msgspec.json.encode(said) if encoding == "json" else msgspec.msgpack.encode(said)
    with pytest.raises(BadFrame) as bad:
        decode(data, encoding)
    assert (bad.value.refuse, bad.value.at, bad.value.id) == (Refuse.UNKNOWN_TYPE, "$.t", "abcdefgh")


@encodings
@pytest.mark.parametrize("word", ["clock", "Announce", "ClockRan", "eval", "evaluation.announce"])
def test_there_is_no_frame_for_the_clocks_and_the_workers_commands(word: str, encoding: Encoding) -> None:
    with pytest.raises(BadFrame, match="No frame has this type"):
        decode(codec._encode[encoding]({"t": word, "id": "abcdefgh", "d": {}}), encoding)


@encodings
def test_fields_nobody_knows_are_ignored_and_reach_nothing(encoding: Encoding) -> None:
    more = {"score": 100, "user_id": "u", "__proto__": {}, "rev": 9, "new": [1, {"deep": None}]}
    said = {"t": "clarify.ask", "id": "abcdefgh", "d": {"text": "How many?", **more}, **more}
    frame = decode(codec._encode[encoding](said), encoding)
    assert frame == m.ClarifyAsk(id="abcdefgh", d=commands.Ask(text="How many?"))


@pytest.mark.parametrize("kind", EVENTS, ids=named)
@few
@given(data=st.data())
def test_a_stored_event_goes_out_the_same_each_time_but_for_the_live_mark(kind: Any, data: st.DataObject) -> None:
    frame = msgspec.structs.replace(data.draw(speaking.of(kind)), durable="record")
    stored = encode(frame)
    assert event_bytes(stored) == stored
    live = msgspec.structs.replace(frame, durable="live")
    assert event_bytes(stored, live=True) == stored[:-1] + b',"durable":"live"}'
    for encoding in ("json", "msgpack"):
        assert decode_to_client(event_bytes(stored, encoding), encoding) == frame
        assert decode_to_client(event_bytes(stored, encoding, live=True), encoding) == live
    assert decode_event(stored) == frame


@few
@given(data=st.data())
def test_in_a_replay_each_event_is_byte_for_byte_what_it_is_alone(data: st.DataObject) -> None:
    frames: list[Any] = data.draw(st.lists(speaking.of(m.EventToClient), min_size=1, max_size=4))
    stored = [(encode(msgspec.structs.replace(one, durable="record")), one.durable == "live") for one in frames]
    alone = [event_bytes(event, live=live) for event, live in stored]
    packed = [event_bytes(event, "msgpack", live=live) for event, live in stored]
    assert replay_bytes(alone).endswith(b'"events":[' + b",".join(alone) + b"]}}")
    assert replay_bytes(iter(alone), "msgpack").endswith(b"".join(packed))
    for encoding in ("json", "msgpack"):
        whole = m.Replay(d=m.ReplayBody(events=tuple(frames)))
        assert decode_to_client(replay_bytes(alone, encoding), encoding) == whole
        assert replay_bytes(alone, encoding) == encode(whole, encoding)


def test_every_event_has_a_frame_of_its_own() -> None:
    bodies: tuple[Any, ...] = get_args(events.Event)
    assert list(m.EVENT_FRAMES) == list(bodies)
    assert tuple(m.EVENT_FRAMES.values()) == EVENTS


def test_two_commands_are_the_same_if_they_say_the_same() -> None:
    assert codec.canonical(commands.Confirm(ref=1)) == codec.canonical(commands.Confirm(ref=1))
    assert codec.canonical(commands.Confirm(ref=1)) != codec.canonical(commands.Reject(ref=1))
    assert codec.canonical(commands.Confirm(ref=1)) != codec.canonical(commands.Confirm(ref=2))
    assert codec.canonical(commands.Proceed()) != codec.canonical(commands.Retry())


# --- REST --------------------------------------------------------------------------------------------------


def test_a_command_may_come_as_a_frame_that_was_read_already() -> None:
    assert command_of({"t": "phase.proceed", "id": "abcdefgh", "d": {}}) == m.PhaseProceed(id="abcdefgh")


@pytest.mark.parametrize(
    ("plain", "refuse", "at"),
    [
        ({"t": "hello", "id": "abcdefgh", "d": {"proto": 1, "tab": "a"}}, Refuse.BAD_FRAME, "$.t"),
        ({"t": "evaluation.completed", "id": "abcdefgh", "d": {}}, Refuse.UNKNOWN_TYPE, "$.t"),
        ({"t": "clarify.ask", "id": "abcdefgh", "d": {"text": 5}}, Refuse.BAD_FRAME, "$.d.text"),
        ({"t": "phase.proceed"}, Refuse.BAD_FRAME, "$"),
        ({}, Refuse.UNKNOWN_TYPE, "$.t"),
    ],
)
def test_a_frame_that_is_no_command_is_refused(plain: dict[str, Any], refuse: Refuse, at: str) -> None:
    with pytest.raises(BadFrame) as bad:
        command_of(plain)
    assert (bad.value.refuse, bad.value.at) == (refuse, at)


# --- size --------------------------------------------------------------------------------------------------


@encodings
def test_a_frame_has_a_largest_size_to_the_byte(encoding: Encoding) -> None:
    frame = m.DraftSave(id="abcdefgh", d=commands.Save(base=0, changes=(Change(field="code", text="x" * 50_000),)))
    data = encode(frame, encoding)
    assert decode(data, encoding, bytes_max=len(data)) == frame
    with pytest.raises(BadFrame) as bad:
        decode(data, encoding, bytes_max=len(data) - 1)
    assert bad.value.refuse is Refuse.TOO_LARGE


@encodings
def test_the_largest_save_that_makes_sense_fits_into_a_frame(encoding: Encoding) -> None:
    changes = tuple(Change(field=field, text="x" * 36_000) for field in FIELDS)
    data = encode(m.DraftSave(id="a" * 40, d=commands.Save(base=0, changes=changes)), encoding)
    assert len(data) <= FRAME_BYTES_MAX
    decode(data, encoding)
