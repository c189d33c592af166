"""The embedding table: the bytes that were made, the pieces that its teacher would see, and nothing that upsets it."""

from __future__ import annotations

import hashlib
import time
from importlib import resources

import numpy as np
import pytest

from engine.core.matcher.embedding import PIECE_CHARS_MAX, pieces, read, shipped
from engine.core.matcher.fitted import FEATURES, FILE, READINGS, fitted

PACKAGE = resources.files("engine.core.matcher")
BYTES_MAX = 4_200_000
LOAD_SECONDS_MAX, ENCODE_SECONDS_MAX = 0.2, 0.0005
"""Ten times what they take on a quiet machine: a bound on mistakes, the benchmark has the figures."""
JUNK_SECONDS_MAX = 0.02

CUT = {
    "How many cars can park on one floor?": "how many cars can park on one floor ?",
    "whats teh max TTL, in seconds?!": "what ##s te ##h max ttl , in seconds ? !",
    "by user_id or by tenant-id?": "by user _ id or by tenant - id ?",
    "Naïve café-goers pay €5 à la carte": "naive cafe - go ##ers pay 5 a la cart ##e",
    "I'll assume so; isn't it?": "i ' ll assume so ; isn ' t it ?",
    "p98 <= 250ms @ 10k req/s (80/20)": "p ##9 ##8 < = 250 ##ms @ 10 ##k re ##q / s ( 80 / 20 )",
    "unbelievablyhyperparameterized gizmo": "un ##bel ##ie ##va ##bly ##hy ##per ##para ##meter ##ized gi ##z ##mo",
    "tab\tand\nline\r\nbreak": "tab and line break",
    "e-mail: a.b+c@example.com": "e - mail : a . b + c @ example . com",
    "x" * 101 + " y": "y",
    "re\u200bserve a sp\u00adot": "reserve a spot",
    "Which levels (1..12) are reserved?": "which levels ( 1 . . 12 ) are reserved ?",
    "3.14159 and 1,000,000": "3 . 141 ##59 and 1 , 000 , 000",
    "snake_case camelCase kebab-case": "snake _ case camel ##case ke ##ba ##b - case",
}
"""As Hugging Face's tokenizer of all-MiniLM-L6-v2 cuts them, but for four things that are ours: "ttl" and some other
words have rows of their own, marks outside ASCII stand alone and have none, typographic quotes are plain ones, and
other forms of a letter are that letter."""

NEARER = [
    ("how much does it cost", "what is the price", "how tall is the building"),
    ("is there a fee for parking overnight", "what do drivers pay for a night", "which colour is the elevator"),
    ("when do entries expire", "how long does a cached value live", "who may create an account"),
    ("can two people reserve the same seat", "double booking of seats", "how are results sorted"),
    ("how many floors does the building have", "number of levels", "is payment by card possible"),
    ("should it be thread safe", "is concurrent access a concern", "what does the ticket look like"),
    ("what happens when the garage is full", "no free spots left", "do we keep a history of changes"),
    ("how many requests per second", "expected traffic", "may a link be deleted"),
    ("does it survive a restart", "is the data kept on disk", "who wins the game"),
    ("what hapens if the server crahses", "behaviour on node failure", "can I pick a custom alias"),
]

JUNK = {
    "nothing": "",
    "blank": " \t\r\n" * 400,
    "1 MB of one letter": "a" * 1_000_000,
    "1 MB of words": "seat " * 200_000,
    "words of no language": ("zqxjkvbw" * 12 + " ") * 1_000,
    "emoji": "😀👩‍👩‍👧🏽" * 2_000,
    "control characters": "".join(map(chr, range(32))) * 1_000,
    "invisible characters": "\u200b\u202e\ufeff" * 1_000,
    "one letter under a thousand accents": "a" + "\u0301" * 100_000,
    "a letter that unfolds to eighteen": "\ufdfa" * 10_000,
    "Chinese": "汉字" * 2_000,
    "Arabic": "مرحبا " * 1_000,
    "half a pair": "\ud83d seat \udc00",
    "NUL": "seat\x00price",
}

PINNED = {
    "How many cars can park on one floor?": [0.2826841, 0.3093326, 0.1659171, -0.2606398, -0.0102451, -0.2194148],
    "do entries expire, and after how long": [-0.1154423, 0.3627943, -0.0767211, -0.0199822, 0.0798363, 0.1808739],
    "idempotency": [0.3052990, -0.0264432, -0.0288472, 0.2043340, -0.0889454, 0.0456747],
}
"""The first six numbers of what each becomes."""


def test_the_table_is_the_one_its_note_names() -> None:
    data = PACKAGE.joinpath("table.npz").read_bytes()
    note = PACKAGE.joinpath("table.md").read_text()
    table = read(data)
    assert hashlib.sha256(data).hexdigest() in note
    assert len(data) <= BYTES_MAX and f"{len(data):,} bytes" in note
    assert table.recipe in note
    assert f"{len(table.ids):,} rows of {table.dims}" in note
    assert len(table.rows) == len(table.scales) == len(table.ids)


def test_what_was_fitted_is_what_the_note_names() -> None:
    """Whoever fits anew writes the new sum into table.md."""
    data = PACKAGE.joinpath(FILE).read_bytes()
    found = fitted()
    assert hashlib.sha256(data).hexdigest() in PACKAGE.joinpath("table.md").read_text()
    assert found.map.shape == (shipped().dims, shipped().dims)
    assert found.weights.features.shape == (len(FEATURES),)
    assert found.weights.readings.shape == (len(READINGS),)
    assert all(np.isfinite(learnt).all() for learnt in (found.map, *found.weights))
    with pytest.raises(ValueError, match="read-only"):
        found.weights.features[0] = 1


def test_a_table_that_is_read_again_says_the_same() -> None:
    first, again = (read(PACKAGE.joinpath("table.npz").read_bytes()) for _ in range(2))
    texts = [*PINNED, *CUT]
    assert np.array_equal(first.encode(texts), again.encode(texts))
    for text, vector in zip(PINNED, first.encode(list(PINNED)), strict=True):
        assert vector[:6] == pytest.approx(PINNED[text], abs=1e-6), text


def test_what_stands_beside_a_text_changes_nothing_of_it() -> None:
    texts = list(CUT)
    alone = np.vstack([shipped().encode([text]) for text in texts])
    assert np.array_equal(shipped().encode(texts), alone)
    assert shipped().encode([]).shape == (0, shipped().dims)


def test_the_table_is_read_once_and_nobody_can_write_in_it() -> None:
    assert shipped() is shipped()
    with pytest.raises(ValueError, match="read-only"):
        shipped().rows[0, 0] = 1


@pytest.mark.parametrize("text", CUT)
def test_a_text_is_cut_as_its_teacher_cuts_it(text: str) -> None:
    assert " ".join(pieces(text, shipped().ids)) == CUT[text]


def test_no_piece_is_longer_than_the_search_looks() -> None:
    assert max(len(piece.removeprefix("##")) for piece in shipped().ids) == PIECE_CHARS_MAX


@pytest.mark.parametrize(
    "spelled", ["Ｈｏｔｅｌ ｒｏｏｍ", "HOTEL\u00a0ROOM", "hôtel röom", "ho\u00adtel room", "𝐡𝐨𝐭𝐞𝐥 𝐫𝐨𝐨𝐦"]
)
def test_other_forms_of_a_letter_are_that_letter(spelled: str) -> None:
    assert list(pieces(spelled, shipped().ids)) == ["hotel", "room"]


@pytest.mark.parametrize("kind", JUNK)
def test_junk_neither_crashes_nor_takes_long(kind: str) -> None:
    table = shipped()
    started = time.thread_time()
    (vector,) = table.encode([JUNK[kind]])
    assert time.thread_time() - started < JUNK_SECONDS_MAX
    assert np.linalg.norm(vector) == pytest.approx(1.0 if vector.any() else 0.0, abs=1e-6)


@pytest.mark.parametrize(("text", "near", "far"), NEARER, ids=[text for text, *_ in NEARER])
def test_what_means_the_same_is_nearer(text: str, near: str, far: str) -> None:
    one, two, three = shipped().encode([text, near, far])
    assert np.linalg.norm([one, two, three], axis=1) == pytest.approx(1.0, abs=1e-6)
    assert one @ two > one @ three + 0.1


def test_reading_and_encoding_cost_little() -> None:
    started = time.thread_time()
    table = read(PACKAGE.joinpath("table.npz").read_bytes())
    assert time.thread_time() - started < LOAD_SECONDS_MAX
    started = time.thread_time()
    table.encode([text for text, *_ in NEARER] * 10)
    assert time.thread_time() - started < 100 * ENCODE_SECONDS_MAX
