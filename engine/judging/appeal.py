"""One check judged again, three times, by judges who are told neither that it was judged before nor what was said.

They are asked about its criterion as anybody is, and not shown where the candidate points: what is named would be
looked at more kindly. Their words on the criterion's other checks change nothing, or one appeal would be a second try
at all of them.
"""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec

from engine.core.appeals import criterion_of
from engine.core.pack import Criterion, Pack, decode_pack
from engine.core.repeats import PASS_LEVEL, REPEATS, key, majority
from engine.core.rubric import rescored, total
from engine.judging.announcing import word_of
from engine.judging.bullets import mended
from engine.judging.judge import Judge, JudgeError, Spent
from engine.judging.keeping import Ending, Keeper
from engine.judging.lease import LeaseLost, patiently
from engine.judging.order import Order
from engine.judging.panel import Panel, new_case
from engine.judging.receipt import make_receipt
from engine.judging.remarks import Remarks
from engine.judging.reuse import APPEALED, landed_before, material_hash
from engine.record import past_runs, results
from engine.record.evaluations import Handed, Result
from protocol import events

Judged = events.EvaluationCriterion


class Appealed:
    """One attempt at an appeal."""

    def __init__(self, keeper: Keeper, handed: Handed, appeal: events.EvaluationAppealed) -> None:
        self._keeper, self._handed, self._appeal = keeper, handed, appeal
        self._pack: Pack = decode_pack(handed.pack_body)
        bench = keeper.bench
        self._judges = tuple(judge for judge in (bench.judge, *bench.fallbacks) if judge.name != "offline")

    async def to_its_end(self) -> Ending:
        """Raises JudgeError: without three judgings by models there is no decision, and what stood stands."""
        fence = self._keeper.fence
        standing = await patiently(fence, partial(results.read_view, self._keeper.bench.engine, fence.interview))
        criterion = criterion_of(self._pack, self._appeal.check)
        if standing is None or standing.result is None or criterion is None:
            raise LeaseLost  # deleted since it was claimed: only a check of a result is appealed
        if not self._judges:
            raise JudgeError("unavailable")
        await self._say_start(criterion)
        await self._land_known(criterion)
        await self._land_judged(criterion)
        return await self._finish(criterion, standing.result, standing.judged)

    @property
    def _judge(self) -> Judge:
        return self._judges[0]

    async def _say_start(self, criterion: Criterion) -> None:
        run, attempt = self._keeper.fence.run, self._keeper.fence.attempt
        name = events.CriterionName(id=criterion.id, name=criterion.name, weight=criterion.weight)
        body = events.EvaluationStarted(run=run, attempt=attempt, judge=self._judge.name, criteria=(name,))
        await self._keeper.say(f"start:{attempt}", body)

    async def _land_known(self, criterion: Criterion) -> None:
        """What a failed try at an appeal has bought."""
        fence, material = self._keeper.fence, material_hash(self._handed, self._judge, repeat=APPEALED)
        known = await patiently(fence, partial(past_runs.known, self._keeper.bench.engine, fence, material))
        for n in self._left(criterion):
            if landed := landed_before(known, criterion, self._judge, fence.run, n):
                await self._keeper.keep(landed)

    async def _land_judged(self, criterion: Criterion) -> None:
        """Each under a mark of its own, so at once: they share no prefix."""
        fence, bench = self._keeper.fence, self._keeper.bench
        order = Order(self._judges, self._keeper.purse, fence.interview)
        panel = Panel(order, self._keeper.keep, fence.run, bench.calls_parallel)
        questions = [(new_case(self._pack, self._handed), criterion, n) for n in self._left(criterion)]
        try:
            async with asyncio.timeout_at(self._keeper.until):
                unusable = await panel.at_once(questions)
        except TimeoutError:
            raise JudgeError("job_timeout") from None
        if unusable:
            raise unusable[0]

    def _left(self, criterion: Criterion) -> list[int]:
        return [n for n in range(1, REPEATS + 1) if key(criterion.id, n) not in self._keeper.landed]

    # --- the end ---

    async def _finish(
        self, criterion: Criterion, before: events.EvaluationCompleted, judged: tuple[Judged, ...]
    ) -> Ending:
        after = self._after(criterion, judged)
        changed = next(result for result in after if result.id == criterion.id)
        if changed.run == self._keeper.fence.run:
            await self._keeper.say(word_of(changed), changed)
        completed = await self._completed(criterion, before, judged, after)
        version = str(self._pack.rubric.version)
        return await self._keeper.finish(
            self._handed, Result(completed=completed, criteria=after, rubric_version=version)
        )

    def _after(self, criterion: Criterion, judged: tuple[Judged, ...]) -> tuple[Judged, ...]:
        """All results, with the check's new verdict where it is another."""
        new, old = self._verdict(criterion), _verdict_in(judged, self._appeal.check)
        if new.verdict == old.verdict:
            return judged

        def mended(result: Judged) -> Judged:
            verdicts = (new if verdict.check == new.check else verdict for verdict in result.verdicts)
            return rescored(msgspec.structs.replace(result, run=self._keeper.fence.run), verdicts)

        return tuple(mended(result) if result.id == criterion.id else result for result in judged)

    def _verdict(self, criterion: Criterion) -> events.CheckVerdict:
        """By majority."""
        landed = [self._keeper.landed[key(criterion.id, n)].result for n in range(1, REPEATS + 1)]
        return _verdict_in((majority(landed),), self._appeal.check)

    async def _completed(
        self,
        criterion: Criterion,
        before: events.EvaluationCompleted,
        judged: tuple[Judged, ...],
        after: tuple[Judged, ...],
    ) -> events.EvaluationCompleted:
        scored, appeal = total(self._pack.rubric, after), self._appeal
        old = Remarks(strengths=before.strengths, weaknesses=before.weaknesses, improvements=before.improvements)
        said, narrative = mended(old, before.narrative, judged, after)
        decided = events.AppealDecided(
            run=self._keeper.fence.run,
            check=appeal.check,
            field=appeal.field,
            quote=appeal.quote,
            before=_verdict_in(judged, appeal.check),
            after=self._verdict(criterion),
            times=REPEATS,
            score_before=before.score,
            score_after=scored.score,
        )
        return msgspec.structs.replace(
            before,
            run=self._keeper.fence.run,
            score=scored.score,
            passed=PASS_LEVEL in scored.passed,
            strengths=said.strengths,
            weaknesses=said.weaknesses,
            improvements=said.improvements,
            narrative=narrative,
            band=_widened(before.band, scored.score),
            first_shown=await self._keeper.first_shown(after, self._handed),
            appeals=(*before.appeals, decided),
            appeals_left=max(0, before.appeals_left - 1),
            receipt=self._receipt(before),
        )

    def _receipt(self, before: events.EvaluationCompleted) -> dict[str, object]:
        """That of the result, with one of its own for each appeal."""
        own = make_receipt(
            self._handed,
            self._pack.rubric,
            self._judge,
            self._keeper.landed,
            self._keeper.bench.prices,
            Spent(),
            attempt=self._keeper.fence.attempt,
            seconds=self._keeper.seconds,
        )
        return {
            **before.receipt,
            "appeals": [*before.receipt.get("appeals", ()), {"run": self._keeper.fence.run, **own}],
        }


def _verdict_in(judged: tuple[Judged, ...], check: str) -> events.CheckVerdict:
    return next(verdict for result in judged for verdict in result.verdicts if verdict.check == check)


def _widened(band: events.Band | None, score: float) -> events.Band | None:
    """The band, with the new score in it."""
    if band is None:
        return None
    return msgspec.structs.replace(band, low=min(band.low, score), high=max(band.high, score))
