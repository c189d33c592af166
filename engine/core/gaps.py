"""What people ask and no rule answers: their questions in groups that mean the same, the most asked first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from engine.core.matcher import Compiled, compile_rules, match, topic_odds
from engine.core.matcher.embedding import Floats
from engine.core.matcher.explain import topic_names
from engine.core.matcher.fitted import Floats64, reader
from engine.core.pack import Clarification

ALIKE_MIN: Final = 0.4
"""The mean cosine from which two groups become one. On the development set, told nothing of its rules, 85 % of the
messages in a group are then of one intent; at 0.35 it is 81 % in fewer and larger groups, at 0.5 95 % in scraps."""
DECLINED_MIN: Final = 0.5
"""The chance of a declined topic from which a question is left out: its author has decided not to answer it."""
EXAMPLES_MAX: Final = 3
LENGTH_MIN: Final = 1e-9


class Missed(msgspec.Struct, frozen=True):
    """A question that got the fallback, or an answer that was not asked for: then `taken_for` is its rule.

    `person`: whose it is; any text that is the same for the same person.
    """

    text: str
    person: str
    taken_for: str | None = None


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Questions that mean the same and have no rule.

    `rule`: the nearest, by its phrasing `phrasing`, and how near (-1 to 1); None where a question has no rules.
    `taken_for`: the rules whose answer was refused, each with how often. `examples`: the shortest of the typical ones.
    """

    messages: int
    people: int
    rule: str | None
    phrasing: str
    likeness: float
    taken_for: dict[str, int]
    examples: tuple[str, ...]


class Gaps(msgspec.Struct, frozen=True, kw_only=True):
    """Of the questions of `people` people, `messages` in all: `answered` are answered by the rules as they are now,
    `declined` are on topics that the rules leave alone on purpose, and `gaps` has the rest."""

    messages: int
    people: int
    answered: int
    declined: dict[str, int]
    gaps: tuple[Gap, ...]


def find_gaps(clarification: Clarification, missed: Sequence[Missed]) -> Gaps:
    """Group the questions that these rules do not answer. Time and memory grow with the square of how many differ."""
    compiled = compile_rules(clarification)
    names = topic_names(clarification, compiled.index.topics)
    answered, declined, left = 0, Counter[str](), list[Missed]()
    for one in missed:
        if _answers(compiled, one):
            answered += 1
        elif one.taken_for is None and (topic := _declined(compiled, names, one.text)) is not None:
            declined[topic] += 1
        else:
            left.append(one)
    return Gaps(
        messages=len(missed),
        people=len({one.person for one in missed}),
        answered=answered,
        declined=dict(declined.most_common()),
        gaps=_gaps(clarification, left),
    )


def _answers(compiled: Compiled, missed: Missed) -> bool:
    """Whether it would get an answer now, and not the one that was refused."""
    return all(said.zone == "answer" and said.intent != missed.taken_for for said in match(compiled, missed.text))


def _declined(compiled: Compiled, names: Sequence[str], text: str) -> str | None:
    odds = topic_odds(compiled, text)
    best = int(odds.argmax())
    return names[best] if best >= compiled.index.rules and odds[best] >= DECLINED_MIN else None


def _gaps(clarification: Clarification, missed: Sequence[Missed]) -> tuple[Gap, ...]:
    """The groups, those of most people first."""
    by_text: dict[str, list[Missed]] = {}
    for one in missed:
        by_text.setdefault(" ".join(one.text.split()), []).append(one)
    texts = sorted(by_text)  # who came first changes nothing
    vectors = reader().sentences(texts)
    phrasings = [(rule.intent, text) for rule in clarification.rules for text in rule.examples]
    known = reader().sentences([text for _, text in phrasings])
    found = []
    for group in groups(vectors):
        middle = vectors[group].sum(axis=0)
        middle /= max(float(np.linalg.norm(middle)), LENGTH_MIN)
        likeness = known @ middle
        near = int(likeness.argmax()) if phrasings else None
        said = [one for number in group for one in by_text[texts[number]]]
        found.append(
            Gap(
                messages=len(said),
                people=len({one.person for one in said}),
                rule=None if near is None else phrasings[near][0],
                phrasing="" if near is None else phrasings[near][1],
                likeness=0.0 if near is None else round(float(likeness[near]), 4),
                taken_for=dict(Counter(one.taken_for for one in said if one.taken_for).most_common()),
                examples=_typical([texts[number] for number in group], vectors[group] @ middle),
            )
        )
    return tuple(sorted(found, key=lambda gap: (-gap.people, -gap.messages, gap.examples)))


def _typical(texts: Sequence[str], likeness: Floats) -> tuple[str, ...]:
    """The shortest of the half that is nearest to the middle."""
    order = sorted(range(len(texts)), key=lambda n: (-float(likeness[n]), texts[n]))
    half = order[: max(EXAMPLES_MAX, (len(order) + 1) // 2)]
    return tuple(sorted((texts[n] for n in half), key=lambda text: (len(text), text))[:EXAMPLES_MAX])


def groups(vectors: Floats) -> list[list[int]]:
    """Rows of unit length in groups, by average linkage: the two groups most alike, on the mean of all pairs of rows,
    become one, until no two reach ALIKE_MIN. Of equals the first goes first: the same rows give the same groups.
    """
    alike = (vectors @ vectors.T).astype(np.float64)
    np.fill_diagonal(alike, -np.inf)
    members = [[number] for number in range(len(vectors))]
    nearest = alike.argmax(axis=1) if len(alike) else np.empty(0, np.intp)
    likeness = alike[np.arange(len(alike)), nearest]
    while len(likeness) and likeness.max() >= ALIKE_MIN:
        one = int(likeness.argmax())
        other = int(nearest[one])
        _join(alike, members, one, other)
        # Nobody is nearer to two together than to the nearer of them, so only these have to look again.
        stale = (nearest == one) | (nearest == other)
        stale[[one, other]] = True
        nearest[stale] = alike[stale].argmax(axis=1)
        likeness[stale] = alike[stale, nearest[stale]]
    return [group for group in members if group]


def _join(alike: Floats64, members: list[list[int]], one: int, other: int) -> None:
    """`other` becomes part of `one`, and is like nothing any more."""
    sizes = len(members[one]), len(members[other])
    joined = (alike[one] * sizes[0] + alike[other] * sizes[1]) / sum(sizes)
    joined[[one, other]] = -np.inf
    alike[one], alike[:, one] = joined, joined
    alike[other], alike[:, other] = -np.inf, -np.inf
    members[one] += members[other]
    members[other] = []
