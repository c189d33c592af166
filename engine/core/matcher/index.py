"""The phrasings of a question's rules and declined topics, indexed: how like each of them is a message?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.core.matcher.words import Groups, Terms, stems, terms, terms_of, words_of

Array = NDArray[np.float32]
Likes = NDArray[np.float64]
Encode = Callable[[Sequence[str]], Array]
"""Texts to rows of unit length: what they mean, as far as the encoder knows."""

BM25_K: Final = 1.2
BM25_B: Final = 0.5


class Topic(NamedTuple):
    """One thing a message may be about: a rule (`intent`), or a declined topic (None)."""

    intent: str | None
    examples: tuple[str, ...]
    keywords: tuple[str, ...] = ()


class Likeness(NamedTuple):
    """How like each topic a message is, one row a topic; each from 0 (nothing shared) to about 1.

    nearest: its most like phrasing, by meaning; middle: all its phrasings together, by meaning; bm25: its most like
    phrasing, by words; grams: the same by character grams; cover: how much of the message the topic's vocabulary
    knows; keyword: 1 if it holds one; exact: 1 if it is a phrasing word for word.
    """

    nearest: Likes
    middle: Likes
    bm25: Likes
    grams: Likes
    cover: Likes
    keyword: Likes
    exact: Likes


class Postings(NamedTuple):
    """A sparse matrix of terms by rows (phrasings, or topics), term after term: `row[term]` has its place in `starts`
    and `lengths`, these theirs in `at` (which row) and `weights`. `rarity`: how much a term tells at all.
    """

    row: Mapping[str, int]
    starts: NDArray[np.intp]
    lengths: NDArray[np.intp]
    at: NDArray[np.intp]
    weights: NDArray[np.float64]
    rarity: NDArray[np.float64]
    rare: tuple[float, ...]
    rows: int


class Index(NamedTuple):
    topics: tuple[Topic, ...]
    rules: int
    """How many of the topics are rules: they come first."""
    declined: Array
    """Of each topic, 1 if it is declined."""
    starts: NDArray[np.intp]
    """Of each topic, its first phrasing."""
    vectors: Array
    middles: Array
    words: Postings
    grams: Postings
    known: Postings
    """Words by topic: how surely each belongs to it."""
    keywords: tuple[frozenset[str], ...]
    keyed: tuple[int, ...]
    """The topics that have keywords."""
    exact: Mapping[tuple[str, ...], int]
    groups: Groups


def rarity(topics: int) -> float:
    """The weight of a term that `topics` topics use. It ignores how many topics there are, so that one more
    rule that shares no words changes nothing between the others."""
    return 1.0 / (1.0 + math.log(topics)) if topics else 1.0


def build(topics: Sequence[Topic], groups: Groups, encode: Encode) -> Index:
    """Index the topics, rules before those declined, each with a phrasing; some milliseconds for a pack."""
    topic_of = [number for number, topic in enumerate(topics) for _ in topic.examples]
    phrasings = [example for topic in topics for example in topic.examples]
    texts = [terms(example, groups) for example in phrasings]
    starts = np.cumsum([0, *(len(topic.examples) for topic in topics[:-1])])
    vectors = encode(phrasings)
    return Index(
        topics=tuple(topics),
        rules=sum(topic.intent is not None for topic in topics),
        declined=np.array([topic.intent is None for topic in topics], np.float32),
        starts=starts,
        vectors=vectors,
        middles=_unit(np.add.reduceat(vectors, starts)),
        words=_postings([text.words for text in texts], topic_of, saturate=True),
        grams=_postings([text.grams for text in texts], topic_of, saturate=False),
        known=_vocabulary(len(topics), texts, topic_of),
        keywords=tuple(_keywords(topic, groups) for topic in topics),
        keyed=tuple(number for number, topic in enumerate(topics) if topic.keywords),
        exact={stems(text): n for n in reversed(range(len(topics))) for text in topics[n].examples},
        groups=groups,
    )


def _unit(rows: Array) -> Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-9), np.float32)


def _postings(texts: Sequence[Mapping[str, float]], topic_of: Sequence[int], *, saturate: bool) -> Postings:
    spread: dict[str, set[int]] = {}
    for text, topic in zip(texts, topic_of, strict=True):
        for term in text:
            spread.setdefault(term, set()).add(topic)
    weights = {term: rarity(len(among)) for term, among in spread.items()}
    of: dict[str, list[tuple[int, float]]] = {}
    mean = sum(map(len, texts)) / max(1, len(texts)) or 1.0
    for number, text in enumerate(texts):
        norm = 1.0 if saturate else math.sqrt(sum((w * weights[term]) ** 2 for term, w in text.items())) or 1.0
        damp = (BM25_K + 1) / (1 + BM25_K * (1 - BM25_B + BM25_B * len(text) / mean))
        for term, weight in text.items():
            of.setdefault(term, []).append((number, damp if saturate else weight * weights[term] / norm))
    return _packed(of, weights, len(texts))


def _packed(of: Mapping[str, list[tuple[int, float]]], rarity: Mapping[str, float], rows: int) -> Postings:
    lengths = np.array([len(found) for found in of.values()], np.intp)
    return Postings(
        row={term: number for number, term in enumerate(of)},
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        at=np.array([number for found in of.values() for number, _ in found], np.intp),
        weights=np.array([weight for found in of.values() for _, weight in found]),
        rarity=np.array([rarity[term] for term in of]),
        rare=tuple(rarity[term] for term in of),
        rows=rows,
    )


def _vocabulary(topics: int, texts: Sequence[Terms], topic_of: Sequence[int]) -> Postings:
    """How surely each word belongs to a topic: half for one phrasing, three quarters for two, ..."""
    counts = Counter((term, topic) for text, topic in zip(texts, topic_of, strict=True) for term in text.words)
    of: dict[str, list[tuple[int, float]]] = {}
    for (term, topic), count in counts.items():
        of.setdefault(term, []).append((topic, 1.0 - 0.5**count))
    return _packed(of, {term: rarity(len(found)) for term, found in of.items()}, topics)


def _keywords(topic: Topic, groups: Groups) -> frozenset[str]:
    return frozenset(term for word in topic.keywords for term in terms(word, groups).words if term[0] != "~")


def likeness(index: Index, text: str, vector: Array) -> Likeness:
    """How like each topic a message is, in the order of the topics; `vector`: what it means."""
    found = words_of(text)
    message = terms_of(found, index.groups)
    keyword, exact = np.zeros((2, len(index.topics)))
    for number in index.keyed:
        keyword[number] = not index.keywords[number].isdisjoint(message.words)
    if (same := index.exact.get(tuple(word.stem for word in found))) is not None:
        exact[same] = 1.0
    total = _sum(index.words, message.words) or 1.0
    length = math.sqrt(_sum(index.grams, message.grams, 2)) or 1.0
    return Likeness(
        nearest=np.maximum.reduceat(index.vectors @ vector, index.starts).astype(np.float64),
        middle=(index.middles @ vector).astype(np.float64),
        bm25=np.maximum.reduceat(_scores(index.words, message.words), index.starts) / total,
        grams=np.maximum.reduceat(_scores(index.grams, message.grams), index.starts) / length,
        cover=_scores(index.known, message.words) / total,
        keyword=keyword,
        exact=exact,
    )


def _scores(postings: Postings, message: Mapping[str, float]) -> Likes:
    """Of each row, the sum of what it shares with the message."""
    found = [(row, weight) for term, weight in message.items() if (row := postings.row.get(term)) is not None]
    if not found:
        return np.zeros(postings.rows)
    rows, weights = np.array([row for row, _ in found]), np.array([weight for _, weight in found])
    lengths = postings.lengths[rows]
    ends = np.cumsum(lengths)
    entries = np.repeat(postings.starts[rows] - ends + lengths, lengths) + np.arange(ends[-1])
    shared = np.repeat(weights * postings.rarity[rows], lengths) * postings.weights[entries]
    return np.asarray(np.bincount(postings.at[entries], shared, postings.rows), np.float64)


def _sum(postings: Postings, message: Mapping[str, float], power: int = 1) -> float:
    """What all of the message weighs: an unknown term tells as much as one that a single topic uses."""
    row, rarity = postings.row, postings.rare
    return sum((weight * (rarity[row[term]] if term in row else 1.0)) ** power for term, weight in message.items())
