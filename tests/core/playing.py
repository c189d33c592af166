"""Interviews played at random by hypothesis against a model that only counts. Subclasses watch what happens."""

from __future__ import annotations

import zlib
from collections import Counter
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.core.evidence import Verdict
from engine.core.interview import GRACE_MS, Interview, due_at, evolve
from engine.core.machine import TRANSITIONS, Announce, Asked, ClockRan, Command, Decided, Refused, decide
from engine.core.matcher import Matched, Zone
from engine.core.pack import Pack
from engine.core.rubric import score_criterion
from protocol import commands as c
from protocol import events as e
from protocol.codes import Refuse
from protocol.messages import EventFrame, event_frame
from protocol.words import FIELDS, Change, Field, Phase, Splice
from tests.core.shipped import playable

STARTED_AT = 1_900_000_000_000
TERMINAL = e.EvaluationCompleted | e.EvaluationFailed
ZONES: tuple[Zone, ...] = ("answer", "answer", "confirm", "fallback")
words = st.text("ab é\n\U0001d11e", max_size=6)
chances = st.floats(0, 1, allow_nan=False)


def fresh(pack: Pack, *, started_at: int = STARTED_AT) -> Interview:
    """An interview on `pack` that begins at `started_at`."""
    return Interview(
        id="7e57ab1e-0000-4000-8000-000000000001",
        pack="a hash",
        started_at=started_at,
        deadline_at=started_at + clarify_ms(pack),
        design_ms=design_ms(pack),
    )


def clarify_ms(pack: Pack) -> int:
    return pack.time_limits.clarify_seconds * 1000


def design_ms(pack: Pack) -> int:
    return pack.time_limits.design_seconds * 1000


def happen(interview: Interview, decided: Decided, now: int) -> tuple[Interview, list[EventFrame]]:
    """The interview after what was decided, and its events as frames."""
    frames = [event_frame(body, s=interview.seq + i, ts=now) for i, body in enumerate(decided.events, 1)]
    for frame in frames:
        interview = evolve(interview, frame)
    return interview, frames


def criterion(run: int, id: str) -> e.EvaluationCriterion:
    return e.EvaluationCriterion(
        run=run, id=id, name=id, weight=10, points=1, points_max=2, score=0.5, level=1, verdicts=()
    )  # fmt: skip


class Playing(RuleBasedStateMachine):
    """Random commands at a clock that goes on; everything that must hold is checked after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[EventFrame] = []
        self.states: list[Interview] = []
        self.texts: dict[Field, str] = dict.fromkeys(FIELDS, "")
        self.charges: dict[int, str] = {}
        self.ended: Counter[int] = Counter()

    def changed(self, before: Interview, after: Interview) -> None:
        """For subclasses: one command was applied."""

    @initialize(pack=st.sampled_from(playable()), phase=st.sampled_from(list(TRANSITIONS)))
    def begin(self, pack: Pack, phase: Phase) -> None:
        self.pack, self.now = pack, STARTED_AT
        self.interview = fresh(pack)
        self.states = [self.interview]
        self.latest_end = STARTED_AT + clarify_ms(pack) + design_ms(pack)
        if phase != "clarifying":
            self.do(c.Proceed())
        if phase == "submitted":
            self.do(c.Submit(rev=0, checksum=self.checksum()))

    # --- what may be tried ---

    @rule(data=st.data(), count=st.integers(1, 3))
    def ask(self, data: st.DataObject, count: int) -> None:
        rules = self.pack.clarification.rules
        matches = []
        for _ in range(count):
            zone = data.draw(st.sampled_from(ZONES))
            intent = None if zone == "fallback" else data.draw(st.sampled_from(rules[:3])).intent
            matches.append(Matched(text="?", zone=zone, intent=intent, score=data.draw(chances)))
        decision = self.do(Asked(tuple(matches)))
        if isinstance(decision, Decided):
            assert [event.text for event in decision.events if isinstance(event, e.ClarificationAnswered)] == [
                "?"
            ] * count

    @rule(back=st.integers(0, 3), yes=st.booleans())
    def settle(self, back: int, yes: bool) -> None:
        ref = max(0, self.interview.seq - back)
        self.do(c.Confirm(ref=ref) if yes else c.Reject(ref=ref))

    @rule(field=st.sampled_from(FIELDS), text=words, stale=st.sampled_from([0, 0, 0, 1, -1]), go=st.booleans())
    def save(self, field: Field, text: str, stale: int, go: bool) -> None:
        stale = max(stale, -self.interview.draft.rev)
        command = c.Save(
            base=self.interview.draft.rev + stale,
            changes=(Change(field=field, text=text),),
            language="go" if go else None,
        )
        decision = self.do(command)
        if isinstance(decision, Decided):
            assert not stale
            self.texts[field] = text

    @rule(field=st.sampled_from(FIELDS), ins=words, right=st.sampled_from([True, True, False]))
    def type_on(self, field: Field, ins: str, right: bool) -> None:
        held = self.texts[field]
        at = len(held.encode("utf-16-le")) // 2
        checksum = zlib.crc32((held + ins).encode()) ^ (not right)
        change = Change(field=field, splices=(Splice(at=at, ins=ins),), checksum=checksum)
        decision = self.do(c.Save(base=self.interview.draft.rev, changes=(change,)))
        if isinstance(decision, Decided):
            assert right
            self.texts[field] = held + ins

    @rule()
    def proceed(self) -> None:
        self.do(c.Proceed())

    @rule(right=st.sampled_from([True, False, False]))
    def submit(self, right: bool) -> None:
        rev = self.interview.draft.rev + (not right)
        decision = self.do(c.Submit(rev=rev, checksum=self.checksum()))
        assert right or isinstance(decision, Refused)

    @rule()
    def clock(self) -> None:
        due, before = due_at(self.interview), self.interview.phase
        decision = self.do(ClockRan())
        assert isinstance(decision, Decided) == (due is not None and self.now >= due), before

    @precondition(lambda self: self.interview.phase == "submitted")
    @rule(run=st.integers(1, 3), attempt=st.integers(1, 3))
    def start_judging(self, run: int, attempt: int) -> None:
        self.do(Announce(e.EvaluationStarted(run=run, attempt=attempt, judge="offline", criteria=())))

    @precondition(lambda self: self.interview.phase == "submitted")
    @rule(run=st.integers(1, 3), number=st.integers(0, 1), times=st.sampled_from([1, 1, 3]))
    def judge(self, run: int, number: int, times: int) -> None:
        first = (next(one for one in self.pack.rubric.criteria if one.kind == kind) for kind in ("judged", "counted"))
        wanted = list(first)[number]
        nothing = score_criterion(wanted, [Verdict(check=check.id, verdict="not_met") for check in wanted.checks], run)
        self.do(Announce(msgspec.structs.replace(nothing, times=times)))

    @precondition(lambda self: self.interview.phase == "submitted")
    @rule(run=st.integers(1, 3), well=st.booleans(), retryable=st.booleans(), left=st.integers(0, 2))
    def end_judging(self, run: int, well: bool, retryable: bool, left: int) -> None:
        failed = e.EvaluationFailed(run=run, code="model_away", message="Later.", retryable=retryable)
        done = e.EvaluationCompleted(run=run, score=50, passed=False, judge="openai", appeals_left=left)
        self.do(Announce(done if well else failed))

    @rule(right=st.sampled_from([True, True, False]))
    def appeal(self, right: bool) -> None:
        judged = next(one for one in self.pack.rubric.criteria if one.kind == "judged")
        field = judged.evidence[0]
        check = next(check for check in judged.checks if check.points > 0)
        quote = self.texts[field] if right else "never typed by anybody"
        decision = self.do(c.Appeal(check=check.id, field=field, quote=quote))
        assert right or isinstance(decision, Refused)

    @rule()
    def judge_again(self) -> None:
        self.do(c.Retry())

    @rule(seconds=st.sampled_from([1, 30, 200]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * 1000

    @precondition(lambda self: self.interview.phase != "submitted" and self.now < self.interview.deadline_at)
    @rule(by_ms=st.sampled_from([-1, 0, GRACE_MS - 1, GRACE_MS]))
    def wait_for_the_deadline(self, by_ms: int) -> None:
        self.now = max(self.now, self.interview.deadline_at + by_ms)

    # --- what comes of it ---

    def do(self, command: Command) -> Decided | Refused:
        """Decide, check it against the table, apply it, and count."""
        before = self.interview
        transition = TRANSITIONS[before.phase].get(type(command))
        decision = decide(before, self.pack, command, self.now)
        assert decision == decide(before, self.pack, command, self.now)
        if isinstance(decision, Refused):
            assert transition is not None or decision.refuse is Refuse.PHASE
            return decision
        assert transition is not None and decision.events
        assert {type(event) for event in decision.events} <= set(transition.events)
        assert decision.holds_from <= self.now and (decision.holds_until is None or self.now < decision.holds_until)
        self.interview, frames = happen(before, decision, self.now)
        assert self.interview.phase == transition.becomes
        self.frames += frames
        self.states += [self.interview]
        for frame in frames:
            self.count(before, frame)
        self.changed(before, self.interview)
        return decision

    def count(self, before: Interview, frame: EventFrame) -> None:
        match frame.d:
            case e.ClarificationAnswered(charged=True, intent=str() as intent):
                self.charges[frame.s] = intent
            case e.ClarificationRefunded(ref=ref, charged=charged):
                assert (self.charges.pop(ref, None) is not None) == charged
            case e.DraftSaved(rev=rev, late=late):
                assert rev == before.draft.rev + 1
                assert late == (before.phase == "design" and frame.ts >= before.deadline_at)
            case e.PhaseChanged(by=by, deadline_at=deadline_at):
                begun = before.deadline_at if by == "clock" else frame.ts
                assert deadline_at == begun + before.design_ms
            case e.SolutionSubmitted(by=by, rev=rev, checksum=checksum, late=late):
                assert (rev, checksum) == (before.draft.rev, self.checksum())
                assert late == (by == "candidate" and frame.ts >= before.deadline_at)
            case e.EvaluationCompleted(run=run) | e.EvaluationFailed(run=run):
                self.ended[run] += 1

    def checksum(self) -> int:
        fields = [self.texts[field].encode() for field in FIELDS]
        return zlib.crc32(b"".join(len(text).to_bytes(4, "big") + text for text in fields))

    # --- what always holds ---

    @invariant()
    def quotas_hold(self) -> None:
        counted, clarification = Counter(self.charges.values()), self.pack.clarification
        assert sum(counted.values()) <= clarification.max_questions
        assert all(counted[rule.intent] <= rule.max_questions for rule in clarification.rules)

    @invariant()
    def the_draft_is_what_was_typed(self) -> None:
        saves = [frame.d for frame in self.frames if isinstance(frame.d, e.DraftSaved)]
        assert self.interview.draft.fields == self.texts
        assert self.interview.draft.rev == len(saves)
        assert not saves or saves[-1].checksum == self.checksum()

    @invariant()
    def submitted_once_if_at_all(self) -> None:
        handed_in = [frame for frame in self.frames if isinstance(frame.d, e.SolutionSubmitted)]
        assert len(handed_in) == (self.interview.phase == "submitted")

    @invariant()
    def nobody_gets_more_time_than_the_clock_gave(self) -> None:
        assert self.interview.deadline_at <= self.latest_end

    @invariant()
    def a_run_ends_once(self) -> None:
        assert all(count == 1 for count in self.ended.values())
        view: Any = self.interview.evaluation
        for run in filter(None, (view, view and view.appeal)):
            assert (run.state in ("completed", "failed")) == (run.run in self.ended)

    @invariant()
    def a_result_stays_until_there_is_another(self) -> None:
        view: Any = self.interview.evaluation
        assert view is None or (view.result is not None) == (view.state == "completed")

    def teardown(self) -> None:
        """Folding all events, or those after any snapshot, gives the same interview."""
        for start in self.states:
            folded = start
            for frame in self.frames[start.seq :]:
                folded = evolve(folded, frame)
            assert folded == self.interview
