"""What was learnt on the development set, and the tier that it makes: how to turn the table's vectors towards
interviews, how to weigh what is known of a topic, how much the readings of a message count.

`./run bench matcher-fit` writes the file; table.md names its sum.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.core.matcher.embedding import Floats, Table, shipped, unit
from engine.core.matcher.words import tokens

FILE: Final = "fitted.npz"
FEATURES: Final = (
    "bias", "declined", "nearest", "middle", "cover", "exact", "nearest_lead", "middle_lead", "cover_lead",
)  # fmt: skip
"""What is known of a topic, in the order of the weights. A lead is that over the best other topic."""
READINGS: Final = ("bias", "whole", "sentences", "clauses", "has_sentences", "has_clauses")
"""What is known of a rule in a message, in the order of its weights: the log odds in the message as a whole, the best
in a sentence and the best in a clause of it."""
TOKENS_KEPT: Final = 8_192
"""Vectors of words, half a KB each: as many as people use."""

Floats64 = NDArray[np.float64]
Encode = Callable[[Sequence[str]], Floats]
"""Texts to rows of length 1: what they mean; all zeros where nothing in a text is known."""


class Weights(NamedTuple):
    """`features`: of a conditional logit with a "none of these" of utility 0. `readings`: of a logit a rule."""

    features: Floats64
    readings: Floats64


class Tier(msgspec.Struct, frozen=True, eq=False):
    """How well the matcher reads: what gives sentences their meaning, and single words, and what was fitted to it.

    `version` goes with every decision into the record, and changes with any change of decisions. `sentences` reads
    texts one by one; `message`, the texts of one message, its parts perhaps in the light of the whole.
    """

    version: str
    sentences: Encode
    message: Encode
    words: Encode
    weights: Weights


class Reader:
    """The table, turned by a map. It keeps the vectors of words it has met."""

    def __init__(self, table: Table, map: Floats) -> None:
        turned: Floats = np.ascontiguousarray(map.T)
        # Word by word, and the sum not a matrix product: a text is the same whatever stands beside it.
        # As bytes: many rows are joined quicker than NumPy stacks them.
        self._token = lru_cache(TOKENS_KEPT)(lambda token: (table.word(token) @ turned).tobytes())
        self._dims = table.dims

    def sentences(self, texts: Sequence[str]) -> Floats:
        """One row a text."""
        sums = [np.add.reduce(self._rows(tokens(text))) for text in texts]
        return unit(np.array(sums, np.float32).reshape(len(texts), self._dims))

    def words(self, words: Sequence[str]) -> Floats:
        """One row a word, as `tokens` gives it."""
        return unit(self._rows(words))

    def _rows(self, words: Sequence[str]) -> Floats:
        return np.frombuffer(b"".join(map(self._token, words)), np.float32).reshape(len(words), self._dims)


class Fitted(NamedTuple):
    """The map that turns vectors (dims by dims), and the weights."""

    map: Floats
    weights: Weights


@cache
def fitted() -> Fitted:
    """What ships. Like the table, it is part of the code and cannot change."""
    with np.load(io.BytesIO(resources.files(__package__).joinpath(FILE).read_bytes()), allow_pickle=False) as file:
        map, weights = file["map"].astype(np.float32), Weights(file["features"], file["readings"])
    for learnt in (map, *weights):
        learnt.flags.writeable = False
    return Fitted(map, weights)


@cache
def reader() -> Reader:
    """The table that ships, turned by the map that ships."""
    return Reader(shipped(), fitted().map)
