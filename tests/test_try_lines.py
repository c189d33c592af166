"""What a line of `engine try` asks for."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from engine.cli.try_lines import WORDS, Line, Lines, Misread, field_of, parse, text_of
from engine.cli.trying import WORDS_HELP


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ("", None),
        ("   ", None),
        ("# a comment", None),
        ("How many floors?", Line("ask", "How many floors?")),
        ("ask how many floors", Line("ask", "how many floors")),
        ("yes", Line("yes", "")),
        ("  proceed  ", Line("proceed", "")),
        ("reject 3", Line("reject", "3")),
        ("set functional_req Park, pay, leave.", Line("set", "functional_req Park, pay, leave.")),
        ("set func <<END", Line("set", "func <<END")),
        ("show", Line("show", "")),
        ("show code", Line("show", "code")),
        # Sentences that begin with one of the words are questions, while those are open.
        ("show me the floors", Line("ask", "show me the floors")),
        ("set of vehicles?", Line("ask", "set of vehicles?")),
        ("time?", Line("ask", "time?")),
        ("time limits for parking", Line("ask", "time limits for parking")),
        ("no lost tickets, right?", Line("ask", "no lost tickets, right?")),
        ("wait evaluation", Line("wait", "evaluation")),
    ],
)
def test_lines_while_clarifying(line: str, asks: Line | None) -> None:
    assert parse(line, asking=True) == asks


def test_lines_after_clarifying_are_commands_only() -> None:
    assert parse("show me", asking=False) == Line("show", "me")
    with pytest.raises(Misread, match="How: no such command"):
        parse("How many floors?", asking=False)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("code", "code"),
        ("func", "functional_req"),
        ("classes", "classes_and_relationships"),
        ("en", "entities"),
        ("e", None),
        ("", None),
        ("codes", None),
    ],
)
def test_fields_by_the_beginning_of_their_name(name: str, field: str | None) -> None:
    assert field_of(name) == field


async def test_texts_from_words_files_and_lines(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("from – a file\n", encoding="utf-8")
    lines = Lines(io.StringIO("one\n\n  two\nEND\nafter\n"))
    assert await text_of("some words", lines) == "some words"
    assert await text_of(f"@{tmp_path / 'x.txt'}", lines) == "from – a file\n"
    assert await text_of("<<END", lines) == "one\n\n  two"
    assert await lines.next() == "after"
    assert await lines.next() is None


@pytest.mark.parametrize("given", ["@/nowhere/at/all", "<<", "<<NEVER"])
async def test_texts_that_cannot_be_had(given: str) -> None:
    with pytest.raises(Misread):
        await text_of(given, Lines(io.StringIO("a\nb\n")))


async def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misread, match="not a text file"):
        await text_of(f"@{tmp_path / 'x.bin'}", Lines(io.StringIO("")))


def test_help_names_every_word() -> None:
    for word in WORDS:
        assert word in WORDS_HELP
