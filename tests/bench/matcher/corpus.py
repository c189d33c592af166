"""The texts of the distillation: WordNet's glosses and examples, and made-up questions.

No pack, no development utterance and no public intent set is among them: those are what the matcher is measured on.
"""

from __future__ import annotations

import random
import tarfile
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from engine.core.matcher.embedding import PIECE_CHARS_MAX
from engine.core.matcher.words import tokens
from tests.bench.matcher.questions import parts, questions

GLOSSES, QUESTIONS = 52_000, 44_000
COMMON_COUNT_MIN: Final = 2
"""How often WordNet's own tagged texts hold a noun, for it to be put into questions."""
SKIPPED_FILES: Final = frozenset({5, 8, 15, 18, 20, 27})
"""Lexicographer files of nouns that no system is about: animals, body parts, places, persons, plants, substances."""
QUESTION_WEIGHT: Final = 4
"""How much more a word counts that stands in a question, for having a row of its own."""
TYPO_LETTERS_MIN: Final = 4


class Synset(NamedTuple):
    words: tuple[str, ...]
    definition: str
    examples: tuple[str, ...]


def texts(wordnet: Path, seed: int) -> dict[str, list[str]]:
    """Of each kind its texts, each once, shuffled; a kind does not change with another."""
    with tarfile.open(wordnet) as archive:
        lines = {part: _lines(archive, f"data.{part}") for part in ("noun", "verb", "adj", "adv")}
        nouns = sorted(set(_common(_lines(archive, "index.sense"))))
    synsets = [one for part in lines.values() for line in part for one in _synset(line)]
    glosses = [f"{', '.join(one.words[:2])}: {one.definition}" for one in random.Random(seed).sample(synsets, GLOSSES)]
    examples = [text for one in synsets for text in one.examples if " " in text]
    asked = questions(random.Random(seed), QUESTIONS, nouns)
    kinds = {"glosses": glosses, "examples": examples, "questions": asked}
    return {kind: _shuffled(every, seed) for kind, every in kinds.items()}


def _shuffled(every: list[str], seed: int) -> list[str]:
    unique = sorted(set(every))
    return random.Random(seed).sample(unique, len(unique))


def rare(said: Mapping[str, Sequence[str]], vocabulary: Container[str], count: int) -> list[str]:
    """Words for rows of their own: those of questions.yaml, and the most frequent that the vocabulary lacks."""
    listed = [word for word in parts().words.split() if word not in vocabulary]
    counts: Counter[str] = Counter()
    for kind, every in said.items():
        weight = QUESTION_WEIGHT if kind == "questions" else 1
        for word in (word for text in every for word in tokens(text)):
            if word not in vocabulary and len(word) <= PIECE_CHARS_MAX and word.isascii():
                counts[word] += weight
    return list(dict.fromkeys([*listed, *(word for word, _ in counts.most_common(count))]))[:count]


def _lines(archive: tarfile.TarFile, name: str) -> list[str]:
    file = archive.extractfile(f"package/dict/{name}")
    assert file is not None
    return [line for line in file.read().decode().splitlines() if not line.startswith("  ")]


def _synset(line: str) -> Iterator[Synset]:
    """One line of a data file (WordNet's wndb(5)), unless it is a proper name or of a skipped file."""
    data, _, gloss = line.partition(" | ")
    fields = data.split(" ")
    if int(fields[1]) in SKIPPED_FILES or "@i" in fields:
        return
    count = int(fields[3], 16)
    words = tuple(word.partition("(")[0].replace("_", " ") for word in fields[4 : 4 + 2 * count : 2])
    parts = [part.strip(' ;"') for part in gloss.strip().split('; "')]
    yield Synset(words, parts[0], tuple(parts[1:]))


def _common(senses: list[str]) -> Iterator[str]:
    """Nouns of the index of senses that WordNet's tagged texts hold often enough."""
    for line in senses:
        key, _, _, tagged = line.split(" ")
        word, _, sense = key.partition("%")
        if sense.startswith("1:") and int(tagged) >= COMMON_COUNT_MIN and word.isalpha() and len(word) > 2:
            yield word


def with_typo(text: str, chance: random.Random) -> str:
    """The text with one of its longer words misspelled, if it has one."""
    words = text.split(" ")
    long = [n for n, word in enumerate(words) if len(word) >= TYPO_LETTERS_MIN and word.isalpha()]
    if long:
        n = chance.choice(long)
        words[n] = _misspelled(words[n], chance)
    return " ".join(words)


def _misspelled(word: str, chance: random.Random) -> str:
    at = chance.randrange(1, len(word) - 1)
    match chance.randrange(4):
        case 0:
            return word[:at] + word[at + 1 :]
        case 1:
            return word[:at] + word[at] + word[at:]
        case 2:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case _:
            return word[:at] + chance.choice("aeiostrn") + word[at + 1 :]
