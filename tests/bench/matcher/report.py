"""The benchmark's report, and the fit that ships."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np

import engine.core.matcher
from engine.core.matcher import INTENTS_SCORE_MIN, STATIC_VERSION, compile_topics, intents
from engine.core.matcher.fitted import FEATURES, FILE, READINGS
from tests.bench.matcher import baselines, development, public, trial
from tests.bench.matcher.development import Question
from tests.bench.matcher.measure import Asked, Figures, figures

PACKAGE = Path(engine.core.matcher.__file__).parent
PHRASINGS = 4
"""As few as a hurried author gives; the packs that ship have more, and topics they decline."""
THRESHOLDS = np.linspace(0.02, 0.98, 9)
"""Of the baselines, as shares of their largest score."""
METHODS: dict[str, baselines.Method] = {
    "BM25, stems": baselines.bm25,
    "TF-IDF, character 3- and 4-grams": baselines.char_grams,
    "rapidfuzz, token set": baselines.fuzzy,
}


def write_fitted() -> Path:
    """Fit on everything, and write it beside the table."""
    fitted = trial.fit_on(development.load(), trial.STATIC)
    features, readings = fitted.weights
    np.savez_compressed(PACKAGE / FILE, map=fitted.map.astype(np.float16), features=features, readings=readings)
    for name, weight in zip((*FEATURES, *READINGS), (*features, *readings), strict=True):
        click.echo(f"{name:14} {weight:7.2f}")
    return PACKAGE / FILE


def run(data: Path | None) -> None:
    """Print it all."""
    questions = development.load()
    said = sum(len(one.said) for one in questions)
    click.echo(f"{STATIC_VERSION}; development set: {len(questions)} questions, {said} messages\n")
    click.echo(f"{'':46}" + "".join(f"{name:>9}" for name in Figures._fields))
    fitted: dict[str, trial.Fitted] = {}
    with click.progressbar(range(trial.FOLDS), label="fitting without each question") as folds:
        for at in folds:
            fitted.update(trial.left_out(questions, trial.STATIC, at))
    for phrasings, declines in ((PHRASINGS, False), (PHRASINGS, True), (8, True)):
        name = f"ours, {phrasings} phrasings{', own declines' if declines else ''}"
        ask = partial(trial.asked, score_min=INTENTS_SCORE_MIN, phrasings=phrasings, declines=declines)
        _show(name, [one for question in questions for one in ask(question, fitted[question.slug].tier)])
    _baselines(questions)
    _public(data)
    _costs(questions)


def _show(name: str, asked: Sequence[Asked]) -> None:
    found = figures(asked)
    click.echo(f"{name:46}{found.n:9d}" + "".join(f"{value:9.3f}" for value in found[1:]))


def _baselines(questions: Sequence[Question]) -> None:
    for name, method in METHODS.items():
        compiled = {
            one.slug: method({intent: texts[:PHRASINGS] for intent, texts in one.rules.items()}) for one in questions
        }
        asked = []
        for at in range(trial.FOLDS):
            held = questions[at :: trial.FOLDS]
            rest = [one for one in questions if one not in held]
            threshold = _best_threshold(rest, compiled)
            asked += [one for question in held for one in _ask(question, compiled, threshold)]
        _show(f"{name}, {PHRASINGS} phrasings", asked)


def _best_threshold(questions: Sequence[Question], compiled: dict[str, baselines.Score]) -> float:
    """The one with the most messages that get exactly the right rules."""
    top = max(max(compiled[one.slug](said.text).values()) for one in questions for said in one.said)

    def strict(threshold: float) -> float:
        return figures([asked for one in questions for asked in _ask(one, compiled, threshold)]).strict

    return max((float(share * top) for share in THRESHOLDS), key=strict)


def _ask(question: Question, compiled: dict[str, baselines.Score], threshold: float) -> list[Asked]:
    ask = baselines.matcher(compiled[question.slug], threshold)
    return [Asked(said, ask(said.text)) for said in question.said]


def _public(data: Path | None) -> None:
    if data is None:
        click.echo("\n!!  NO PUBLIC SETS: name the folder of CLINC150 and BANKING77 by --data or INTENT_SETS\n")
        return
    for name, questions in public.read(data).items():
        asked = [
            Asked(said, trial.ask(compiled, said.text, INTENTS_SCORE_MIN))
            for one in questions
            for compiled in [compile_topics(one.rules, {})]
            for said in one.said
        ]
        _show(f"ours, {name}", asked)


def _costs(questions: Sequence[Question]) -> None:
    question = questions[0]
    began = time.perf_counter()
    compile_topics(question.rules, question.declines)
    compiled_ms = (time.perf_counter() - began) * 1000
    intents(question.rules, "warm")
    taken = sorted(_microseconds(partial(intents, question.rules, said.text)) for said in question.said for _ in "123")
    size = sum((PACKAGE / name).stat().st_size for name in ("table.npz", FILE))
    click.echo(
        f"\na message: p50 {taken[len(taken) // 2]:.0f} us, p99 {taken[int(len(taken) * 0.99)]:.0f} us (CPU of one "
        f"thread); compiling a question: {compiled_ms:.0f} ms; data shipped: {size / 1e6:.2f} MB"
    )


def _microseconds(work: Callable[[], object]) -> float:
    began = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - began) / 1000
