"""One evaluation, from claim to announcement. What landed stays; a lost lease stops the work; no end is silent."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.evidence import Triviality, Verdict, triviality
from engine.core.pack import Criterion, Pack, decode_pack
from engine.core.prompt import Answer, Submission
from engine.core.rubric import Facts, count_criterion, score_criterion, total
from engine.judging.announcing import Announce, announce_end, tell
from engine.judging.failures import INTERNAL, OUTAGES, error_of
from engine.judging.judge import Case, FailureCode, Judge, Judged, JudgeError
from engine.judging.judge_offline import OFFLINE_NOTE
from engine.judging.lease import LeaseLost, give_back, while_leased
from engine.judging.narrative import Narrate, write_narrative
from engine.judging.receipt import make_receipt
from engine.judging.remarks import findings, remarks
from engine.judging.verified import judge_verified
from engine.record import evaluations
from engine.record.evaluations import Claim, Error, Fence, Handed, Landed, Result
from engine.recorder import AWAY
from engine.telemetry import Metrics, log
from protocol import events
from protocol.events import Judge as JudgeName

MARK_BYTES: Final = 3
PASS_LEVEL: Final = "mid"
"""The level whose pass mark `passed` speaks of."""
RETRY_SECONDS: Final = 0.5

Ending = Literal["done", "failed", "lost", "not_claimed"]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What evaluations need. `fallback`: who finishes when the judge cannot; None: the run fails, and says so."""

    engine: AsyncEngine
    judge: Judge
    fallback: Judge | None
    announce: Announce
    narrate: Narrate
    metrics: Metrics
    owner: str
    lease_seconds: float
    job_seconds: float
    calls_parallel: int


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
        self._judge = bench.judge
        self._landed: dict[str, Landed] = dict(claim.landed)
        self._fallback: FailureCode | None = None
        self._heard = True
        self._began = time.monotonic()

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
            await self._land_judged(_case(pack, handed))
        return await self._finish(pack, handed, trivial)

    # --- criteria ---

    async def _land_nothing(self, pack: Pack, why: Triviality) -> None:
        """Nothing to judge: every check is not met, and nobody is asked."""
        for criterion in self._open(pack):
            verdicts = tuple(Verdict(check=check.id, verdict="not_met", flag=why) for check in criterion.checks)
            await self._land(criterion, Judged(verdicts))

    async def _land_counted(self, pack: Pack, handed: Handed) -> None:
        facts = Facts(answered=frozenset(intent for intent, _ in handed.answers), fields=handed.fields)
        for criterion in self._open(pack):
            if criterion.kind == "counted":
                await self._land(criterion, Judged(count_criterion(criterion, facts, pack)))

    async def _land_judged(self, case: Case) -> None:
        """The first alone, so that the rest find the shared prefix cached; then in parallel, as many as allowed."""
        waiting = self._open(case.pack)
        try:
            async with asyncio.timeout(self._bench.job_seconds):
                for criterion in waiting[:1]:
                    await self._land_one(case, criterion)
                await self._land_parallel(case, waiting[1:])
        except JudgeError as error:
            await self._fall_back(case, error)
        except TimeoutError:
            await self._fall_back(case, JudgeError("job_timeout"))

    async def _land_parallel(self, case: Case, criteria: list[Criterion]) -> None:
        """The first failure stops the others: a run is judged by one judge as far as it goes."""
        free = asyncio.Semaphore(self._bench.calls_parallel)

        async def one(criterion: Criterion) -> None:
            async with free:
                await self._land_one(case, criterion)

        try:
            async with asyncio.TaskGroup() as group:
                for criterion in criteria:
                    group.create_task(one(criterion))
        except BaseExceptionGroup as errors:
            raise _worst(errors) from None

    async def _land_one(self, case: Case, criterion: Criterion) -> None:
        await self._land(criterion, await judge_verified(self._judge, case, criterion), self._judge)

    async def _fall_back(self, case: Case, error: JudgeError) -> None:
        """The other judge gives the verdicts that are missing; the receipt says why."""
        if self._bench.fallback is None or error.code not in OUTAGES:
            raise error
        log.warning("judge_stands_in", interview=self._fence.interview, run=self._fence.run, reason=error.code)
        self._judge, self._fallback = self._bench.fallback, error.code
        for criterion in self._open(case.pack):
            await self._land_one(case, criterion)

    def _open(self, pack: Pack) -> list[Criterion]:
        return [criterion for criterion in pack.rubric.criteria if criterion.id not in self._landed]

    async def _land(self, criterion: Criterion, judged: Judged, by: Judge | None = None) -> None:
        """Keep a result, then say it. Kept is what counts: whoever comes after us says it too."""
        result = score_criterion(criterion, judged.verdicts, self._fence.run)
        landed = Landed(result=result, judge=by.name if by else None, spent=msgspec.to_builtins(judged.spent))
        if not await self._written(lambda: evaluations.land(self._bench.engine, self._fence, landed)):
            raise LeaseLost
        self._landed[criterion.id] = landed
        await self._announce(criterion.id, result)

    # --- the end ---

    async def _finish(self, pack: Pack, handed: Handed, trivial: Triviality | None) -> Ending:
        results = [self._landed[criterion.id].result for criterion in pack.rubric.criteria]
        scored, said = total(pack.rubric, results), remarks(results)
        completed = events.EvaluationCompleted(
            run=self._fence.run,
            score=scored.score,
            passed=PASS_LEVEL in scored.passed,
            judge=self._judged_by(),
            strengths=said.strengths,
            weaknesses=said.weaknesses,
            improvements=said.improvements,
            narrative=await self._narrative(pack, results, trivial),
            receipt=self._receipt(pack, handed, trivial),
        )
        result = Result(completed=completed, criteria=tuple(results), rubric_version=str(pack.rubric.version))
        if not await self._written(lambda: evaluations.finish(self._bench.engine, self._fence, handed, result)):
            raise LeaseLost
        return "done"

    async def _narrative(
        self, pack: Pack, results: list[events.EvaluationCriterion], trivial: Triviality | None
    ) -> str:
        if trivial is not None:
            return ""
        if self._judged_by() == "offline":
            return OFFLINE_NOTE
        return await write_narrative(self._judge, self._bench.narrate, self._fence, pack.title, findings(results))

    def _judged_by(self) -> JudgeName:
        """A run is called offline as soon as one criterion was: it says less than a judged one."""
        return "offline" if any(one.judge == "offline" for one in self._landed.values()) else self._bench.judge.name

    def _receipt(self, pack: Pack, handed: Handed, trivial: Triviality | None) -> dict[str, Any]:
        return make_receipt(
            handed,
            pack.rubric,
            self._bench.judge,
            self._landed,
            attempt=self._fence.attempt,
            seconds=time.monotonic() - self._began,
            fallback=self._fallback,
            trivial=trivial,
        )

    async def _fail(self, error: Error) -> Ending:
        log.warning("evaluation_failed", interview=self._fence.interview, run=self._fence.run, code=error.code)
        if not await self._written(lambda: evaluations.fail(self._bench.engine, self._fence, error)):
            raise LeaseLost
        return "failed"

    async def _written(self, write: Callable[[], Awaitable[bool]]) -> bool:
        """Write, again and again while Postgres is away: the lease, once lost, ends this."""
        while True:
            try:
                return await write()
            except AWAY as error:
                log.warning("record_away", interview=self._fence.interview, error=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    # --- words on the way ---

    async def _announce_start(self, pack: Pack) -> None:
        names = (events.CriterionName(id=c.id, name=c.name, weight=c.weight) for c in pack.rubric.criteria)
        attempt = self._fence.attempt
        body = events.EvaluationStarted(
            run=self._fence.run, attempt=attempt, judge=self._judge.name, criteria=tuple(names)
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
