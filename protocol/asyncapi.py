"""The contract as an AsyncAPI 3 document, told from the engine's side: it receives commands and sends events."""

from __future__ import annotations

from typing import Any, get_args

from protocol import messages as m
from protocol import words as w
from protocol.codes import Close, Refuse, comes_back
from protocol.json_schema import FRAMES, components, example, frame_type, sentence

ADDRESS = "/v1/socket"
_HELLO_SECONDS, _TICKET_SECONDS = 5, 30

_ABOUT = f"""\
A timed interview over one WebSocket.

**Connect.** `POST /v1/interviews/{{id}}/ticket` gives a ticket: for one use, within {_TICKET_SECONDS} s, by the page \
origin that asked for it. Open `{ADDRESS}` with two subprotocol values, `{w.SUBPROTOCOL_JSON}` (or \
`{w.SUBPROTOCOL_MSGPACK}`) and `{w.TICKET_PREFIX}<ticket>`; nothing goes into the URL. The engine selects the first. \
JSON goes in text frames, MessagePack in binary ones. A refused upgrade is an HTTP problem (400, 401, 403).

**Begin.** Say `hello` within {_HELLO_SECONDS} s. `welcome` says where you stand; the events you miss follow it in one \
`replay`, then `resumed`. On the first connection leave `resume` out and get a snapshot.

**Go on.** Events are numbered: `s` = 1, 2, 3 ... without gaps within an epoch. A command is answered by `ack` or \
`err` with its `id`, after its own events. Send a command again, with the same id and body, until it is answered: it \
takes effect once. `ack` and events are in the record unless marked `durable: live`; `recorded` follows then.

**Come back.** With a new ticket, and `resume` (epoch and last `s`), `fence` and `pending` (ids not yet answered) in \
`hello`. Close codes say whether: see `x-close-codes`. Unknown fields are to be ignored; unknown close codes go by \
their range.

**Edit.** A save names the revision it is based on; a change is a field's whole `text`, or `splices` counted in UTF-16 \
code units, with the `checksum` of the result: CRC-32 (ISO 3309) of the field's UTF-8 bytes. `need_full` and \
`conflict` change nothing: send whole fields on the revision told. The draft's checksum, for `solution.submit`, is \
CRC-32 over {", ".join(f"`{field}`" for field in w.FIELDS)}, in this order, each as its length in bytes (4 bytes, \
big-endian) followed by its UTF-8 bytes.

**Time.** All times are milliseconds by the engine's clock. `deadline_at` is when editing ends; what is sent by then \
and arrives within `grace_ms` counts, as `late`. Answer `ping` with any frame; after `every_ms` and `grace_ms` of \
silence take the connection for dead.
"""

_MEANINGS = {
    Close.DRAIN: "This node goes; another one serves you.",
    Close.INTERNAL: "A fault of the engine.",
    Close.SLOW: "You read too slowly.",
    Close.NO_PONG: "Nothing came from you after a ping.",
    Close.RATE: "You went on over the limit of commands.",
    Close.OVERLOADED: "The engine cannot serve you now.",
    Close.TICKET_EXPIRED: "The sign-in that the socket stood on has ended.",
    Close.STATE_RESET: "The interview has a new epoch: drop cursor and fence, and say hello without them.",
    Close.HELLO_TIMEOUT: f"No hello within {_HELLO_SECONDS} s.",
    Close.REPLACED_BY_USER: "The user opened the interview elsewhere and wants this one closed.",
    Close.UNAUTHORISED: "The sign-in is not valid.",
    Close.PROTOCOL: "The first frame was not a hello.",
    Close.VERSION: "Another version of the protocol is spoken here.",
    Close.INTERVIEW_OVER: "There is nothing more to come.",
    Close.FORBIDDEN: "There is no such interview for you.",
    Close.TOO_MANY_ERRORS: "Too many bad frames in a row.",
    Close.PARKED: "The record refuses this interview's events; people have been told.",
}
_WORKS: dict[str, tuple[str, tuple[type[m.Frame], ...], tuple[type[m.Frame], ...]]] = {
    "hello": ("Come in, or come back.", (m.Hello,), (m.Welcome,)),
    "command": ("Change the interview.", get_args(m.Command), (m.Ack, m.Refusal, m.Pending)),
    "time": ("Ask for the engine's clock.", (m.TimeRequest,), (m.Time,)),
    "alive": ("Answer a ping.", (m.Pong,), ()),
    "stay": ("Keep the socket past the life of the sign-in.", (m.AuthRefresh,), ()),
    "tell": ("Tell what happened, in order.", get_args(m.EventToClient), ()),
    "steer": ("Tell how the connection stands.", get_args(m.Control), ()),
    "refuse": ("Say that a frame changed nothing.", (m.Refusal,), ()),
}
"""Operations: what for, the frames, the frames that may answer. Those of the client are received, the others sent."""


def asyncapi() -> dict[str, Any]:
    """The whole document."""
    channel = {"$ref": "#/channels/socket"}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Interview socket", "version": f"{w.PROTOCOL_VERSION}.0.0", "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": {"engine": _server()},
        "channels": {"socket": _channel()},
        "operations": {name: _operation(name, channel) for name in _WORKS},
        "components": {
            "messages": {frame.__name__: _message(frame) for frame in FRAMES},
            "schemas": components("#/components/schemas/"),
        },
        "x-limits": {
            "frame_bytes_max": w.FRAME_BYTES_MAX,
            "frame_bytes_max_before_hello": w.FRAME_BYTES_MAX_BEFORE_HELLO,
            "field_bytes_max": w.FIELD_BYTES_MAX,
            "ask_chars_max": w.ASK_CHARS_MAX,
            "splices_max": w.SPLICES_MAX,
            "pending_max": w.PENDING_MAX,
            "commands_in_flight_max": w.COMMANDS_IN_FLIGHT_MAX,
        },
        "x-close-codes": [close_code(code) for code in Close],
        "x-refusals": [dict(refuse.value._asdict(), code=refuse.value.name) for refuse in Refuse],
    }


def close_code(code: Close) -> dict[str, Any]:
    """A close code, what it means, and what the client does: resume, renew (ticket, cursor), or stop."""
    then = "stop" if not comes_back(code) else "renew" if 4100 <= code < 4200 else "resume"
    return {"code": int(code), "name": code.name.lower(), "then": then, "meaning": _MEANINGS[code]}


def _server() -> dict[str, Any]:
    return {
        "host": "{host}",
        "protocol": "ws",
        "description": "Any node; all serve every interview. Behind TLS the scheme is wss.",
        "variables": {"host": {"default": "127.0.0.1:8000", "description": "The ticket's `url` names it in full."}},
    }


def _channel() -> dict[str, Any]:
    offered = f"{w.SUBPROTOCOL_JSON}, {w.TICKET_PREFIX}kD3uQ0b1Yw8"
    pattern = rf"(^|, ?)(sdi\.v1\.json|sdi\.v1\.msgpack)(,|$).*{w.TICKET_PREFIX}|{w.TICKET_PREFIX}.*sdi\.v1\."
    header = {"type": "string", "pattern": pattern, "examples": [offered]}
    return {
        "address": ADDRESS,
        "title": "One interview",
        "description": "The ticket names the interview; one socket a tab.",
        "servers": [{"$ref": "#/servers/engine"}],
        "messages": {frame.__name__: {"$ref": f"#/components/messages/{frame.__name__}"} for frame in FRAMES},
        "bindings": {
            "ws": {
                "method": "GET",
                "headers": {
                    "type": "object",
                    "required": ["Sec-WebSocket-Protocol"],
                    "properties": {"Sec-WebSocket-Protocol": header},
                },
                "bindingVersion": "0.1.0",
            }
        },
        "x-subprotocols": {
            "application/json": w.SUBPROTOCOL_JSON,
            "application/msgpack": w.SUBPROTOCOL_MSGPACK,
            "ticket": f"{w.TICKET_PREFIX}<ticket>",
        },
    }


def _operation(name: str, channel: dict[str, str]) -> dict[str, Any]:
    summary, frames, replies = _WORKS[name]
    from_client = set(frames) <= set(get_args(m.FromClient))
    operation: dict[str, Any] = {
        "action": "receive" if from_client else "send",
        "summary": summary,
        "channel": channel,
        "messages": [_of_channel(frame) for frame in frames],
    }
    if replies:
        operation["reply"] = {"channel": channel, "messages": [_of_channel(frame) for frame in replies]}
    return operation


def _of_channel(frame: type[m.Frame]) -> dict[str, str]:
    return {"$ref": f"#/channels/socket/messages/{frame.__name__}"}


def _message(frame: type[m.Frame]) -> dict[str, Any]:
    said = sentence(frame)
    message: dict[str, Any] = {
        "name": frame_type(frame),
        "title": frame.__name__,
        "summary": said.partition("\n")[0],
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{frame.__name__}"},
        "examples": [{"payload": example(frame)}],
    }
    if "\n" in said:
        message["description"] = said
    if issubclass(frame, m.CommandFrame | m.Ack | m.Refusal | m.Pending):
        place = "d/id" if issubclass(frame, m.Pending) else "id"
        message["correlationId"] = {"location": f"$message.payload#/{place}", "description": "The command's id."}
    return message
