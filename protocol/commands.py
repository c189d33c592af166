"""What a client may ask of an interview: the bodies (`d`) of its commands."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from protocol.words import APPEAL_CHARS_MAX, ASK_CHARS_MAX, FIELDS, Change, Checksum, Field, Language, Seq, Value


class Ask(Value, frozen=True, kw_only=True):
    """A clarifying question, in free text; one message may hold two."""

    text: Annotated[str, Meta(min_length=1, max_length=ASK_CHARS_MAX)]


class Confirm(Value, frozen=True, kw_only=True):
    """Yes to "did you mean X?": `ref` is the seq of that event."""

    ref: Seq


class Reject(Value, frozen=True, kw_only=True):
    """Not what I asked: gives the quota back. `ref` is the seq of the answer."""

    ref: Seq


class Save(Value, frozen=True, kw_only=True):
    """Changes of the draft against revision `base`; at most one change a field."""

    base: Seq
    changes: Annotated[tuple[Change, ...], Meta(max_length=len(FIELDS))] = ()
    language: Language | None = None


class Proceed(Value, frozen=True, kw_only=True):
    """Leave clarifying for design; there is no way back."""


class Submit(Value, frozen=True, kw_only=True):
    """Hand in the draft; revision and checksum must be those stored, so that what is judged is what was seen."""

    rev: Seq
    checksum: Checksum


class Retry(Value, frozen=True, kw_only=True):
    """Ask for a new run after a failed evaluation, or a failed appeal."""


class Appeal(Value, frozen=True, kw_only=True):
    """Have one check judged again that cost points; `quote` stands in `field` of what was handed in."""

    check: Annotated[str, Meta(min_length=1, max_length=40)]
    field: Field
    quote: Annotated[str, Meta(min_length=1, max_length=APPEAL_CHARS_MAX)]


ClientCommand = Ask | Confirm | Reject | Save | Proceed | Submit | Retry | Appeal
