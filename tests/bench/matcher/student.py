"""The table in the making: rows of word pieces whose mean shall say what the teacher says of a sentence."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.bench.matcher.teacher import Floats, unit

Ids = NDArray[np.int64]

RECIPE: Final = "minilm-l6-static-1"
DIMS, EPOCHS, BATCH = 128, 6, 256
SIF: Final = 1e-3
"""Arora et al. 2017: a piece of probability p starts with the weight SIF / (SIF + p)."""
RATE: Final = 2e-3
KL_WEIGHT: Final = 0.1
TEMPERATURE: Final = 0.05
"""Of the likenesses within a batch."""
TYPO_SHARE: Final = 0.2
"""Sentences read with a typo, and taught the vector of the right spelling."""
MOMENTS, EPSILON = (0.9, 0.999), 1e-8


class Lessons(NamedTuple):
    """Texts of a kind each as row numbers, the same with a typo each, and what the teacher says of them."""

    kinds: NDArray[np.str_]
    ids: list[Ids]
    typos: list[Ids]
    taught: Floats

    def part(self, chosen: NDArray[np.bool_]) -> Lessons:
        which = np.flatnonzero(chosen)
        ids, typos = [self.ids[n] for n in which], [self.typos[n] for n in which]
        return Lessons(self.kinds[which], ids, typos, self.taught[which])


def basis_of(taught: Floats) -> Floats:
    """The DIMS directions that hold most of the teacher's vectors, as columns, widest first."""
    _, directions = np.linalg.eigh(taught.T.astype(np.float64) @ taught)
    widest = directions[:, ::-1][:, :DIMS]
    signs = np.sign(widest[np.abs(widest).argmax(0), np.arange(DIMS)])
    out: Floats = (widest * signs).astype(np.float32)
    return out


def start(alone: Floats, basis: Floats, ranks: Sequence[int]) -> Floats:
    """What the teacher says of each piece alone, less of the common ones: BERT's vocabulary is about in the order of
    frequency, so Zipf's law gives the probability (Model2Vec's way)."""
    order = np.argsort(np.argsort(ranks, kind="stable")) + 1.0
    probability = 1 / order / (1 / order).sum()
    rows: Floats = (unit(alone @ basis) * (SIF / (SIF + probability))[:, None]).astype(np.float32)
    return rows


def vectors(rows: Floats, sentences: Sequence[Ids]) -> Floats:
    """The mean of each sentence's rows."""
    counts = np.array([len(one) for one in sentences])
    sums = np.add.reduceat(rows[np.concatenate(sentences)], np.cumsum(counts) - counts)
    out: Floats = (sums / counts[:, None]).astype(np.float32)
    return out


def nearness(rows: Floats, basis: Floats, lessons: Lessons) -> dict[str, float]:
    """The mean cosine to the teacher's whole vector, by kind, and of all with a typo each."""
    cosines = (unit(vectors(rows, lessons.ids)) @ basis.T * lessons.taught).sum(1)
    typos = (unit(vectors(rows, lessons.typos)) @ basis.T * lessons.taught).sum(1)
    by_kind = {str(kind): float(cosines[lessons.kinds == kind].mean()) for kind in np.unique(lessons.kinds)}
    return {"all": float(cosines.mean()), **by_kind, "typos": float(typos.mean())}


def fit(rows: Floats, basis: Floats, lessons: Lessons, seed: int) -> Floats:
    """Regression on the teacher by Adam, the rate falling to nothing. Of a batch only the rows it holds move."""
    rng = np.random.default_rng(seed)
    rows, first, second = rows.copy(), np.zeros_like(rows), np.zeros_like(rows)
    targets = unit(lessons.taught @ basis)
    steps = EPOCHS * (len(lessons.ids) // BATCH)
    for step, batch in enumerate(_batches(len(lessons.ids), rng), 1):
        typo = rng.random(BATCH) < TYPO_SHARE
        sentences = [lessons.typos[n] if wrong else lessons.ids[n] for n, wrong in zip(batch, typo, strict=True)]
        slope = _slope(vectors(rows, sentences), targets[batch], lessons.taught[batch])
        touched, change = _by_row(sentences, slope)
        first[touched] += (1 - MOMENTS[0]) * (change - first[touched])
        second[touched] += (1 - MOMENTS[1]) * (change * change - second[touched])
        mean, spread = (m[touched] / (1 - b**step) for m, b in zip((first, second), MOMENTS, strict=True))
        rows[touched] -= np.float32(RATE * (1 - step / steps)) * mean / (np.sqrt(spread) + np.float32(EPSILON))
    return rows


def _batches(count: int, rng: np.random.Generator) -> Iterator[Ids]:
    for _ in range(EPOCHS):
        order = rng.permutation(count)
        for at in range(0, count - BATCH + 1, BATCH):
            yield order[at : at + BATCH]


def _slope(means: Floats, targets: Floats, taught: Floats) -> Floats:
    """How the loss, 1 - cos + KL_WEIGHT * KL of the likenesses within the batch, rises with each mean."""
    lengths = np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.float32(1e-6))
    units = means / lengths
    off = (_softmax(units @ units.T) - _softmax(taught @ taught.T)) * np.float32(KL_WEIGHT / TEMPERATURE)
    rise = (off + off.T) @ units - targets
    out: Floats = (rise - units * (rise * units).sum(1, keepdims=True)) / lengths / len(means)
    return out


def _softmax(likeness: Floats) -> Floats:
    """Of each row, without the sentence itself."""
    scaled = likeness / np.float32(TEMPERATURE)
    np.fill_diagonal(scaled, -np.inf)
    powers = np.exp(scaled - scaled.max(1, keepdims=True))
    out: Floats = powers / powers.sum(1, keepdims=True)
    return out


def _by_row(sentences: Sequence[Ids], slope: Floats) -> tuple[Ids, Floats]:
    """The rows that the sentences hold, and the slope of each."""
    counts = np.array([len(one) for one in sentences])
    flat = np.concatenate(sentences)
    order = np.argsort(flat, kind="stable")
    touched, starts = np.unique(flat[order], return_index=True)
    each = np.repeat(slope / counts[:, None].astype(np.float32), counts, axis=0)
    return touched, np.add.reduceat(each[order], starts)


def packed(rows: Floats, words: Sequence[str]) -> bytes:
    """The file: int8 rows, a half-precision scale a row, the pieces, the recipe's name. The same in, the same bytes."""
    scales = np.maximum(np.abs(rows).max(1) / 127, 1e-6).astype(np.float16)
    small = np.rint(rows / scales[:, None].astype(np.float32)).clip(-127, 127).astype(np.int8)
    vocabulary, recipe = (np.frombuffer(text.encode(), np.uint8) for text in ("\n".join(words), RECIPE))
    file = io.BytesIO()
    np.savez(file, rows=small, scales=scales, vocabulary=vocabulary, recipe=recipe)
    return file.getvalue()
