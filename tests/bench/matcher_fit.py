"""Fit the matcher's weights, and say how well they do on packs they were not fitted on.

    python -m tests.bench.matcher_fit [folder of CLINC150]

Training: few-shot episodes out of CLINC150 (ten intents, 4 to 11 phrasings each, near misses from held-back intents
of the same domain, some of those declined) and the eval sets of the shipped packs, each counted six times. Every
pack's row is from weights fitted without it. Prints the weights for engine/core/matcher/decide.py.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.core.matcher import compile_rules
from engine.core.matcher.decide import (
    ANSWER_MARGIN_MIN,
    ANSWER_SCORE_MIN,
    CONFIRM_SCORE_MIN,
    WEIGHTS,
    Weights,
)
from engine.core.matcher.declines import DEFAULT_DECLINES
from engine.core.matcher.index import Index, Topic, build, likeness
from engine.core.matcher.words import SYNONYMS, compile_groups
from engine.core.pack import Pack, parse_pack

Array = NDArray[np.float64]
PACKS_DIR = Path(__file__).parents[2] / "engine" / "packs"
EPISODES, PACK_REPEATS, STEPS, RATE, L2 = 40, 6, 400, 0.1, 1e-3
NONE = -1


class Example(NamedTuple):
    """A message as features (topics by weights), the topics that are declined, and the right one (or NONE)."""

    features: Array
    declined: NDArray[np.bool_]
    right: int


def features(index: Index, text: str) -> Array:
    """What decide.py computes of each topic, one row a topic, in the order of Weights."""
    likes = np.array([like[:4] for like in likeness(index, text)])
    best = np.sort(likes[:, :3], axis=0)
    leads = likes[:, :3] - np.where(likes[:, :3] == best[-1], best[-2], best[-1])
    declined = np.array([[float(topic.intent is None)] for topic in index.topics])
    ones = np.ones((len(likes), 1))
    return np.hstack([ones, declined, likes, np.zeros_like(ones), leads])


def example(index: Index, text: str, right: int) -> Example:
    return Example(features(index, text), np.array([topic.intent is None for topic in index.topics]), right)


def pack_examples(pack: Pack) -> list[Example]:
    index = compile_rules(pack.clarification).index
    names = [topic.intent for topic in index.topics]
    rows = [(item.q, NONE if item.intent is None else names.index(item.intent)) for item in pack.clarification.eval]
    return [example(index, text, right) for text, right in rows]


def episode(phrasings: dict[str, list[str]], domains: list[list[str]], chance: random.Random) -> list[Example]:
    """One made-up question: ten intents, up to three declined ones, and messages about these and about others."""
    drawn = chance.sample(chance.choice(domains), 15)
    shots, declines = chance.choice((4, 8, 11)), chance.randrange(4)
    texts = {intent: chance.sample(phrasings[intent], 60) for intent in drawn}
    topics = [Topic(intent, tuple(texts[intent][:shots])) for intent in drawn[:10]]
    topics += [Topic(None, tuple(texts[intent][:3])) for intent in drawn[10 : 10 + declines]]
    if chance.random() < 0.5:
        topics += [Topic(None, examples) for examples in DEFAULT_DECLINES.values()]
    index = build(topics, compile_groups(SYNONYMS))
    rows = []
    for _ in range(25):
        at = chance.randrange(10)
        rows.append((chance.choice(texts[drawn[at]][shots:]), at))
    for _ in range(10):
        at = chance.randrange(10, 15)
        rows.append((chance.choice(texts[drawn[at]][3:]), at if at < 10 + declines else NONE))
    for _ in range(8):
        rows.append((chance.choice(phrasings["oos"]), NONE))
    return [example(index, text, right) for text, right in rows]


def clinc_examples(folder: Path) -> list[Example]:
    splits: dict[str, list[list[str]]] = json.loads((folder / "data_full.json").read_text())
    phrasings: dict[str, list[str]] = {}
    for text, intent in (row for rows in splits.values() for row in rows):
        phrasings.setdefault(intent, []).append(text)
    domains: list[list[str]] = list(json.loads((folder / "domains.json").read_text()).values())
    across = [[intent for domain in domains for intent in domain]] * (len(domains) // 2)
    chance = random.Random(7)
    return [one for _ in range(EPISODES) for one in episode(phrasings, domains + across, chance)]


def chances(one: Example, weights: Array) -> Array:
    """The chance of each topic, then that of none."""
    utilities = np.append(one.features @ weights, 0.0)
    powers = np.exp(utilities - utilities.max())
    return np.asarray(powers / powers.sum())


def settled(examples: Iterable[Example], weights: Array) -> list[Example]:
    """A message that no rule answers may go to a declined topic or to none: take what it already leans to."""
    found = []
    for one in examples:
        if one.right == NONE:
            leaning = np.append(np.where(one.declined, chances(one, weights)[:-1], 0.0), chances(one, weights)[-1])
            best = int(np.argmax(leaning))
            one = one._replace(right=NONE if best == len(one.declined) else best)
        found.append(one)
    return found


def fit(examples: Sequence[Example], start: Array) -> Array:
    """Maximum likelihood of a conditional logit with "none" of utility 0, by Adam."""
    widest = max(len(one.features) for one in examples)
    rows = np.zeros((len(examples), widest, len(start)))
    closed = np.full((len(examples), widest + 1), -1e9)
    wanted = np.zeros((len(examples), widest + 1))
    for at, one in enumerate(examples):
        rows[at, : len(one.features)] = one.features
        closed[at, : len(one.features)] = closed[at, -1] = 0.0
        wanted[at, one.right] = 1.0
    weights, first, second = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for step in range(1, STEPS + 1):
        utilities = np.hstack([rows @ weights, np.zeros((len(rows), 1))]) + closed
        powers = np.exp(utilities - utilities.max(axis=1, keepdims=True))
        error = powers / powers.sum(axis=1, keepdims=True) - wanted
        slope = np.einsum("nt,ntf->f", error[:, :-1], rows) / len(rows) + L2 * weights
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
        weights = weights - RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
    return weights


def train(public: Sequence[Example], own: Sequence[Example]) -> Array:
    weights = np.zeros(len(Weights._fields))
    for _ in range(3):
        weights = fit([*public, *settled(own, weights) * PACK_REPEATS], weights)
    return weights


def score(examples: Iterable[Example], weights: Array) -> dict[str, int]:
    """How the three zones fall out."""
    counts = dict.fromkeys(
        ("answered", "confirmed", "wrong", "misled", "silent", "false", "false asked back", "kept off"), 0
    )
    for one in examples:
        chance = chances(one, weights)[:-1]
        best = int(np.argmax(np.where(one.declined, -1.0, chance)))
        lead = chance[best] - np.max(np.delete(chance, best))
        answer = chance[best] >= ANSWER_SCORE_MIN and lead >= ANSWER_MARGIN_MIN
        confirm = not answer and chance[best] >= CONFIRM_SCORE_MIN and lead > 0
        if one.right == NONE:
            counts["false" if answer else "false asked back" if confirm else "kept off"] += 1
        elif not answer and not confirm:
            counts["silent"] += 1
        elif best == one.right:
            counts["answered" if answer else "confirmed"] += 1
        else:
            counts["wrong" if answer else "misled"] += 1
    return counts


def show(name: str, value: Any) -> None:
    sys.stdout.write(f"{name:>16}  {value}\n")


def main(arguments: Sequence[str]) -> None:
    packs = [pack for path in sorted(PACKS_DIR.glob("*.yaml")) if (pack := parse_pack(path.read_bytes())).playable]
    own = [pack_examples(pack) for pack in packs]
    now = np.array(WEIGHTS)
    for pack, examples in zip(packs, own, strict=True):
        show(f"now {pack.id}", score(examples, now))
    if not arguments:
        show("not fitted", "give the folder that holds CLINC150's data_full.json and domains.json")
        return
    public = clinc_examples(Path(arguments[0]))
    for at, pack in enumerate(packs):
        others = [one for n, examples in enumerate(own) if n != at for one in examples]
        show(f"without {pack.id}", score(own[at], train(public, others)))
    weights = train(public, [one for examples in own for one in examples])
    # A phrasing met word for word is no matter of chance: that weight is set by hand.
    show("weights", Weights(*(round(float(weight), 2) for weight in weights))._replace(exact=WEIGHTS.exact))


if __name__ == "__main__":
    main(sys.argv[1:])
