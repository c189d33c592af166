"""One evaluation, from claim to announcement. What landed stays; a lost lease stops the work; no end is silent."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.evidence import Triviality, Verdict, is_quotable, triviality
from engine.core.pack import Criterion, Pack, decode_pack
from engine.core.prompt import Answer, Submission
from engine.core.rubric import Facts, count_criterion, score_criterion, total
from engine.judging.announcing import Announce, announce_end, tell
from engine.judging.budget import NO_LIMIT, Budget, Purse
from engine.judging.failures import INTERNAL, OUTAGES, error_of
from engine.judging.judge import Case, Judge, JudgeError, Written
from engine.judging.judge_offline import OFFLINE_NOTE
from engine.judging.lease import LeaseLost, give_back, patiently, while_leased
from engine.judging.narrative import Narrate, write_narrative
from engine.judging.order import Order
from engine.judging.prices import NO_PRICES, Prices
from engine.judging.receipt import make_receipt
from engine.judging.remarks import findings, remarks
from engine.judging.reuse import landed_before, material_hash, narrative_before
from engine.record import evaluations, past_runs
from engine.record.evaluations import Claim, Error, Fence, Handed, Landed, Result
from engine.record.past_runs import Known
from engine.recorder import AWAY
from engine.telemetry import Metrics, log
from protocol import events
from protocol.events import Judge as JudgeName

MARK_BYTES: Final = 3
PASS_LEVEL: Final = "mid"
"""The level whose pass mark `passed` speaks of."""

Ending = Literal["done", "failed", "lost", "not_claimed"]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What evaluations need. `fallbacks`: who is asked when `judge` cannot, in order; with none left the run fails."""

    engine: AsyncEngine
    judge: Judge
    announce: Announce
    narrate: Narrate
    metrics: Metrics
    owner: str
    lease_seconds: float
    job_seconds: float
    calls_parallel: int
    fallbacks: tuple[Judge, ...] = ()
    prices: Prices = NO_PRICES
    budget: Budget = NO_LIMIT


async def evaluate(bench: Bench, interview: UUID, run: int) -> Ending:
    """Work on a run if it can be claimed, to its stored and announced end.

    Cancelled, it gives the run back. Raises what Postgres raises when it is away; the lease then runs out.
    """
    claim = await evaluations.claim(bench.engine, interview, run, owner=bench.owner, lease_seconds=bench.lease_seconds)
    if claim is None:
        return "not_claimed"
    fence = Fence(interview, run, claim.attempt)
    log.info("evaluation_claimed", interview=interview, run=run, attempt=claim.attempt, reused=len(claim.landed))
    began = time.monotonic()
    try:
        ending = await while_leased(bench.engine, fence, bench.lease_seconds, _Work(bench, fence, claim).to_its_end())
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


class _Work:
    """One attempt at a run: the verdicts so far, and who gives the next."""

    def __init__(self, bench: Bench, fence: Fence, claim: Claim) -> None:
        self._bench, self._fence = bench, fence
        purse = Purse(bench.engine, fence, bench.budget, bench.prices)
        self._order = Order((bench.judge, *bench.fallbacks), purse, fence.interview)
        self._landed: dict[str, Landed] = dict(claim.landed)
        self._known: list[Known] = []
        self._heard = True
        self._began = time.monotonic()
        self._until = asyncio.get_running_loop().time() + bench.job_seconds

    async def to_its_end(self) -> Ending:
        try:
            return await self._judge_all()
        except (LeaseLost, *AWAY):
            raise
        except JudgeError as error:
            return await self._fail(error_of(error.code))
        except Exception as error:
            log.error("evaluation_broke", interview=self._fence.interview, run=self._fence.run, exc_info=error)
            return await self._fail(INTERNAL)

    async def _judge_all(self) -> Ending:
        handed = await evaluations.handed_in(self._bench.engine, self._fence.interview)
        if handed is None:
            raise LeaseLost  # deleted since it was claimed: a run is made with its submission
        pack = decode_pack(handed.pack_body)
        await self._announce_start(pack)
        trivial = triviality(handed.fields, pack)
        await self._announce_landed()
        if trivial is not None:
            await self._land_nothing(pack, trivial)
        else:
            await self._land_counted(pack, handed)
            await self._land_known(pack, handed)
            await self._land_judged(_case(pack, handed))
        return await self._finish(pack, handed, trivial)

    # --- criteria ---

    async def _land_nothing(self, pack: Pack, why: Triviality) -> None:
        """Nothing to judge: every check is not met, and nobody is asked."""
        for criterion in self._open(pack):
            verdicts = tuple(Verdict(check=check.id, verdict="not_met", flag=why) for check in criterion.checks)
            await self._land(criterion, verdicts)

    async def _land_counted(self, pack: Pack, handed: Handed) -> None:
        facts = Facts(answered=frozenset(intent for intent, _ in handed.answers), fields=handed.fields)
        for criterion in self._open(pack):
            if criterion.kind == "counted":
                await self._land(criterion, count_criterion(criterion, facts, pack))

    async def _land_known(self, pack: Pack, handed: Handed) -> None:
        """What an earlier run of this user has bought, for the same material."""
        if self._order.judge.name == "offline" or not self._open(pack):
            return
        material = material_hash(handed, self._order.judge)
        find = partial(past_runs.known, self._bench.engine, self._fence, material)
        self._known = await patiently(self._fence, find)
        for criterion in self._open(pack):
            if landed := landed_before(self._known, criterion, self._order.judge, self._fence.run):
                await self._keep(landed)

    async def _land_judged(self, case: Case) -> None:
        """The first that is asked alone, so that the rest find the shared prefix cached; then as many as allowed."""
        waiting = self._open(case.pack)
        asked = (i for i, criterion in enumerate(waiting, 1) if is_quotable(criterion, case.submission.fields))
        alone = next(asked, len(waiting))
        try:
            async with asyncio.timeout_at(self._until):
                unusable = await self._land_parallel(case, waiting[:alone])
                unusable += await self._land_parallel(case, waiting[alone:])
        except TimeoutError:
            left = self._open(case.pack)
            self._order.out_of_time(left)
            unusable = await self._land_parallel(case, left)
        if unusable:
            raise unusable[0]

    async def _land_parallel(self, case: Case, criteria: list[Criterion]) -> list[JudgeError]:
        """An outage that nobody can take over stops all. What else fails lets the others end: the retry has them."""
        free = asyncio.Semaphore(self._bench.calls_parallel)
        unusable: list[JudgeError] = []

        async def one(criterion: Criterion) -> None:
            async with free:
                try:
                    await self._land_one(case, criterion)
                except JudgeError as error:
                    if error.code in OUTAGES:
                        raise
                    unusable.append(error)

        try:
            async with asyncio.TaskGroup() as group:
                for criterion in criteria:
                    group.create_task(one(criterion))
        except BaseExceptionGroup as errors:
            raise _worst(errors) from None
        return unusable

    async def _land_one(self, case: Case, criterion: Criterion) -> None:
        given = await self._order.ask(case, criterion)
        await self._keep(
            Landed(
                result=score_criterion(criterion, given.judged.verdicts, self._fence.run),
                judge=given.judge,
                spent=msgspec.to_builtins(given.judged.spent),
                missed=tuple(msgspec.to_builtins(spent) for spent in given.missed),
            )
        )

    def _open(self, pack: Pack) -> list[Criterion]:
        return [criterion for criterion in pack.rubric.criteria if criterion.id not in self._landed]

    async def _land(self, criterion: Criterion, verdicts: tuple[Verdict, ...]) -> None:
        """What code found."""
        await self._keep(Landed(result=score_criterion(criterion, verdicts, self._fence.run)))

    async def _keep(self, landed: Landed) -> None:
        """Keep a result, then say it. Kept is what counts: whoever comes after us says it too."""
        keep = partial(evaluations.land, self._bench.engine, self._fence, landed)
        if not await patiently(self._fence, keep):
            raise LeaseLost
        self._landed[landed.result.id] = landed
        await self._announce(landed.result.id, landed.result)

    # --- the end ---

    async def _finish(self, pack: Pack, handed: Handed, trivial: Triviality | None) -> Ending:
        results = [self._landed[criterion.id].result for criterion in pack.rubric.criteria]
        scored, said = total(pack.rubric, results), remarks(results)
        written = await self._narrative(pack, results, trivial)
        completed = events.EvaluationCompleted(
            run=self._fence.run,
            score=scored.score,
            passed=PASS_LEVEL in scored.passed,
            judge=self._judged_by(),
            strengths=said.strengths,
            weaknesses=said.weaknesses,
            improvements=said.improvements,
            narrative=written.text,
            receipt=self._receipt(pack, handed, written, trivial),
        )
        result = Result(completed=completed, criteria=tuple(results), rubric_version=str(pack.rubric.version))
        finish = partial(evaluations.finish, self._bench.engine, self._fence, handed, result)
        if not await patiently(self._fence, finish):
            raise LeaseLost
        return "done"

    async def _narrative(
        self, pack: Pack, results: list[events.EvaluationCriterion], trivial: Triviality | None
    ) -> Written:
        if trivial is not None:
            return Written("")
        if self._judged_by() == "offline":
            return Written(OFFLINE_NOTE)
        if text := narrative_before(self._known, list(self._landed.values())):
            return Written(text)
        write = partial(self._order.narrate, pack.title, findings(results))
        try:
            async with asyncio.timeout_at(self._until):
                return await write_narrative(write, self._bench.narrate, self._fence)
        except TimeoutError:
            log.warning("narrative_failed", interview=self._fence.interview, run=self._fence.run, reason="job_timeout")
            return Written("")

    def _judged_by(self) -> JudgeName:
        """A run is called offline as soon as one criterion was: it says less than a judged one."""
        return "offline" if any(one.judge == "offline" for one in self._landed.values()) else self._bench.judge.name

    def _receipt(self, pack: Pack, handed: Handed, written: Written, trivial: Triviality | None) -> dict[str, Any]:
        return make_receipt(
            handed,
            pack.rubric,
            self._bench.judge,
            self._landed,
            self._bench.prices,
            written.spent,
            attempt=self._fence.attempt,
            seconds=time.monotonic() - self._began,
            fallback=self._order.outage,
            trivial=trivial,
        )

    async def _fail(self, error: Error) -> Ending:
        log.warning("evaluation_failed", interview=self._fence.interview, run=self._fence.run, code=error.code)
        if not await patiently(self._fence, partial(evaluations.fail, self._bench.engine, self._fence, error)):
            raise LeaseLost
        return "failed"

    # --- words on the way ---

    async def _announce_start(self, pack: Pack) -> None:
        names = (events.CriterionName(id=c.id, name=c.name, weight=c.weight) for c in pack.rubric.criteria)
        attempt = self._fence.attempt
        body = events.EvaluationStarted(
            run=self._fence.run, attempt=attempt, judge=self._order.judge.name, criteria=tuple(names)
        )
        await self._announce(f"start:{attempt}", body)

    async def _announce_landed(self) -> None:
        """What earlier attempts kept they may not have said."""
        for id, landed in self._landed.items():
            await self._announce(id, landed.result)

    async def _announce(self, what: str, body: events.Event) -> None:
        """Once nobody could be told, the work goes on in silence: all is said at the end."""
        if self._heard:
            id = f"eval:{self._fence.run}:{what}"
            self._heard = await tell(self._bench.announce, self._fence.interview, id, body) is not None


def _case(pack: Pack, handed: Handed) -> Case:
    labels = {rule.intent: rule.label for rule in pack.clarification.rules}
    answers = tuple(Answer(labels.get(intent, intent), response) for intent, response in handed.answers)
    submission = Submission(fields=handed.fields, language=handed.language, answers=answers)
    return Case(pack=pack, submission=submission, mark=secrets.token_hex(MARK_BYTES))


def _worst(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one that decides: a lost lease before anything, then Postgres, then what a judge did."""
    flat = [error for error in errors.exceptions if not isinstance(error, asyncio.CancelledError)]
    order: tuple[tuple[type[BaseException], ...], ...] = ((LeaseLost,), AWAY, (JudgeError,))
    for kinds in order:
        for error in flat:
            if isinstance(error, kinds):
                return error
    return flat[0] if flat else errors
