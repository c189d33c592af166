"""Is the quote really in the submission, and is there a submission at all? Compares words, not meaning."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec
from protocol.events import VerdictWord
from protocol.words import Field

from engine.core.pack import Criterion, Pack

QUOTE_CHARS_MIN: Final = 8
"""A shorter quote ("a lock", "O(1)") is found in anything and shows nothing, unless it is the whole field."""
WORDS_MIN: Final = 12
"""Different words of the candidate's own below which there is nothing to judge."""
ECHO_WORDS: Final = 5
"""So many words in a row that stand in the question too are the question's, not the candidate's."""
OURS_WORDS_MIN: Final = 6
"""A shorter sentence of the question or the rubric ("The counters can be read.") may be anybody's own."""
SCAN_CHARS_MAX: Final = 200_000
UNSUPPORTED: Final = "unsupported"
"""The flag of a claim whose quote does not stand where it says."""
ECHO: Final = "echo"
"""The flag of a claim whose quote is the question's or the rubric's own sentence, pasted."""
UNASKED: Final = "blank"
"""The flag of the checks of a criterion whose sections are all empty: nothing could be quoted, nobody is asked."""

Triviality = Literal["blank", "short", "echo", "repeated"]

_QUOTES: Final = dict.fromkeys(map(ord, "‘’‚‛′`´"), "'") | dict.fromkeys(map(ord, "“”„‟″«»"), '"')
_DASHES: Final = dict.fromkeys(map(ord, "‐‑‒–—―−﹘﹣－"), "-")
OPEN: Final = "⟦"
CLOSE: Final = "⟧"
BAR: Final = "│"
_OURS: Final = {ord(OPEN): "[", ord(CLOSE): "]", ord(BAR): "|"}
TYPOGRAPHY: Final = _QUOTES | _DASHES | _OURS
"""One sign for each kind of quote and dash; and the signs our line marks are made of belong to nobody else."""
_INVISIBLE: Final = ("Cf", "Cc", "Cs")
"""Unicode categories: format (zero-width, bidi), control, surrogate."""
_WORD: Final = re.compile(r"\w+")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
_WRAPPING: Final = " \"'.,;:"
"""What models put around a quote that is otherwise right: quotation marks, dots for what they left out."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a judge says of one check: the words that carry it and the field they stand in."""

    check: str
    verdict: VerdictWord
    section: Field | None = None
    quote: str = ""
    reason: str = ""
    flag: str | None = None


Verdicts = tuple[Verdict, ...]


def normalise(text: str) -> str:
    """The form in which quotes are compared: NFKC, one kind of quote, dash, space and case, all visible."""
    text = unicodedata.normalize("NFKC", text.translate(TYPOGRAPHY)).casefold()
    text = unicodedata.normalize("NFKC", text).translate(TYPOGRAPHY)
    unseen = [char for char in set(text) if not char.isspace() and unicodedata.category(char) in _INVISIBLE]
    return " ".join(text.translate(dict.fromkeys(map(ord, unseen))).split())


def verify(quote: str, section_text: str) -> bool:
    """Whether `quote` stands word for word in this one field; see QUOTE_CHARS_MIN.

    Both are compared as `normalise` leaves them; what wraps the quote (_WRAPPING) is no part of it.
    """
    return stands(quote, normalise(section_text))


def stands(quote: str, text: str) -> bool:
    """The same, in a text that is as `normalise` leaves it."""
    wanted = normalise(quote)
    if not _WORD.search(wanted):
        return False
    if wanted == text:
        return True
    return any(len(form) >= QUOTE_CHARS_MIN and form in text for form in (wanted, wanted.strip(_WRAPPING)))


def gate(verdicts: Iterable[Verdict], fields: Mapping[Field, str], criterion: Criterion, pack: Pack) -> Verdicts:
    """The verdicts, those that say more than their quote carries turned into `not_met` and flagged.

    `met` and `contradicted` both need a quote that stands in the field they name, and that field must be one the
    criterion allows: a judge cannot quote one field from another, nor across two (UNSUPPORTED). Sentences of the
    question and of the rubric carry nothing: who pastes a check has not met it (ECHO).
    """
    ours = tuple(_ours(pack))
    whole = {field: normalise(fields.get(field, "")) for field in criterion.evidence}
    own = {field: _without(text, ours) for field, text in whole.items()}
    return tuple(_gated(verdict, whole, own) for verdict in verdicts)


def _gated(verdict: Verdict, whole: Mapping[Field, str], own: Mapping[Field, str]) -> Verdict:
    section = verdict.section
    if verdict.verdict == "not_met":
        return verdict
    if section is None or not stands(verdict.quote, whole.get(section, "")):
        return msgspec.structs.replace(verdict, verdict="not_met", flag=UNSUPPORTED)
    if not stands(verdict.quote, own[section]):
        return msgspec.structs.replace(verdict, verdict="not_met", flag=ECHO)
    return verdict


def _ours(pack: Pack) -> Iterator[str]:
    """The sentences a candidate may have read before, here or after an earlier try, as they are compared.

    Not the answers: to carry those over into the requirements is what they are for.
    """
    reference = pack.reference
    asks = [check.ask for criterion in pack.rubric.criteria for check in criterion.checks]
    shown = [*_SENTENCE.split(pack.statement), *(hint.text for hint in pack.hints), *asks]
    shown += [*reference.must_consider, *reference.accepted_variants, *reference.common_mistakes]
    for text in shown:
        sentence = normalise(text).strip(_WRAPPING)
        if len(_WORD.findall(sentence)) >= OURS_WORDS_MIN:
            yield sentence


def _without(text: str, sentences: Iterable[str]) -> str:
    """The text with a gap where one of the sentences stood; no quote reaches across a gap."""
    for sentence in sentences:
        text = text.replace(sentence, "\n")
    return text


def is_quotable(criterion: Criterion, fields: Mapping[Field, str]) -> bool:
    """Whether a judge could quote anything at all for this criterion."""
    return any(_WORD.search(fields.get(field, "")) for field in criterion.evidence)


def unquotable(criterion: Criterion) -> Verdicts:
    """The verdicts on a criterion whose sections are empty."""
    return tuple(Verdict(check=check.id, verdict="not_met", flag=UNASKED) for check in criterion.checks)


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
    """Every run of ECHO_WORDS words that the candidate was shown, here or after an earlier try."""
    shown = [pack.title, pack.statement, *(hint.text for hint in pack.hints)]
    shown += [text for _, section in pack.sections.items() for text in (section.label, section.hint)]
    shown += [rule.response for rule in pack.clarification.rules]
    shown += [check.ask for criterion in pack.rubric.criteria for check in criterion.checks]
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
