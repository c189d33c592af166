"""A text to a vector of its meaning, by a table of word pieces that ships as data: table.md says where it comes from.

No context, so no network to run: the vector is the sum of the rows of the text's pieces, some 20 us a question.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.core.matcher.words import tokens

Floats = NDArray[np.float32]

WORD_CHARS_MAX: Final = 100
"""A longer word is not looked up, as in BERT's tokenizer."""
PIECE_CHARS_MAX: Final = 18
"""The longest piece of the vocabulary (a test holds it): keeps the search linear in the word."""


class Table(msgspec.Struct, frozen=True, eq=False):
    """Rows of word pieces, as small integers: row * scale is the piece's vector."""

    rows: NDArray[np.int8]
    scales: Floats
    ids: Mapping[str, int]
    recipe: str

    @property
    def dims(self) -> int:
        return int(self.rows.shape[1])

    def encode(self, texts: Sequence[str]) -> Floats:
        """One row a text, of length 1, or all zeros where nothing in the text is known."""
        sums = [np.add.reduce([self.word(token) for token in tokens(text)] or [self._nothing()]) for text in texts]
        return unit(np.array(sums, np.float32).reshape(len(texts), self.dims))

    def word(self, token: str) -> Floats:
        """The sum of the vectors of its pieces."""
        ids = [self.ids[piece] for piece in word_pieces(token, self.ids)]
        # Not a matrix product: that adds in another order on another processor.
        out: Floats = np.add.reduce(self.rows.take(ids, 0) * self.scales.take(ids)[:, None])
        return out

    def _nothing(self) -> Floats:
        return np.zeros(self.dims, np.float32)


def unit(rows: Floats) -> Floats:
    """Each of length 1, or left as zeros."""
    lengths = np.sqrt(np.add.reduce(rows * rows, axis=1, keepdims=True))
    return np.asarray(rows / np.maximum(lengths, 1e-9), np.float32)


def pieces(text: str, vocabulary: Mapping[str, int]) -> list[str]:
    """The WordPieces of a text, as BERT's uncased tokenizer cuts it."""
    return [piece for word in tokens(text) for piece in word_pieces(word, vocabulary)]


def word_pieces(word: str, vocabulary: Mapping[str, int]) -> list[str]:
    """Of a word as `tokens` gives it: the longest known piece first, "##" before all but the first. None of a word
    that cannot be cut into known pieces."""
    if word in vocabulary:
        return [word]
    return _cut(word, vocabulary) if len(word) <= WORD_CHARS_MAX else []


def _cut(word: str, vocabulary: Mapping[str, int]) -> list[str]:
    found, start = [], 0
    while start < len(word):
        for end in range(min(len(word), start + PIECE_CHARS_MAX), start, -1):
            piece = f"##{word[start:end]}" if start else word[:end]
            if piece in vocabulary:
                found.append(piece)
                start = end
                break
        else:
            return []
    return found


def read(data: bytes) -> Table:
    """The table of a file that tests/bench/matcher/distil.py wrote (a NumPy archive)."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        words = file["vocabulary"].tobytes().decode().split("\n")
        rows, scales = file["rows"], file["scales"].astype(np.float32)
        recipe = file["recipe"].tobytes().decode()
    rows.flags.writeable = scales.flags.writeable = False
    return Table(rows, scales, {word: number for number, word in enumerate(words)}, recipe)


@cache
def shipped() -> Table:
    """The table of the package. Reading it is the core's one I/O: it is part of the code, and cannot change."""
    return read(resources.files(__package__).joinpath("table.npz").read_bytes())
