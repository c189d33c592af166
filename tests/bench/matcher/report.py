"""The benchmark's report, and the fit that ships."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np

import engine.core.matcher
from engine.core.matcher import INTENTS_SCORE_MIN, STATIC_VERSION, Tier, compile_topics, intents, match, static
from engine.core.matcher.fitted import FEATURES, FILE, READINGS
from tests.bench.matcher import baselines, development, public, trial
from tests.bench.matcher.development import Question
from tests.bench.matcher.measure import Asked, Figures, figures

PACKAGE = Path(engine.core.matcher.__file__).parent
PHRASINGS = 4
"""As few as a hurried author gives; the packs that ship have more, and topics they decline."""
THRESHOLDS = np.linspace(0.02, 0.98, 9)
"""Of the baselines, as shares of their largest score."""
NAME_CHARS = 54
METHODS: dict[str, baselines.Method] = {
    "BM25, stems": baselines.bm25,
    "TF-IDF, character 3- and 4-grams": baselines.char_grams,
    "rapidfuzz, token set": baselines.fuzzy,
}


def write_fitted(learner: trial.Learner = trial.STATIC, file: Path = PACKAGE / FILE) -> Path:
    """Fit on everything, and write it; the default's lies beside the table."""
    fitted = trial.fit_on(development.load(), learner)
    features, readings = fitted.weights
    np.savez_compressed(file, map=fitted.map.astype(np.float16), features=features, readings=readings)
    for name, weight in zip((*FEATURES, *READINGS), (*features, *readings), strict=True):
        click.echo(f"{name:14} {weight:7.2f}")
    return file


def run(data: Path | None) -> None:
    """Print it all."""
    questions = development.load()
    head(STATIC_VERSION, questions)
    _zones(questions, left_out("ours", questions, trial.STATIC))
    click.echo("")
    thresholds = _baselines(questions)
    _public(data, thresholds)
    _costs(questions)


def head(version: str, questions: Sequence[Question]) -> None:
    """What the figures are about, and their names."""
    said = sum(len(one.said) for one in questions)
    click.echo(f"{version}; development set: {len(questions)} questions, {said} messages\n")
    click.echo(f"{'':{NAME_CHARS}}" + f"{'n':>6}" + "".join(f"{name:>9}" for name in Figures._fields[1:]))


def left_out(name: str, questions: Sequence[Question], learner: trial.Learner) -> dict[str, Tier]:
    """Show what is learnt without each question on that question; the tier of each."""
    fitted: dict[str, trial.Fitted] = {}
    with click.progressbar(range(trial.FOLDS), label="fitting without each question") as folds:
        for at in folds:
            fitted.update(trial.left_out(questions, learner, at))
    tiers = {slug: one.tier for slug, one in fitted.items()}
    for phrasings, declines in ((PHRASINGS, False), (PHRASINGS, True), (8, True)):
        what = f"{name}, {phrasings} phrasings{', own declines' if declines else ''}"
        ask = partial(trial.asked, score_min=INTENTS_SCORE_MIN, phrasings=phrasings, declines=declines)
        show(what, [one for question in questions for one in ask(question, tiers[question.slug])])
    return tiers


def show(name: str, asked: Sequence[Asked]) -> None:
    """A line of figures."""
    found = figures(asked)
    click.echo(f"{name:{NAME_CHARS}}{found.n:6d}" + "".join(f"{value:9.3f}" for value in found[1:]))


def _zones(questions: Sequence[Question], tiers: Mapping[str, Tier]) -> None:
    """What becomes of messages where candidates ask: 8 phrasings, own declines, the question before is known."""
    counts: Counter[str] = Counter()
    for question in questions:
        compiled = compile_topics(question.rules, question.declines, tiers[question.slug])
        for said in question.said:
            kind = "leaning" if said.after and said.intents else "in scope" if said.intents else "out of scope"
            found = match(compiled, said.text, said.after)
            named = {zone: {one.intent for one in found if one.zone == zone} for zone in ("answer", "confirm")}
            zone = "answer" if named["answer"] else "confirm"
            fate = "fallback" if not named[zone] else f"{zone} {'right' if named[zone] & said.intents else 'wrong'}"
            counts.update((kind, f"{kind}: {fate}"))
    click.echo("\nwhat becomes of messages (8 phrasings, own declines):")
    for kind in ("in scope", "leaning", "out of scope"):
        fates = sorted(fate for fate in counts if fate.startswith(f"{kind}:"))
        shares = ", ".join(f"{fate.partition(': ')[2]} {counts[fate] / counts[kind]:.1%}" for fate in fates)
        click.echo(f"  {kind} ({counts[kind]}): {shares}")


def _baselines(questions: Sequence[Question]) -> dict[str, float]:
    """Their figures, and of each the threshold that is best on all of the development set."""
    best = {}
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
        show(f"{name}, {PHRASINGS} phrasings", asked)
        best[name] = _best_threshold(questions, compiled)
    return best


def _best_threshold(questions: Sequence[Question], compiled: dict[str, baselines.Score]) -> float:
    """The one with the most messages that get exactly the right rules."""
    top = max(max(compiled[one.slug](said.text).values()) for one in questions for said in one.said)

    def strict(threshold: float) -> float:
        return figures([asked for one in questions for asked in _ask(one, compiled, threshold)]).strict

    return max((float(share * top) for share in THRESHOLDS), key=strict)


def _ask(question: Question, compiled: dict[str, baselines.Score], threshold: float) -> list[Asked]:
    ask = baselines.matcher(compiled[question.slug], threshold)
    return [Asked(said, ask(said.text)) for said in question.said]


def _public(data: Path | None, thresholds: dict[str, float]) -> None:
    if data is None:
        click.echo("\n!!  NO PUBLIC SETS: name the folder of CLINC150 and BANKING77 by --data or INTENT_SETS\n")
        return
    for name, questions in public.read(data).items():
        click.echo("")
        show_public(f"ours, {name}", questions, static())
        for method, threshold in thresholds.items():
            rules = [(one, METHODS[method](one.rules)) for one in questions]
            show(
                f"{method}, {name}",
                [asked for one, score in rules for asked in _ask(one, {one.slug: score}, threshold)],
            )


def show_public(name: str, questions: Sequence[Question], tier: Tier) -> None:
    """A tier on a public set, before and after its near misses are declined."""
    for declines in (False, True):
        ask = partial(
            trial.asked, tier=tier, score_min=INTENTS_SCORE_MIN, phrasings=public.PHRASINGS, declines=declines
        )
        show(f"{name}{', near misses declined' if declines else ''}", [one for each in questions for one in ask(each)])


def _costs(questions: Sequence[Question]) -> None:
    """Of `intents`, on every message of the set: as people come, and once its words have been met."""
    began = time.perf_counter()
    compile_topics(questions[0].rules, questions[0].declines)
    compiled_ms = (time.perf_counter() - began) * 1000
    first, again = [], []
    for question in questions:
        intents(question.rules, "warm")
        first += [_microseconds(partial(intents, question.rules, said.text)) for said in question.said]
        again += [_microseconds(partial(intents, question.rules, said.text)) for said in question.said for _ in "12"]
    click.echo("")
    for name, taken in (("met for the first time", first), ("of known words", again)):
        p50, p99 = np.percentile(taken, [50, 99])
        click.echo(f"a message {name}: p50 {p50:.0f} us, p99 {p99:.0f} us (CPU of one thread)")
    size = sum((PACKAGE / name).stat().st_size for name in ("table.npz", FILE))
    click.echo(
        f"compiling a question: {compiled_ms:.0f} ms; data shipped: {size / 1e6:.2f} MB; "
        f"memory of a process: {_memory()}, NumPy included"
    )


def _memory() -> str:
    """How much a new process grows by a first match: what is resident, on Linux."""
    program = (
        "import resource; size = lambda: int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize();"
        "before = size(); from engine.core.matcher import intents; intents({'a': ['is it big']}, 'big?');"
        "print(round((size() - before) / 1e6), 'MB more')"
    )
    if sys.platform != "linux":
        return "not measured on this system"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def _microseconds(work: Callable[[], object]) -> float:
    began = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - began) / 1000
