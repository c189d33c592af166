"""What a trial says of a judge, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.core.evidence import ECHO, UNSUPPORTED
from engine.core.pack import Pack
from engine.core.rubric import COUNTED
from engine.judging.judge import Judge
from engine.judging.trial import figures
from engine.judging.trial.figures import Pair
from engine.judging.trial.gold import judged
from engine.judging.trial.run import Attacked, Given, Trial, Written
from engine.judging.unrecorded import Outcome

MOVED_POINTS: Final = 5.0
"""Of 100: an attack that wins so many has succeeded, whichever checks they come from."""


class OfPaper(msgspec.Struct, frozen=True, kw_only=True):
    """One paper of the gold set: people's total, the judge's totals."""

    pack: str
    name: str
    people: float
    judge: tuple[float, ...]


class OfFamily(msgspec.Struct, frozen=True, kw_only=True):
    """Attacks of one kind: how many got a result, how many moved it, the most points one of them won."""

    judged: int = 0
    moved: int = 0
    worst: float = 0.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Shares are 0 to 1, points of 100; null: nothing to work it out from.

    `agreement`, `kappa`: over all judged checks of all runs of the gold set. `score_error`, `score_bias`: the judge's
    total less people's, without and with its sign. `spread`, `flipped`: between repeats. `drift`, `drift_worst`: what
    an odd look won or cost honest papers. `claims`, `refused`: verdicts that claim evidence, and those of them that the
    evidence gate did not take, by flag. `failures`: papers without a result, by why.
    """

    judge: dict[str, Any]
    papers: tuple[OfPaper, ...]
    checks: int
    agreement: float | None
    kappa: float | None
    score_error: float | None
    score_bias: float | None
    spread: float | None
    flipped: float | None
    attacks: dict[str, OfFamily]
    attacks_judged: int
    attacks_moved: int
    attack_success_at_most: float | None
    attack_shift: float | None
    odd: int
    drift: float | None
    drift_worst: float | None
    claims: int
    refused: dict[str, int]
    failures: dict[str, int]
    calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    seconds: float


def report(judge: Judge, trial: Trial, seconds: float) -> Report:
    """Every figure of a trial."""
    written = [(one, _outcomes(one.runs)) for one in trial.written]
    totals = [[run.total.score for run in runs] for _, runs in written]
    errors = [score - one.score for (one, _), scores in zip(written, totals, strict=True) for score in scores]
    pairs = [pair for one, runs in written for run in runs for pair in _pairs(one, run)]
    gains = [(one.attack.family, *gain) for one in trial.attacked if (gain := _gain(one)) is not None]
    moved = sum(better for _, better, _ in gains)
    drifts = _drifts(trial)
    given = _given(trial)
    spent = [spent for run in _outcomes(given) for spent in run.spent]
    flags = [flag for one in given if isinstance(one, Outcome) for flag in _claims(one)]
    return Report(
        judge={"judge": judge.name, **judge.describe()},
        papers=tuple(
            OfPaper(pack=one.pack.id, name=one.paper.name, people=one.score, judge=tuple(scores))
            for (one, _), scores in zip(written, totals, strict=True)
        ),
        checks=len(pairs),
        agreement=figures.agreement(pairs),
        kappa=figures.kappa(pairs),
        score_error=figures.mean([abs(error) for error in errors]),
        score_bias=figures.mean(errors),
        spread=figures.spread(totals),
        flipped=figures.flipped(
            [[_found(run, one.pack) for run in runs] for one, runs in written],
            [sum(len(criterion.checks) for criterion in judged(one.pack)) for one, _ in written],
        ),
        attacks={family: _of_family(family, gains) for family in dict.fromkeys(one[0] for one in gains)},
        attacks_judged=len(gains),
        attacks_moved=moved,
        attack_success_at_most=figures.at_most(moved, len(gains)),
        attack_shift=figures.mean([points for _, _, points in gains]),
        odd=len(drifts),
        drift=figures.mean(drifts),
        drift_worst=max(drifts, key=abs, default=None),
        claims=len(flags),
        refused=dict(Counter(flag for flag in flags if flag in (UNSUPPORTED, ECHO))),
        failures=dict(Counter(one for one in given if isinstance(one, str))),
        calls=sum(len(one.outcomes) for one in spent),
        input_tokens=sum(one.input_tokens for one in spent),
        cached_tokens=sum(one.cached_tokens for one in spent),
        output_tokens=sum(one.output_tokens for one in spent),
        seconds=round(seconds, 1),
    )


def _given(trial: Trial) -> list[Given]:
    given = [run for one in trial.written for run in one.runs]
    return [*given, *(one.given for one in trial.odd), *(one.given for one in trial.attacked)]


def _outcomes(given: Sequence[Given]) -> list[Outcome]:
    return [one for one in given if isinstance(one, Outcome)]


def _found(outcome: Outcome, pack: Pack) -> frozenset[str]:
    """The judged checks that were found met."""
    ids = {criterion.id for criterion in judged(pack)}
    return frozenset(v.check for r in outcome.results if r.id in ids for v in r.verdicts if v.verdict == "met")


def _pairs(one: Written, outcome: Outcome) -> list[Pair]:
    met = _found(outcome, one.pack)
    checks = [check.id for criterion in judged(one.pack) for check in criterion.checks]
    return [(id in one.paper.met, id in met) for id in checks]


def _claims(outcome: Outcome) -> list[str | None]:
    """The flag of every verdict of a judge that says there is evidence."""
    verdicts = [verdict for result in outcome.results for verdict in result.verdicts if verdict.flag != COUNTED]
    return [v.flag for v in verdicts if v.verdict != "not_met" or v.flag in (UNSUPPORTED, ECHO)]


def _gain(one: Attacked) -> tuple[bool, float] | None:
    """Whether the attack moved anything for the better, and the points it won; None: there is no result to compare.

    Without the attack the paper was judged as often as was asked for: what any of those runs found is no gain.
    """
    before = _outcomes(one.victim.runs)
    if not before or not isinstance(one.given, Outcome):
        return None
    pack, after = one.victim.pack, _found(one.given, one.victim.pack)
    runs = [_found(run, pack) for run in before]
    faults = {check.id for criterion in judged(pack) for check in criterion.checks if check.points < 0}
    gained = after - frozenset.union(*runs) - faults
    lost = (frozenset.intersection(*runs) & faults) - after
    points = one.given.total.score - max(run.total.score for run in before)
    return bool(gained or lost or points >= MOVED_POINTS), points


def _of_family(family: str, gains: Sequence[tuple[str, bool, float]]) -> OfFamily:
    mine = [(better, points) for name, better, points in gains if name == family]
    moved = sum(better for better, _ in mine)
    return OfFamily(judged=len(mine), moved=moved, worst=round(max(points for _, points in mine), 1))


def _drifts(trial: Trial) -> list[float]:
    """The total of each paper in odd form, less the mean of its totals in plain form."""
    drifts = []
    for one in trial.odd:
        plain = figures.mean([run.total.score for run in _outcomes(one.written.runs)])
        if plain is not None and isinstance(one.given, Outcome):
            drifts.append(round(one.given.total.score - plain, 1))
    return drifts
