"""The small words that commands, events and frames share: names, limits, cursors, the shape of a draft's change."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PROTOCOL_VERSION = 1
SUBPROTOCOL_JSON = "sdi.v1.json"
SUBPROTOCOL_MSGPACK = "sdi.v1.msgpack"
TICKET_PREFIX = "ticket."
"""The ticket goes as a second subprotocol value, `ticket.<opaque>`: URLs end up in logs."""

FRAME_BYTES_MAX = 262_144
FRAME_BYTES_MAX_BEFORE_HELLO = 4_096
FIELD_BYTES_MAX = 65_536
ASK_CHARS_MAX = 2_000
APPEAL_CHARS_MAX = 300
"""Of the words an appeal points at: a passage, not a section."""
ASKS_MAX = 200
"""Questions an interview may ask in all, quotas apart: what one interview may weigh stays bounded."""
SPLICES_MAX = 256
PENDING_MAX = 64
COMMANDS_IN_FLIGHT_MAX = 16

Phase = Literal["clarifying", "design", "submitted"]
Actor = Literal["candidate", "clock"]
Role = Literal["writer", "observer"]
Durable = Literal["record", "live"]
Language = Literal["go", "cpp", "java", "python"]
Field = Literal[
    "functional_req", "non_functional_req", "entities", "classes_and_relationships", "apis", "code", "extra"
]
FIELDS: tuple[Field, ...] = (
    "functional_req",
    "non_functional_req",
    "entities",
    "classes_and_relationships",
    "apis",
    "code",
    "extra",
)
"""The seven fields of a draft, in table order: the order of the draft's checksum."""

CommandId = Annotated[
    str, Meta(pattern=r"^[0-9A-Za-z_-]{8,40}(?!\n)$", description="Made by the client, unique in the interview.")
]
"""Python's `$` would let a newline pass at the end."""
Tab = Annotated[str, Meta(pattern=r"^[0-9A-Za-z_-]{1,64}(?!\n)$", description="Made anew by each page load.")]
Seq = Annotated[int, Meta(ge=0, le=2**53)]
ClientMillis = Annotated[float, Meta(ge=0, le=2**53, description="Milliseconds by the client's own clock.")]
Millis = Annotated[int, Meta(ge=0, le=2**53, description="Milliseconds since the Unix epoch, by the server's clock.")]
Checksum = Annotated[int, Meta(ge=0, le=2**32 - 1, description="CRC-32 (ISO 3309).")]
Offset = Annotated[int, Meta(ge=0, le=FIELD_BYTES_MAX, description="In UTF-16 code units, as editors and LSP count.")]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value of the protocol; unknown fields are ignored when it is read."""


class Cursor(Value, frozen=True, kw_only=True):
    """How far a client has come: the last event it has, in which numbering."""

    epoch: Seq
    s: Seq


class Fence(Value, frozen=True, kw_only=True):
    """The right to write: the newest fence of an interview holds the pen. Compared as (epoch, n)."""

    epoch: Seq
    n: Seq


class Splice(Value, frozen=True, kw_only=True):
    """At `at`, delete `del` units, then insert `ins`. Splices of one change apply one after the other."""

    at: Offset
    delete: Offset = msgspec.field(default=0, name="del")
    ins: Annotated[str, Meta(max_length=FIELD_BYTES_MAX)] = ""


class Change(Value, frozen=True, kw_only=True):
    """What becomes of one field: its whole `text`, or `splices` on it with the checksum of the result."""

    field: Field
    text: Annotated[str, Meta(max_length=FIELD_BYTES_MAX)] | None = None
    splices: Annotated[tuple[Splice, ...], Meta(max_length=SPLICES_MAX)] | None = None
    checksum: Checksum | None = None
