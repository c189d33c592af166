"""Feedback as a model writes it, a bullet a line: what rests on verdicts that fit is let through, the rest is dropped.

Only ids are verified, for nothing else can be: a bullet's words are the model's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

from engine.core.appeals import cost_points
from engine.core.marked import plain
from engine.judging.judge_offline import MENTIONED
from engine.judging.remarks import LIST_MAX, Remarks, remarks
from protocol.events import CheckVerdict, EvaluationCriterion, Remark

Kind = Literal["strength", "weakness", "improvement"]

SENTENCE_CHARS_MAX: Final = 400
"""The prompt asks for 40 words."""
SAID: Final[dict[Kind, str]] = {"strength": "Strength", "weakness": "Weakness", "improvement": "To improve"}
_LISTS: Final[dict[Kind, str]] = {"strength": "strengths", "weakness": "weaknesses", "improvement": "improvements"}
_LINE: Final = re.compile(r"[\W\d]*(strength|weakness|improvement)\W*\|([^|]*)\|(.*)", re.IGNORECASE)
_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_WORD: Final = re.compile(r"\w")


class Bullets:
    """Reads the model's text piece by piece; gives each bullet that stands to `on_text`, as a line."""

    def __init__(self, results: Sequence[EvaluationCriterion], on_text: Callable[[str], None]) -> None:
        self._verdicts = {verdict.check: verdict for result in results for verdict in result.verdicts}
        self._on_text = on_text
        self._unread = ""
        self._lines: list[str] = []
        self._kept: dict[Kind, list[Remark]] = {"strength": [], "weakness": [], "improvement": []}

    def read(self, piece: str) -> None:
        """More of the text. A bullet is known by its line's end."""
        *lines, self._unread = (self._unread + piece).split("\n")
        for line in lines:
            self._take(line)

    def end(self) -> None:
        """There is no more; the last line may have no end."""
        self._take(self._unread)
        self._unread = ""

    @property
    def text(self) -> str:
        """All lines that were let through."""
        return "\n".join(self._lines)

    @property
    def remarks(self) -> Remarks:
        return Remarks(**{_LISTS[kind]: tuple(kept) for kind, kept in self._kept.items()})

    def _take(self, line: str) -> None:
        found = _LINE.match(line)
        if found is None:
            return
        kind = next(one for one in self._kept if one == found.group(1).lower())
        checks = tuple(dict.fromkeys(_ID.findall(found.group(2))))
        sentence = plain(found.group(3)).strip()[:SENTENCE_CHARS_MAX]
        full = len(self._kept[kind]) >= LIST_MAX
        if full or not _WORD.search(sentence) or not _fits(kind, checks, self._verdicts):
            return
        self._kept[kind].append(Remark(text=sentence, checks=checks))
        line = f"{SAID[kind]}: {sentence}"
        self._on_text(f"\n{line}" if self._lines else line)
        self._lines.append(line)


def _fits(kind: Kind, checks: Sequence[str], verdicts: dict[str, CheckVerdict]) -> bool:
    """Whether a bullet may rest on these: on some, on known ones, and on such as bear out its kind."""
    if not checks or any(check not in verdicts for check in checks):
        return False
    if kind != "strength":
        return all(cost_points(verdicts[check]) for check in checks)
    return all(_is_strong(verdicts[check]) for check in checks)


def _is_strong(verdict: CheckVerdict) -> bool:
    return verdict.verdict == "met" and verdict.points > 0 and verdict.flag != MENTIONED


def filled(written: Remarks, results: Sequence[EvaluationCriterion]) -> Remarks:
    """The bullets, and of a kind that has none what code derives from the verdicts."""
    derived = remarks(results)
    return Remarks(**{name: getattr(written, name) or getattr(derived, name) for name in _LISTS.values()})


def mended(
    said: Remarks, text: str, before: Sequence[EvaluationCriterion], after: Sequence[EvaluationCriterion]
) -> tuple[Remarks, str]:
    """Remarks and feedback when verdicts have changed: without the bullets that rest on what is so no more."""
    verdicts = {verdict.check: verdict for result in after for verdict in result.verdicts}
    derived, gone = remarks(before), set()
    kept: dict[str, tuple[Remark, ...]] = {}
    for kind, name in _LISTS.items():
        old: tuple[Remark, ...] = getattr(said, name)
        standing = tuple(remark for remark in old if _fits(kind, remark.checks, verdicts))
        gone |= {f"{SAID[kind]}: {remark.text}" for remark in old if remark not in standing}
        kept[name] = () if old == getattr(derived, name) else standing  # what code derived it derives anew
    lines: Iterable[str] = (line for line in text.split("\n") if line not in gone)
    return filled(Remarks(**kept), after), "\n".join(lines)
