"""What was learnt on the development set: how to turn the table's vectors, and how to weigh what is known of a topic.

`python -m tests.bench.matcher fit` writes the file; a test holds its sum.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.core.matcher.embedding import Floats, shipped

FILE: Final = "fitted.npz"
FEATURES: Final = (
    "bias", "declined", "nearest", "middle", "bm25", "grams", "cover", "keyword", "exact",
    "nearest_lead", "middle_lead", "bm25_lead", "grams_lead", "cover_lead",
)  # fmt: skip
"""What is known of a topic, in the order of the weights. A lead is that over the best other topic."""

Weights = NDArray[np.float64]
"""Of a conditional logit with a "none of these" of utility 0, by feature."""


class Fitted(NamedTuple):
    """The map that turns vectors (dims by dims), and the weights."""

    map: Floats
    weights: Weights


@cache
def fitted() -> Fitted:
    """What ships. Like the table, it is part of the code and cannot change."""
    with np.load(io.BytesIO(resources.files(__package__).joinpath(FILE).read_bytes()), allow_pickle=False) as file:
        map, weights = file["map"].astype(np.float32), file["weights"]
    map.flags.writeable = weights.flags.writeable = False
    return Fitted(map, weights)


def encode(texts: Sequence[str]) -> Floats:
    """One row a text, of length 1, turned towards interviews; all zeros where nothing in the text is known."""
    return turn(shipped().encode(texts), fitted().map)


def turn(rows: Floats, map: Floats) -> Floats:
    """Rows as the map has them, of length 1 again."""
    turned = rows @ map.T
    lengths = np.sqrt((turned * turned).sum(axis=1, keepdims=True))
    return np.asarray(turned / np.maximum(lengths, 1e-9), np.float32)
