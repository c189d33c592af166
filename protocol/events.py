"""What happened in an interview: the bodies (`d`) of its events. Numbered from 1 without gaps, never changed."""

from __future__ import annotations

from typing import Any, Literal

from protocol.words import Actor, Change, Checksum, Field, Language, Millis, Phase, Seq, Value

AnswerKind = Literal["answered", "confirm", "fallback", "settled"]
VerdictWord = Literal["met", "not_met", "contradicted"]
Judge = Literal["openai", "offline"]


class ClarificationAnswered(Value, frozen=True, kw_only=True):
    """One question of a message and what came of it.

    `answered`: the rule's response, charged to its quota. `confirm`: "did you mean `label`?", nothing charged.
    `fallback`: no rule fits. `settled`: the rule fits and its quota is used. `ref`: the event this one settles.
    """

    text: str
    kind: AnswerKind
    response: str
    intent: str | None = None
    label: str | None = None
    charged: bool = False
    remaining: int | None = None
    score: float = 0.0
    margin: float = 0.0
    matcher: str = ""
    ref: Seq | None = None


class ClarificationRefunded(Value, frozen=True, kw_only=True):
    """The candidate said "not what I asked" of event `ref`; `charged` tells whether quota came back."""

    ref: Seq
    charged: bool


class DraftSaved(Value, frozen=True, kw_only=True):
    """Revision `rev` of the draft; `checksum` is that of the whole draft after `changes`."""

    rev: int
    changes: tuple[Change, ...]
    language: Language
    checksum: Checksum
    late: bool = False


class PhaseChanged(Value, frozen=True, kw_only=True):
    """A phase began and ends at `deadline_at`; `by` says whether the candidate or the clock ended the one before."""

    phase: Phase
    by: Actor
    deadline_at: Millis


class SolutionSubmitted(Value, frozen=True, kw_only=True):
    """Handed in, once; run `run` of its evaluation waits for a worker."""

    by: Actor
    rev: int
    checksum: Checksum
    late: bool = False
    run: int = 1


class EvaluationRequested(Value, frozen=True, kw_only=True):
    """A further run was asked for."""

    run: int


class EvaluationAppealed(Value, frozen=True, kw_only=True):
    """Run `run` judges one check again, as if for the first time; `quote` is what the candidate points at.

    The result stands meanwhile. `evaluation.completed` of that run, with both verdicts, takes its place, or the run
    fails and changes nothing.
    """

    run: int
    check: str
    field: Field
    quote: str


class CriterionName(Value, frozen=True, kw_only=True):
    id: str
    name: str
    weight: float


class EvaluationStarted(Value, frozen=True, kw_only=True):
    """A worker took the run; a higher `attempt` supersedes a lower one."""

    run: int
    attempt: int
    judge: Judge
    criteria: tuple[CriterionName, ...]


class CheckVerdict(Value, frozen=True, kw_only=True):
    """One yes/no check: the verdict, and the words of the submission that carry it."""

    check: str
    ask: str
    points: float
    verdict: VerdictWord
    section: Field | None = None
    quote: str = ""
    reason: str = ""
    flag: str | None = None
    votes: int = 1
    """How many of the criterion's judgings said so."""


class EvaluationCriterion(Value, frozen=True, kw_only=True):
    """One criterion is judged: `score` is 0..1, `points` of `points_max`.

    `times`: how often it was judged; each check's verdict is then what most of these said. What was judged more often,
    or in a later run, takes the place of what was said of the criterion before.
    """

    run: int
    id: str
    name: str
    weight: float
    points: float
    points_max: float
    score: float
    level: int
    verdicts: tuple[CheckVerdict, ...]
    times: int = 1


class Remark(Value, frozen=True, kw_only=True):
    """One sentence for the candidate and the checks it rests on."""

    text: str
    checks: tuple[str, ...]


class Band(Value, frozen=True, kw_only=True):
    """The lowest and the highest total of a submission that was judged `times` times."""

    low: float
    high: float
    times: int


class Unasked(Value, frozen=True, kw_only=True):
    """A rule that was never asked for, and how much asking it mattered. Its answer stays to be asked for."""

    intent: str
    label: str
    weight: int


class AppealDecided(Value, frozen=True, kw_only=True):
    """What came of an appeal: both verdicts, and the score before and after. `after` is by majority of `times`."""

    run: int
    check: str
    field: Field
    quote: str
    before: CheckVerdict
    after: CheckVerdict
    times: int
    score_before: float
    score_after: float


class EvaluationCompleted(Value, frozen=True, kw_only=True):
    """The run's result: `score` is 0..100. The receipt says by what it was judged.

    `band` is there when it was judged more than once. `first_shown`: of each check that is met by a quote, the minute
    of the interview (0 is the first) at whose end the quote first stood in the draft.
    """

    run: int
    score: float
    passed: bool
    judge: Judge
    strengths: tuple[Remark, ...] = ()
    weaknesses: tuple[Remark, ...] = ()
    improvements: tuple[Remark, ...] = ()
    narrative: str = ""
    band: Band | None = None
    first_shown: dict[str, int] = {}
    unasked: tuple[Unasked, ...] = ()
    appeals: tuple[AppealDecided, ...] = ()
    appeals_left: int = 0
    receipt: dict[str, Any] = {}


class EvaluationFailed(Value, frozen=True, kw_only=True):
    """The run ended without a result; `retryable` says whether `evaluation.retry` makes sense."""

    run: int
    code: str
    message: str
    retryable: bool


Event = (
    ClarificationAnswered
    | ClarificationRefunded
    | DraftSaved
    | PhaseChanged
    | SolutionSubmitted
    | EvaluationRequested
    | EvaluationAppealed
    | EvaluationStarted
    | EvaluationCriterion
    | EvaluationCompleted
    | EvaluationFailed
)
