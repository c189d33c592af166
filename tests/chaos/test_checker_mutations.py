"""Whatever one thing is dropped, doubled, swapped or altered in a sound history, some clause finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.checker import check
from tests.chaos.history import Event, History, Op, Reply, Seen
from tests.chaos.test_checker import ID, good, with_record

places = st.integers(0, 99)
few = settings(max_examples=20)
"""There are not many places to break."""


def _dropped(items: list[Any], at: int) -> None:
    del items[at % len(items)]


def _doubled(items: list[Any], at: int) -> None:
    items.insert(at % len(items), items[at % len(items)])


def _swapped(items: list[Any], at: int) -> None:
    i = at % (len(items) - 1)
    items[i], items[i + 1] = items[i + 1], items[i]


@few
@given(places, st.sampled_from([_dropped, _doubled, _swapped]))
def test_the_events_of_the_record(at: int, breaks: Callable[[list[Any], int], None]) -> None:
    history = good()
    happened: list[Event] = list(history.interviews[ID].events)
    breaks(happened, at)
    with_record(history, events=tuple(happened))
    assert check(history)


@few
@given(places, st.sampled_from([_dropped, _doubled, _swapped]))
def test_what_a_client_was_given(at: int, breaks: Callable[[list[Any], int], None]) -> None:
    """A client may leave before the end: what is dropped is not the last."""
    history = good()
    last = history.feeds[0].seen.pop()
    breaks(history.feeds[0].seen, at)
    history.feeds[0].seen.append(last)
    assert check(history)


@few
@given(places, st.sampled_from(["epoch", "s", "hash"]))
def test_one_thing_that_a_client_was_given(at: int, what: str) -> None:
    history = good()
    seen = history.feeds[0].seen
    i = at % len(seen)
    other: Any = "0" * 16 if what == "hash" else getattr(seen[i], what) + 1
    changed: Seen = msgspec.structs.replace(seen[i], **{what: other})
    seen[i] = changed
    assert check(history)


@few
@given(places, places, st.sampled_from(["s", "rev", "late"]))
def test_one_answer(at: int, which: int, what: str) -> None:
    """Lateness is told by the reply alone: only that it was told once so and once otherwise shows."""
    history = good()
    op: Op = history.ops[1] if what == "late" else history.ops[at % 2]
    i = which % len(op.replies)
    other: Any = True if what == "late" else (getattr(op.replies[i], what) or 0) + 1
    changed: Reply = msgspec.structs.replace(op.replies[i], **{what: other})
    op.replies[i] = changed
    assert check(history)


@few
@given(places, st.sampled_from(["id", "t", "interview"]))
def test_one_command(at: int, what: str) -> None:
    history = good()
    setattr(history.ops[at % 2], what, {"t": "phase.proceed"}.get(what, "another"))
    assert check(history)


@few
@given(places, st.binary(min_size=1, max_size=1))
def test_one_byte_of_the_text_of_an_event(at: int, byte: bytes) -> None:
    """Of the words in it: a frame that cannot be read at all raises, which is found as well."""
    history = good()
    body = history.interviews[ID].events[2].body
    start = body.index(b"bounded")
    i = start + at % len(b"bounded")
    other = b"x" if body[i : i + 1] != b"x" else b"y"
    altered = msgspec.structs.replace(history.interviews[ID].events[2], body=body[:i] + other + body[i + 1 :])
    happened = history.interviews[ID].events
    with_record(history, events=(*happened[:2], altered, *happened[3:]))
    assert check(history)


@few
@given(
    st.sampled_from(["phase", "recorded_seq", "rev", "fields", "evaluations", "runs", "ends", "handed_in", "parked"])
)
def test_one_thing_of_the_record(what: str) -> None:
    history: History = good()
    other: dict[str, Any] = {
        "phase": "design", "recorded_seq": 7, "rev": 2, "fields": {}, "evaluations": (), "runs": (), "ends": (),
        "handed_in": "another", "parked": "DataError",
    }  # fmt: skip
    with_record(history, **{what: other[what]})
    assert check(history)


def test_a_conflict_is_no_news_where_redis_alone_had_the_revision_and_is_where_the_record_has_it() -> None:
    refused = [Reply(kind="err", at=4.0, code="conflict")]
    next_save = Op(client="w", interview=ID, id="w-000003", t="draft.save", d={"base": 1}, sent_at=3.5, replies=refused)
    history = good()
    history.ops.append(next_save)
    assert [violation.clause for violation in check(history)] == ["refusals"]
    save = history.ops[1]
    save.replies = [msgspec.structs.replace(reply, durable="live") for reply in save.replies]
    assert check(history) == []
