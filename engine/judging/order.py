"""Who is asked, and who next: the judges of a run in the order of the setting."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from engine.core.pack import Criterion
from engine.judging.budget import Purse
from engine.judging.failures import DECLINED, OUTAGES
from engine.judging.judge import Case, FailureCode, Judge, Judged, JudgeError, Spent, Written
from engine.judging.verified import judge_verified
from engine.telemetry import log
from protocol.events import Judge as JudgeName


class Given(NamedTuple):
    """Verified verdicts, who gave them (None: nothing could be quoted, nobody was asked), and what those took who were
    asked before in vain."""

    judge: JudgeName | None
    judged: Judged
    missed: tuple[Spent, ...]


class Order:
    """An outage moves the whole run on to the next judge; an unusable answer only its criterion (see `failures`)."""

    def __init__(self, judges: Sequence[Judge], purse: Purse, interview: UUID) -> None:
        self._judges, self._purse, self._interview = judges, purse, interview
        self._from = 0
        self._declined: dict[str, JudgeError] = {}
        self.outage: FailureCode | None = None
        """Why the run left its first judge, if it did."""

    @property
    def judge(self) -> Judge:
        """Who is asked first now."""
        return self._judges[self._from]

    async def ask(self, case: Case, criterion: Criterion) -> Given:
        """Raises JudgeError when nobody in the order gives usable verdicts."""
        missed: list[Spent] = []
        at = self._from
        while True:
            judge = self._judges[at]
            try:
                judged = await self._paid(judge, case, criterion)
            except JudgeError as error:
                missed.append(error.spent)
                at = self._after(at, criterion, error)
            else:
                by = judge.name if judged.spent.outcomes or judge.name == "offline" else None
                return Given(by, judged, tuple(spent for spent in missed if spent.outcomes))

    async def narrate(self, title: str, findings: Sequence[str], on_text: Callable[[str], None]) -> Written:
        """By the judge that is asked first now. Raises JudgeError."""
        if self.judge.name != "offline":
            await self._purse.check()
        try:
            written = await self.judge.narrate(title, findings, on_text)
        except JudgeError as error:
            await self._purse.pay(error.spent)
            raise
        await self._purse.pay(written.spent)
        return written

    def out_of_time(self, criteria: Collection[Criterion]) -> None:
        """Only the offline judge is quick enough for what is left. Raises JudgeError when it may not stand in."""
        error = JudgeError("job_timeout")
        last = len(self._judges) - 1
        if self._judges[last].name != "offline" or any(criterion.id in self._declined for criterion in criteria):
            raise error
        self._move_on(last, error)

    async def _paid(self, judge: Judge, case: Case, criterion: Criterion) -> Judged:
        if judge.name == "offline":
            return await judge_verified(judge, case, criterion)
        await self._purse.check()
        try:
            judged = await judge_verified(judge, case, criterion)
        except JudgeError as error:
            await self._purse.pay(error.spent)
            raise
        await self._purse.pay(judged.spent)
        return judged

    def _after(self, at: int, criterion: Criterion, error: JudgeError) -> int:
        """Who is asked next about this criterion. Raises the error that decided when nobody is."""
        if error.code in DECLINED:
            self._declined.setdefault(criterion.id, error)
        following = max(at + 1, self._from)
        declined = self._declined.get(criterion.id)
        if following >= len(self._judges) or (declined and self._judges[following].name == "offline"):
            raise declined or error
        if error.code in OUTAGES:
            self._move_on(following, error)
        log.warning("judge_stands_in", interview=self._interview, criterion=criterion.id, reason=error.code)
        return following

    def _move_on(self, to: int, error: JudgeError) -> None:
        if to > self._from:
            self._from, self.outage = to, self.outage or error.code
