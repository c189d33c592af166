"""Our matcher as the benchmark asks it: map and weights fitted without the question that is tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from engine.core.matcher import Compiled, Tier, compile_topics, likely, ranked
from engine.core.matcher.embedding import shipped
from engine.core.matcher.fitted import Encode, Reader, Weights
from tests.bench.matcher.adapt import STAY, Map, learn, lesson
from tests.bench.matcher.development import Question
from tests.bench.matcher.fit import PHRASINGS, heard, train
from tests.bench.matcher.measure import Answer, Asked

FOLDS = 6
NOTHING = Weights(np.zeros(0), np.zeros(0))


class Learner(NamedTuple):
    """What a tier is made of before anything is learnt: its encoder, how a map and weights make a tier of it, how dear
    the map's way from the identity is, and whether it learns from what no rule answers."""

    encode: Encode
    tier: Callable[[Map, Weights], Tier]
    stay: float = STAY
    outside: bool = False


def _static(map: Map, weights: Weights) -> Tier:
    reader = Reader(shipped(), map.astype(np.float32))
    return Tier("trial", reader.sentences, reader.sentences, reader.words, weights)


STATIC = Learner(shipped().encode, _static)


class Fitted(NamedTuple):
    """What is learnt: how to turn vectors, how to weigh what is known, and the matcher's tier with both."""

    map: Map
    weights: Weights
    tier: Tier


def fit_on(questions: Sequence[Question], learner: Learner) -> Fitted:
    """Learn from these questions. The weights see each of them through a map that was learnt without it, for that is
    how they will see a question they have never met.
    """
    lessons = {one.slug: lesson(one, learner.encode, outside=learner.outside) for one in questions}
    found = []
    for at in range(FOLDS):
        held = questions[at::FOLDS]
        names = {one.slug for one in held}
        map = learn([own for slug, own in lessons.items() if slug not in names], learner.stay)
        seen = learner.tier(map, NOTHING)
        found += [
            message
            for one in held
            for count in PHRASINGS
            for declines in (False, True)
            for message in heard(one, seen, count, declines=declines)
        ]
    map, weights = learn(list(lessons.values()), learner.stay), train(found)
    return Fitted(map, weights, learner.tier(map, weights))


def left_out(questions: Sequence[Question], learner: Learner, at: int) -> dict[str, Fitted]:
    """Of each question of fold `at`, what is learnt from those outside it."""
    held = {one.slug for one in questions[at::FOLDS]}
    fitted = fit_on([one for one in questions if one.slug not in held], learner)
    return dict.fromkeys(held, fitted)


def ask(compiled: Compiled, text: str, score_min: float) -> Answer:
    """What `intents` would say with this threshold, with the ranking behind it."""
    order = ranked(compiled, text)
    return Answer(frozenset(likely(compiled, text, score_min)), tuple(intent for intent, _ in order), order[0][1])


def asked(question: Question, tier: Tier, score_min: float, phrasings: int, *, declines: bool) -> list[Asked]:
    """All that was said to a question, answered."""
    rules = {intent: texts[:phrasings] for intent, texts in question.rules.items()}
    compiled = compile_topics(rules, question.declines if declines else {}, tier)
    return [Asked(said, ask(compiled, said.text, score_min)) for said in question.said]
