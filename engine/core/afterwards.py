"""What can only be said after the submission: since when a quote stood in the draft, and what was never asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from protocol.events import DraftSaved, EvaluationCriterion, Unasked
from protocol.messages import EventFrame
from protocol.words import Field

from engine.core.draft import Draft, apply_changes
from engine.core.evidence import normalise, stands
from engine.core.pack import Pack

MINUTE_MS: Final = 60_000

Quote = tuple[Field, str]


def quotes(results: Iterable[EvaluationCriterion]) -> dict[str, Quote]:
    """Where the quote stands that a check is met by, and its words, by the check."""
    met = (verdict for result in results for verdict in result.verdicts if verdict.verdict == "met")
    return {verdict.check: (verdict.section, verdict.quote) for verdict in met if verdict.section and verdict.quote}


class FirstShown:
    """Reads an interview's events, in order, for the minute (0 is the first) in which each quote first stood there.

    It looks at the draft as each minute left it, not at each save: a field may have 64 KiB and a thousand saves, and
    what came and went within a minute was not yet the candidate's answer.
    """

    def __init__(self, quotes: Mapping[str, Quote], started_at: int) -> None:
        self._missing = dict(quotes)
        self._started_at = started_at
        self._found: dict[str, int] = {}
        self._draft = Draft()
        self._minute = 0
        self._changed: set[Field] = set()

    def read(self, frame: EventFrame) -> None:
        """The next event."""
        if not isinstance(frame.d, DraftSaved):
            return
        minute = max(0, frame.ts - self._started_at) // MINUTE_MS
        if minute != self._minute:
            self._look()
        self._minute = minute
        saved = frame.d
        self._draft = apply_changes(self._draft, saved.changes, rev=saved.rev, language=saved.language)
        self._changed |= {change.field for change in saved.changes}

    def found(self) -> dict[str, int]:
        """The minute by check, of those whose quote was there at the end of some minute. After the last event."""
        self._look()
        return dict(self._found)

    def _look(self) -> None:
        texts = {field: normalise(self._draft.fields[field]) for field in self._changed}
        for check, (field, quote) in list(self._missing.items()):
            if field in texts and stands(quote, texts[field]):
                self._found[check] = self._minute
                del self._missing[check]
        self._changed.clear()


def unasked(pack: Pack, answered: Iterable[str]) -> tuple[Unasked, ...]:
    """The rules whose intent was never answered, those first that mattered most.

    By their labels alone: what to ask is the lesson, and the next interview on this question stays one.
    """
    asked = set(answered)
    rules = [rule for rule in pack.clarification.rules if rule.intent not in asked]
    rules.sort(key=lambda rule: -rule.weight)
    return tuple(Unasked(intent=rule.intent, label=rule.label, weight=rule.weight) for rule in rules)
