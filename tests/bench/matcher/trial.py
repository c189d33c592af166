"""Our matcher as the benchmark asks it: map and weights fitted without the question that is tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from engine.core.matcher import Compiled, Tier, compile_topics, likely, ranked
from engine.core.matcher.embedding import shipped
from engine.core.matcher.fitted import Encode, Reader, Weights
from tests.bench.matcher.adapt import Map, learn, lesson
from tests.bench.matcher.development import Question
from tests.bench.matcher.fit import PHRASINGS, heard, train
from tests.bench.matcher.measure import Answer, Asked

FOLDS = 6


class Learner(NamedTuple):
    """What a tier is made of before anything is learnt: its encoder, and, of a map, how sentences and words are read
    through it."""

    encode: Encode
    through: Callable[[Map], tuple[Encode, Encode]]


def _through(map: Map) -> tuple[Encode, Encode]:
    reader = Reader(shipped(), map.astype(np.float32))
    return reader.sentences, reader.words


STATIC = Learner(shipped().encode, _through)


class Fitted(NamedTuple):
    """What is learnt: how to turn vectors, how to weigh what is known, and the matcher's tier with both."""

    map: Map
    weights: Weights
    tier: Tier


def fit_on(questions: Sequence[Question], learner: Learner) -> Fitted:
    """Learn from these questions. The weights see each of them through a map that was learnt without it, for that is
    how they will see a question they have never met.
    """
    lessons = {one.slug: lesson(one, learner.encode) for one in questions}
    found = []
    for at in range(FOLDS):
        held = questions[at::FOLDS]
        names = {one.slug for one in held}
        seen = _tier(learner, learn([own for slug, own in lessons.items() if slug not in names]), None)
        found += [
            message
            for one in held
            for count in PHRASINGS
            for declines in (False, True)
            for message in heard(one, seen, count, declines=declines)
        ]
    map, weights = learn(list(lessons.values())), train(found)
    return Fitted(map, weights, _tier(learner, map, weights))


def _tier(learner: Learner, map: Map, weights: Weights | None) -> Tier:
    sentences, words = learner.through(map)
    return Tier("trial", sentences, words, weights or Weights(np.zeros(0), np.zeros(0)))


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
