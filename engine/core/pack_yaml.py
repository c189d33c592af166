"""Strict YAML for question packs: plain values and where each stood, or an error that says where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

if TYPE_CHECKING:
    import yaml

PACK_BYTES_MAX: Final = 262_144
"""A complete pack is about 40 KB; a bigger file is a mistake or an attack."""
DEPTH_MAX: Final = 12
NODES_MAX: Final = 20_000

_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}\Z")
_WORDS: Final[Mapping[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}
# C0 controls but tab and newline, DEL, C1, lone surrogates: no database column or page should see them.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Mark(NamedTuple):
    """A position in the text; both count from 1."""

    line: int
    column: int


class PackError(ValueError):
    """A pack cannot be used. `place` is a path such as `rubric.criteria[2].checks[0].points`, or empty."""

    def __init__(self, place: str, message: str, mark: Mark | None = None) -> None:
        self.place, self.message, self.mark = place, message, mark
        where = f" (line {mark.line}, column {mark.column})" if mark else ""
        super().__init__(f"{place}: {message}{where}" if place else f"{message}{where}")


class Tree(NamedTuple):
    """What the YAML says as plain Python values, and the mark of each place in it."""

    value: Any
    marks: Mapping[str, Mark]


def read_tree(text: str | bytes) -> Tree:
    """Read exactly one YAML document of maps, lists, strings, numbers, booleans and nulls.

    Scalars follow YAML 1.2 (`no` is a word, not false). Anchors, aliases, tags, duplicate keys and keys
    that are not strings are refused; so is what is too big, too deep or not UTF-8.
    """
    import yaml

    source = _decode(text)
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    marks: dict[str, Mark] = {}
    try:
        value = _document(_Events(iter(yaml.parse(source, Loader=loader))), marks)
    except yaml.MarkedYAMLError as error:
        mark = _mark(error.problem_mark) if error.problem_mark else None
        raise PackError("", f"not YAML: {error.problem or error.context}", mark) from error
    except yaml.YAMLError as error:
        raise PackError("", f"not YAML: {' '.join(str(error).split())}") from error
    return Tree(value, marks)


def _decode(text: str | bytes) -> str:
    try:
        data = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise PackError("", f"not Unicode text: lone surrogate at character {error.start}") from error
    if len(data) > PACK_BYTES_MAX:
        raise PackError("", f"{len(data)} bytes; a pack has at most {PACK_BYTES_MAX}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PackError("", f"not UTF-8: byte {error.start} is {data[error.start]:#04x}") from error


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


class _Events:
    """The parser's events, one ahead, counted."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events, self._taken = events, 0

    def take(self) -> Any:
        self._taken += 1
        event: Any = next(self._events)
        if self._taken > NODES_MAX:
            raise PackError("", f"more than {NODES_MAX} values", _mark(event.start_mark))
        return event


def _document(events: _Events, marks: dict[str, Mark]) -> Any:
    import yaml

    events.take()
    if isinstance(events.take(), yaml.StreamEndEvent):
        raise PackError("", "empty")
    value = _value(events, events.take(), "", 0, marks)
    events.take()
    after = events.take()
    if not isinstance(after, yaml.StreamEndEvent):
        raise PackError("", "a second document; one file holds one pack", _mark(after.start_mark))
    return value


def _value(events: _Events, event: Any, place: str, depth: int, marks: dict[str, Mark]) -> Any:
    import yaml

    mark = marks[place] = _mark(event.start_mark)
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise PackError(place, "anchors and aliases (& and *) are not allowed", mark)
    if event.tag is not None:
        raise PackError(place, f"the tag {event.tag} is not allowed", mark)
    if depth >= DEPTH_MAX:
        raise PackError(place, f"nested deeper than {DEPTH_MAX}", mark)
    if isinstance(event, yaml.MappingStartEvent):
        return _mapping(events, place, depth, marks)
    if isinstance(event, yaml.SequenceStartEvent):
        return _sequence(events, place, depth, marks)
    return _scalar(event, place, mark)


def _mapping(events: _Events, place: str, depth: int, marks: dict[str, Mark]) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = {}
    while not isinstance(event := events.take(), yaml.MappingEndEvent):
        mark = _mark(event.start_mark)
        key = _key(event, place, mark)
        inner = f"{place}.{key}" if place else key
        if key in found:
            raise PackError(inner, "the key stands here twice", mark)
        found[key] = _value(events, events.take(), inner, depth + 1, marks)
    return found


def _key(event: Any, place: str, mark: Mark) -> str:
    import yaml

    if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.tag is not None:
        raise PackError(place, "a key must be a plain word", mark)
    if not isinstance(key := _scalar(event, place, mark), str) or key == "<<":
        raise PackError(place, f"the key {event.value!r} is not a word", mark)
    return key


def _sequence(events: _Events, place: str, depth: int, marks: dict[str, Mark]) -> list[Any]:
    import yaml

    found: list[Any] = []
    while not isinstance(event := events.take(), yaml.SequenceEndEvent):
        found.append(_value(events, event, f"{place}[{len(found)}]", depth + 1, marks))
    return found


def _scalar(event: Any, place: str, mark: Mark) -> Any:
    text: str = event.value
    if bad := _FORBIDDEN.search(text):
        _forbidden(text, bad.start(), place, mark)
    if event.style in ("'", '"', "|", ">"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text


def _forbidden(text: str, at: int, place: str, mark: Mark) -> NoReturn:
    raise PackError(place, f"the character U+{ord(text[at]):04X} is not allowed", mark)
