"""The interview as a fold: the next event only, and a snapshot that shows a candidate no more than the candidate's."""

from __future__ import annotations

import pytest

from engine.core.draft import checksum
from engine.core.interview import evolve, snapshot
from protocol import commands as c
from protocol import events as e
from protocol.messages import event_frame
from tests.core.playing import STARTED_AT, fresh
from tests.core.test_machine import CHANGE, IN_DESIGN, PACK, asked, played, save, submit


@pytest.mark.parametrize("seq", [0, 1, 3])
def test_only_the_next_event_is_taken(seq: int) -> None:
    interview = played(asked(CHANGE))
    event = e.ClarificationRefunded(ref=1, charged=True)
    with pytest.raises(ValueError, match=f"event {seq} does not follow 1"):
        evolve(interview, event_frame(event, s=seq, ts=STARTED_AT))


def test_a_verdict_before_the_submission_is_a_mistake_in_code() -> None:
    completed = e.EvaluationCompleted(run=1, score=1, passed=False, judge="offline")
    with pytest.raises(ValueError, match="before the submission"):
        evolve(IN_DESIGN, event_frame(completed, s=IN_DESIGN.seq + 1, ts=STARTED_AT))


def test_events_change_nothing_they_do_not_name() -> None:
    before = played(asked(CHANGE), c.Proceed())
    after = played(save(before, code="x"), interview=before)
    assert after.clarifications is before.clarifications
    assert (after.phase, after.deadline_at, after.evaluation) == (before.phase, before.deadline_at, None)


def test_a_snapshot_shows_the_whole_interview() -> None:
    interview = played(asked(CHANGE), c.Proceed())
    interview = played(save(interview, code="x"), interview=interview)
    interview = played(submit(interview), interview=interview, now=STARTED_AT + 9)
    seen = snapshot(interview)
    assert (seen.id, seen.s, seen.phase) == (interview.id, 4, "submitted")
    assert (seen.draft.rev, seen.draft.fields["code"]) == (1, "x")
    assert seen.draft.checksum == checksum(interview.draft.fields)
    assert seen.submission is not None and (seen.submission.by, seen.submission.at) == ("candidate", STARTED_AT + 9)
    assert seen.evaluation is not None and seen.evaluation.state == "queued"


def test_a_snapshot_of_the_beginning_is_empty() -> None:
    seen = snapshot(fresh(PACK))
    assert (seen.s, seen.phase, seen.clarifications, seen.submission) == (0, "clarifying", (), None)
    assert set(seen.draft.fields.values()) == {""}
