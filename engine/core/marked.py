"""The copy of a submission that a model reads: plain characters, bounded, each line marked and numbered."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

import msgspec
from protocol.words import FIELDS, Field

from engine.core.evidence import BAR, CLOSE, OPEN, TYPOGRAPHY

SECTION_CHARS_MAX: Final = 12_000
"""About 3,000 tokens; an honest section has a tenth of it. What is cut is named in the receipt."""
SHOWN_CHARS_MAX: Final = 2 * SECTION_CHARS_MAX
"""Of a section as it is shown: a mark makes a line of one character twenty long, and NFKC one character eighteen."""
LINE_CHARS: Final = 20
"""What a mark and a number add to a line, at most."""
REPEATS_MAX: Final = 3
"""A line that comes again right after itself is shown so often, then counted."""

_UNSEEN: Final = frozenset({"Cf", "Cc", "Cs"})
"""As in `evidence`: a character the copy drops must not count in a quote."""
_LINE_MARK: Final = re.compile(
    rf"(?:{OPEN}[^{CLOSE}\n]{{0,40}}{CLOSE}\s*)?\b\d{{1,6}}\s*{BAR} ?|{OPEN}[^{CLOSE}\n]{{0,40}}{CLOSE}"
)


class MarkedCopy(msgspec.Struct, frozen=True, kw_only=True):
    """`text`: every section under its name, the candidate's lines marked. `cut`: the sections that were too long."""

    text: str
    cut: tuple[Field, ...]


def sanitise(text: str) -> list[str]:
    """Lines in the form `evidence` compares, without what the eye cannot see and the signs our marks are made of."""
    text = unicodedata.normalize("NFKC", text.translate(TYPOGRAPHY)).replace("\t", "    ")
    lines = plain("\n".join(text.splitlines())).split("\n") if text else []
    return [line.rstrip() for line in lines]


def plain(text: str) -> str:
    """The text without what the eye cannot see (and Postgres would not store); blanks of every kind are spaces."""
    return text.translate({ord(char): " " if char.isspace() else "" for char in set(text) if _is_odd(char)})


def _is_odd(char: str) -> bool:
    return char not in " \n" and (char.isspace() or unicodedata.category(char) in _UNSEEN)


def marked_copy(fields: Mapping[Field, str], mark: str) -> MarkedCopy:
    """All seven sections in table order. Lines are numbered through from 1; only a candidate's lines are marked."""
    blocks: list[str] = []
    cut: list[Field] = []
    number = 0
    for field in FIELDS:
        text = fields.get(field, "")
        lines = sanitise(text[:SECTION_CHARS_MAX])
        if not any(lines):
            blocks.append(f"[{field}] is empty")
            continue
        blocks.append(f"[{field}]")
        folded = _folded(lines)
        shown = _fitting(folded)
        for line, again in shown:
            number += 1
            blocks.append(f"{OPEN}{mark}{CLOSE} {number:03d}{BAR} {line}")
            if again:
                blocks.append(f"(line {number} comes {again} more times)")
        if len(text) > SECTION_CHARS_MAX or len(shown) < len(folded):
            cut.append(field)
            blocks.append("(the rest of this section is not shown: it is too long)")
    return MarkedCopy(text="\n".join(blocks), cut=tuple(cut))


def _folded(lines: list[str]) -> list[tuple[str, int]]:
    """Each line with how often it came again after the last time it is shown."""
    folded: list[tuple[str, int]] = []
    run = 0
    for line in lines:
        run = run + 1 if folded and folded[-1][0] == line else 1
        if run <= REPEATS_MAX:
            folded.append((line, 0))
        else:
            folded[-1] = (line, folded[-1][1] + 1)
    return folded


def _fitting(folded: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The first lines, as many as may be shown."""
    left = SHOWN_CHARS_MAX
    for i, (line, _) in enumerate(folded):
        left -= len(line) + LINE_CHARS
        if left < 0:
            return folded[:i]
    return folded


def unmarked(quote: str) -> str:
    """A quote without the marks and line numbers a model may have copied with it."""
    return _LINE_MARK.sub(" ", quote).strip()
