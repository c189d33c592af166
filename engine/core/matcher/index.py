"""The phrasings of a question's rules and declined topics, indexed: how like each of them is a text?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.core.matcher.embedding import Floats, unit
from engine.core.matcher.fitted import FEATURES, Encode, Floats64, Tier
from engine.core.matcher.words import Word, words_of

WORDS_KEPT: Final = 2_048
"""Of each question; some 300 bytes a word."""
ALIKE: Final = slice(2, 5)
"""Where FEATURES has what texts are like; the leads come last, in the same order."""


class Topic(NamedTuple):
    """One thing a message may be about: a rule (`intent`), or a declined topic (None).

    `keywords`: words of it that no phrasing holds.
    """

    intent: str | None
    examples: tuple[str, ...]
    keywords: tuple[str, ...] = ()


class Index(NamedTuple):
    topics: tuple[Topic, ...]
    rules: int
    """How many of the topics are rules: they come first."""
    declined: Floats
    """Of each topic, 1 if it is declined."""
    starts: NDArray[np.intp]
    """Of each topic, its first phrasing."""
    vectors: Floats
    """Of each phrasing."""
    middles: Floats
    """Of each topic, all its phrasings together."""
    nearest: Callable[[str], Floats]
    """Of any word, how like it is to the nearest word of each topic (0 to 1)."""
    rarity: Mapping[str, float]
    """Of a word, how much it tells; 1 where no topic uses it."""
    exact: Mapping[tuple[str, ...], int]


def rarity(topics: int) -> float:
    """The weight of a word that `topics` topics use. It ignores how many topics there are, so that one more
    rule that shares no words changes nothing between the others."""
    return 1.0 / (1.0 + math.log(topics)) if topics else 1.0


def build(topics: Sequence[Topic], synonyms: Sequence[Sequence[str]], tier: Tier) -> Index:
    """Index the topics, rules before those declined; some milliseconds for a pack. ValueError: one has no phrasing."""
    if empty := [topic.intent or "that is declined" for topic in topics if not topic.examples]:
        raise ValueError(f"a topic without a phrasing: {empty[0]}")
    starts = np.cumsum([0, *(len(topic.examples) for topic in topics[:-1])])
    vectors = tier.sentences([example for topic in topics for example in topic.examples])
    used = [_used(topic, synonyms) for topic in topics]
    spread = Counter(text for texts in used for text in texts)
    return Index(
        topics=tuple(topics),
        rules=sum(topic.intent is not None for topic in topics),
        declined=np.array([topic.intent is None for topic in topics], np.float32),
        starts=starts,
        vectors=vectors,
        middles=unit(np.add.reduceat(vectors, starts)),
        nearest=_nearest(used, tier.words),
        rarity={text: rarity(among) for text, among in spread.items()},
        exact={
            words: n for n in reversed(range(len(topics))) for text in topics[n].examples if (words := _words(text))
        },
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(one.text for one in words_of(text))


def _used(topic: Topic, synonyms: Sequence[Sequence[str]]) -> list[str]:
    """The words of a topic that tell anything, and those that the pack says mean the same."""
    own = {one.text for text in (*topic.examples, *topic.keywords) for one in words_of(text) if one.weight}
    for group in synonyms:
        alone = {found[0].text for found in map(words_of, group) if len(found) == 1}
        own |= alone if own & alone else set()
    return sorted(own)


def _nearest(used: Sequence[Sequence[str]], words: Encode) -> Callable[[str], Floats]:
    """Keeps what it has found: people use the same words."""
    row = {text: number for number, text in enumerate(dict.fromkeys(text for texts in used for text in texts), 1)}
    known = words([*row])
    lexicon = np.vstack([np.zeros_like(known[:1]), known])
    # Topic after topic, the rows it uses; the zeros first, for likeness is never less.
    uses = np.array([number for texts in used for number in (0, *(row[text] for text in texts))], np.intp)
    starts = np.cumsum([0, *(len(texts) + 1 for texts in used[:-1])])

    nothing = np.zeros(len(used), np.float32)

    @lru_cache(WORDS_KEPT)
    def nearest(text: str) -> Floats:
        vector = words([text])[0]
        if not vector.any():  # of another script, say
            return nothing
        return np.maximum.reduceat((lexicon @ vector).take(uses), starts)

    return nearest


def features(index: Index, texts: Sequence[str], vectors: Floats) -> Floats64:
    """What is known of each topic in each text: texts by topics by FEATURES. `vectors`: what the texts mean."""
    rows = np.empty((len(texts), len(index.topics), len(FEATURES)))
    read = [words_of(text) for text in texts]
    rows[..., 0] = 1.0
    rows[..., 1] = index.declined
    rows[..., 2] = np.maximum.reduceat(vectors @ index.vectors.T, index.starts, axis=1)
    rows[..., 3] = vectors @ index.middles.T
    rows[..., 4] = _cover(index, read)
    rows[..., 5] = 0.0
    for row, text in zip(rows, texts, strict=True):
        if (same := index.exact.get(_words(text))) is not None:
            row[same, 5] = 1.0
    rows[..., 6:] = _leads(rows[..., ALIKE])
    return rows


def _cover(index: Index, read: Sequence[Sequence[Word]]) -> Floats:
    """How well each topic's words cover a text: the mean, over its words, of the likeness to the topic's nearest word
    (as ColBERT scores late; Khattab and Zaharia 2020)."""
    telling = [{text: weight * index.rarity.get(text, 1.0) for text, weight in words if weight} for words in read]
    met = dict.fromkeys(chain.from_iterable(telling))
    if not met:
        return np.zeros((len(read), len(index.topics)), np.float32)
    shares = np.array([[weights.get(text, 0.0) for text in met] for weights in telling], np.float32)
    nearest = np.array([*map(index.nearest, met)])
    return np.asarray(shares @ nearest / np.maximum(np.add.reduce(shares, axis=1, keepdims=True), 1e-9))


def _leads(columns: Floats64) -> Floats64:
    """By how much each topic leads the best of the others, text by text and column by column."""
    if columns.shape[1] < 2:
        return columns
    by_column = columns.transpose(0, 2, 1).copy()
    highest = np.partition(by_column, -2)
    second, first = highest[..., -2:-1], highest[..., -1:]
    return np.asarray((by_column - np.where(by_column == first, second, first)).transpose(0, 2, 1))
