"""Made-up questions about made-up systems: text of the kind the table will read, for its teacher to speak about.

Nobody's words: templates in several voices, filled by chance. They were written without the development set.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

SOURCE: Final = Path(__file__).with_name("questions.yaml")
JARGON_SHARE, COMMON_SHARE = 0.2, 0.15


class System(msgspec.Struct, frozen=True):
    name: str
    things: str
    deeds: str


class Parts(msgspec.Struct, frozen=True):
    """Lists, each split at "|", and `words`, at spaces: see the head of the file."""

    aspects: str
    jargon: str
    plain: str
    technical: str
    words: str
    systems: tuple[System, ...]


def parts() -> Parts:
    return msgspec.yaml.decode(SOURCE.read_bytes(), type=Parts)


def questions(chance: random.Random, count: int, words: Sequence[str]) -> list[str]:
    """`count` questions, each of one system, some with a common noun out of `words` in it."""
    have = parts()
    return [_one(have, chance, words) for _ in range(count)]


def _one(have: Parts, chance: random.Random, words: Sequence[str]) -> str:
    system = chance.choice(have.systems)
    nouns = system.things.split(" | ")
    if chance.random() < COMMON_SHARE:
        nouns = [*nouns[:2], chance.choice(words)]
    noun, other = chance.sample(nouns, 2)
    technical = chance.random() < JARGON_SHARE
    topics = (have.jargon if technical else have.aspects).split(" | ")
    filled = {"n": noun, "ns": plural(noun), "m": other, "ms": plural(other), "s": system.name}
    filled |= {"v": chance.choice(system.deeds.split(" | ")), "c": chance.choice(topics), "d": chance.choice(topics)}
    template = chance.choice((have.technical if technical else have.plain).split(" | "))
    return re.sub(r"\{(\w+)\}", lambda found: filled[found[1]], template)


def plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"
