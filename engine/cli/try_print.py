"""Frames and views as lines for people."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click

from engine.core.interview import Interview
from protocol import events
from protocol import messages as m
from protocol.words import FIELDS

BAR_CHARS = 10
MINUTE_SECONDS = 60
MARKS = {"met": "+", "not_met": "-", "contradicted": "!"}


class Printer:
    """Says what was heard, once: a narrative as it grows, events as they come. Silent where frames are printed."""

    def __init__(self, *, frames: bool) -> None:
        self._frames = frames
        self._told = ""
        """The narrative as far as it has been printed."""

    def heard(self, frame: m.ToClient, raw: bytes) -> None:
        """Print a frame."""
        if self._frames:
            click.echo(raw)
        elif isinstance(frame, m.EvaluationDelta):
            self._narrate(frame.d)
        else:
            for line in lines_of(frame):
                self.say(line)

    def say(self, line: str = "") -> None:
        """A line for people."""
        if not self._frames:
            self._end_narrative()
            click.echo(line)

    def complain(self, line: str) -> None:
        """What went wrong."""
        self._end_narrative()
        click.secho(line, fg="red", err=True)

    def _narrate(self, delta: m.Delta) -> None:
        text = self._told[: delta.i] + delta.text
        new = text[len(self._told) :] if text.startswith(self._told) else "\n" + text
        self._told = text
        click.echo(new, nl=False)
        sys.stdout.flush()

    def _end_narrative(self) -> None:
        if self._told:
            self._told = ""
            click.echo()


def lines_of(frame: m.ToClient) -> Iterator[str]:
    """A frame as lines; none where it says nothing to people."""
    match frame:
        case m.EventFrame():
            live = "  (not yet in the record)" if frame.durable == "live" else ""
            yield from (line + live for line in _event(frame.s, frame.d))
        case m.Replay(d=body):
            for event in body.events:
                yield from lines_of(event)
        case m.Welcome(d=body):
            pen = "" if body.role == "writer" else "; another tab has the pen (`take` takes it)"
            yield click.style(f"connected: {body.phase}, {body.mode}{pen}", dim=True)
        case m.RoleChanged(d=body):
            yield "You have the pen." if body.role == "writer" else "Another tab took the pen; `take` takes it back."
        case m.Drain():
            yield click.style("this node goes; moving to another", dim=True)
        case m.Pending():
            yield click.style("the record is slow to follow; waiting", dim=True)
        case _:
            return


def _event(s: int, event: Any) -> Iterator[str]:
    match event:
        case events.ClarificationAnswered():
            yield from _answer(s, event)
        case events.ClarificationRefunded(charged=charged):
            yield "Taken back." + (" You may ask that again." if charged else "")
        case events.DraftSaved(rev=rev, late=late):
            yield f"Saved: revision {rev}" + (", late" if late else "")
        case events.PhaseChanged(phase=phase, by=by, deadline_at=deadline_at):
            yield click.style(f"--- {phase} (by the {by}), until {_clock(deadline_at)}", bold=True)
        case events.SolutionSubmitted(by=by, rev=rev, late=late):
            yield click.style(f"--- submitted by the {by}: revision {rev}" + (", late" if late else ""), bold=True)
        case _:
            yield from _judging(event)


def _judging(event: Any) -> Iterator[str]:
    match event:
        case events.EvaluationRequested(run=run):
            yield f"Evaluation {run} waits for a worker."
        case events.EvaluationAppealed(check=check):
            yield f"{check} is judged again."
        case events.EvaluationStarted(judge=judge, criteria=criteria, attempt=attempt):
            again = f", attempt {attempt}" if attempt > 1 else ""
            yield f"Judged by the {judge} judge, {len(criteria)} criteria{again}:"
        case events.EvaluationCriterion():
            bar = "#" * round(event.score * BAR_CHARS)
            yield f"  {event.name:32.32} {bar:.<{BAR_CHARS}} {event.points:g} of {event.points_max:g}"
        case events.EvaluationCompleted():
            yield from _result(event)
        case events.EvaluationFailed(code=code, message=message, retryable=retryable):
            yield f"Evaluation failed ({code}): {message}" + ("  `retry` tries again." if retryable else "")


def _answer(s: int, said: events.ClarificationAnswered) -> Iterator[str]:
    match said.kind:
        case "confirm":
            yield f"[{s}] {said.response}  (yes / no)"
        case "answered":
            left = "" if said.remaining is None else f"  ({said.label}: {said.remaining} left)"
            yield f"[{s}] {said.response}{click.style(left, dim=True)}"
        case "settled" | "fallback":
            yield f"[{s}] {said.response}"


def _result(result: events.EvaluationCompleted) -> Iterator[str]:
    what = "completeness" if result.judge == "offline" else "score"
    likely = f" (likely {result.band.low:.0f} to {result.band.high:.0f})" if result.band else ""
    passed = "passed" if result.passed else "not passed"
    yield click.style(f"{what}: {result.score:.0f} of 100{likely}, {passed}", bold=True)
    for one in result.appeals:
        before, after = one.before.verdict, one.after.verdict
        change = f"{one.score_before:.0f} to {one.score_after:.0f}"
        yield f"Appealed {one.check}: {before}, then {after} ({one.after.votes} of {one.times}); score {change}"
    for title, remarks in (
        ("Strengths", result.strengths), ("Weaknesses", result.weaknesses), ("To improve", result.improvements),
    ):  # fmt: skip
        if remarks:
            yield f"{title}:"
            yield from (f"  - {remark.text}" for remark in remarks)
    if result.unasked:
        yield f"Never asked: {', '.join(one.label for one in result.unasked)}"
    if result.narrative:
        yield ""
        yield result.narrative


def show(view: Interview) -> Iterator[str]:
    """Where an interview stands: answers, draft, evaluation."""
    for said in view.clarifications:
        state = "" if said.state == "open" else f" ({said.state})"
        yield f"[{said.ref}] {said.text}{click.style(state, dim=True)}"
        yield f"     {said.response}"
    yield f"Draft, revision {view.draft.rev}, {view.draft.language}:"
    for field in FIELDS:
        text = view.draft.fields[field]
        first = text.partition("\n")[0]
        yield f"  {field:28} {len(text):6} characters  {first[:40]}"
    if view.evaluation is not None:
        yield f"Evaluation {view.evaluation.run}: {view.evaluation.state}"
        shown = view.evaluation.result.first_shown if view.evaluation.result else {}
        for judged in view.evaluation.judged:
            yield from _event(0, judged)
            for verdict in judged.verdicts:
                quote = f'  "{verdict.quote}"' if verdict.quote else ""
                since = f"  (minute {shown[verdict.check]})" if verdict.check in shown else ""
                yield f"     {MARKS[verdict.verdict]} {verdict.check} {verdict.ask}{quote}{since}"
        if view.evaluation.result is not None:
            yield from _result(view.evaluation.result)


def left(seconds: float) -> str:
    """A time as minutes and seconds."""
    whole = max(0, round(seconds))
    return f"{whole // MINUTE_SECONDS}:{whole % MINUTE_SECONDS:02}"


def _clock(millis: int) -> str:
    return datetime.fromtimestamp(millis / 1000).astimezone().strftime("%H:%M:%S")
