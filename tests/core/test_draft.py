"""The draft: splices as editors count them, checksums as the protocol words them, and nothing half applied."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.draft import Draft, apply_change, apply_changes, apply_splices, checksum, checksum_of_field
from protocol.codes import Refuse
from protocol.words import FIELD_BYTES_MAX, FIELDS, SPLICES_MAX, Change, Splice

CLEF = "\U0001d11e"
"""One character, two UTF-16 units, four UTF-8 bytes."""
texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from([CLEF, "é", "\n"]), max_size=24)


class Editor:
    """The reference: a list of UTF-16 units, edited as an editor does."""

    def __init__(self, text: str) -> None:
        self.units = to_units(text)

    def splice(self, at: int, delete: int, ins: str) -> None:
        self.units[at : at + delete] = to_units(ins)


def to_units(text: str) -> list[int]:
    units: list[int] = []
    for character in text:
        point = ord(character)
        high, low = divmod(point - 0x10000, 0x400)
        units += [point] if point < 0x10000 else [0xD800 + high, 0xDC00 + low]
    return units


def to_text(units: list[int]) -> str | None:
    """The text of these units; None when they hold half a character."""
    text, i = "", 0
    while i < len(units):
        unit = units[i]
        if 0xD800 <= unit < 0xE000:
            pair = units[i : i + 2]
            if unit >= 0xDC00 or len(pair) < 2 or not 0xDC00 <= pair[1] < 0xE000:
                return None
            text += chr(0x10000 + (unit - 0xD800) * 0x400 + pair[1] - 0xDC00)
            i += 2
        else:
            text += chr(unit)
            i += 1
    return text


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, list[Splice]]:
    """A text and splices that fit it, wherever they cut."""
    text = draw(texts)
    editor, splices = Editor(text), []
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(editor.units)))
        delete = draw(st.integers(0, len(editor.units) - at))
        ins = draw(texts)
        splices.append(Splice(at=at, delete=delete, ins=ins))
        editor.splice(at, delete, ins)
    return text, splices


@given(edits())
def test_splices_do_what_an_editor_does(case: tuple[str, list[Splice]]) -> None:
    text, splices = case
    editor = Editor(text)
    for splice in splices:
        editor.splice(splice.at, splice.delete, splice.ins)
    expected = to_text(editor.units)
    assert apply_splices(text, splices) == (Refuse.NEED_FULL if expected is None else expected)


@pytest.mark.parametrize(
    ("text", "splice", "after"),
    [
        ("", Splice(at=0, ins="a"), "a"),
        ("abc", Splice(at=3, ins="d"), "abcd"),
        ("abc", Splice(at=0, delete=3), ""),
        (f"a{CLEF}b", Splice(at=3, ins="-"), f"a{CLEF}-b"),
        (f"a{CLEF}b", Splice(at=1, delete=2), "ab"),
        (f"a{CLEF}b", Splice(at=2, ins="-"), Refuse.NEED_FULL),
        (f"a{CLEF}b", Splice(at=1, delete=1), Refuse.NEED_FULL),
        (f"a{CLEF}b", Splice(at=2, delete=1), Refuse.NEED_FULL),
        ("abc", Splice(at=4), Refuse.NEED_FULL),
        ("abc", Splice(at=2, delete=2), Refuse.NEED_FULL),
        ("é", Splice(at=1, ins="!"), "é!"),
    ],
)
def test_bounds_and_halves_of_characters(text: str, splice: Splice, after: str | Refuse) -> None:
    assert apply_splices(text, [splice]) == after


def test_what_one_splice_cuts_the_next_may_mend() -> None:
    low_half_away = Splice(at=1, delete=1)
    rest_away = Splice(at=0, delete=1)
    assert apply_splices(CLEF, [low_half_away]) is Refuse.NEED_FULL
    assert apply_splices(CLEF, [low_half_away, rest_away]) == ""


@pytest.mark.parametrize(
    ("change", "after"),
    [
        (Change(field="code", text="new"), "new"),
        (Change(field="code", text=""), ""),
        (Change(field="code", text="new", checksum=zlib.crc32(b"new")), "new"),
        (Change(field="code", text="new", checksum=1), Refuse.NEED_FULL),
        (Change(field="code", splices=(Splice(at=3, ins="!"),), checksum=zlib.crc32(b"old!")), "old!"),
        (Change(field="code", splices=(), checksum=zlib.crc32(b"old")), "old"),
        (Change(field="code", splices=(Splice(at=3, ins="!"),), checksum=zlib.crc32(b"old?")), Refuse.NEED_FULL),
        (Change(field="code", splices=(Splice(at=3, ins="!"),)), Refuse.BAD_CHANGE),
        (Change(field="code"), Refuse.BAD_CHANGE),
        (Change(field="code", text="x", splices=(), checksum=0), Refuse.BAD_CHANGE),
    ],
)
def test_a_change_is_a_text_or_splices_with_a_checksum(change: Change, after: str | Refuse) -> None:
    assert apply_change("old", change) == after


def test_a_field_is_bounded_in_bytes_not_characters() -> None:
    fits = "é" * (FIELD_BYTES_MAX // 2)
    assert apply_change("", Change(field="code", text=fits)) == fits
    assert apply_change("", Change(field="code", text=fits + "e")) is Refuse.TOO_LARGE
    grown = Change(field="code", splices=(Splice(at=0, ins="e"),), checksum=checksum_of_field("e" + fits))
    assert apply_change(fits, grown) is Refuse.TOO_LARGE


def test_many_splices_cannot_swell_a_field_on_the_way() -> None:
    swelling = [Splice(at=0, ins="x" * FIELD_BYTES_MAX)] * SPLICES_MAX
    assert apply_splices("", swelling) is Refuse.TOO_LARGE


@given(st.fixed_dictionaries({field: texts for field in FIELDS}))
def test_the_checksum_is_that_of_the_documented_bytes(fields: dict[str, str]) -> None:
    data = b"".join(struct.pack(">I", len(fields[field].encode())) + fields[field].encode() for field in FIELDS)
    assert checksum({field: fields[field] for field in FIELDS}) == zlib.crc32(data)


def test_checksums_other_clients_can_check_theirs_by() -> None:
    draft = Draft()
    assert checksum(draft.fields) == 0x8070_77E9
    assert checksum({**draft.fields, "entities": "Garage, Spot", "code": CLEF}) == 0xA7E6_64D1
    assert checksum_of_field("Garage") == 0x988A_643D


def test_an_accepted_change_that_does_not_apply_is_a_mistake_in_code() -> None:
    with pytest.raises(ValueError, match="does not apply: need_full"):
        apply_changes(Draft(), [Change(field="code", splices=(Splice(at=9),), checksum=0)], rev=1, language="go")
