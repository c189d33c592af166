"""Our matcher as the benchmark asks it: map and weights fitted without the question that is tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.core.matcher import Compiled, compile_topics, match, ranked
from engine.core.matcher.fitted import Weights
from engine.core.matcher.index import Encode
from tests.bench.matcher.adapt import Map, learn, lesson, turned
from tests.bench.matcher.development import Question
from tests.bench.matcher.fit import PHRASINGS, examples, train
from tests.bench.matcher.measure import Answer, Asked

FOLDS = 6


class Fitted(NamedTuple):
    """What is learnt: how to turn the table, and how to weigh what is known of a topic."""

    map: Map
    encode: Encode
    weights: Weights


def fit_on(questions: Sequence[Question], encode: Encode) -> Fitted:
    """Learn from these questions. The weights see each of them through a map that was learnt without it, for that is
    how they will see a question they have never met.
    """
    lessons = {one.slug: lesson(one, encode) for one in questions}
    found = []
    for at in range(FOLDS):
        held = questions[at::FOLDS]
        names = {one.slug for one in held}
        seen = turned(encode, learn([own for slug, own in lessons.items() if slug not in names]))
        found += [
            example
            for one in held
            for count in PHRASINGS
            for declines in (False, True)
            for example in examples(one, seen, count, declines=declines)
        ]
    map = learn(list(lessons.values()))
    return Fitted(map, turned(encode, map), train(found))


def left_out(questions: Sequence[Question], encode: Encode, at: int) -> dict[str, Fitted]:
    """Of each question of fold `at`, what is learnt from those outside it."""
    held = {one.slug for one in questions[at::FOLDS]}
    fitted = fit_on([one for one in questions if one.slug not in held], encode)
    return dict.fromkeys(held, fitted)


def ask(compiled: Compiled, text: str, score_min: float) -> Answer:
    """What `intents` would say with this threshold, with the ranking behind it."""
    order = ranked(compiled, text)
    named = {one.intent for one in match(compiled, text) if one.intent is not None and one.score >= score_min}
    return Answer(frozenset(named), tuple(intent for intent, _ in order), order[0][1])


def asked(question: Question, fitted: Fitted, score_min: float, phrasings: int, *, declines: bool) -> list[Asked]:
    """All that was said to a question, answered."""
    rules = {intent: texts[:phrasings] for intent, texts in question.rules.items()}
    compiled = compile_topics(rules, question.declines if declines else {}, fitted.encode, fitted.weights)
    return [Asked(said, ask(compiled, said.text, score_min)) for said in question.said]
