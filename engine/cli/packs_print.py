"""What `engine packs ask` and `engine packs gaps` print, in lines that people read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.core.gaps import Gap, Gaps
from engine.core.interview import Interview
from engine.core.machine import Asked, Decided, decide
from engine.core.matcher.explain import Explained, Likely
from engine.core.pack import Pack
from protocol.events import ClarificationAnswered

TEXT_CHARS_MAX = 200
SPEAKS_MIN = 0.05
"""Log odds: what moves a chance by about one hundredth is left out."""


def responses(pack: Pack, explained: Sequence[Explained]) -> list[str]:
    """What a candidate who asks this first would be told, by the machine itself."""
    fresh = Interview(id="", pack="", started_at=0, deadline_at=1, design_ms=0)
    decided = decide(fresh, pack, Asked(tuple(one.matched for one in explained)), now=0)
    assert isinstance(decided, Decided), decided
    return [event.response for event in decided.events if isinstance(event, ClarificationAnswered)]


def shown(text: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    """Any text on one line of a terminal: nothing invisible, no escape sequence, not too long."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= chars_max else f"{line[: chars_max - 1]}…"


def decision(one: Explained, response: str) -> Iterator[str]:
    """The lines on one question of a message."""
    matched = one.matched
    rule = f"`{matched.intent}`" if matched.intent else "no rule"
    yield f'"{shown(matched.text)}"'
    yield f"  {matched.zone}: {rule}, chance {matched.score:.2f} in the message, {matched.margin:+.2f} before the next"
    yield f"  told: {shown(response) or '(the pack has no text for it)'}"
    for declined, name in ((False, "rules"), (True, "declined topics")):
        found = [likely for likely in one.likely if likely.declined is declined]
        yield f"  {name}: {', '.join(f'`{likely.topic}` {likely.chance:.2f}' for likely in found) or 'there are none'}"
    yield f"  none of these: {one.none:.2f}"
    yield from (f"  nearest of `{likely.topic}`: {_nearest(likely)}" for likely in _best_two(one))
    yield f"  what speaks for {_quoted(one.best)} against {_quoted(one.runner_up)} (value against value):"
    for weighed in one.weighed:
        if abs(weighed.speaks) >= SPEAKS_MIN:
            yield f"    {weighed.speaks:+6.2f}  {weighed.words} ({weighed.best:.2f} against {weighed.runner_up:.2f})"


def _nearest(likely: Likely) -> str:
    return f'"{shown(likely.phrasing)}" ({likely.likeness:.2f})'


def _best_two(one: Explained) -> list[Likely]:
    return sorted(one.likely, key=lambda likely: -likely.chance)[:2]


def _quoted(name: str) -> str:
    return name if " " in name else f"`{name}`"


def gap_lines(slug: str, found: Gaps, people_min: int) -> Iterator[str]:
    """The lines on one question: what was asked and has no rule, by as many people as are wanted."""
    yield f"{slug}: {_count(found.messages, 'question')} of {_people(found.people)} got no answer, or a wrong one"
    if found.answered:
        yield f"  {found.answered} would be answered by the rules as they are now"
    if found.declined:
        topics = ", ".join(f"`{topic}` {count}" for topic, count in found.declined.items())
        yield f"  {sum(found.declined.values())} are on topics that are declined: {topics}"
    gaps = [gap for gap in found.gaps if gap.people >= people_min]
    for gap in gaps:
        yield from _gap(gap)
    if hidden := len(found.gaps) - len(gaps):
        asked = sum(gap.messages for gap in found.gaps if gap.people < people_min)
        groups = f"{_count(asked, 'question')} in {_count(hidden, 'group')}"
        yield f"  {groups} of fewer than {people_min} people each (--min)"


def _gap(gap: Gap) -> Iterator[str]:
    near = f'; nearest rule `{gap.rule}` ({gap.likeness:.2f}: "{shown(gap.phrasing)}")' if gap.rule else ""
    refused = "".join(f"; {count} refused `{rule}`" for rule, count in gap.taken_for.items())
    yield f"  {_count(gap.messages, 'question')} of {_people(gap.people)}{near}{refused}"
    yield from (f"      {shown(text)}" for text in gap.examples)


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
