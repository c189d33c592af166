"""The checker finds what is wrong: one broken history a clause and more, made by hand from one that is whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from engine.core.draft import Draft, checksum
from protocol import events
from protocol.codec import encode
from protocol.messages import event_frame
from protocol.words import FIELDS, Change, Field
from tests.chaos.checker import CLAUSES, check
from tests.chaos.history import (
    Call,
    Copy,
    Event,
    Feed,
    History,
    Interview,
    Op,
    Outage,
    Pen,
    Reply,
    Rest,
    Result,
    Seen,
    hash_of,
    state_hash,
)

ID = "interview-1"
BEGAN = 1_000_000
CLARIFY, DESIGN, GRACE = 2_000, 3_000, 2_000
ENDS = BEGAN + CLARIFY + DESIGN + GRACE
TEXT = "It keeps a bounded number of entries."
DRAFT: dict[Field, str] = {**dict.fromkeys(FIELDS, ""), "functional_req": TEXT}
SUM = checksum(DRAFT)
SAVED = events.DraftSaved(rev=1, changes=(Change(field="functional_req", text=TEXT),), language="python", checksum=SUM)
COPY = Copy(epoch=1, seq=6, state="a", commands={"w-000001": "b", "w-000002": "c"})
COMPLETED = events.EvaluationCompleted(run=1, score=50, passed=False, judge="offline")


def event(s: int, ts: int, body: events.Event, command: str | None) -> Event:
    return Event(seq=s, body=encode(event_frame(body, s=s, ts=ts)), command_id=command)


def answered(text: str) -> events.ClarificationAnswered:
    return events.ClarificationAnswered(text=text, kind="fallback", response="Decide for yourself.")


def good() -> History:
    """An interview whose two ends the clock made, with one message of two questions and one save."""
    happened = (
        event(1, BEGAN + 100, answered("Is it thread safe?"), "w-000001"),
        event(2, BEGAN + 100, answered("Is there a fee?"), None),
        event(3, BEGAN + 500, SAVED, "w-000002"),
        event(4, BEGAN + CLARIFY + 90, events.PhaseChanged(phase="design", by="clock",
                                                          deadline_at=BEGAN + CLARIFY + DESIGN), "clock:clarifying"),
        event(5, ENDS + 80, events.SolutionSubmitted(by="clock", rev=1, checksum=SUM), "clock:design"),
        event(6, ENDS + 300, COMPLETED, "eval:1:end"),
    )  # fmt: skip
    ask = Op(
        client="w", interview=ID, id="w-000001", t="clarify.ask", sent_at=0.5, fences=[(1, 1)],
        d={"text": "Is it thread safe? Is there a fee?"},
    )  # fmt: skip
    save = Op(
        client="w", interview=ID, id="w-000002", t="draft.save", sent_at=1.5, checksum=SUM, fences=[(1, 1), (1, 2)],
        d={"base": 0, "changes": [{"field": "functional_req", "text": TEXT}]},
    )  # fmt: skip
    ask.replies = [Reply(kind="ack", at=1.0, s=2)]
    save.replies = [Reply(kind="ack", at=2.0, s=3, rev=1), Reply(kind="ack", at=3.0, s=3, rev=1)]
    start = Seen(kind="snapshot", epoch=1, s=0, hash=state_hash("clarifying", 0, checksum(Draft().fields)))
    seen = [Seen(kind="event", epoch=1, s=e.seq, hash=hash_of(e.body)) for e in happened]
    interview = Interview(
        id=ID, phase="submitted", started_at=BEGAN, clarify_ms=CLARIFY, design_ms=DESIGN, recorded_seq=6,
        events=happened, fields=dict(DRAFT), rev=1, submitted_by="clock", runs=("done",), ends=((1, "done"),),
        evaluations=(Result(score=50, graded="g", asked=("Code",)),), handed_in="g", live=COPY, rebuilt=COPY,
    )  # fmt: skip
    feeds = [
        Feed(client="w", interview=ID, seen=[start, *seen]),
        Feed(client="o", interview=ID, seen=[start, *seen[:4]]),
    ]
    pens = [
        Pen(client="w", interview=ID, epoch=1, n=1, at=0.1, s=0),
        Pen(client="w", interview=ID, epoch=1, n=2, at=1.8, s=2),
    ]
    return History(
        ops=[ask, save], feeds=feeds, interviews={ID: interview}, pens=pens,
        calls=[Call(interview=ID, criterion="Code", whole=True), Call(interview=ID, criterion="Code", whole=False)],
        rest=[Rest(of="node0", what="connections of clients", held=0)],
    )  # fmt: skip


def with_record(history: History, **changes: Any) -> None:
    history.interviews[ID] = msgspec.structs.replace(history.interviews[ID], **changes)


def with_event(history: History, s: int, ts: int, body: events.Event, command: str | None) -> None:
    """Another event in the place of one, in the record and in everybody's eyes."""
    new = event(s, ts, body, command)
    with_record(history, events=tuple(new if e.seq == s else e for e in history.interviews[ID].events))
    for feed in history.feeds:
        feed.seen = [
            Seen(kind="event", epoch=x.epoch, s=s, hash=hash_of(new.body)) if x.kind == "event" and x.s == s else x
            for x in feed.seen
        ]


def without_the_save(history: History) -> None:
    kept = [e for e in history.interviews[ID].events if e.command_id != "w-000002"]
    with_record(history, events=tuple(kept))


def saved_elsewhere(history: History) -> None:
    history.ops[1].replies = [Reply(kind="ack", at=1.0, s=9, rev=1)]


def saved_otherwise(history: History) -> None:
    with_event(history, 3, BEGAN + 500, otherwise(SAVED, changes=(Change(field="extra", text="no"),)), "w-000002")


def otherwise(body: events.DraftSaved, **changes: Any) -> events.DraftSaved:
    return msgspec.structs.replace(body, **changes)


def two_outcomes(history: History) -> None:
    history.ops[1].replies.append(Reply(kind="ack", at=4.0, s=4, rev=2))


def acknowledged_then_refused(history: History) -> None:
    history.ops[1].replies.append(Reply(kind="err", at=4.0, code="phase"))


def recorded_twice(history: History) -> None:
    again = event(7, ENDS + 400, answered("Is it thread safe?"), "w-000001")
    with_record(history, events=(*history.interviews[ID].events, again), recorded_seq=7)


def from_nobody(history: History) -> None:
    del history.ops[0]


def refused_and_done(history: History) -> None:
    history.ops[0].replies = [Reply(kind="err", at=1.0, code="phase")]


def told_of_a_conflict(history: History) -> None:
    refused = [Reply(kind="err", at=1.0, code="conflict")]
    history.ops.append(Op(client="w", interview=ID, id="w-000003", t="draft.save", d={}, sent_at=0.0, replies=refused))


def an_event_missed(history: History) -> None:
    del history.feeds[0].seen[3]


def an_event_twice(history: History) -> None:
    history.feeds[0].seen.insert(3, history.feeds[0].seen[3])


def a_snapshot_too_many(history: History) -> None:
    history.feeds[1].seen.append(Seen(kind="snapshot", epoch=1, s=5))


def back_in_an_old_epoch(history: History) -> None:
    history.feeds[1].seen.append(Seen(kind="snapshot", epoch=0, s=4))


def kept_back(history: History) -> None:
    history.feeds[1].stayed = True


def sent_away(history: History) -> None:
    history.feeds[0].sent_away = 4500


def shown_what_is_not_so(history: History) -> None:
    history.feeds[1].seen[0] = msgspec.structs.replace(history.feeds[1].seen[0], hash="design 0 0")


def fenced_with_the_pen(history: History) -> None:
    history.ops[1].replies = [Reply(kind="err", at=2.0, code="fenced")]
    without_the_save(history)


def written_without_the_pen(history: History) -> None:
    history.ops[1].fences = [(1, 1)]


def written_after_another_took_the_pen(history: History) -> None:
    history.pens.append(Pen(client="g", interview=ID, epoch=1, n=3, at=1.4))


def two_swapped(history: History) -> None:
    history.ops[0].sent_at, history.ops[0].replies = 4.0, [Reply(kind="ack", at=5.0, s=2)]


def a_snapshot_of_the_past(history: History) -> None:
    history.feeds[1].seen[0] = msgspec.structs.replace(history.feeds[1].seen[0], asked_at=9.0)


def graded_otherwise(history: History) -> None:
    with_record(history, handed_in="another")


def told_another_score(history: History) -> None:
    with_event(history, 6, ENDS + 300, msgspec.structs.replace(COMPLETED, score=51), "eval:1:end")


def judged_without_being_asked(history: History) -> None:
    del history.calls[0]


def ended_twice(history: History) -> None:
    with_record(history, ends=((1, "done"), (1, "done")))


def saved_by_nobody(history: History) -> None:
    history.ops[1].replies = []
    history.ops[1].d = {"base": 0, "changes": [{"field": "functional_req", "text": "other"}]}


def another_question(history: History) -> None:
    history.ops[0].d = {"text": "Is it thread safe?"}


def a_checksum_that_is_wrong(history: History) -> None:
    history.ops[1].checksum = None
    with_event(history, 3, BEGAN + 500, otherwise(SAVED, checksum=1), "w-000002")


def live_has_forgotten_a_command(history: History) -> None:
    with_record(history, live=msgspec.structs.replace(COPY, commands={"w-000001": "b"}))


def live_of_another_state(history: History) -> None:
    with_record(history, live=msgspec.structs.replace(COPY, state="z"))


def live_of_an_epoch_to_come(history: History) -> None:
    with_record(history, live=msgspec.structs.replace(COPY, epoch=2))


def a_connection_left(history: History) -> None:
    history.rest = [Rest(of="node0", what="connections of clients", held=1)]


def asked_too_late(history: History) -> None:
    body = answered("Is it thread safe?")
    with_event(history, 1, BEGAN + CLARIFY, body, "w-000001")


def another_epoch_unannounced(history: History) -> None:
    last = history.feeds[0].seen[-1]
    history.feeds[0].seen[-1] = msgspec.structs.replace(last, epoch=2)


def not_the_same_to_both(history: History) -> None:
    seen = history.feeds[1].seen
    seen[-1] = msgspec.structs.replace(seen[-1], hash="0" * 16, live=True)


def not_as_recorded(history: History) -> None:
    for feed in history.feeds:
        feed.seen[2] = msgspec.structs.replace(feed.seen[2], hash="0" * 16)


def another_draft_stored(history: History) -> None:
    with_record(history, fields={**DRAFT, "functional_req": "something else"})


def an_older_revision_stored(history: History) -> None:
    with_record(history, rev=0)


def another_draft_handed_in(history: History) -> None:
    with_event(history, 5, ENDS + 80, events.SolutionSubmitted(by="clock", rev=0, checksum=0), "clock:design")


def submitted_twice(history: History) -> None:
    body = events.SolutionSubmitted(by="clock", rev=1, checksum=SUM)
    with_event(history, 6, ENDS + 300, body, "w-000001x")


def never_submitted(history: History) -> None:
    with_record(history, events=history.interviews[ID].events[:4], recorded_seq=4, phase="design")


def evaluated_twice(history: History) -> None:
    with_record(history, evaluations=history.interviews[ID].evaluations * 2)


def evaluated_in_silence(history: History) -> None:
    with_record(history, events=history.interviews[ID].events[:5], recorded_seq=5)


def failed_and_left(history: History) -> None:
    with_record(history, evaluations=(), runs=("failed",), ends=((1, "failed"),))


def a_gap_in_the_record(history: History) -> None:
    with_record(history, recorded_seq=7)


def parked(history: History) -> None:
    with_record(history, parked="DataError")


def live_behind(history: History) -> None:
    with_record(history, live=msgspec.structs.replace(COPY, seq=5))


def clock_early(history: History) -> None:
    body = events.SolutionSubmitted(by="clock", rev=1, checksum=SUM)
    with_event(history, 5, ENDS - 1, body, "clock:design")


def clock_late(history: History) -> None:
    body = events.SolutionSubmitted(by="clock", rev=1, checksum=SUM)
    with_event(history, 5, ENDS + 1_001, body, "clock:design")
    for of in ("node0", "worker0", "postgres"):  # another node could act, and on what Redis holds
        history.outages.append(Outage(of=of, began=(ENDS - 500) / 1000, ended=(ENDS + 900) / 1000))


def saved_too_late(history: History) -> None:
    with_event(history, 3, BEGAN + CLARIFY + 1, SAVED, "w-000002")


def more_time_than_there_is(history: History) -> None:
    changed = events.PhaseChanged(phase="design", by="clock", deadline_at=BEGAN + CLARIFY + DESIGN + 90)
    with_event(history, 4, BEGAN + CLARIFY + 90, changed, "clock:clarifying")


BROKEN: list[tuple[str, Callable[[History], None]]] = [
    ("lost", without_the_save), ("lost", saved_elsewhere), ("unasked", saved_otherwise), ("unasked", saved_by_nobody),
    ("unasked", another_question),
    ("twice", two_outcomes), ("twice", acknowledged_then_refused), ("twice", recorded_twice),
    ("unasked", from_nobody), ("unasked", refused_and_done),
    ("refusals", told_of_a_conflict), ("refusals", fenced_with_the_pen),
    ("silence", kept_back), ("silence", sent_away),
    ("fence", written_without_the_pen), ("fence", written_after_another_took_the_pen),
    ("linear", two_swapped), ("linear", a_snapshot_of_the_past),
    ("judged", judged_without_being_asked), ("ends", ended_twice),
    ("graded", graded_otherwise), ("graded", told_another_score),
    ("rebuilt", live_behind), ("rebuilt", live_has_forgotten_a_command), ("rebuilt", live_of_another_state),
    ("rebuilt", live_of_an_epoch_to_come),
    ("leaks", a_connection_left),
    ("order", an_event_missed), ("order", an_event_twice), ("order", a_snapshot_too_many),
    ("order", another_epoch_unannounced), ("order", back_in_an_old_epoch),
    ("agreement", not_the_same_to_both), ("agreement", not_as_recorded), ("agreement", shown_what_is_not_so),
    ("whole", a_gap_in_the_record), ("whole", parked),
    ("draft", another_draft_stored), ("draft", an_older_revision_stored), ("draft", another_draft_handed_in),
    ("draft", a_checksum_that_is_wrong),
    ("ends", submitted_twice), ("ends", never_submitted), ("ends", evaluated_twice), ("ends", evaluated_in_silence),
    ("ends", failed_and_left),
    ("deadlines", clock_early), ("deadlines", clock_late), ("deadlines", saved_too_late), ("deadlines", asked_too_late),
    ("deadlines", more_time_than_there_is),
]  # fmt: skip


def test_a_whole_history_is_whole() -> None:
    assert check(good()) == []


@pytest.mark.parametrize(("clause", "breaks"), BROKEN, ids=[breaks.__name__ for _, breaks in BROKEN])
def test_a_broken_history_is_found_by_its_clause(clause: str, breaks: Callable[[History], None]) -> None:
    history = good()
    breaks(history)
    assert clause in {violation.clause for violation in check(history)}


def test_every_clause_has_a_history_that_breaks_it() -> None:
    assert {clause for clause, _ in BROKEN} == set(CLAUSES)


@pytest.mark.parametrize("of", [("valkey",), ("machine",), ("node0", "node1"), ("flush", "postgres"), ("postgres",)])
def test_lateness_counts_from_when_the_clock_had_hands_again(of: tuple[str, ...]) -> None:
    history = good()
    late = events.SolutionSubmitted(by="clock", rev=1, checksum=SUM)
    with_event(history, 5, ENDS + 2_900, late, "clock:design")
    history.outages = [Outage(of=name, began=ENDS / 1000 - 1, ended=ENDS / 1000 + 2) for name in of]
    history.started = {ID: ENDS / 1000 + 2} if of == ("postgres",) else {}
    assert check(history) == []


def test_an_unanswered_command_may_or_may_not_have_happened() -> None:
    history = good()
    history.ops[1].replies = []
    assert check(history) == []


def test_a_snapshot_bridges_two_epochs() -> None:
    history = good()
    seen = history.feeds[0].seen
    seen.insert(4, Seen(kind="snapshot", epoch=2, s=3, hash=state_hash("clarifying", 1, SUM)))
    seen[5:] = [msgspec.structs.replace(x, epoch=2) for x in seen[5:]]
    assert check(history) == []
