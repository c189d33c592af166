"""The phrasings of a question's rules and declined topics, indexed: how like each of them is a message?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from engine.core.matcher.words import Groups, Terms, stems, terms

BM25_K: Final = 1.2
BM25_B: Final = 0.5


class Topic(NamedTuple):
    """One thing a message may be about: a rule (`intent`), or a declined topic (None)."""

    intent: str | None
    examples: tuple[str, ...]
    keywords: tuple[str, ...] = ()


class Likeness(NamedTuple):
    """How like one topic a message is; each from 0 (nothing shared) to about 1.

    bm25: its most like phrasing, by words; grams: the same by character grams; cover: how much of the message the
    topic's vocabulary knows; keyword: 1 if it holds one; exact: 1 if it is a phrasing word for word.
    """

    bm25: float
    grams: float
    cover: float
    keyword: float
    exact: float


class Postings(NamedTuple):
    """Of each term, the phrasings that hold it and how much it weighs there."""

    of: Mapping[str, tuple[tuple[int, float], ...]]
    rarity: Mapping[str, float]


class Index(NamedTuple):
    topics: tuple[Topic, ...]
    topic_of: tuple[int, ...]
    words: Postings
    grams: Postings
    vocabulary: tuple[Mapping[str, float], ...]
    keywords: tuple[frozenset[str], ...]
    exact: Mapping[tuple[str, ...], int]
    groups: Groups


def rarity(topics: int) -> float:
    """The weight of a term that `topics` topics use. It ignores how many topics there are, so that one more
    rule that shares no words changes nothing between the others."""
    return 1.0 / (1.0 + math.log(topics)) if topics else 1.0


def build(topics: Sequence[Topic], groups: Groups) -> Index:
    """Index the topics; a few milliseconds for a pack."""
    topic_of, texts = [], []
    for number, topic in enumerate(topics):
        for example in topic.examples:
            topic_of.append(number)
            texts.append(terms(example, groups))
    words = _postings([text.words for text in texts], topic_of, saturate=True)
    grams = _postings([text.grams for text in texts], topic_of, saturate=False)
    return Index(
        topics=tuple(topics),
        topic_of=tuple(topic_of),
        words=words,
        grams=grams,
        vocabulary=tuple(_vocabulary(n, texts, topic_of) for n in range(len(topics))),
        keywords=tuple(_keywords(topic, groups) for topic in topics),
        exact={stems(text): n for n in reversed(range(len(topics))) for text in topics[n].examples},
        groups=groups,
    )


def _postings(texts: Sequence[Mapping[str, float]], topic_of: Sequence[int], *, saturate: bool) -> Postings:
    spread: dict[str, dict[int, None]] = {}
    for text, topic in zip(texts, topic_of, strict=True):
        for term in text:
            spread.setdefault(term, {})[topic] = None
    weights = {term: rarity(len(among)) for term, among in spread.items()}
    of: dict[str, list[tuple[int, float]]] = {}
    mean = sum(map(len, texts)) / max(1, len(texts)) or 1.0
    for number, text in enumerate(texts):
        norm = math.sqrt(sum((w * weights[term]) ** 2 for term, w in text.items())) or 1.0
        damp = (BM25_K + 1) / (1 + BM25_K * (1 - BM25_B + BM25_B * len(text) / mean))
        for term, weight in text.items():
            of.setdefault(term, []).append((number, damp if saturate else weight * weights[term] / norm))
    return Postings({term: tuple(found) for term, found in of.items()}, weights)


def _vocabulary(topic: int, texts: Sequence[Terms], topic_of: Sequence[int]) -> Mapping[str, float]:
    """How surely each word belongs to a topic: half for one phrasing, three quarters for two, ..."""
    counts = Counter(term for text, of in zip(texts, topic_of, strict=True) if of == topic for term in text.words)
    return {term: 1.0 - 0.5**count for term, count in counts.items()}


def _keywords(topic: Topic, groups: Groups) -> frozenset[str]:
    return frozenset(term for word in topic.keywords for term in terms(word, groups).words if term[0] != "~")


def likeness(index: Index, text: str) -> tuple[Likeness, ...]:
    """How like each topic a message is, in the order of the topics."""
    message = terms(text, index.groups)
    same = index.exact.get(stems(text))
    total = sum(w * index.words.rarity.get(term, 1.0) for term, w in message.words.items()) or 1.0
    bm25 = _best(index, index.words, message.words)
    length = math.sqrt(sum((w * index.grams.rarity.get(g, 1.0)) ** 2 for g, w in message.grams.items())) or 1.0
    grams = _best(index, index.grams, message.grams)
    found = []
    for number in range(len(index.topics)):
        known = index.vocabulary[number]
        cover = sum(
            w * index.words.rarity.get(term, 1.0) * known[term] for term, w in message.words.items() if term in known
        )
        keyword = float(any(term in index.keywords[number] for term in message.words))
        exact = float(number == same)
        found.append(Likeness(bm25[number] / total, grams[number] / length, cover / total, keyword, exact))
    return tuple(found)


def _best(index: Index, postings: Postings, message: Mapping[str, float]) -> list[float]:
    """Of each topic, the score of its phrasing that is most like the message."""
    scores = [0.0] * len(index.topic_of)
    for term, weight in message.items():
        heavy = weight * postings.rarity.get(term, 1.0)
        for number, there in postings.of.get(term, ()):
            scores[number] += heavy * there
    best = [0.0] * len(index.topics)
    for topic, score in zip(index.topic_of, scores, strict=True):
        best[topic] = max(best[topic], score)
    return best
