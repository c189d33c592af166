"""The state machine: TRANSITIONS is all of it, and decide() reads it. Illegal is an answer, not an exception."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from protocol import commands, events
from protocol.codes import Refuse
from protocol.views import Clarification
from protocol.words import ASKS_MAX, Change, Phase

from engine.core.appeals import newest_run, refusal, under_way
from engine.core.draft import apply_change, checksum
from engine.core.interview import GRACE_MS, Interview, is_charged, used
from engine.core.matcher import Matched
from engine.core.pack import Pack, Rule

REQUIREMENTS = ("functional_req", "non_functional_req")
"""People write these while they ask; the other fields open with design."""


class Asked(msgspec.Struct, frozen=True):
    """`clarify.ask`, after the matcher: one Matched a question in the message. `matcher`: its version."""

    matches: tuple[Matched, ...]
    matcher: str = ""


class ClockRan(msgspec.Struct, frozen=True):
    """The phase's time is up, somebody thinks."""


class Announce(msgspec.Struct, frozen=True):
    """A worker's word on a run. Whatever it says is in the record already."""

    body: events.EvaluationStarted | events.EvaluationCriterion | events.EvaluationCompleted | events.EvaluationFailed


Command = (
    Asked
    | commands.Confirm
    | commands.Reject
    | commands.Save
    | commands.Proceed
    | commands.Submit
    | commands.Retry
    | commands.Appeal
    | ClockRan
    | Announce
)


class Refused(msgspec.Struct, frozen=True):
    """No, why, and facts a client can use. Nothing changes. `message`: where the refusal's own says too little."""

    refuse: Refuse
    at: str | None = None
    facts: dict[str, Any] = {}
    message: str = ""


class Decided(msgspec.Struct, frozen=True):
    """What happens, if it is committed at an instant t with holds_from <= t < holds_until (milliseconds)."""

    events: tuple[events.Event, ...]
    holds_from: int = 0
    holds_until: int | None = None


Decision = Decided | Refused


class Moment(NamedTuple):
    """What a rule decides on."""

    interview: Interview
    pack: Pack
    now: int


class Transition(NamedTuple):
    """In one phase, one command: who decides, what may come of it, and the phase after."""

    decide: Callable[[Moment, Any], Decision]
    events: tuple[type[events.Event], ...]
    becomes: Phase


def decide(interview: Interview, pack: Pack, command: Command, now: int) -> Decision:
    """What `command` does to `interview` at `now` (milliseconds, Redis's clock): events, or a refusal."""
    transition = TRANSITIONS[interview.phase].get(type(command))
    if transition is None:
        return Refused(Refuse.PHASE, facts={"phase": interview.phase})
    return transition.decide(Moment(interview, pack, now), command)


# --- clarifying --------------------------------------------------------------------------------------------


def _ask(moment: Moment, command: Asked) -> Decision:
    if moment.now >= moment.interview.deadline_at:
        return Refused(Refuse.DEADLINE_PASSED)
    if len(moment.interview.clarifications) + len(command.matches) > ASKS_MAX:
        return Refused(Refuse.ASKS_USED)
    charged: list[str] = []
    answers = []
    for match in command.matches:
        answer = _answer(moment, match, command.matcher, charged)
        answers.append(answer)
        if answer.charged and answer.intent:
            charged.append(answer.intent)
    return Decided(tuple(answers), holds_until=moment.interview.deadline_at)


def _answer(moment: Moment, match: Matched, matcher: str, charged: list[str]) -> events.ClarificationAnswered:
    rule = _rule(moment.pack, match.intent)
    said: dict[str, Any] = {
        "text": match.text,
        "score": match.score,
        "margin": match.margin,
        "matcher": matcher,
    }
    if rule is None or match.zone == "fallback":
        return events.ClarificationAnswered(kind="fallback", response=moment.pack.clarification.fallback, **said)
    if match.zone == "confirm":
        return events.ClarificationAnswered(
            kind="confirm",
            response=f"Did you mean: {rule.label}?",
            intent=rule.intent,
            label=rule.label,
            **said,
        )
    return _charge(moment, rule, charged, said)


def _charge(moment: Moment, rule: Rule, charged: list[str], said: dict[str, Any]) -> events.ClarificationAnswered:
    """The rule's response while there is quota, else the reminder that this is settled."""
    left = rule.max_questions - used(moment.interview, rule.intent) - charged.count(rule.intent)
    total = sum(map(is_charged, moment.interview.clarifications)) + len(charged)
    if left <= 0 or total >= moment.pack.clarification.max_questions:
        return events.ClarificationAnswered(
            kind="settled", response=moment.pack.clarification.settled,
            intent=rule.intent, label=rule.label, remaining=0, **said,
        )  # fmt: skip
    return events.ClarificationAnswered(
        kind="answered", response=rule.response, intent=rule.intent, label=rule.label,
        charged=True, remaining=left - 1, **said,
    )  # fmt: skip


def _confirm(moment: Moment, command: commands.Confirm) -> Decision:
    if moment.now >= moment.interview.deadline_at:
        return Refused(Refuse.DEADLINE_PASSED)
    said = _open(moment.interview, command.ref, {"confirm"})
    rule = _rule(moment.pack, said.intent) if said else None
    if said is None or rule is None:
        return Refused(Refuse.UNKNOWN_REF, at="$.d.ref")
    answer = _charge(moment, rule, [], {"text": said.text, "ref": said.ref})
    return Decided((answer,), holds_until=moment.interview.deadline_at)


def _reject(moment: Moment, command: commands.Reject) -> Decision:
    if moment.now >= moment.interview.deadline_at:
        return Refused(Refuse.DEADLINE_PASSED)
    said = _open(moment.interview, command.ref, {"answered", "confirm"})
    if said is None:
        return Refused(Refuse.UNKNOWN_REF, at="$.d.ref")
    refund = events.ClarificationRefunded(ref=command.ref, charged=said.kind == "answered")
    return Decided((refund,), holds_until=moment.interview.deadline_at)


def _save_requirements(moment: Moment, command: commands.Save) -> Decision:
    if moment.now >= moment.interview.deadline_at:
        return Refused(Refuse.DEADLINE_PASSED)
    for i, change in enumerate(command.changes):
        if change.field not in REQUIREMENTS:
            return Refused(Refuse.PHASE, at=f"$.d.changes[{i}].field", facts={"phase": "clarifying"})
    return _saved(moment, command, Lateness(False, 0, moment.interview.deadline_at))


def _proceed(moment: Moment, command: commands.Proceed) -> Decision:
    interview = moment.interview
    if moment.now >= interview.deadline_at:
        return Refused(Refuse.DEADLINE_PASSED)
    deadline_at = moment.now + interview.design_ms
    return Decided(
        (events.PhaseChanged(phase="design", by="candidate", deadline_at=deadline_at),),
        holds_until=interview.deadline_at,
    )


def _end_clarifying(moment: Moment, command: ClockRan) -> Decision:
    interview = moment.interview
    if moment.now < interview.deadline_at:
        return Refused(Refuse.PHASE)
    deadline_at = interview.deadline_at + interview.design_ms
    return Decided(
        (events.PhaseChanged(phase="design", by="clock", deadline_at=deadline_at),),
        holds_from=interview.deadline_at,
    )


# --- design ------------------------------------------------------------------------------------------------


class Lateness(NamedTuple):
    """Whether what comes now is late, and from when until when that is so."""

    late: bool
    since: int
    until: int


def _lateness(moment: Moment) -> Lateness | None:
    """None when even the grace is over."""
    deadline_at = moment.interview.deadline_at
    if moment.now < deadline_at:
        return Lateness(False, 0, deadline_at)
    if moment.now < deadline_at + GRACE_MS:
        return Lateness(True, deadline_at, deadline_at + GRACE_MS)
    return None


def _save(moment: Moment, command: commands.Save) -> Decision:
    lateness = _lateness(moment)
    if lateness is None:
        return Refused(Refuse.DEADLINE_PASSED)
    return _saved(moment, command, lateness)


def _saved(moment: Moment, command: commands.Save, lateness: Lateness) -> Decision:
    draft = moment.interview.draft
    if command.base != draft.rev:
        return Refused(Refuse.CONFLICT, facts={"rev": draft.rev, "checksum": checksum(draft.fields)})
    if not command.changes and command.language is None:
        return Refused(Refuse.BAD_CHANGE, at="$.d.changes")
    fields = dict(draft.fields)
    for i, change in enumerate(command.changes):
        refused = _apply(fields, change, i, repeated=change.field in {c.field for c in command.changes[:i]})
        if refused:
            return refused
    saved = events.DraftSaved(
        rev=draft.rev + 1,
        changes=command.changes,
        language=command.language or draft.language,
        checksum=checksum(fields),
        late=lateness.late,
    )
    return Decided((saved,), lateness.since, lateness.until)


def _apply(fields: dict[Any, str], change: Change, i: int, *, repeated: bool) -> Refused | None:
    after = Refuse.BAD_CHANGE if repeated else apply_change(fields[change.field], change)
    if isinstance(after, Refuse):
        return Refused(after, at=f"$.d.changes[{i}]", facts={"field": change.field})
    fields[change.field] = after
    return None


def _submit(moment: Moment, command: commands.Submit) -> Decision:
    lateness = _lateness(moment)
    if lateness is None:
        return Refused(Refuse.DEADLINE_PASSED)
    draft = moment.interview.draft
    stored = checksum(draft.fields)
    if (command.rev, command.checksum) != (draft.rev, stored):
        return Refused(Refuse.NOT_AS_STORED, facts={"rev": draft.rev, "checksum": stored})
    submitted = events.SolutionSubmitted(by="candidate", rev=draft.rev, checksum=stored, late=lateness.late)
    return Decided((submitted,), lateness.since, lateness.until)


def _submit_by_clock(moment: Moment, command: ClockRan) -> Decision:
    due = moment.interview.deadline_at + GRACE_MS
    if moment.now < due:
        return Refused(Refuse.PHASE)
    draft = moment.interview.draft
    submitted = events.SolutionSubmitted(by="clock", rev=draft.rev, checksum=checksum(draft.fields))
    return Decided((submitted,), holds_from=due)


# --- submitted ---------------------------------------------------------------------------------------------


def _retry(moment: Moment, command: commands.Retry) -> Decision:
    """The newest run again, whether it judged all or an appeal."""
    view = moment.interview.evaluation
    newest = view and (view.appeal or view)
    if view is None or newest is None or not (newest.state == "failed" and newest.failure and newest.failure.retryable):
        return Refused(Refuse.NOT_FAILED)
    run, appeal = newest.run + 1, view.appeal
    if appeal is None:
        return Decided((events.EvaluationRequested(run=run),))
    again = events.EvaluationAppealed(run=run, check=appeal.check, field=appeal.field, quote=appeal.quote)
    return Decided((again,))


def _appeal(moment: Moment, command: commands.Appeal) -> Decision:
    view = moment.interview.evaluation
    if no := refusal(view, moment.pack, moment.interview.draft.fields, command):
        return Refused(no.refuse, no.at, no.facts, no.message)
    assert view is not None
    appealed = events.EvaluationAppealed(
        run=newest_run(view) + 1, check=command.check, field=command.field, quote=command.quote
    )
    return Decided((appealed,))


def _announce(moment: Moment, command: Announce) -> Decision:
    """A run's word counts while the run is the newest and has not ended; exactly one word ends it."""
    view, body = moment.interview.evaluation, command.body
    now = under_way(view)
    stale = now is None or body.run != now.run
    if now is not None and isinstance(body, events.EvaluationStarted):
        stale = stale or body.attempt <= now.attempt
    if view is not None and isinstance(body, events.EvaluationCriterion):
        before = next((judged for judged in view.judged if judged.id == body.id), None)
        stale = stale or (before is not None and (body.run, body.times) <= (before.run, before.times))
    return Refused(Refuse.CONFLICT) if stale else Decided((body,))


def _rule(pack: Pack, intent: str | None) -> Rule | None:
    return next((rule for rule in pack.clarification.rules if rule.intent == intent), None)


def _open(interview: Interview, ref: int, kinds: set[str]) -> Clarification | None:
    return next((s for s in interview.clarifications if s.ref == ref and s.kind in kinds and s.state == "open"), None)


TRANSITIONS: dict[Phase, dict[type[Any], Transition]] = {
    "clarifying": {
        Asked: Transition(_ask, (events.ClarificationAnswered,), "clarifying"),
        commands.Confirm: Transition(_confirm, (events.ClarificationAnswered,), "clarifying"),
        commands.Reject: Transition(_reject, (events.ClarificationRefunded,), "clarifying"),
        commands.Save: Transition(_save_requirements, (events.DraftSaved,), "clarifying"),
        commands.Proceed: Transition(_proceed, (events.PhaseChanged,), "design"),
        ClockRan: Transition(_end_clarifying, (events.PhaseChanged,), "design"),
    },
    "design": {
        commands.Save: Transition(_save, (events.DraftSaved,), "design"),
        commands.Submit: Transition(_submit, (events.SolutionSubmitted,), "submitted"),
        ClockRan: Transition(_submit_by_clock, (events.SolutionSubmitted,), "submitted"),
    },
    "submitted": {
        Announce: Transition(
            _announce,
            (
                events.EvaluationStarted,
                events.EvaluationCriterion,
                events.EvaluationCompleted,
                events.EvaluationFailed,
            ),
            "submitted",
        ),
        commands.Retry: Transition(_retry, (events.EvaluationRequested, events.EvaluationAppealed), "submitted"),
        commands.Appeal: Transition(_appeal, (events.EvaluationAppealed,), "submitted"),
    },
}
