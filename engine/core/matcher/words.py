"""A message as words: one spelling, and how much each can tell."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final, NamedTuple

TEXT_CHARS_MAX: Final = 1_000
"""What is scored of a message. Longer questions exist; what they ask stands in their first thousand characters."""
STEM_CHARS_MAX: Final = 24
"""No word that tells anything is longer; what is cut is not kept in the cache of stems."""
STEMS_KEPT: Final = 20_000
WORDS_KEPT: Final = 8_192
TEXTS_KEPT: Final = 64
"""A message and its parts are read more than once while it is decided on."""
LIGHT_WEIGHT: Final = 0.35

_TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_")
_QUOTES: Final = dict.fromkeys(map(ord, "‘’ʼ′´"), "'") | dict.fromkeys(map(ord, "“”"), '"')
_DROPPED: Final = frozenset({"Mn", "Cc", "Cf"})
"""Accents, control and invisible characters: between letters they would tear a word apart."""

STOP: Final = frozenset(
    """a an the this that these those it its he she they them we us our i me my you your is are was were be been being
    am do does did done have has had having can could will would shall should may might must of to in on at by for from
    with about into as and or but so if then than there here what which who whom whose when where why how s t not no
    any some also just please ok okay hi hello hey well now let lets thanks thank dont doesnt isnt cant whats im ill
    id ive youre theyre there s re ll ve d m don doesn didn isn aren wasn weren won wouldn couldn
    shouldn hasn haven hadn ain"""
    .split()
)  # fmt: skip
LIGHT: Final = frozenset(
    """need needs needed want wants wanted support supports supported supporting handle handles handled handling
    consider considered considering assume assumes assumed assuming assumption expect expects expected expecting
    think thinking care careful worry worried worrying allow allows allowed allowing use uses used using like
    know knows known tell tells say says said ask asked asking get gets got getting make makes made making give
    gives given giving take takes taken taking go goes going gone happen happens happened happening possible
    possibly case cases kind kinds type types sort way ways thing things something anything question questions
    requirement requirements required require requires design designing system systems engine solution app
    application feature features scope include includes included including exactly exact actually actual really
    basically suppose supposed specific specifically every each all only one two other others many much more
    most very too per between wonder wondering curious clarify quick quickly mean means meant work works worked
    working same both either neither else correct right true sure wait"""
    .split()
)  # fmt: skip


class Word(NamedTuple):
    """A word of a text, and how much it can tell: 0 (a stop word) to 1."""

    text: str
    weight: float


@lru_cache(maxsize=TEXTS_KEPT)
def tokens(text: str) -> tuple[str, ...]:
    """Words and marks, in one spelling."""
    return tuple(_TOKEN.findall(plain(text[:TEXT_CHARS_MAX])))


def plain(text: str) -> str:
    """Lower case, one spelling of each letter, no accents, nothing invisible."""
    if text.isascii() and text.isprintable():
        return text.lower()
    spelled = unicodedata.normalize("NFKD", text.translate(_QUOTES))[:TEXT_CHARS_MAX].lower()
    return "".join(one for one in spelled if one.isspace() or unicodedata.category(one) not in _DROPPED)


@lru_cache(maxsize=TEXTS_KEPT)
def words_of(text: str) -> tuple[Word, ...]:
    """The words of any text."""
    return tuple([_word(token) for token in tokens(text) if token.isalnum()])


@lru_cache(maxsize=WORDS_KEPT)
def _word(token: str) -> Word:
    return Word(token, 0.0 if token in STOP else LIGHT_WEIGHT if token in LIGHT else 1.0)


def stems(text: str) -> tuple[str, ...]:
    """The stems of any text, stop words included."""
    return tuple(stem(one.text) for one in words_of(text))


@lru_cache(maxsize=STEMS_KEPT)
def stem(text: str) -> str:
    """The English stem of a word; one of another script is its own."""
    # Not snowballstemmer.stemmer(): that takes PyStemmer where it is installed, and machines would differ.
    from snowballstemmer.english_stemmer import EnglishStemmer

    short = text[:STEM_CHARS_MAX]
    return str(EnglishStemmer().stemWord(short)) if short.isascii() else short
