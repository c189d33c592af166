"""The port: what a judge is given, what it gives back, and how it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from engine.core.evidence import Verdict
from engine.core.pack import Criterion, Pack
from engine.core.prompt import Submission
from protocol.events import Judge as JudgeName

FailureCode = Literal[
    "unavailable",  # no connection, 5xx, or the breaker is open
    "rate_limited",
    "timeout",  # of a call
    "job_timeout",  # of all calls of an evaluation together
    "rejected",  # the server says that the request, the key or the model is wrong
    "refused",
    "content_filter",
    "length",
    "truncated",  # the stream ended, or broke, before its end
    "garbled",  # the stream is not the protocol's
    "too_large",
    "schema",
    "wrong_ids",
    "repeated",
    "missing",
    "captured",  # a trip-wire check was answered wrongly
    "over_budget",  # nobody was asked: what this user's judging may cost in a day is spent
]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One submission before a judge. `mark`: a few random letters, new in each run."""

    pack: Pack
    submission: Submission
    mark: str


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What asking one model took: every try's outcome, and the tokens and milliseconds of all tries together.

    `asked` is the model that was asked for, `model` the one that says it answered. `cached_tokens` are some
    of the input's. `estimated`: the server did not count, so that some of the tokens are a guess by length.
    """

    provider: str = ""
    asked: str = ""
    model: str = ""
    outcomes: tuple[str, ...] = ()
    ms: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False


class Judged(msgspec.Struct, frozen=True):
    """A verdict for each check, as the judge says; the evidence gate decides what they are worth."""

    verdicts: tuple[Verdict, ...]
    spent: Spent = Spent()


class Written(msgspec.Struct, frozen=True):
    """Feedback as a model wrote it, and what it took."""

    text: str
    spent: Spent = Spent()


class JudgeError(Exception):
    """The judge gave no usable verdicts. `retry_after`: seconds the server asked us to wait."""

    def __init__(self, code: FailureCode, *, retry_after: float | None = None) -> None:
        super().__init__(code)
        self.code: FailureCode = code
        self.retry_after = retry_after
        self.spent = Spent()


class Judge(Protocol):
    """Whoever gives verdicts. Counted criteria never come here: code counts them."""

    @property
    def name(self) -> JudgeName: ...

    def describe(self) -> dict[str, Any]:
        """Provider, model and parameters, for the receipt. No secret, no address."""
        ...

    async def judge_criterion(self, case: Case, criterion: Criterion) -> Judged:
        """Verdicts on a criterion of kind `judged`. Raises JudgeError."""
        ...

    async def narrate(self, title: str, findings: Sequence[str], on_text: Callable[[str], None]) -> Written:
        """Feedback on verified findings, a bullet a line (see `bullets`), given to `on_text` as it comes; "" from a
        judge that writes none.

        Raises JudgeError.
        """
        ...
