"""The machine: no illegal phase, quotas hold, one submission, nobody gets more time, to the millisecond."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import settings

from engine.core.draft import checksum
from engine.core.interview import GRACE_MS, Interview, due_at, is_charged, used
from engine.core.machine import TRANSITIONS, Announce, Asked, ClockRan, Command, Decided, Refused, decide
from engine.core.matcher import Matched
from engine.core.pack import Pack, parse_pack
from protocol import commands as c
from protocol import events as e
from protocol.codes import Refuse
from protocol.words import ASKS_MAX, Change
from tests.core.playing import STARTED_AT, Playing, criterion, fresh, happen
from tests.core.shipped import SMALL

TestInterviews = Playing.TestCase
TestInterviews.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)

PACK = parse_pack(SMALL)
"""60 s to clarify, 600 s to design; change_giving and stock_refill once each, 5 in all."""
CHANGE, REFILL = (rule.intent for rule in PACK.clarification.rules)


def asked(*intents: str | None, zone: Any = "answer") -> Asked:
    return Asked(tuple(Matched(text="?", zone=zone if intent else "fallback", intent=intent) for intent in intents))


def played(
    *commands: Command, interview: Interview | None = None, now: int = STARTED_AT, pack: Pack = PACK
) -> Interview:
    """The interview after commands that are all accepted at `now`."""
    interview = interview or fresh(pack)
    for command in commands:
        interview, _ = happen(interview, accepted(interview, command, now, pack), now)
    return interview


def accepted(interview: Interview, command: Command, now: int = STARTED_AT, pack: Pack = PACK) -> Decided:
    decision = decide(interview, pack, command, now)
    assert isinstance(decision, Decided), decision
    return decision


def refused(interview: Interview, command: Command, now: int = STARTED_AT, pack: Pack = PACK) -> Refused:
    decision = decide(interview, pack, command, now)
    assert isinstance(decision, Refused), decision
    return decision


def answers(interview: Interview, command: Command) -> list[Any]:
    return [getattr(event, "kind", None) for event in accepted(interview, command).events]


def save(interview: Interview, **texts: str) -> c.Save:
    return c.Save(base=interview.draft.rev, changes=tuple(Change(field=f, text=t) for f, t in texts.items()))  # type: ignore[arg-type]


def submit(interview: Interview) -> c.Submit:
    return c.Submit(rev=interview.draft.rev, checksum=checksum(interview.draft.fields))


IN_DESIGN = played(c.Proceed())
SUBMITTED = played(submit(IN_DESIGN), interview=IN_DESIGN)
ALL: dict[type, Command] = {
    Asked: asked(CHANGE),
    c.Confirm: c.Confirm(ref=1),
    c.Reject: c.Reject(ref=1),
    c.Save: c.Save(base=0, language="go"),
    c.Proceed: c.Proceed(),
    c.Submit: submit(IN_DESIGN),
    c.Retry: c.Retry(),
    c.Appeal: c.Appeal(check="C1", field="code", quote="q"),
    ClockRan: ClockRan(),
    Announce: Announce(criterion(1, "C1")),
}


@pytest.mark.parametrize("interview", [fresh(PACK), IN_DESIGN, SUBMITTED], ids=lambda interview: interview.phase)
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_what_the_table_does_not_name_is_refused_with_the_phase(interview: Interview, kind: type) -> None:
    if kind in TRANSITIONS[interview.phase]:
        return
    assert refused(interview, ALL[kind]) == Refused(Refuse.PHASE, facts={"phase": interview.phase})


# --- asking ------------------------------------------------------------------------------------------------


def test_a_quota_is_used_up_then_settled() -> None:
    assert answers(fresh(PACK), asked(CHANGE)) == ["answered"]
    once = played(asked(CHANGE))
    assert used(once, CHANGE) == 1
    assert answers(once, asked(CHANGE)) == ["settled"]
    again = accepted(once, asked(CHANGE)).events[0]
    assert isinstance(again, e.ClarificationAnswered)
    assert (again.response, again.remaining, again.charged) == (PACK.clarification.settled, 0, False)


def test_two_questions_in_one_message_share_one_quota() -> None:
    assert answers(fresh(PACK), asked(CHANGE, CHANGE)) == ["answered", "settled"]
    assert answers(fresh(PACK), asked(CHANGE, REFILL, None)) == ["answered", "answered", "fallback"]


def test_the_interview_has_a_quota_of_its_own() -> None:
    tight = msgspec.structs.replace(PACK, clarification=msgspec.structs.replace(PACK.clarification, max_questions=1))
    kinds = [getattr(event, "kind", None) for event in accepted(fresh(tight), asked(CHANGE, REFILL), pack=tight).events]
    assert kinds == ["answered", "settled"]


def test_what_fits_nothing_costs_nothing() -> None:
    after = played(asked(None, None))
    assert [said.response for said in after.clarifications] == [PACK.clarification.fallback] * 2
    assert not any(map(is_charged, after.clarifications))


def test_an_uncertain_match_names_one_intent_and_charges_when_confirmed() -> None:
    unsure = played(asked(CHANGE, zone="confirm"))
    assert (unsure.clarifications[0].kind, unsure.clarifications[0].label) == ("confirm", "Change")
    assert used(unsure, CHANGE) == 0
    sure = played(c.Confirm(ref=1), interview=unsure)
    assert [(said.kind, said.state) for said in sure.clarifications] == [("confirm", "confirmed"), ("answered", "open")]
    assert used(sure, CHANGE) == 1
    assert refused(sure, c.Confirm(ref=1)).refuse is Refuse.UNKNOWN_REF


def test_a_confirmed_question_whose_quota_went_meanwhile_is_settled() -> None:
    interview = played(asked(CHANGE, zone="confirm"), asked(CHANGE))
    assert answers(interview, c.Confirm(ref=1)) == ["settled"]


def test_a_refund_gives_the_quota_back_once() -> None:
    refunded = played(asked(CHANGE), c.Reject(ref=1))
    assert used(refunded, CHANGE) == 0
    assert refused(refunded, c.Reject(ref=1)).refuse is Refuse.UNKNOWN_REF
    assert answers(refunded, asked(CHANGE)) == ["answered"]


def test_rejecting_a_guess_gives_nothing_back_and_closes_it() -> None:
    interview = played(asked(CHANGE, zone="confirm"))
    assert accepted(interview, c.Reject(ref=1)).events == (e.ClarificationRefunded(ref=1, charged=False),)
    assert refused(played(c.Reject(ref=1), interview=interview), c.Confirm(ref=1)).refuse is Refuse.UNKNOWN_REF


@pytest.mark.parametrize("kinds", [asked(None), asked(CHANGE)], ids=["fallback", "settled"])
def test_what_was_not_charged_cannot_be_refunded(kinds: Asked) -> None:
    interview = played(asked(CHANGE), kinds)
    assert refused(interview, c.Reject(ref=2)) == Refused(Refuse.UNKNOWN_REF, at="$.d.ref")


def test_an_interview_may_ask_only_so_often() -> None:
    full = played(*[asked(None, None)] * (ASKS_MAX // 2))
    assert refused(full, asked(None)).refuse is Refuse.ASKS_USED


# --- the draft ---------------------------------------------------------------------------------------------


def test_requirements_are_open_while_clarifying_and_the_rest_is_not() -> None:
    interview = fresh(PACK)
    assert played(save(interview, functional_req="pays", non_functional_req="fast")).draft.rev == 1
    no = refused(interview, save(interview, functional_req="pays", code="x"))
    assert (no.refuse, no.at) == (Refuse.PHASE, "$.d.changes[1].field")


@pytest.mark.parametrize(
    ("command", "refuse", "at"),
    [
        (c.Save(base=1, language="go"), Refuse.CONFLICT, None),
        (c.Save(base=0), Refuse.BAD_CHANGE, "$.d.changes"),
        (c.Save(base=0, changes=(Change(field="code"),)), Refuse.BAD_CHANGE, "$.d.changes[0]"),
        (c.Save(base=0, changes=(Change(field="code", text="a"),) * 2), Refuse.BAD_CHANGE, "$.d.changes[1]"),
        (
            c.Save(base=0, changes=(Change(field="apis", text="ok"), Change(field="code", splices=(), checksum=9))),
            Refuse.NEED_FULL,
            "$.d.changes[1]",
        ),
    ],
)
def test_a_save_that_does_not_fit_changes_nothing(command: c.Save, refuse: Refuse, at: str | None) -> None:
    no = refused(IN_DESIGN, command)
    assert (no.refuse, no.at) == (refuse, at)


def test_a_conflict_tells_what_is_stored() -> None:
    no = refused(IN_DESIGN, c.Save(base=7, language="go"))
    assert no.facts == {"rev": 0, "checksum": checksum(IN_DESIGN.draft.fields)}


def test_only_what_the_candidate_saw_can_be_submitted() -> None:
    interview = played(save(IN_DESIGN, code="x"), interview=IN_DESIGN)
    stored = {"rev": 1, "checksum": checksum(interview.draft.fields)}
    for other in (submit(IN_DESIGN), c.Submit(rev=1, checksum=0), c.Submit(rev=0, checksum=stored["checksum"])):
        assert refused(interview, other) == Refused(Refuse.NOT_AS_STORED, facts=stored)
    assert played(submit(interview), interview=interview).phase == "submitted"


# --- time --------------------------------------------------------------------------------------------------

CLARIFY_ENDS = fresh(PACK).deadline_at
DESIGN_ENDS = IN_DESIGN.deadline_at


@pytest.mark.parametrize("kind", [Asked, c.Save, c.Proceed, c.Confirm, c.Reject], ids=lambda kind: kind.__name__)
def test_clarifying_ends_at_its_millisecond_without_grace(kind: type) -> None:
    interview = played(asked(CHANGE, zone="confirm"))
    held = accepted(interview, ALL[kind], CLARIFY_ENDS - 1)
    assert held.holds_until == CLARIFY_ENDS
    assert refused(interview, ALL[kind], CLARIFY_ENDS).refuse is Refuse.DEADLINE_PASSED


@pytest.mark.parametrize("kind", [c.Save, c.Submit], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("after_ms", "late"), [(-1, False), (0, True), (GRACE_MS - 1, True), (GRACE_MS, None)]
)  # fmt: skip
def test_design_has_a_grace_in_which_things_count_as_late(kind: type, after_ms: int, late: bool | None) -> None:
    decision = decide(IN_DESIGN, PACK, ALL[kind], DESIGN_ENDS + after_ms)
    if late is None:
        assert decision == Refused(Refuse.DEADLINE_PASSED)
        return
    assert isinstance(decision, Decided)
    assert [getattr(event, "late", None) for event in decision.events] == [late]


def test_lateness_is_decided_by_the_clock_that_commits() -> None:
    in_time = accepted(IN_DESIGN, ALL[c.Save], DESIGN_ENDS - 1)
    late = accepted(IN_DESIGN, ALL[c.Save], DESIGN_ENDS)
    assert (in_time.holds_from, in_time.holds_until) == (0, DESIGN_ENDS)
    assert (late.holds_from, late.holds_until) == (DESIGN_ENDS, DESIGN_ENDS + GRACE_MS)


def test_the_clock_acts_at_its_millisecond_and_not_before() -> None:
    clarifying = fresh(PACK)
    assert due_at(clarifying) == CLARIFY_ENDS and due_at(IN_DESIGN) == DESIGN_ENDS + GRACE_MS
    for interview, due in ((clarifying, CLARIFY_ENDS), (IN_DESIGN, DESIGN_ENDS + GRACE_MS)):
        assert refused(interview, ClockRan(), due - 1).refuse is Refuse.PHASE
        assert accepted(interview, ClockRan(), due).holds_from == due
    assert due_at(SUBMITTED) is None


def test_designs_time_does_not_depend_on_when_the_clock_was_heard() -> None:
    hours_late = CLARIFY_ENDS + 3_600_000
    interview = played(ClockRan(), now=hours_late)
    assert interview.deadline_at == CLARIFY_ENDS + 600_000
    assert played(ClockRan(), interview=interview, now=hours_late).submission is not None


def test_who_proceeds_early_gets_designs_limit_from_then() -> None:
    assert played(c.Proceed(), now=STARTED_AT + 5_000).deadline_at == STARTED_AT + 605_000


# --- after the submission ----------------------------------------------------------------------------------


def announced(interview: Interview, *bodies: Any) -> Interview:
    return played(*(Announce(body) for body in bodies), interview=interview)


def started(run: int = 1, attempt: int = 1) -> e.EvaluationStarted:
    return e.EvaluationStarted(run=run, attempt=attempt, judge="offline", criteria=())


def completed(run: int = 1) -> e.EvaluationCompleted:
    return e.EvaluationCompleted(run=run, score=61.5, passed=True, judge="offline")


def failed(run: int = 1, *, retryable: bool = True) -> e.EvaluationFailed:
    return e.EvaluationFailed(run=run, code="model_away", message="Try again.", retryable=retryable)


@pytest.mark.parametrize(
    ("told", "stale"),
    [
        ([started(attempt=2)], started(attempt=2)),
        ([started(attempt=2)], started(attempt=1)),
        ([criterion(1, "C1")], criterion(1, "C1")),
        ([], completed(run=2)),
        ([], criterion(0, "C1")),
        ([completed()], completed()),
        ([completed()], failed()),
        ([failed()], completed()),
        ([failed()], criterion(1, "C9")),
        ([failed()], started(attempt=9)),
    ],
)
def test_a_stale_word_of_a_worker_is_not_news(told: list[Any], stale: Any) -> None:
    assert refused(announced(SUBMITTED, *told), Announce(stale)).refuse is Refuse.CONFLICT


def test_a_later_attempt_goes_on_with_what_was_judged() -> None:
    interview = announced(SUBMITTED, started(), criterion(1, "C1"), started(attempt=2), criterion(1, "C2"), completed())
    view = interview.evaluation
    assert view is not None
    assert (view.attempt, view.state, [judged.id for judged in view.judged]) == (2, "completed", ["C1", "C2"])


def test_a_failed_run_can_be_run_again_as_the_next() -> None:
    interview = announced(SUBMITTED, started(), criterion(1, "C1"), failed())
    assert accepted(interview, c.Retry()).events == (e.EvaluationRequested(run=2),)
    again = played(c.Retry(), interview=interview)
    assert again.evaluation is not None
    assert (again.evaluation.run, again.evaluation.state, again.evaluation.judged) == (2, "queued", ())
    assert refused(again, Announce(completed(run=1))).refuse is Refuse.CONFLICT
    assert announced(again, started(run=2), completed(run=2)).evaluation is not None


@pytest.mark.parametrize("told", [[], [started()], [completed()], [failed(retryable=False)]])
def test_only_a_failure_that_may_pass_is_retried(told: list[Any]) -> None:
    assert refused(announced(SUBMITTED, *told), c.Retry()).refuse is Refuse.NOT_FAILED
