"""What carried a decision of the matcher, for authors of packs: chances, nearest phrasings, what was weighed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.core.matcher import Compiled, match
from engine.core.matcher.decide import Matched, chances
from engine.core.matcher.declines import DEFAULT_DECLINES
from engine.core.matcher.embedding import Floats
from engine.core.matcher.fitted import FEATURES
from engine.core.matcher.index import Topic, features
from engine.core.matcher.words import TEXT_CHARS_MAX
from engine.core.pack import Clarification

TOP: Final = 3
"""So many rules, and as many declined topics, are told of: a fourth seldom has a chance worth a look."""
NONE: Final = "none of these"
WORDS: Final[Mapping[str, str]] = {
    "bias": "being a topic at all",
    "declined": "being a declined topic",
    "nearest": "meaning, of the nearest phrasing",
    "middle": "meaning, of all phrasings together",
    "cover": "meaning, word by word",
    "exact": "a phrasing word for word",
}
"""Features as people say them; one that is not here goes by its name."""
LEAD: Final = "_lead"


class Likely(msgspec.Struct, frozen=True, kw_only=True):
    """A topic and its chance; `phrasing`: what of it means most nearly the same, and how nearly (-1 to 1)."""

    topic: str
    declined: bool
    chance: float
    phrasing: str
    likeness: float


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was weighed: its values for the best and for the runner-up, and how much it speaks for the best.

    `speaks` is in log odds: all of them together are the logarithm of how many times likelier the best is.
    """

    feature: str
    words: str
    best: float
    runner_up: float
    speaks: float


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """One question of a message. `likely`: the likeliest rules, then the likeliest declined topics; `none`: the chance
    that it is none of all. `weighed` compares the `best` of all with the `runner_up`, or with the best rule if no rule
    is best; the most telling first. A named rule is it, though another may be likelier in these words: the
    message as a whole, its sentences and its clauses decide together."""

    matched: Matched
    likely: tuple[Likely, ...]
    none: float
    best: str
    runner_up: str
    weighed: tuple[Weighed, ...]


def explain(clarification: Clarification, compiled: Compiled, text: str) -> tuple[Explained, ...]:
    """Each question of a message as `match` decides it; `compiled` is of this clarification."""
    names = topic_names(clarification, compiled.index.topics)
    return tuple(_explained(compiled, names, found) for found in match(compiled, text))


def topic_names(clarification: Clarification, topics: Sequence[Topic]) -> list[str]:
    """What authors call each topic of an index: a rule's intent, or the name of what is declined."""
    declined = {tuple(texts): name for name, texts in DEFAULT_DECLINES.items()}
    declined |= {decline.examples: decline.topic for decline in clarification.declines}
    return [topic.intent or declined[topic.examples] for topic in topics]


def _explained(compiled: Compiled, names: Sequence[str], found: Matched) -> Explained:
    index, scored = compiled.index, found.text[:TEXT_CHARS_MAX]
    vector = compiled.tier.sentences([scored])[0]
    weights = compiled.tier.weights.features
    rows = features(index, [scored], vector[None])[0]
    odds = chances(rows, weights)
    order = [int(number) for number in np.argsort(-odds, kind="stable")]
    if found.intent:
        order.sort(key=lambda number: index.topics[number].intent != found.intent)
    told = [n for n in order if n < index.rules][:TOP] + [n for n in order if n >= index.rules][:TOP]
    # "None of these" is a topic of which nothing is known.
    none = max(0.0, 1.0 - float(odds.sum()))
    all_names, all_rows, all_odds = [*names, NONE], np.vstack([rows, np.zeros(rows.shape[1])]), np.append(odds, none)
    ranking = [int(number) for number in np.argsort(-all_odds, kind="stable")]
    best = compiled.intents.index(found.intent) if found.intent else ranking[0]
    runner_up = told[0] if best >= index.rules > 0 else next(number for number in ranking if number != best)
    return Explained(
        matched=found,
        likely=tuple(_likely(compiled, n, names[n], float(odds[n]), vector) for n in told),
        none=round(none, 4),
        best=all_names[best],
        runner_up=all_names[runner_up],
        weighed=_weighed(all_rows[best], all_rows[runner_up], weights),
    )


def _likely(compiled: Compiled, number: int, name: str, chance: float, vector: Floats) -> Likely:
    topic = compiled.index.topics[number]
    alike = compiled.tier.sentences(topic.examples) @ vector
    near = int(alike.argmax())
    return Likely(
        topic=name,
        declined=topic.intent is None,
        chance=round(chance, 4),
        phrasing=topic.examples[near],
        likeness=round(float(alike[near]), 4),
    )


def _weighed(
    best: NDArray[np.float64], runner_up: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[Weighed, ...]:
    found = [
        Weighed(
            feature=name,
            words=_words(name),
            best=round(float(best[n]), 4),
            runner_up=round(float(runner_up[n]), 4),
            speaks=round(float(weights[n] * (best[n] - runner_up[n])), 4),
        )
        for n, name in enumerate(FEATURES)
    ]
    return tuple(sorted((one for one in found if one.speaks), key=lambda one: -abs(one.speaks)))


def _words(feature: str) -> str:
    if feature in WORDS:
        return WORDS[feature]
    if feature.endswith(LEAD):
        return f"{_words(feature.removesuffix(LEAD))}: lead over the next topic"
    return feature.replace("_", " ")
