"""A message as weighted terms: one spelling, stems, groups of synonyms, and the character grams that forgive typos."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

TEXT_CHARS_MAX: Final = 1_000
"""What is scored of a message. Longer questions exist; what they ask stands in their first thousand characters."""
WORD_CHARS_MAX: Final = 24
"""No word that tells anything is longer; what is cut is not kept in the cache of stems."""
GRAM_SIZES: Final = (3, 4)
LIGHT_WEIGHT: Final = 0.35
GROUP_WEIGHT: Final = 0.7
"""A synonym counts for less than the word itself."""
PHRASE_WORDS_MAX: Final = 4

_TOKEN = re.compile(r"[^\W_]+")
_CONTRACTIONS: Final = (
    (re.compile(r"\b(?:can't|cannot)\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"'(?:s|re|ll|ve|d|m)\b"), " "),
)
_APOSTROPHES: Final = dict.fromkeys(map(ord, "‘’ʼ′`´"), "'")

STOP: Final = frozenset(
    """a an the this that these those it its he she they them we us our i me my you your is are was were be been being
    am do does did done have has had having can could will would shall should may might must of to in on at by for from
    with about into as and or but so if then than there here what which who whom whose when where why how s t not no
    any some also just please ok okay hi hello hey well now let lets thanks thank dont doesnt isnt cant whats im ill
    id ive youre theyre there s re ll ve d m"""
    .split()
)  # fmt: skip
LIGHT: Final = frozenset(
    """need want support handle consider assume assum expect think care worry worri allow use using like know tell say
    ask get make give take go happen possible possibl case kind type sort way thing something anything someth anyth
    question requirement requir design system engine solution solut app applic application feature scope include includ
    exactly exact actually actual really realli basically should suppose suppos specific require every each all only
    one two other many much more most very too per between wonder curious clarify clarifi quick mean work"""
    .split()
)  # fmt: skip

SYNONYMS: Final[tuple[tuple[str, ...], ...]] = (
    ("concurrent", "concurrency", "simultaneous", "simultaneously", "parallel", "thread", "threads", "multithreaded",
     "race", "atomic", "lock", "same time", "same moment", "same instant", "at once"),
    ("user", "client", "customer", "people", "person"),
    ("maximum", "max", "limit", "cap", "upper bound", "ceiling", "at most"),
    ("expire", "expiry", "expiration", "ttl", "time to live", "lifetime", "stale"),
    ("delete", "remove", "erase", "purge", "drop"),
    ("store", "persist", "save", "durable", "disk"),
    ("latency", "response time", "fast", "quick", "quickly", "speed", "milliseconds", "ms", "slow"),
    ("traffic", "throughput", "qps", "rps", "load", "per second", "per day", "daily", "volume"),
    ("fail", "failure", "crash", "error", "broken", "break", "outage", "go down", "goes down"),
    ("fee", "charge", "price", "pricing", "cost", "tariff", "rate"),
    ("pay", "payment", "cash", "card"),
    ("size", "big", "large", "small", "length", "long"),
    ("choose", "pick", "select", "decide", "assign", "allocate"),
    ("full", "no space", "no room", "run out"),
    ("custom", "own", "choose their own", "vanity", "personalised", "personalized"),
    ("statistics", "stats", "analytics", "metrics", "count", "counter", "hit rate"),
    ("change", "modify", "edit", "update", "configurable", "configure", "adjust"),
    ("number", "count", "total", "amount", "how many"),
    ("reserve", "reservation", "book", "booking", "advance"),
    ("abuse", "spam", "malicious", "phishing", "fraud", "bot"),
)  # fmt: skip


class Word(NamedTuple):
    """A word of a text: its stem, and how much it can tell (0 for a stop word)."""

    stem: str
    weight: float


class Terms(NamedTuple):
    """A text as the matcher sees it: terms with weights, and grams with weights; both in order of appearance."""

    words: Mapping[str, float]
    grams: Mapping[str, float]


class Groups(NamedTuple):
    """Synonyms by their stems: of a run of words, the groups it belongs to."""

    by_phrase: Mapping[tuple[str, ...], tuple[str, ...]]


def normalise(text: str) -> str:
    """One spelling: NFKC, lower case, straight apostrophes, no contractions, all visible; cut to what is scored."""
    text = unicodedata.normalize("NFKC", text)[:TEXT_CHARS_MAX].casefold().translate(_APOSTROPHES)
    text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    for pattern, plain in _CONTRACTIONS:
        text = pattern.sub(plain, text)
    return text


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """The English stem; a word of another script is its own."""
    # Not snowballstemmer.stemmer(): that takes PyStemmer where it is installed, and nodes would differ.
    from snowballstemmer.english_stemmer import EnglishStemmer

    return str(EnglishStemmer().stemWord(word)) if word.isascii() else word


def words_of(text: str) -> list[Word]:
    """The words of any text, long ones cut."""
    found = _TOKEN.findall(normalise(text))
    return [Word(stem(word[:WORD_CHARS_MAX]), _weight(word)) for word in found]


def _weight(word: str) -> float:
    if word in STOP:
        return 0.0
    return LIGHT_WEIGHT if word in LIGHT or stem(word[:WORD_CHARS_MAX]) in LIGHT else 1.0


def stems(text: str) -> tuple[str, ...]:
    """The stems of any text, stop words included."""
    return tuple(word.stem for word in words_of(text))


def compile_groups(*lists: Iterable[Sequence[str]]) -> Groups:
    """Synonym lists as one table; each list of words is one group."""
    by_phrase: dict[tuple[str, ...], tuple[str, ...]] = {}
    number = 0
    for groups in lists:
        for group in groups:
            number += 1
            for phrase in dict.fromkeys(map(stems, group)):
                if phrase and len(phrase) <= PHRASE_WORDS_MAX:
                    by_phrase[phrase] = (*by_phrase.get(phrase, ()), f"~{number}")
    return Groups(by_phrase)


def terms(text: str, groups: Groups) -> Terms:
    """The weighted terms and grams of one text."""
    return terms_of(words_of(text), groups)


def terms_of(found: Sequence[Word], groups: Groups) -> Terms:
    """The same of its words."""
    words: dict[str, float] = {}
    for word in found:
        if word.weight:
            words[word.stem] = max(words.get(word.stem, 0.0), word.weight)
    grams: dict[str, float] = {}
    for stem, weight in words.items():
        for gram in grams_of(stem):
            grams[gram] = max(grams.get(gram, 0.0), weight)
    for group in _groups_in([word.stem for word in found], groups):
        words.setdefault(group, GROUP_WEIGHT)
    return Terms(words, grams)


def _groups_in(found: Sequence[str], groups: Groups) -> Iterable[str]:
    for at in range(len(found)):
        for length in range(1, PHRASE_WORDS_MAX + 1):
            yield from groups.by_phrase.get(tuple(found[at : at + length]), ())


@lru_cache(maxsize=20_000)
def grams_of(stem: str) -> tuple[str, ...]:
    """The character grams of a word, its ends marked."""
    padded = f" {stem} "
    return tuple(padded[at : at + size] for size in GRAM_SIZES for at in range(len(padded) - size + 1))
