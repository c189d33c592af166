"""Packs: what is read is what is stored, and what is wrong is named by its place."""

from __future__ import annotations

import hashlib
import random

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from engine.core import pack_yaml
from engine.core.pack import FIELDS, Pack, PackError, decode_pack, encode_pack, faults, pack_hash, parse_pack
from tests.core.shipped import SMALL, packs

MARK = "status: published\n"


def with_line(line: str) -> str:
    return SMALL.replace(MARK, MARK + line + "\n")


def swapped(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new, 1)


def with_eval(item: str) -> str:
    return swapped("  max_questions: 5\n", f"  max_questions: 5\n  eval: [{item}]\n")


def refused(text: str | bytes) -> PackError:
    with pytest.raises(PackError) as caught:
        parse_pack(text)
    return caught.value


def test_a_pack_reads_as_it_is_written() -> None:
    pack = parse_pack(SMALL)
    assert pack.playable
    assert pack.clarification.rules[0].examples[1] == "what if it has no coins"
    assert [field for field, _ in pack.sections.items()] == list(FIELDS)
    assert pack.sections.code.min_chars == 10
    assert pack.rubric.criteria[1].checks[2].points == -1
    assert hash(pack) == hash(parse_pack(SMALL.encode()))


def test_every_shipped_pack_survives_storage_with_its_hash() -> None:
    assert len(packs()) >= 7
    assert {pack.status for pack in packs().values()} == {"published", "coming_soon"}
    assert "locked" in {pack.access for pack in packs().values()}
    for pack in packs().values():
        body = encode_pack(pack)
        assert decode_pack(body) == pack
        assert pack_hash(pack) == hashlib.sha256(body).hexdigest()


def test_the_hash_is_of_the_meaning_not_of_the_spelling() -> None:
    tree = yaml.safe_load(SMALL)
    keys = list(tree)
    random.Random(3).shuffle(keys)
    respelled = "# a comment\n" + yaml.safe_dump({key: tree[key] for key in keys}, sort_keys=False)
    assert pack_hash(parse_pack(respelled)) == pack_hash(parse_pack(SMALL))
    assert pack_hash(parse_pack(swapped("Once a day", "Twice a day"))) != pack_hash(parse_pack(SMALL))


def test_the_hash_of_a_known_pack_never_changes() -> None:
    """Interviews are pinned to packs by hash: a change here orphans every stored pack."""
    assert pack_hash(parse_pack(SMALL)) == "45602f3295c50f95758f6ce6f1798f2dec8319a0c7a746b4df9bbe3269a0be67"


def test_a_catalog_pack_needs_neither_rules_nor_rubric() -> None:
    head = SMALL[: SMALL.index("sections:")].replace("published", "coming_soon")
    pack = parse_pack(head)
    assert not pack.playable
    assert pack.rubric.criteria == ()


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        (with_line("colour: red"), "colour", "unknown key"),
        (swapped("status: published", "status: open"), "status", "Invalid enum value 'open'"),
        (swapped("version: 2", "version: two"), "version", "Expected `int`, got `str`"),
        (swapped("version: 2", "version: 2.5"), "version", "Expected `int`, got `float`"),
        (swapped("title: Vending machine", "title: 7"), "title", "Expected `str`, got `int`"),
        (swapped("id: vending-machine", "id: Vending Machine"), "id", "matching regex"),
        (swapped("title: Vending machine\n", ""), "title", "missing"),
        (with_line("id: other"), "id", "twice"),
        (with_line("tags: [a, B]"), "tags[1]", "matching regex"),
        (with_line("companies: [{name: X, year: 1850, source: y}]"), "companies[0].year", ">= 2000"),
        (swapped("clarify_seconds: 60", "clarify_seconds: 5"), "time_limits.clarify_seconds", ">= 30"),
        (swapped("min_chars: 10", "min_chars: -1"), "sections.code.min_chars", ">= 0"),
        (swapped("label: Code,", "lable: Code,"), "sections.code.lable", "unknown key"),
        (swapped("points: 2, ask: Names", "points: many, ask: Names"), "rubric.criteria[1].checks[0].points", "`int`"),
        (swapped("points: -1", "points: 0"), "rubric.criteria[1].checks[2].points", "0 points"),
        (swapped("weight: 70", "weight: 60"), "rubric.criteria", "sum to 90, not 100"),
        (swapped("senior: 75", "senior: 40"), "rubric.pass_mark", "above"),
        (swapped("id: C2\n", "id: C1\n"), "rubric.criteria[1].id", "rubric.criteria[0].id"),
        (swapped("id: C2.b", "id: C1.a"), "rubric.criteria[1].checks[1].id", "criteria[0].checks[0].id"),
        (swapped("[entities, code]", "[entities, dode]"), "rubric.criteria[1].evidence[1]", "'dode'"),
        (swapped("[entities, code]", "[]"), "rubric.criteria[1].evidence", "names the fields"),
        (swapped("[none, some, most, all]", "[none, some]"), "rubric.criteria[0].levels", "length >= 4"),
        (swapped("intent: change_giving}", "intent: x}"), "rubric.criteria[0].checks[0].count.intent", "`x`"),
        (swapped("of: named", "of: guessed"), "rubric.criteria[0].checks[2].count.of", "'guessed'"),
        (swapped("kind: counted", "kind: judged"), "rubric.criteria[0].evidence", "judged"),
        (swapped("kind: judged", "kind: counted"), "rubric.criteria[1].checks[0].count", "needs a `count`"),
        (swapped("points: 2, ask: Names the states.", "points: 2"), "rubric.criteria[1].checks[0].ask", "missing"),
        (swapped("intent: stock_refill", "intent: change_giving"), "clarification.rules[1].intent", "rules[0].intent"),
        (swapped("fallback: As you like.\n", "fallback: ''\n"), "clarification.fallback", "needs this"),
        (swapped("label: More", "hint: More"), "sections.extra.label", "needs this"),
        (with_eval("{q: hm, intent: no}"), "clarification.eval[0].intent", "`no`"),
        (with_eval("{q: hm}"), "clarification.eval[0].intent", "missing"),
    ],
)  # fmt: skip
def test_a_bad_pack_is_refused_with_its_place(text: str, place: str, says: str) -> None:
    error = refused(text)
    assert error.place == place
    assert says in error.message
    assert str(error).startswith(f"{place}: ")
    assert error.mark is not None
    assert f"line {error.mark.line}" in str(error)


def test_the_line_and_column_are_those_of_the_value() -> None:
    error = refused(swapped("points: -1", "points: minus one"))
    assert error.mark is not None
    line = swapped("points: -1", "points: minus one").splitlines()[error.mark.line - 1]
    assert line[error.mark.column - 1 :].startswith("minus one")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("# nothing\n", "empty"),
        ("a: [b", "not YAML"),
        ("a: b: c", "not YAML"),
        ("a:\n\t- b", "not YAML"),
        ("just words", "Expected `object`, got `str`"),
        ("- a\n- b", "Expected `object`, got `array`"),
        ("a: 1\n---\na: 2", "second document"),
        ("a: &x [1]\nb: *x", "anchors and aliases"),
        ("a: &x 1", "anchors and aliases"),
        ("a: *x", "anchors and aliases"),
        ("<<: {a: 1}", "not a word"),
        ("1: a", "not a word"),
        ("? [a]\n: b", "plain word"),
        ("!!python/object:os.system {}", "tag"),
        ("a: !!binary aGk=", "tag"),
        ('a: "\\0"', "U+0000"),
        ('a: "\\x1b[31m"', "U+001B"),
        ("a: \x00", "not YAML"),
        ("\ud800", "lone surrogate"),
        (b"\xff\xfea\x00", "not UTF-8: byte 0"),
        ("id: caf\xe9".encode("latin-1"), "not UTF-8: byte 7"),
        ("a: 1".encode("utf-16"), "not UTF-8"),
        ("x" * (pack_yaml.PACK_BYTES_MAX + 1), "at most"),
        ("[" * 100_000, "nested deeper"),
        ("{a: " * 50 + "1" + "}" * 50, "nested deeper"),
        ("[" + "1," * (pack_yaml.NODES_MAX + 1) + "]", "more than"),
        ("&a [" + ",".join(["*a"] * 9) + "]", "anchors and aliases"),
    ],
)
def test_what_is_no_yaml_pack_at_all(text: str | bytes, says: str) -> None:
    assert says in str(refused(text))


def test_words_that_yaml_1_1_twists_stay_words() -> None:
    tree = pack_yaml.read_tree("a: [no, on, 12:30, 0x1f, 1e3, 2025-01-01, 007, ~, true, -3, 1.5, 99999999999999999999]")
    assert tree.value["a"] == [
        "no", "on", "12:30", "0x1f", "1e3", "2025-01-01", "007", None, True, -3, 1.5, "99999999999999999999",
    ]  # fmt: skip


def test_a_byte_order_mark_is_no_error() -> None:
    assert parse_pack(b"\xef\xbb\xbf" + SMALL.encode()) == parse_pack(SMALL)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_text_is_a_pack_or_a_pack_error(text: str | bytes) -> None:
    with pytest.raises(PackError):
        parse_pack(text)


@given(st.integers(0, len(SMALL) - 1), st.text(alphabet="\n :{}[]&*!-#'\"0aé\t", max_size=4))
def test_a_slip_of_the_pen_is_read_or_refused(at: int, slip: str) -> None:
    try:
        pack = parse_pack(SMALL[:at] + slip + SMALL[at + 1 :])
    except PackError:
        return
    assert decode_pack(encode_pack(pack)) == pack
    assert not list(faults(pack))


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b'{"schema": "interview-pack/9"}', b"\xff"])
def test_a_body_that_is_no_pack_is_refused(body: bytes) -> None:
    with pytest.raises(PackError, match="not a stored pack"):
        decode_pack(body)


def test_a_pack_made_in_code_shows_all_its_faults() -> None:
    pack = parse_pack(SMALL)
    broken = msgspec.structs.replace(pack, languages=(), rubric=msgspec.structs.replace(pack.rubric, criteria=()))
    assert [fault.place for fault in faults(broken)] == ["languages", "rubric.criteria"]
    assert isinstance(broken, Pack)
