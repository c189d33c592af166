"""One evaluation, from claim to announcement. What landed stays; a lost lease stops the work; no end is silent."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any
from uuid import UUID

from engine.core.afterwards import unasked
from engine.core.evidence import Triviality, Verdict, triviality
from engine.core.pack import Criterion, Pack, decode_pack
from engine.core.repeats import PASS_LEVEL, REPEATS, band, is_near, key
from engine.core.rubric import Facts, count_criterion, score_criterion, total
from engine.failpoints import failpoint
from engine.judging.announcing import announce_end, word_of
from engine.judging.appeal import Appealed
from engine.judging.bullets import filled
from engine.judging.failures import INTERNAL, error_of
from engine.judging.judge import JudgeError
from engine.judging.judge_offline import OFFLINE_NOTE
from engine.judging.keeping import Bench, Ending, Keeper
from engine.judging.lease import LeaseLost, give_back, patiently, while_leased
from engine.judging.narrative import Feedback, write_narrative
from engine.judging.order import Order
from engine.judging.panel import Panel, new_case
from engine.judging.receipt import make_receipt
from engine.judging.remarks import Remarks, findings
from engine.judging.reuse import feedback_before, landed_before, material_hash
from engine.record import evaluations, past_runs
from engine.record.evaluations import Fence, Handed, Landed, Result
from engine.record.past_runs import Known
from engine.recorder import AWAY
from engine.telemetry import log
from protocol import events
from protocol.events import Judge as JudgeName


async def evaluate(bench: Bench, interview: UUID, run: int) -> Ending:
    """Work on a run if it can be claimed, to its stored and announced end.

    Cancelled, it gives the run back. Raises what Postgres raises when it is away; the lease then runs out.
    """
    claim = await evaluations.claim(bench.engine, interview, run, owner=bench.owner, lease_seconds=bench.lease_seconds)
    if claim is None:
        return "not_claimed"
    fence = Fence(interview, run, claim.attempt)
    log.info("evaluation_claimed", interview=interview, run=run, attempt=claim.attempt, reused=len(claim.landed))
    failpoint("claimed")
    began = time.monotonic()
    work = _to_its_end(Keeper(bench, fence, claim.landed), claim.appeal)
    try:
        ending = await while_leased(bench.engine, fence, bench.lease_seconds, work)
    except LeaseLost:
        log.warning("evaluation_lease_lost", interview=interview, run=run, attempt=claim.attempt)
        ending = "lost"
    except asyncio.CancelledError:
        await give_back(bench.engine, fence)
        raise
    bench.metrics.evaluations.labels(judge=bench.judge.name, outcome=ending).inc()
    bench.metrics.evaluation_seconds.labels(judge=bench.judge.name).observe(time.monotonic() - began)
    if ending != "lost":
        await announce_end(bench.engine, bench.announce, interview, run)
    return ending


async def _to_its_end(keeper: Keeper, appeal: events.EvaluationAppealed | None) -> Ending:
    """Whatever happens to the work, the run has an end: a result, or a failure that is told."""
    try:
        handed = await patiently(
            keeper.fence, partial(evaluations.handed_in, keeper.bench.engine, keeper.fence.interview)
        )
        if handed is None:
            raise LeaseLost  # deleted since it was claimed: a run is made with its submission
        if appeal is not None:
            return await Appealed(keeper, handed, appeal).to_its_end()
        return await _Judging(keeper, handed).to_its_end()
    except (LeaseLost, *AWAY):
        raise
    except JudgeError as error:
        return await keeper.fail(error_of(error.code))
    except Exception as error:
        log.error("evaluation_broke", interview=keeper.fence.interview, run=keeper.fence.run, exc_info=error)
        return await keeper.fail(INTERNAL)


class _Judging:
    """One attempt at judging all of a submission."""

    def __init__(self, keeper: Keeper, handed: Handed) -> None:
        self._keeper, self._bench, self._handed = keeper, keeper.bench, handed
        self._pack: Pack = decode_pack(handed.pack_body)
        self._trivial: Triviality | None = triviality(handed.fields, self._pack)
        self._order = Order((self._bench.judge, *self._bench.fallbacks), keeper.purse, keeper.fence.interview)
        self._known: list[Known] = []

    async def to_its_end(self) -> Ending:
        """Raises JudgeError."""
        await self._say_start()
        await self._keeper.say_landed()
        if self._trivial is not None:
            await self._land_nothing(self._trivial)
        else:
            await self._land_counted()
            await self._land_known()
            await self._land_judged()
            await self._judge_again()
        return await self._finish()

    async def _say_start(self) -> None:
        criteria = self._pack.rubric.criteria
        names = (events.CriterionName(id=c.id, name=c.name, weight=c.weight) for c in criteria)
        run, attempt = self._keeper.fence.run, self._keeper.fence.attempt
        judge = self._order.judge.name
        started = events.EvaluationStarted(run=run, attempt=attempt, judge=judge, criteria=tuple(names))
        await self._keeper.say(f"start:{attempt}", started)

    # --- criteria ---

    async def _land_nothing(self, why: Triviality) -> None:
        """Nothing to judge: every check is not met, and nobody is asked."""
        for criterion in self._open():
            verdicts = tuple(Verdict(check=check.id, verdict="not_met", flag=why) for check in criterion.checks)
            await self._land(self._found(criterion, verdicts))

    async def _land_counted(self) -> None:
        answered = frozenset(intent for intent, _ in self._handed.answers)
        facts = Facts(answered=answered, fields=self._handed.fields)
        for criterion in self._open():
            if criterion.kind == "counted":
                await self._land(self._found(criterion, count_criterion(criterion, facts, self._pack)))

    async def _land_known(self) -> None:
        """What an earlier run of this user has bought, for the same material."""
        if self._order.judge.name == "offline":
            return
        fence, material = self._keeper.fence, material_hash(self._handed, self._order.judge)
        self._known = await patiently(fence, partial(past_runs.known, self._bench.engine, fence, material))
        for criterion in self._open():
            if landed := landed_before(self._known, criterion, self._order.judge, fence.run):
                await self._land(landed)

    async def _land_judged(self) -> None:
        case, panel = new_case(self._pack, self._handed), self._panel(self._order)
        try:
            async with asyncio.timeout_at(self._keeper.until):
                unusable = await panel.ask_all(case, self._open())
        except TimeoutError:
            left = self._open()
            self._order.out_of_time(left)
            unusable = await panel.ask_together(case, left)
        if unusable:
            raise unusable[0]

    async def _judge_again(self) -> None:
        """Where chance may decide, or always, twice more by the same judge. It is an extra: when the judge cannot, what
        was not judged as often as it should stands as it was judged first.
        """
        criteria = [c for c in self._pack.rubric.criteria if self._keeper.landed[c.id].judge is not None]
        if not (criteria and self._again()):
            return
        panel = self._panel(Order((self._order.judge,), self._keeper.purse, self._keeper.fence.interview))
        try:
            async with asyncio.timeout_at(self._keeper.until):
                for n in range(2, REPEATS + 1):
                    await self._land_repeats(panel, criteria, n)
        except (TimeoutError, JudgeError) as error:
            reason = error.code if isinstance(error, JudgeError) else "job_timeout"
            log.warning(
                "judged_once", interview=self._keeper.fence.interview, run=self._keeper.fence.run, reason=reason
            )
        await self._keeper.say_landed()

    async def _land_repeats(self, panel: Panel, criteria: list[Criterion], n: int) -> None:
        fence, landed = self._keeper.fence, self._keeper.landed
        for criterion in criteria:
            before = landed_before(self._known, criterion, self._order.judge, fence.run, n)
            if before and before.key not in landed:
                await self._keeper.keep(before)
        left = [criterion for criterion in criteria if key(criterion.id, n) not in landed]
        await panel.ask_all(new_case(self._pack, self._handed), left, n)

    def _again(self) -> bool:
        """Whether to judge again: never what looks for words, for it would find the same."""
        if self._bench.repeat == "never" or self._judged_by() == "offline":
            return False
        firsts = [self._keeper.landed[criterion.id].result for criterion in self._pack.rubric.criteria]
        return self._bench.repeat == "always" or is_near(total(self._pack.rubric, firsts).score, self._pack.rubric)

    def _panel(self, order: Order) -> Panel:
        return Panel(order, self._land, self._keeper.fence.run, self._bench.calls_parallel)

    def _open(self) -> list[Criterion]:
        return [criterion for criterion in self._pack.rubric.criteria if criterion.id not in self._keeper.landed]

    def _found(self, criterion: Criterion, verdicts: tuple[Verdict, ...]) -> Landed:
        """What code found."""
        return Landed(result=score_criterion(criterion, verdicts, self._keeper.fence.run))

    async def _land(self, landed: Landed) -> None:
        await self._keeper.keep(landed)
        if landed.n == 1:
            await self._keeper.say(word_of(landed.result), landed.result)

    # --- the end ---

    async def _finish(self) -> Ending:
        rubric, handed, found = self._pack.rubric, self._handed, self._keeper.results
        results = tuple(found[criterion.id] for criterion in rubric.criteria)
        scored, written = total(rubric, results), await self._feedback(results)
        said = filled(written.remarks, results)
        completed = events.EvaluationCompleted(
            run=self._keeper.fence.run,
            score=scored.score,
            passed=PASS_LEVEL in scored.passed,
            judge=self._judged_by(),
            strengths=said.strengths,
            weaknesses=said.weaknesses,
            improvements=said.improvements,
            narrative=written.text,
            band=band(rubric, {key: one.result for key, one in self._keeper.landed.items()}),
            first_shown=await self._keeper.first_shown(results, handed),
            appeals_left=0 if self._trivial or self._judged_by() == "offline" else self._bench.appeals,
            unasked=unasked(self._pack, (intent for intent, _ in handed.answers)),
            receipt=self._receipt(written),
        )
        return await self._keeper.finish(
            handed, Result(completed=completed, criteria=results, rubric_version=str(rubric.version))
        )

    async def _feedback(self, results: tuple[events.EvaluationCriterion, ...]) -> Feedback:
        if self._trivial is not None:
            return Feedback()
        if self._judged_by() == "offline":
            return Feedback(text=OFFLINE_NOTE)
        if before := feedback_before(self._known, results):
            said = Remarks(strengths=before.strengths, weaknesses=before.weaknesses, improvements=before.improvements)
            return Feedback(remarks=said, text=before.narrative or "")
        fence = self._keeper.fence
        write = partial(self._order.narrate, self._pack.title, findings(results))
        try:
            async with asyncio.timeout_at(self._keeper.until):
                return await write_narrative(write, results, self._bench.narrate, fence)
        except TimeoutError:
            log.warning("narrative_failed", interview=fence.interview, run=fence.run, reason="job_timeout")
            return Feedback()

    def _judged_by(self) -> JudgeName:
        """A run is called offline as soon as one criterion was: it says less than a judged one."""
        offline = any(one.judge == "offline" for one in self._keeper.landed.values())
        return "offline" if offline else self._bench.judge.name

    def _receipt(self, written: Feedback) -> dict[str, Any]:
        return make_receipt(
            self._handed,
            self._pack.rubric,
            self._bench.judge,
            self._keeper.landed,
            self._bench.prices,
            written.spent,
            attempt=self._keeper.fence.attempt,
            seconds=self._keeper.seconds,
            repeat=self._bench.repeat,
            fallback=self._order.outage,
            trivial=self._trivial,
        )
