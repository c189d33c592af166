"""People ask two things at once: a message cut into the questions it holds."""

from __future__ import annotations

import re
from typing import Final

from engine.core.matcher.words import words_of

SEGMENTS_MAX: Final = 4
"""What comes after the third cut stays one piece."""

_ASKING: Final = (
    r"(?:how|what|which|who|whose|when|where|why|is|are|was|do|does|did|can|could|should|shall|will|would|must|may|has"
    r"|have|any)"
)
_CUT: Final = re.compile(
    rf"(?<=[?!;])\s*|(?<=\w\w[.])(?<!etc[.])(?<!\bvs[.])\s+|\s*\n\s*|,?\s+(?:and|also|plus|additionally)\s+(?:also\s+|then\s+)?(?={_ASKING}\b)",
    re.IGNORECASE,
)
_OPENS: Final = re.compile(rf"\W*(?:and|also|so|but|ok|okay|hi|hello|then)?\W*{_ASKING}\b", re.IGNORECASE)


def split(text: str) -> tuple[str, ...]:
    """The parts of `text` that say something, in order, at most SEGMENTS_MAX; () when none does."""
    parts = [part.strip() for part in _CUT.split(text, maxsplit=SEGMENTS_MAX * 4)]
    parts = [part for part in parts if content(part)]
    if len(parts) > SEGMENTS_MAX:
        parts[SEGMENTS_MAX - 1 :] = [" ".join(parts[SEGMENTS_MAX - 1 :])]
    return tuple(parts)


def asks(segment: str) -> bool:
    """Whether it is put as a question."""
    return "?" in segment or _OPENS.match(segment) is not None


def content(segment: str) -> bool:
    """Whether any of its words could tell one topic from another."""
    return any(word.weight == 1.0 for word in words_of(segment))
