"""An interview in a Redis hash: what is written reads back, and only what changed is written."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings

from engine.core.interview import Interview
from engine.live.state import UnknownFormat, fields_of, interview_of
from protocol import commands as c
from tests.core.playing import Playing, criterion, fresh
from tests.core.test_machine import (
    CHANGE,
    IN_DESIGN,
    PACK,
    SUBMITTED,
    announced,
    asked,
    completed,
    played,
    save,
    started,
)


class KeptInHash(Playing):
    """Whatever happens, the hash that got only the differing fields holds the whole interview."""

    def __init__(self) -> None:
        super().__init__()
        self.hash: dict[bytes, bytes] = {}

    def changed(self, before: Interview, after: Interview) -> None:
        if not self.hash:
            self.hash = stored(before)
        self.hash |= stored(after, before)
        assert interview_of(self.hash, after.seq) == after
        assert self.hash == stored(after)


TestKeptInHash = KeptInHash.TestCase
TestKeptInHash.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def stored(interview: Interview, before: Interview | None = None) -> dict[bytes, bytes]:
    return {name.encode(): value for name, value in fields_of(interview, before).items()}


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [
        (fresh(PACK), played(asked(CHANGE)), {"said"}),
        (fresh(PACK), played(c.Proceed()), set()),
        (IN_DESIGN, played(save(IN_DESIGN, code="x", apis="y"), interview=IN_DESIGN), {"f:code", "f:apis"}),
        (SUBMITTED, announced(SUBMITTED, started(), criterion(1, "C1"), completed()), {"evaluation"}),
    ],
    ids=["asked", "proceeded", "saved", "judged"],
)
def test_a_change_writes_what_differs(before: Interview, after: Interview, written: set[str]) -> None:
    assert set(fields_of(after, before)) == {"core", *written}


def test_a_text_that_was_not_touched_is_not_written_again() -> None:
    big = played(save(IN_DESIGN, code="x" * 60_000), interview=IN_DESIGN)
    after = played(save(big, extra="y"), interview=big)
    assert sum(map(len, fields_of(after, big).values())) < 500


@pytest.mark.parametrize("broken", [b"", b"\x90", b"nonsense"])
def test_another_version_s_copy_is_told_apart(broken: bytes) -> None:
    with pytest.raises(UnknownFormat):
        interview_of({**stored(IN_DESIGN), b"core": broken}, 1)


def test_a_copy_without_a_field_is_told_apart() -> None:
    for name in stored(IN_DESIGN):
        without = {key: value for key, value in stored(IN_DESIGN).items() if key != name}
        with pytest.raises(UnknownFormat):
            interview_of(without, 1)


def test_a_later_format_is_told_apart() -> None:
    core = list(msgspec.msgpack.decode(fields_of(IN_DESIGN)["core"]).items())
    later = msgspec.msgpack.encode(dict([("format", 99), *core[1:]]))
    with pytest.raises(UnknownFormat, match="format 99"):
        interview_of({**stored(IN_DESIGN), b"core": later}, 1)
