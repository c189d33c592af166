"""The judge without a model: it looks whether a statement's words stand together, and claims no more than that."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from engine.core.evidence import QUOTE_CHARS_MIN, Verdict
from engine.core.marked import SECTION_CHARS_MAX, sanitise
from engine.core.pack import Check, Criterion
from engine.core.prompt import QUOTE_CHARS
from engine.judging.judge import Case, Judged, Written
from protocol.events import Judge as JudgeName
from protocol.words import Field

MENTIONED: Final = "mentioned"
"""The flag of its verdicts: the words are there; whether the statement is true nobody judged."""
OFFLINE_NOTE: Final = (
    "A completeness estimate: it counts what is there and looks for the words of each statement. "
    "Nobody judged the quality of the design."
)
STEM_CHARS: Final = 6
WORDS_SHARED_MIN: Final = 2
SHARE_MIN: Final = 0.5
"""The share of a statement's words that one line must hold."""

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_COMMON: Final = frozenset(
    "a an and any are as at be by can does each every for from given has have how if in into is it its least may more "
    "must no not of on one only or out per says shown so some stated states that the their them then there they this "
    "to two up what when where which while who why with without".split()
)

Line = tuple[Field, str, frozenset[str]]


class OfflineJudge:
    """Presence only. A fault (negative points) is never found: its words prove nothing."""

    @property
    def name(self) -> JudgeName:
        return "offline"

    def describe(self) -> dict[str, Any]:
        return {"provider": "none", "model": "presence-1", "kind": "completeness estimate"}

    async def judge_criterion(self, case: Case, criterion: Criterion) -> Judged:
        lines = _lines(case.submission.fields, criterion.evidence)
        return Judged(tuple(_verdict(check, lines) for check in criterion.checks))

    async def narrate(self, title: str, findings: Sequence[str], on_text: Callable[[str], None]) -> Written:
        return Written("")


def _verdict(check: Check, lines: Sequence[Line]) -> Verdict:
    wanted = _stems(check.ask)
    enough = max(min(WORDS_SHARED_MIN, len(wanted)), SHARE_MIN * len(wanted))
    if check.points > 0 and wanted:
        for field, line, stems in lines:
            if len(wanted & stems) >= enough:
                return Verdict(check=check.id, verdict="met", section=field, quote=line[:QUOTE_CHARS], flag=MENTIONED)
    return Verdict(check=check.id, verdict="not_met", flag=MENTIONED)


def _lines(fields: Mapping[Field, str], evidence: Sequence[Field]) -> list[Line]:
    """The lines that can be quoted, with their words."""
    texts = ((field, line.strip()) for field in evidence for line in sanitise(fields[field][:SECTION_CHARS_MAX]))
    return [(field, line, _stems(line)) for field, line in texts if len(line) >= QUOTE_CHARS_MIN]


def _stems(text: str) -> frozenset[str]:
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(word[:STEM_CHARS] for word in words if word not in _COMMON and len(word) > 1)
