"""What may be appealed, when, and with which words; and what the interview shows while an appeal goes on."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.core.appeals import under_way
from engine.core.evidence import Verdict
from engine.core.interview import Interview
from engine.core.machine import Announce
from engine.core.rubric import score_criterion
from protocol import commands as c
from protocol import events as e
from protocol.codes import Refuse
from protocol.views import AppealView, EvaluationView
from tests.core.test_machine import IN_DESIGN, PACK, accepted, played, refused, save, submit

CODE = "class Machine:\n    def insert(self, coin): ...  # rejects coins “while” it dispenses"
WRITTEN = played(save(IN_DESIGN, code=CODE, extra="rejects coins while it dispenses"), interview=IN_DESIGN)
SUBMITTED = played(submit(WRITTEN), interview=WRITTEN)
COUNTED, JUDGED = PACK.rubric.criteria
APPEAL = c.Appeal(check="C2.b", field="code", quote='rejects  COINS "while" it dispenses')


def judged(run: int = 1, **words: Any) -> e.EvaluationCriterion:
    """The judged criterion: C2.a is met, and the fault C2.x is found; unless told otherwise."""
    said = {"C2.a": "met", "C2.b": "not_met", "C2.x": "met"} | {f"C2.{id}": word for id, word in words.items()}
    return score_criterion(JUDGED, [Verdict(check=check.id, verdict=said[check.id]) for check in JUDGED.checks], run)


def counted() -> e.EvaluationCriterion:
    return score_criterion(COUNTED, [Verdict(check=check.id, verdict="not_met") for check in COUNTED.checks], 1)


def completed(run: int = 1, left: int = 1, **more: Any) -> e.EvaluationCompleted:
    return e.EvaluationCompleted(run=run, score=40, passed=False, judge="openai", appeals_left=left, **more)


def after(*bodies: Any, interview: Interview = SUBMITTED) -> Interview:
    return played(*(Announce(body) for body in bodies), interview=interview)


def view_of(interview: Interview) -> EvaluationView:
    assert interview.evaluation is not None
    return interview.evaluation


def appeal_of(interview: Interview) -> AppealView:
    appeal = view_of(interview).appeal
    assert appeal is not None
    return appeal


RESULT = after(judged(), counted(), completed())
UNDER_WAY = played(APPEAL, interview=RESULT)
FAILED = e.EvaluationFailed(run=2, code="judge_timeout", message="Later.", retryable=True)


def test_words_that_stand_there_as_evidence_is_compared() -> None:
    assert accepted(RESULT, APPEAL).events == (
        e.EvaluationAppealed(run=2, check="C2.b", field="code", quote=APPEAL.quote),
    )


@pytest.mark.parametrize(
    ("change", "code", "at"),
    [
        ({"quote": "rejects coins while it is broken"}, Refuse.NOT_QUOTED, "$.d.quote"),
        ({"quote": "..."}, Refuse.NOT_QUOTED, "$.d.quote"),
        ({"field": "entities"}, Refuse.NOT_QUOTED, "$.d.quote"),
        ({"field": "extra"}, Refuse.NOT_QUOTED, "$.d.field"),  # it stands there, but is no evidence there
        ({"check": "C9.z"}, Refuse.NOT_APPEALABLE, "$.d.check"),
        ({"check": "C1.a"}, Refuse.NOT_APPEALABLE, "$.d.check"),  # counted
        ({"check": "C2.a"}, Refuse.NOT_APPEALABLE, "$.d.check"),  # met
    ],
)
def test_a_wrong_appeal_is_told_where_it_is_wrong(change: dict[str, Any], code: Refuse, at: str) -> None:
    said = refused(RESULT, msgspec.structs.replace(APPEAL, **change))
    assert (said.refuse, said.at) == (code, at)
    assert said.message


def test_a_fault_that_was_found_can_be_appealed_and_one_that_was_not_cannot() -> None:
    fault = msgspec.structs.replace(APPEAL, check="C2.x")
    assert accepted(RESULT, fault)
    assert refused(after(judged(x="not_met"), completed()), fault).refuse is Refuse.NOT_APPEALABLE


@pytest.mark.parametrize(
    "interview",
    [
        SUBMITTED,
        after(judged()),
        after(judged(), msgspec.structs.replace(FAILED, run=1)),
        after(judged(), completed(left=0)),
        UNDER_WAY,
        after(FAILED, interview=UNDER_WAY),
        after(completed(run=2, left=0), interview=UNDER_WAY),
    ],
    ids=["queued", "running", "failed", "none left", "under way", "to be retried", "used"],
)
def test_not_now(interview: Interview) -> None:
    said = refused(interview, APPEAL)
    assert (said.refuse, said.at) == (Refuse.NOT_APPEALABLE, None)
    assert said.message


def test_no_check_is_appealed_twice() -> None:
    verdict = judged().verdicts[1]
    decided = e.AppealDecided(
        run=2, check="C2.b", field="code", quote="q", before=verdict, after=verdict, times=3, score_before=40,
        score_after=40,
    )  # fmt: skip
    again = after(completed(run=2, left=1, appeals=(decided,)), interview=UNDER_WAY)
    assert refused(again, APPEAL).at == "$.d.check"
    assert accepted(again, msgspec.structs.replace(APPEAL, check="C2.x"))


def test_the_result_stands_until_there_is_another() -> None:
    started = e.EvaluationStarted(run=2, attempt=1, judge="openai", criteria=())
    running = after(started, interview=UNDER_WAY)
    assert (view_of(running).state, view_of(running).result) == ("completed", view_of(RESULT).result)
    assert (appeal_of(running).state, appeal_of(running).attempt) == ("running", 1)
    done = after(judged(run=2, b="met"), completed(run=2, left=0), interview=running)
    assert (appeal_of(done).state, under_way(done.evaluation)) == ("completed", None)
    assert [(one.id, one.run) for one in view_of(done).judged] == [("C2", 2), ("C1", 1)]
    assert view_of(done).result == completed(run=2, left=0)
    assert (view_of(done).run, view_of(done).attempt) == (1, 0)


def test_an_appeal_that_came_to_no_end_is_asked_for_again_and_costs_nothing() -> None:
    failed = after(FAILED, interview=UNDER_WAY)
    assert (appeal_of(failed).failure, view_of(failed).result) == (FAILED, view_of(RESULT).result)
    again = accepted(failed, c.Retry()).events[0]
    assert again == e.EvaluationAppealed(run=3, check="C2.b", field="code", quote=APPEAL.quote)
    retried = played(c.Retry(), interview=failed)
    assert (appeal_of(retried).run, appeal_of(retried).state, appeal_of(retried).failure) == (3, "queued", None)


@pytest.mark.parametrize(
    "stale",
    [completed(run=1), FAILED.__class__(run=1, code="c", message="m", retryable=True), judged(run=1), completed(run=3)],
    ids=["end", "failure", "criterion", "to come"],
)
def test_words_of_other_runs_are_no_news(stale: Any) -> None:
    assert refused(UNDER_WAY, Announce(stale)).refuse is Refuse.CONFLICT


def test_exactly_one_word_ends_an_appeal() -> None:
    for first in (completed(run=2), FAILED):
        ended = after(first, interview=UNDER_WAY)
        assert refused(ended, Announce(completed(run=2))).refuse is Refuse.CONFLICT
        assert refused(ended, Announce(FAILED)).refuse is Refuse.CONFLICT


def test_nothing_but_a_failure_is_retried() -> None:
    assert refused(UNDER_WAY, c.Retry()).refuse is Refuse.NOT_FAILED
    assert refused(RESULT, c.Retry()).refuse is Refuse.NOT_FAILED
