"""Bytes to messages and back. The only place that knows JSON and MessagePack, and the first to say no."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import msgspec

from protocol import events
from protocol.codes import Refuse
from protocol.messages import EVENT_FRAMES, Command, EventFrame, EventToClient, Frame, FromClient, Replay, ToClient
from protocol.words import FRAME_BYTES_MAX, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, Value

Encoding = Literal["json", "msgpack"]
ENCODINGS: dict[str, Encoding] = {SUBPROTOCOL_JSON: "json", SUBPROTOCOL_MSGPACK: "msgpack"}
DEPTH_MAX = 32
OBJECTS_MAX = 4_096
"""In one frame. The largest that means anything is a save of 7 x 256 splices; the rest would only keep us busy."""
ID_CHARS_MAX = 64


class BadFrame(ValueError):
    """These bytes are not a frame: `refuse` says which refusal, `at` where in the frame, `id` whose."""

    def __init__(self, refuse: Refuse, message: str = "", at: str | None = None, id: str | None = None) -> None:
        super().__init__(message or refuse.value.message)
        self.refuse, self.at, self.id = refuse, at, id


_from_client: dict[Encoding, Callable[[bytes], Any]] = {
    "json": msgspec.json.Decoder(FromClient).decode,
    "msgpack": msgspec.msgpack.Decoder(FromClient).decode,
}
_to_client: dict[Encoding, Callable[[bytes], Any]] = {
    "json": msgspec.json.Decoder(ToClient).decode,
    "msgpack": msgspec.msgpack.Decoder(ToClient).decode,
}
_encode: dict[Encoding, Callable[[Any], bytes]] = {
    "json": msgspec.json.Encoder().encode,
    "msgpack": msgspec.msgpack.Encoder().encode,
}
_event, _replay = msgspec.json.Decoder(EventToClient), msgspec.json.Decoder(Replay)
CLIENT_TYPES = frozenset(frame.__struct_config__.tag for frame in get_args(FromClient))


def decode(data: bytes, encoding: Encoding = "json", *, bytes_max: int = FRAME_BYTES_MAX) -> FromClient:
    """A client's frame from bytes. Raises BadFrame: too large, not JSON, repeated keys, bad text, wrong shape."""
    if len(data) > bytes_max:
        raise BadFrame(Refuse.TOO_LARGE, f"A frame may have {bytes_max} bytes.")
    frame: FromClient = _checked(data, _from_client[encoding], encoding)
    return frame


def command_of(plain: dict[str, Any]) -> Command:
    """A command from a frame that was read already (`t`, `id`, `d`). Raises BadFrame as `decode` does."""
    try:
        command: Command = msgspec.convert(plain, Command)
    except msgspec.ValidationError as error:
        raise _misfit(error, plain) from None
    return command


def encode(frame: Frame, encoding: Encoding = "json") -> bytes:
    """A frame as bytes."""
    return _encode[encoding](frame)


def plain_json(data: bytes) -> Any:
    """JSON as plain values, as strictly as a frame is read. Raises BadFrame."""
    try:
        plain = _plain(data, "json")
    except BadFrame:
        raise
    except (ValueError, RecursionError):
        raise BadFrame(Refuse.BAD_JSON, "The body is not valid JSON.") from None
    _check_text(plain)
    return plain


def decode_event(data: bytes) -> EventFrame:
    """An event as live and record hold it (always JSON), back as a frame."""
    frame: EventFrame = _event.decode(data)
    return frame


def decode_to_client(data: bytes, encoding: Encoding = "json") -> ToClient:
    """A server's frame from bytes, for clients in Python."""
    frame: ToClient = _to_client[encoding](data)
    return frame


def event_bytes(data: bytes, encoding: Encoding = "json", *, live: bool = False) -> bytes:
    """A stored event as one client gets it: byte for byte the same each time, but for the mark "live"."""
    if live:
        data = data[:-1] + b',"durable":"live"}'
    return data if encoding == "json" else _encode[encoding](_event.decode(data))


def replay_bytes(events: Iterable[bytes], encoding: Encoding = "json") -> bytes:
    """Events, each in the JSON that `event_bytes` gives, as one `replay`: in it they are, byte for byte, as alone."""
    data = b'{"t":"replay","d":{"events":[' + b",".join(events) + b"]}}"
    return data if encoding == "json" else _encode[encoding](_replay.decode(data))


def canonical(body: Value) -> bytes:
    """The bytes of a command's body by which two commands are the same."""
    return type(body).__name__.encode() + _encode["json"](body)


def event_type(body: events.Event) -> str:
    """The `t` of an event's frame."""
    return str(EVENT_FRAMES[type(body)].__struct_config__.tag)


def _checked(data: bytes, decoder: Callable[[bytes], Any], encoding: Encoding) -> Any:
    try:
        plain = _plain(data, encoding)
    except BadFrame:
        raise
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise BadFrame(Refuse.BAD_JSON, f"The frame is not valid {encoding}.") from None
    try:
        _check_text(plain)
        return decoder(data)
    except msgspec.ValidationError as error:
        raise _misfit(error, plain) from None
    except BadFrame as bad:
        bad.id = _id(plain)
        raise


def _plain(data: bytes, encoding: Encoding) -> Any:
    """The frame as plain dicts and lists, with what msgspec lets pass refused: repeated keys, NUL, depth."""
    if encoding == "json":
        # Hardly ever more braces than objects are allowed, be they objects or text.
        few = data.count(b"{") <= OBJECTS_MAX
        return (_decoder if few else _decoder_of(_counted())).decode(data.decode("utf-8"))
    return msgspec.msgpack.decode(data)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Each key once."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadFrame(Refuse.BAD_JSON, "A key stands twice in one object.")
    return found


def _counted() -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """Makes the objects of one frame, and no more than are allowed."""
    objects = itertools.count(1)

    def make(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if next(objects) > OBJECTS_MAX:
            raise BadFrame(Refuse.BAD_JSON, f"A frame may hold {OBJECTS_MAX} objects.")
        return _object(pairs)

    return make


def _no_constant(word: str) -> Any:
    raise BadFrame(Refuse.BAD_JSON, f"{word} is not JSON.")


def _decoder_of(make: Callable[[list[tuple[str, Any]]], dict[str, Any]]) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=make, parse_constant=_no_constant)


_decoder = _decoder_of(_object)


def _check_text(plain: Any) -> None:
    """Refuse what is too deep, and text that Postgres cannot hold. Level by level: 256 KiB take a few ms."""
    level, depth = [plain], 0
    while level:
        if depth > DEPTH_MAX:
            raise BadFrame(Refuse.BAD_JSON, f"A frame may be {DEPTH_MAX} levels deep.")
        text = "".join([value for value in level if isinstance(value, str)])
        if "\x00" in text or not _is_utf8(text):
            raise BadFrame(Refuse.BAD_TEXT)
        deeper: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                deeper += value.keys()
                deeper += value.values()
            elif isinstance(value, list):
                deeper += value
        level, depth = deeper, depth + 1


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _misfit(error: msgspec.ValidationError, plain: Any) -> BadFrame:
    """Which refusal a frame of the wrong shape gets; the id is kept so that the client can tell which."""
    if not isinstance(plain, dict):
        return BadFrame(Refuse.BAD_JSON, "A frame is one object.")
    id = _id(plain)
    if str(plain.get("t")) not in CLIENT_TYPES:
        return BadFrame(Refuse.UNKNOWN_TYPE, at="$.t", id=id)
    message, _, at = str(error).partition(" - at `")
    return BadFrame(Refuse.BAD_FRAME, message + ".", "$" + at.rpartition("$")[2].rstrip("`"), id)


def _id(plain: Any) -> str | None:
    """The frame's id, if it is one that can be said back."""
    id = plain.get("id") if isinstance(plain, dict) else None
    return id if isinstance(id, str) and len(id) <= ID_CHARS_MAX and _is_utf8(id) else None
