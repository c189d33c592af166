"""The semantic tier: how it is fitted, and its figures beside the default's."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

import click
import numpy as np

from engine.core.matcher import STATIC_VERSION, Compiled, Tier, compile_topics
from engine.core.matcher.embedding import Floats, shipped, unit
from engine.core.matcher.fitted import Encode, Weights
from engine.core.matcher.fitted import Reader as TableReader
from engine.semantic.model import DIMS, PACKAGE, encoder
from engine.semantic.pool import Pool
from engine.semantic.reader import Reader
from engine.semantic.tier import FILE, VERSION, messages, semantic, vocabulary
from tests.bench.matcher import development, public, report, trial
from tests.bench.matcher.adapt import Map
from tests.bench.matcher.development import Question
from tests.bench.matcher.trial import Learner

SHIPPED = resources.files("engine.semantic")
BURST = 32
"""People who ask at the same moment."""
STAY = 0.1
"""A map of 384 dims has more to learn, and messages that no rule answers to learn it from."""


@cache
def learner() -> Learner:
    """Encodes each text once a process, whatever the map. Raises NotInstalled."""
    reader = Reader(encoder().states, vocabulary(), np.eye(DIMS, dtype=np.float32))
    words = TableReader(shipped(), np.eye(shipped().dims, dtype=np.float32)).words
    message = cache(lambda texts: reader.message(texts))
    sentence = cache(lambda text: reader.sentences([text])[0])

    def encode(texts: Sequence[str]) -> Floats:
        return np.array([*map(sentence, texts)], np.float32).reshape(len(texts), DIMS)

    def turned(read: Encode, by: Floats) -> Encode:
        return lambda texts: unit(np.asarray(read(texts) @ by.T, np.float32))

    def tier(by: Map, weights: Weights) -> Tier:
        turn = by.astype(np.float32)
        return Tier("trial", turned(encode, turn), turned(lambda texts: message(tuple(texts)), turn), words, weights)

    return Learner(encode, tier, stay=STAY, outside=True)


def write_fitted() -> Path:
    """Fit on everything, and write what ships."""
    return report.write_fitted(learner(), Path(str(SHIPPED.joinpath(FILE))))


def run(data: Path | None) -> None:
    """Print its figures, the default's in the same run, and what it costs."""
    questions = development.load()
    report.head(f"{VERSION} and {STATIC_VERSION}", questions)
    report.left_out("static", questions, trial.STATIC)
    report.left_out("semantic", questions, learner())
    for name, found in public.read(data).items() if data else ():
        report.show_public(f"semantic, {name}", found, semantic())
    asyncio.run(_costs(questions))


async def _costs(questions: Sequence[Question]) -> None:
    """A message through the pool, as the conductor asks: one after the other, then many at a time."""
    pool = Pool(semantic, messages)
    compiled = {one.slug: compile_topics(one.rules, one.declines, semantic()) for one in questions}
    said = [(compiled[one.slug], said.text) for one in questions for said in one.said]
    alone = [await _took(pool, *one) for one in said]
    late, stop = [0.0], asyncio.Event()
    watch = asyncio.create_task(_lateness(late, stop))
    together = []
    for start in range(0, 16 * BURST, BURST):
        together += await asyncio.gather(*(_took(pool, *one) for one in said[start : start + BURST]))
    stop.set()
    await watch
    await pool.close()
    click.echo("")
    for name, took in (("one after the other", alone), (f"{BURST} at a time", together)):
        p50, p99 = np.percentile(took, [50, 99]) * 1000
        click.echo(f"messages {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms (from the call to the decision)")
    began = time.perf_counter()
    compile_topics(questions[0].rules, questions[0].declines, semantic())
    size = sum(len(SHIPPED.joinpath(name).read_bytes()) for name in (FILE, "vocabulary.txt"))
    model = len(resources.files(PACKAGE).joinpath("model.onnx").read_bytes())
    click.echo(
        f"the event loop was at most {max(late) * 1000:.1f} ms late meanwhile; compiling a question: "
        f"{(time.perf_counter() - began) * 1000:.0f} ms\n"
        f"shipped: {size / 1e6:.2f} MB, and the model {model / 1e6:.1f} MB; memory beyond the default tier: {_memory()}"
    )


async def _took(pool: Pool, compiled: Compiled, text: str) -> float:
    began = time.perf_counter()
    await pool.match(compiled, text, "")
    return time.perf_counter() - began


async def _lateness(late: list[float], stop: asyncio.Event) -> None:
    """How much later than it could this task comes on, each time."""
    while not stop.is_set():
        began = time.perf_counter()
        await asyncio.sleep(0)
        late.append(time.perf_counter() - began)


def _memory() -> str:
    program = (
        "import resource; size = lambda: int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize();"
        "from engine.core.matcher import intents; from engine.semantic.tier import semantic;"
        "ask = lambda tier: intents({'a': ['is it big']}, 'big? ' * 100, tier);"
        "ask(None); before = size(); ask(semantic()); print(round((size() - before) / 1e6), 'MB')"
    )
    if sys.platform != "linux":
        return "not measured on this system"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
