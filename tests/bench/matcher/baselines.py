"""What the matcher has to beat: BM25, character n-grams, rapidfuzz. Small, and of the textbook's kind.

Each gets the same segments as ours, and a threshold chosen on questions it is not tested on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from engine.core.matcher.segments import sentences
from engine.core.matcher.words import stem, words_of
from tests.bench.matcher.measure import Answer, Matcher

Rules = Mapping[str, Sequence[str]]
Score = Callable[[str], dict[str, float]]
"""A message's likeness to each rule: that of the most like phrasing."""
Method = Callable[[Rules], Score]


def bm25(rules: Rules) -> Score:
    """Okapi BM25 over stems, each phrasing a document (Robertson and Zaragoza, 2009; k1 1.2, b 0.75)."""
    texts = [(intent, Counter(_stems(text))) for intent, examples in rules.items() for text in examples]
    mean = sum(sum(text.values()) for _, text in texts) / max(1, len(texts))
    holds = Counter(term for _, text in texts for term in text)

    def score(message: str) -> dict[str, float]:
        found = dict.fromkeys(rules, 0.0)
        wanted = set(_stems(message))
        for intent, text in texts:
            length = sum(text.values())
            value = sum(
                math.log(1 + (len(texts) - holds[t] + 0.5) / (holds[t] + 0.5))
                * text[t] * 2.2 / (text[t] + 1.2 * (0.25 + 0.75 * length / mean))
                for t in wanted if t in text
            )  # fmt: skip
            found[intent] = max(found[intent], value)
        return found

    return score


def char_grams(rules: Rules) -> Score:
    """TF-IDF over character 3- and 4-grams within words, cosine."""
    texts = [(intent, _grams(text)) for intent, examples in rules.items() for text in examples]
    holds = Counter(gram for _, text in texts for gram in text)
    rare = {gram: math.log((1 + len(texts)) / (1 + n)) + 1 for gram, n in holds.items()}

    def vector(text: Counter[str]) -> dict[str, float]:
        weighed = {gram: n * rare.get(gram, 0.0) for gram, n in text.items()}
        length = math.sqrt(sum(w * w for w in weighed.values())) or 1.0
        return {gram: w / length for gram, w in weighed.items()}

    vectors = [(intent, vector(text)) for intent, text in texts]

    def score(message: str) -> dict[str, float]:
        found, mine = dict.fromkeys(rules, 0.0), vector(_grams(message))
        for intent, theirs in vectors:
            value = sum(w * theirs[gram] for gram, w in mine.items() if gram in theirs)
            found[intent] = max(found[intent], value)
        return found

    return score


def fuzzy(rules: Rules) -> Score:
    """rapidfuzz's token_set_ratio, the best of its scorers here."""
    from rapidfuzz import fuzz

    def score(message: str) -> dict[str, float]:
        low = message.casefold()
        return {
            intent: max(fuzz.token_set_ratio(low, text.casefold()) for text in examples) / 100
            for intent, examples in rules.items()
        }

    return score


def matcher(score: Score, threshold: float) -> Matcher:
    """Segment by segment, at most one rule each, where the score reaches the threshold."""

    def ask(text: str) -> Answer:
        whole = score(text)
        ranked = tuple(sorted(whole, key=lambda intent: -whole[intent]))
        parts = sentences(text)
        answers = [_best(score(part)) for part in parts] if len(parts) > 1 else []
        named = {intent for intent, value in answers if value >= threshold}
        if not named and whole[ranked[0]] >= threshold:
            named = {ranked[0]}
        return Answer(frozenset(named), ranked, whole[ranked[0]])

    return ask


def _best(scores: dict[str, float]) -> tuple[str, float]:
    intent = max(scores, key=lambda one: scores[one])
    return intent, scores[intent]


def _stems(text: str) -> list[str]:
    return [stem(word.text) for word in words_of(text) if word.weight]


def _grams(text: str) -> Counter[str]:
    words = "".join(c if c.isalnum() else " " for c in text.casefold()).split()
    return Counter(
        f" {word} "[at : at + size] for word in words for size in (3, 4) for at in range(len(word) + 3 - size)
    )
