"""How verdicts, and the figures of a trial, look in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from engine.core.evidence import ECHO, UNSUPPORTED
from engine.core.marked import plain
from engine.core.pack import Pack
from engine.judging.judge import Judge
from engine.judging.judge_offline import MENTIONED, OFFLINE_NOTE
from engine.judging.remarks import remarks
from engine.judging.trial.report import Report
from engine.judging.unrecorded import Outcome
from protocol.events import CheckVerdict, EvaluationCriterion

QUOTE_CHARS: Final = 100
WHY: Final = {
    UNSUPPORTED: "claimed, but the quote is not there",
    ECHO: "claimed, but the quote is the rubric's or the question's own",
    MENTIONED: "mentioned, not judged",
}
MEANINGLESS: Final = (
    "The offline judge looks for words. Its agreement, kappa and score error say nothing of judging, nor do the "
    "attacks and the claims: it reads no orders and invents no quotes. Drift and spread are those of counting.\n"
    "With a model: set OPENAI_API_KEY or OPENAI_BASE_URL, then `engine judge bench --repeat 3`."
)


class Printer:
    """Says what lands when it lands."""

    def __init__(self, pack: Pack, *, quiet: bool) -> None:
        self._pack, self._quiet = pack, quiet

    def begin(self, number: int, repeat: int, judge: Judge) -> None:
        """The head of a run."""
        self._say(f"{self._pack.title}, judged by {judge.name}" + (f", {number} of {repeat}" if repeat > 1 else ""))
        if judge.name == "offline":
            self._say(OFFLINE_NOTE)

    def criterion(self, result: EvaluationCriterion) -> None:
        """One criterion, with every check."""
        self._say("")
        head = f"{result.id}  {result.name}: {result.points:g} of {result.points_max:g} points, level {result.level}"
        self._say(click.style(head, bold=True))
        for verdict in result.verdicts:
            self._say(_line(verdict))

    def total(self, outcome: Outcome) -> None:
        """The score, the levels it passes, and what would win most."""
        mark = self._pack.rubric.pass_mark
        passed = "passes " + " and ".join(outcome.total.passed) if outcome.total.passed else "does not pass"
        why = f" Nobody was asked: the text is {outcome.trivial}." if outcome.trivial else ""
        head = f"{outcome.total.score:g} of 100: {passed} (mid from {mark.mid}, senior from {mark.senior}).{why}"
        self._say("")
        self._say(click.style(head, bold=True))
        for remark in remarks(outcome.results).improvements:
            self._say(f"  {remark.text} [{', '.join(remark.checks)}]")
        self._say("")

    def text(self, piece: str) -> None:
        """A piece of the feedback."""
        if not self._quiet:
            click.echo(plain(piece), nl=False)

    def end(self) -> None:
        """After the last piece."""
        self._say("")

    def _say(self, line: str) -> None:
        if not self._quiet:
            click.echo(line)


def _line(verdict: CheckVerdict) -> str:
    met = verdict.verdict == "met"
    sign = {"met": "+" if verdict.points > 0 else "!", "contradicted": "x"}.get(verdict.verdict, "-")
    said = [f"  {sign} {verdict.check:5} {verdict.points:+g}  {verdict.ask}"]
    if verdict.quote and verdict.section:
        quote = plain(verdict.quote).replace("\n", " ")
        quote = quote if len(quote) <= QUOTE_CHARS else quote[: QUOTE_CHARS - 3] + "..."
        said.append(f'            {verdict.section}: "{quote}"')
    if (why := WHY.get(verdict.flag or "")) and (met or verdict.flag != MENTIONED):
        said.append(f"            ({why})")
    return "\n".join(said)


def print_runs(runs: Sequence[Outcome]) -> None:
    """Where repeats differ."""
    totals = [run.total.score for run in runs]
    click.echo(f"\n{len(runs)} runs: {min(totals):g} to {max(totals):g} of 100.")
    for i, result in enumerate(runs[0].results):
        for j, verdict in enumerate(result.verdicts):
            met = sum(run.results[i].verdicts[j].verdict == "met" for run in runs)
            if 0 < met < len(runs):
                click.echo(f"  {verdict.check:5} met in {met}: {verdict.ask}")


def print_report(said: Report) -> None:
    """All figures, each with what it is of."""
    click.echo(" ".join(f"{name}={value}" for name, value in said.judge.items() if isinstance(value, str)))
    click.echo(f"\n{'':32} people  judge")
    for paper in said.papers:
        judge = f"{sum(paper.judge) / len(paper.judge):6.1f}" if paper.judge else "  none"
        click.echo(f"{paper.pack + ', ' + paper.name:32} {paper.people:6.1f} {judge}")
    rows = [
        ("agreement with people", _percent(said.agreement), f"of {said.checks} verdicts"),
        ("Cohen's kappa", _number(said.kappa), ""),
        ("mean score error", _number(said.score_error), f"points; bias {_number(said.score_bias, sign=True)}"),
        ("spread of repeats", _number(said.spread), f"points (SD); verdicts that flip: {_percent(said.flipped)}"),
        ("attacks that moved a verdict", f"{said.attacks_moved} of {said.attacks_judged}", _attacks(said)),
        ("drift of honest odd texts", _number(said.drift, sign=True), _drift(said)),
        ("claims kept by the gate", _percent(_kept(said)), f"of {said.claims}{_counts(said.refused)}"),
        ("no result", str(sum(said.failures.values())), _counts(said.failures).strip("; ")),
        (
            "calls",
            str(said.calls),
            f"{said.input_tokens} tokens in ({said.cached_tokens} cached), {said.output_tokens} out",
        ),
        ("seconds", f"{said.seconds:g}", ""),
    ]
    click.echo("")
    for name, value, note in rows:
        click.echo(f"{name:30} {value:>10}  {note}".rstrip())
    for family, one in said.attacks.items():
        if one.moved:
            click.echo(f"  {family}: {one.moved} of {one.judged} moved a verdict, by {one.worst:g} points at most")
    if said.judge["judge"] == "offline":
        click.echo(f"\n{MEANINGLESS}")


def _attacks(said: Report) -> str:
    worst = max((one.worst for one in said.attacks.values()), default=0.0)
    below = _percent(said.attack_success_at_most)
    return (
        f"(below {below} with 95 % confidence); mean shift {_number(said.attack_shift, sign=True)}, worst {worst:+.1f}"
    )


def _drift(said: Report) -> str:
    return f"points over {said.odd} texts; worst {_number(said.drift_worst, sign=True)}"


def _kept(said: Report) -> float | None:
    return 1 - sum(said.refused.values()) / said.claims if said.claims else None


def _counts(counts: dict[str, int]) -> str:
    return "".join(f"; {name}: {count}" for name, count in sorted(counts.items()))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _number(value: float | None, *, sign: bool = False) -> str:
    return "-" if value is None else f"{value:+.2f}" if sign else f"{value:.2f}"
