"""The solution in progress: seven fields, a revision, splices in UTF-16 units, and checksums."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import get_args

import msgspec
from protocol.codes import Refuse
from protocol.words import FIELD_BYTES_MAX, FIELDS, Change, Field, Language, Splice

LANGUAGES: tuple[Language, ...] = get_args(Language)
UNIT_BYTES = 2
"""A UTF-16 code unit."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """All fields are there, empty at first; `rev` counts the saves."""

    rev: int = 0
    language: Language = "python"
    fields: dict[Field, str] = msgspec.field(default_factory=lambda: dict.fromkeys(FIELDS, ""))


def checksum_of_field(text: str) -> int:
    """CRC-32 of the field's UTF-8 bytes."""
    return zlib.crc32(text.encode())


def checksum(fields: dict[Field, str]) -> int:
    """CRC-32 over the fields in table order, each as its byte length (4 bytes, big-endian) and its UTF-8 bytes."""
    sum = 0
    for field in FIELDS:
        data = fields[field].encode()
        sum = zlib.crc32(data, zlib.crc32(struct.pack(">I", len(data)), sum))
    return sum


def apply_change(text: str, change: Change) -> str | Refuse:
    """The field's text after `change`, or why it cannot be applied. Nothing is ever half applied."""
    if (change.text is None) == (change.splices is None):
        return Refuse.BAD_CHANGE
    if change.splices is None:
        after: str | Refuse = change.text or ""
    elif change.checksum is None:
        return Refuse.BAD_CHANGE
    else:
        after = apply_splices(text, change.splices)
    if isinstance(after, Refuse):
        return after
    data = after.encode()
    if change.checksum is not None and zlib.crc32(data) != change.checksum:
        return Refuse.NEED_FULL
    return after if len(data) <= FIELD_BYTES_MAX else Refuse.TOO_LARGE


def apply_splices(text: str, splices: Iterable[Splice]) -> str | Refuse:
    """Apply the splices one after the other. One that reaches past the end or cuts a character asks for the whole."""
    units = text.encode("utf-16-le")
    for splice in splices:
        start, end = splice.at * UNIT_BYTES, (splice.at + splice.delete) * UNIT_BYTES
        if end > len(units):
            return Refuse.NEED_FULL
        units = units[:start] + splice.ins.encode("utf-16-le") + units[end:]
        if len(units) > FIELD_BYTES_MAX * UNIT_BYTES:
            return Refuse.TOO_LARGE
    try:
        return units.decode("utf-16-le")
    except UnicodeDecodeError:
        return Refuse.NEED_FULL


def apply_changes(draft: Draft, changes: Iterable[Change], *, rev: int, language: Language) -> Draft:
    """The draft after changes that were accepted before."""
    fields = dict(draft.fields)
    for change in changes:
        after = apply_change(fields[change.field], change)
        if isinstance(after, Refuse):
            raise ValueError(f"an accepted change of {change.field} does not apply: {after.value.name}")
        fields[change.field] = after
    return Draft(rev=rev, language=language, fields=fields)
