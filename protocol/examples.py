"""One example of every frame: for the schema, for the documents, and for people who write clients."""

from __future__ import annotations

import msgspec

from protocol import commands, events, views
from protocol import messages as m
from protocol.words import Change, Cursor, Fence, Splice

_NOW = 1_767_225_600_000
_ID = "01JGFJJZ008YQ4CE5Y3MWV2N7T"
_CHECKSUM = 3_632_233_996
_FENCE = Fence(epoch=1, n=1)
_VERDICT = events.CheckVerdict(
    check="spot_sizes",
    ask="Does the design tell spot sizes apart?",
    points=2.0,
    verdict="met",
    section="entities",
    quote="Spot: id, floor, size (small, medium, large)",
    reason="Spots carry a size.",
)
_CLAIM = events.CheckVerdict(
    check="spot_claim", ask="Is finding and claiming a spot one step?", points=4.0, verdict="met", section="code",
    quote="with self.lock:", reason="The lock covers both.", votes=2,
)  # fmt: skip
_CRITERION = events.EvaluationCriterion(
    run=1, id="entities", name="Entities", weight=0.2, points=6.0, points_max=8.0, score=0.75, level=3,
    verdicts=(_VERDICT,),
)  # fmt: skip
_SNAPSHOT = views.Snapshot(
    id="018cc251-f400-7000-8000-3f1c5a6b7c8d",
    s=2,
    phase="clarifying",
    started_at=_NOW,
    deadline_at=_NOW + 600_000,
    clarifications=(
        views.Clarification(
            ref=1, asked_at=_NOW + 5_000, text="How many floors are there?", kind="answered",
            response="Several floors; the number is configured.", intent="floors", label="floors", remaining=0,
        ),
    ),
    draft=views.DraftView(rev=1, language="python", checksum=_CHECKSUM, fields={"functional_req": "Park, pay, leave."}),
)  # fmt: skip

FROM_CLIENT: tuple[m.FromClient, ...] = (
    m.Hello(
        d=m.HelloBody(proto=1, tab="tab-7f3a", fence=_FENCE, resume=Cursor(epoch=1, s=2), pending=(_ID,), t0=1_234.5),
    ),
    m.ClarifyAsk(id=_ID, a=2, d=commands.Ask(text="How many floors are there?")),
    m.ClarifyConfirm(id=_ID, d=commands.Confirm(ref=3)),
    m.ClarifyReject(id=_ID, d=commands.Reject(ref=3)),
    m.DraftSave(
        id=_ID,
        d=commands.Save(
            base=4,
            changes=(
                Change(field="functional_req", text="Park, pay, leave."),
                Change(field="code", splices=(Splice(at=10, delete=3, ins="def"),), checksum=_CHECKSUM),
            ),
            language="python",
        ),
    ),
    m.PhaseProceed(id=_ID),
    m.SolutionSubmit(id=_ID, d=commands.Submit(rev=5, checksum=_CHECKSUM)),
    m.EvaluationRetry(id=_ID),
    m.EvaluationAppeal(id=_ID, d=commands.Appeal(check="spot_claim", field="code", quote="with self.lock:")),
    m.TimeRequest(d=m.TimeAsk(t0=1_234.5)),
    m.Pong(a=7),
    m.AuthRefresh(d=m.AuthRefreshBody(ticket="kD3uQ0b1Yw8")),
)

_EVENTS: tuple[events.Event, ...] = (
    events.ClarificationAnswered(
        text="How many floors are there?", kind="answered", response="Several floors; the number is configured.",
        intent="floors", label="number of floors", charged=True, remaining=0, score=0.93, margin=0.41, matcher="1",
    ),
    events.ClarificationRefunded(ref=3, charged=True),
    events.DraftSaved(
        rev=5, changes=(Change(field="functional_req", text="Park, pay, leave."),), language="python",
        checksum=_CHECKSUM,
    ),
    events.PhaseChanged(phase="design", by="candidate", deadline_at=_NOW + 2_700_000),
    events.SolutionSubmitted(by="candidate", rev=5, checksum=_CHECKSUM),
    events.EvaluationRequested(run=2),
    events.EvaluationAppealed(run=2, check="spot_claim", field="code", quote="with self.lock:"),
    events.EvaluationStarted(
        run=1, attempt=1, judge="offline", criteria=(events.CriterionName(id="entities", name="Entities", weight=0.2),)
    ),
    _CRITERION,
    events.EvaluationCompleted(
        run=1, score=71.5, passed=True, judge="offline",
        strengths=(events.Remark(text="Spots carry a size.", checks=("spot_sizes",)),),
        narrative="A clear model of the garage.", band=events.Band(low=69.0, high=74.0, times=3),
        first_shown={"spot_sizes": 12}, unasked=(events.Unasked(intent="pricing", label="how fees work", weight=3),),
        appeals=(
            events.AppealDecided(
                run=2, check="spot_claim", field="code", quote="with self.lock:",
                before=msgspec.structs.replace(_CLAIM, verdict="not_met", section=None, quote="", votes=1),
                after=_CLAIM, times=3, score_before=66.5, score_after=71.5,
            ),
        ),
        receipt={"rubric": "sha256:5c1e"},
    ),
    events.EvaluationFailed(run=1, code="judge_unavailable", message="The judge did not answer.", retryable=True),
)  # fmt: skip

_WELCOME = m.WelcomeBody(
    conn="9b1c04d2e6f7a813",
    role="writer",
    fence=_FENCE,
    epoch=1,
    head=2,
    recorded=2,
    mode="snapshot",
    phase="clarifying",
    now=_NOW + 60_000,
    deadline_at=_NOW + 600_000,
    grace_ms=2_000,
    heartbeat=m.Heartbeat(every_ms=20_000, grace_ms=10_000),
    limits=m.Limits(frame_bytes_max=262_144, field_bytes_max=65_536, ask_chars_max=2_000, commands_in_flight_max=16),
    reconnect=m.Reconnect(min_ms=200, max_ms=5_000, jitter=1.0),
    commands={_ID: m.Ack(id=_ID, s=2, rev=1, dup=True)},
    snapshot=_SNAPSHOT,
    t0=1_234.5,
)

_NUMBERED = tuple(m.event_frame(body, s=s, ts=_NOW + 1_000 * s) for s, body in enumerate(_EVENTS, 3))

TO_CLIENT: tuple[m.Frame, ...] = (
    m.Welcome(d=_WELCOME),
    m.Replay(d=msgspec.convert({"events": _NUMBERED[2:4]}, m.ReplayBody)),
    m.Resumed(d=m.Through(s=2)),
    *_NUMBERED,
    m.Ack(id=_ID, s=5, rev=5),
    m.Refusal(id=_ID, code="conflict", message="The draft has another revision.", d={"rev": 5, "checksum": _CHECKSUM}),
    m.Pending(d=m.PendingBody(id=_ID)),
    m.Recorded(d=m.Through(s=5)),
    m.RoleChanged(d=m.RoleBody(role="observer", by="tab-81c0")),
    m.Ping(d=m.Head(head=7, ts=_NOW + 90_000)),
    m.Time(d=m.TimeBody(t0=1_234.5, t1=_NOW, t2=_NOW)),
    m.EvaluationDelta(d=m.Delta(run=1, attempt=1, i=0, text="A clear model")),
    m.AuthExpiring(d=m.AuthExpiringBody(in_ms=60_000)),
    m.Drain(d=m.DrainBody(in_ms=350)),
)
