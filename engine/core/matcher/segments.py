"""People ask two things at once: a message cut into its sentences, and more finely into its clauses."""

from __future__ import annotations

import re
from typing import Final

from engine.core.matcher.words import words_of

SENTENCES_MAX: Final = 8
CLAUSES_MAX: Final = 8
"""What comes after the last cut stays one piece."""
LEANING_WORDS_MAX: Final = 4
"""A message with more words that tell something means something by itself."""

_ASKING: Final = (
    r"(?:how|what|which|who|whose|when|where|why|is|are|was|do|does|did|can|could|should|shall|will|would|must|may|has"
    r"|have|any|whats|what's|hows|how's)"
)
_END: Final = r"(?<=[?!;])\s*|(?<=\w\w[.])(?<!etc[.])(?<!\bvs[.])\s+|\n|\s(?:[/|+]|\d[.)])\s"
_SENTENCE: Final = re.compile(
    rf"{_END}|,?\s(?:and|also|plus|additionally|as well as|along with|(?:and )?by the way)\s(?:also\s|then\s)?"
    rf"(?={_ASKING}\b)"
    rf"|,\s(?={_ASKING}\b)|,?\s(?:as well as|along with)\s",
    re.IGNORECASE,
)
_CLAUSE: Final = re.compile(
    rf"{_END}|:\s|,|\s(?:and|n|also|plus|or|but|additionally|so|then|as well as|along with|&)\s|\s-+\s|[()]",
    re.IGNORECASE,
)
_BLANKS: Final = re.compile(r"[^\S\n]+")
_NEW_LINES: Final = re.compile(r" ?\n[ \n]*")
_OPENS: Final = re.compile(rf"\W*(?:and|also|so|but|ok|okay|hi|hello|then)?\W*{_ASKING}\b", re.IGNORECASE)
_LINK: Final = re.compile(r"^(?:and|also|plus|but|so|then)[\s,]+", re.IGNORECASE)
_REFERS: Final = re.compile(
    r"\b(?:it|its|that|this|they|them|their|those|these|one|ones|he|she|him|her|same|either|both|there|other|others"
    r"|another|such)\b",
    re.IGNORECASE,
)


def spaced(text: str) -> str:
    """The same with one blank for many, so that a cut never has to look far."""
    return _NEW_LINES.sub("\n", _BLANKS.sub(" ", text)).strip()


def sentences(text: str) -> tuple[str, ...]:
    """The parts of `text` that say something, in order, at most SENTENCES_MAX; () when none does."""
    return _parts(_SENTENCE, text, SENTENCES_MAX)


def clauses(text: str) -> tuple[str, ...]:
    """The same, cut at every comma and conjunction: most are no question of their own. At most CLAUSES_MAX."""
    return _parts(_CLAUSE, text, CLAUSES_MAX)


def _parts(cut: re.Pattern[str], text: str, parts_max: int) -> tuple[str, ...]:
    parts = [_LINK.sub("", part.strip()) for part in cut.split(text, maxsplit=parts_max * 4)]
    parts = [part for part in parts if content(part)]
    if len(parts) > parts_max:
        parts[parts_max - 1 :] = [" ".join(parts[parts_max - 1 :])]
    return tuple(parts)


def asks(sentence: str) -> bool:
    """Whether it is put as a question."""
    return "?" in sentence or _OPENS.match(sentence) is not None


def leans(text: str) -> bool:
    """Whether a word in it may stand for something said before, and little else says what it is about."""
    telling = sum(word.weight == 1.0 for word in words_of(text))
    return telling <= LEANING_WORDS_MAX and _REFERS.search(text) is not None


def content(text: str) -> bool:
    """Whether any of its words could tell one topic from another."""
    return any(word.weight == 1.0 for word in words_of(text))
