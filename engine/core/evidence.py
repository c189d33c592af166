"""Is the quote really in the submission, and is there a submission at all? Compares words, not meaning."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import Final, Literal

import msgspec
from protocol.events import VerdictWord
from protocol.words import Field

from engine.core.pack import Pack

QUOTE_CHARS_MIN: Final = 8
"""A shorter quote ("a lock", "O(1)") is found in anything and shows nothing, unless it is the whole field."""
WORDS_MIN: Final = 12
"""Different words of the candidate's own below which there is nothing to judge."""
ECHO_WORDS: Final = 5
"""So many words in a row that stand in the question too are the question's, not the candidate's."""
SCAN_CHARS_MAX: Final = 200_000

Triviality = Literal["blank", "short", "echo", "repeated"]

_QUOTES: Final = dict.fromkeys(map(ord, "‘’‚‛′`´"), "'") | dict.fromkeys(map(ord, "“”„‟″«»"), '"')
_DASHES: Final = dict.fromkeys(map(ord, "‐‑‒–—―−﹘﹣－"), "-")
TYPOGRAPHY: Final = _QUOTES | _DASHES
_INVISIBLE: Final = ("Cf", "Cc", "Cs")
"""Unicode categories: format (zero-width, bidi), control, surrogate."""
_WORD: Final = re.compile(r"\w+")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a judge says of one check: the words that carry it and the field they stand in."""

    check: str
    verdict: VerdictWord
    section: Field | None = None
    quote: str = ""
    reason: str = ""
    flag: str | None = None


def normalise(text: str) -> str:
    """The form in which quotes are compared: NFKC, one kind of quote, dash, space and case, all visible."""
    text = unicodedata.normalize("NFKC", text.translate(TYPOGRAPHY)).casefold()
    text = unicodedata.normalize("NFKC", text).translate(TYPOGRAPHY)
    unseen = [char for char in set(text) if not char.isspace() and unicodedata.category(char) in _INVISIBLE]
    return " ".join(text.translate(dict.fromkeys(map(ord, unseen))).split())


def verify(quote: str, section_text: str) -> bool:
    """Whether `quote` stands word for word in this one field; see QUOTE_CHARS_MIN."""
    wanted, text = normalise(quote), normalise(section_text)
    if not _WORD.search(wanted):
        return False
    return wanted == text or (len(wanted) >= QUOTE_CHARS_MIN and wanted in text)


def gate(verdict: Verdict, fields: Mapping[Field, str], evidence: Collection[Field]) -> Verdict:
    """The verdict, or `not_met` flagged `unsupported` when it says more than its quote carries.

    `evidence`: the fields the criterion allows. `met` and `contradicted` both need a quote that stands in the
    field they name; a judge cannot quote one field from another, nor across two.
    """
    if verdict.verdict == "not_met":
        return verdict
    section = verdict.section
    if section is not None and section in evidence and verify(verdict.quote, fields.get(section, "")):
        return verdict
    return msgspec.structs.replace(verdict, verdict="not_met", flag="unsupported")


def triviality(fields: Mapping[Field, str], pack: Pack) -> Triviality | None:
    """Why this draft holds nothing to judge; None when it does.

    Lines that come again and runs of words out of the question are set aside; what is left must have
    WORDS_MIN different words.
    """
    lines = _lines(fields)
    words = [word for line in lines for word in _WORD.findall(line)]
    if not words:
        return "blank"
    if len(set(words)) < WORDS_MIN:
        return "repeated" if len(words) >= 4 * WORDS_MIN else "short"
    own = _own_words(words, _question_runs(pack))
    return "echo" if len(set(own)) < WORDS_MIN else None


def _lines(fields: Mapping[Field, str]) -> list[str]:
    """The draft's different lines, each once, as they are compared."""
    text = "\n".join(fields[field] for field in sorted(fields))[:SCAN_CHARS_MAX]
    return list(dict.fromkeys(filter(None, map(normalise, text.splitlines()))))


def _question_runs(pack: Pack) -> set[tuple[str, ...]]:
    """Every run of ECHO_WORDS words that the candidate was shown."""
    shown = [pack.title, pack.statement, *(hint.text for hint in pack.hints)]
    shown += [text for _, section in pack.sections.items() for text in (section.label, section.hint)]
    shown += [rule.response for rule in pack.clarification.rules]
    runs: set[tuple[str, ...]] = set()
    for text in shown:
        words = _WORD.findall(normalise(text))
        runs.update(tuple(words[i : i + ECHO_WORDS]) for i in range(len(words) - ECHO_WORDS + 1))
    return runs


def _own_words(words: list[str], runs: set[tuple[str, ...]]) -> list[str]:
    """The words that are in no run out of the question."""
    echoed = [False] * len(words)
    for i in range(len(words) - ECHO_WORDS + 1):
        if tuple(words[i : i + ECHO_WORDS]) in runs:
            echoed[i : i + ECHO_WORDS] = [True] * ECHO_WORDS
    return [word for word, echo in zip(words, echoed, strict=True) if not echo]
