"""Texts to vectors of what they mean, each word read in its context."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple

import numpy as np

from engine.core.matcher.embedding import Floats, unit, word_pieces
from engine.core.matcher.words import tokens
from engine.semantic.model import DIMS

PIECES_MAX: Final = 128
"""Of a text, [CLS] and [SEP] counted: what the model was trained on. Some 100 words; 50 ms."""
WORDS_KEPT: Final = 8_192
SENTENCES_KEPT: Final = 2_048
"""Phrasings, 2 KB each: those of some ten packs."""

States = Callable[[Sequence[Sequence[int]]], Sequence[Floats]]
"""Of each text, as ids of pieces, one row a piece."""


class Cut(NamedTuple):
    """A text as the network reads it: its tokens, the pieces of all, and after how many pieces each token begins.

    There is one more beginning than tokens.
    """

    tokens: tuple[str, ...]
    ids: list[int]
    begins: list[int]


class Place(NamedTuple):
    """Where a text was read: which of the cuts, and which of its tokens."""

    cut: int
    first: int
    last: int


class Reader:
    """Reads texts through `states`, turned by a map (DIMS by DIMS).

    A text's vector is the mean of its words': marks, and what stands for the text as a whole, say less.
    """

    def __init__(self, states: States, vocabulary: Mapping[str, int], map: Floats) -> None:
        self._states, self._ids = states, vocabulary
        self._map: Floats = np.ascontiguousarray(map)
        self._begin, self._end = vocabulary["[CLS]"], vocabulary["[SEP]"]
        self._sentence = lru_cache(SENTENCES_KEPT)(lambda text: self.message([text])[0])
        self._pieces = lru_cache(WORDS_KEPT)(
            lambda token: [vocabulary[piece] for piece in word_pieces(token, vocabulary)]
        )

    def sentences(self, texts: Sequence[str]) -> Floats:
        """One row a text, each read by itself. It keeps what it has read: packs decline the same things."""
        return np.array([*map(self._sentence, texts)], np.float32).reshape(len(texts), DIMS)

    def message(self, texts: Sequence[str]) -> Floats:
        """One row a text. What is a part of a text before it is read within that text: in its light, and once."""
        return self.messages([texts])[0]

    def messages(self, many: Sequence[Sequence[str]]) -> list[Floats]:
        """The same of several messages, in one go; none changes another."""
        plans = [self._plan(texts) for texts in many]
        states = iter(self._states([cut.ids for cuts, _ in plans for cut in cuts]))
        return [self._pooled(cuts, places, [next(states) for _ in cuts]) for cuts, places in plans]

    def _plan(self, texts: Sequence[str]) -> tuple[list[Cut], list[Place]]:
        cuts: list[Cut] = []
        places = []
        for text in texts:
            sought = tokens(text)
            place = next(_within(cuts, sought), None)
            if place is None:
                cuts.append(self._cut(sought))
                place = Place(len(cuts) - 1, 0, len(cuts[-1].tokens))
            places.append(place)
        return cuts, places

    def _cut(self, text: tuple[str, ...]) -> Cut:
        ids, begins = [self._begin], [1]
        for token in text:
            ids += self._pieces(token)
            if len(ids) >= PIECES_MAX:
                break
            begins.append(len(ids))
        return Cut(text[: len(begins) - 1], [*ids[: begins[-1]], self._end], begins)

    def _pooled(self, cuts: Sequence[Cut], places: Sequence[Place], states: Sequence[Floats]) -> Floats:
        rows = np.zeros((len(places), DIMS), np.float32)
        for row, (number, first, last) in zip(rows, places, strict=True):
            cut = cuts[number]
            spans = (range(*cut.begins[n : n + 2]) for n in range(first, last) if cut.tokens[n].isalnum())
            # One by one, not as one product of matrices: a row is the same whatever stands beside it.
            row[:] = self._map @ np.add.reduce(states[number][[*chain.from_iterable(spans)]])
        return unit(rows)


def _within(cuts: Sequence[Cut], sought: tuple[str, ...]) -> Iterator[Place]:
    """Every place where these tokens stand in a row."""
    size = len(sought)
    for number, cut in enumerate(cuts):
        for first in range(len(cut.tokens) - size + 1):
            if cut.tokens[first : first + size] == sought:
                yield Place(number, first, first + size)
