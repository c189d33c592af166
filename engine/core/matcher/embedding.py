"""A text to a vector of its meaning, by a table of word pieces that ships as data: table.md says where it comes from.

No context, so no network to run: the vector is the sum of the rows of the text's pieces, some 20 us a question.
"""

from __future__ import annotations

import io
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.core.matcher.words import TEXT_CHARS_MAX

Floats = NDArray[np.float32]

WORD_CHARS_MAX: Final = 100
"""A longer word is not looked up, as in BERT's tokenizer."""
PIECE_CHARS_MAX: Final = 18
"""The longest piece of the vocabulary (a test holds it): keeps the search linear in the word."""

_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")
_QUOTES: Final = dict.fromkeys(map(ord, "‘’ʼ′´"), "'") | dict.fromkeys(map(ord, "“”"), '"')
_DROPPED: Final = frozenset({"Mn", "Cc", "Cf"})
"""Accents, control and invisible characters: between letters they would tear a word apart."""


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
        vectors: Floats = np.zeros((len(texts), self.dims), np.float32)
        for number, text in enumerate(texts):
            if ids := [self.ids[piece] for piece in pieces(text, self.ids)]:
                # Not a matrix product: that adds in another order on another processor.
                vector = np.add.reduce(self.rows.take(ids, 0) * self.scales.take(ids)[:, None])
                if length := math.sqrt(np.add.reduce(vector * vector)):
                    vectors[number] = vector / np.float32(length)
        return vectors


def pieces(text: str, vocabulary: Mapping[str, int]) -> Iterator[str]:
    """The WordPieces of a text, as BERT's uncased tokenizer cuts it: the longest known piece first, "##" before all
    but a word's first. A word that cannot be cut into known pieces gives none."""
    for word in words_of(text):
        if word in vocabulary:
            yield word
        elif len(word) <= WORD_CHARS_MAX:
            yield from _cut(word, vocabulary)


def words_of(text: str) -> list[str]:
    """Words and marks, in one spelling."""
    return _WORD.findall(_plain(text[:TEXT_CHARS_MAX]))


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


def _plain(text: str) -> str:
    """Lower case, one spelling of each letter, no accents, nothing invisible."""
    if text.isascii() and text.isprintable():
        return text.lower()
    spelled = unicodedata.normalize("NFKD", text.translate(_QUOTES))[:TEXT_CHARS_MAX].lower()
    return "".join(one for one in spelled if one.isspace() or unicodedata.category(one) not in _DROPPED)


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
