"""The matcher's semantic tier: the network for sentences, the table for single words, and what was fitted to both."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final

import numpy as np

from engine.core.matcher import Tier
from engine.core.matcher.embedding import Floats, shipped
from engine.core.matcher.fitted import Fitted, Weights
from engine.core.matcher.fitted import Reader as TableReader
from engine.semantic.model import encoder
from engine.semantic.reader import Reader

VERSION: Final = "minilm-1"
FILE: Final = "semantic.npz"


@cache
def vocabulary() -> dict[str, int]:
    """The number of each word piece."""
    return {piece: n for n, piece in enumerate(_file("vocabulary.txt").decode().splitlines())}


@cache
def fitted() -> Fitted:
    """What ships: the map that turns the network's vectors, and the weights."""
    with np.load(io.BytesIO(_file(FILE)), allow_pickle=False) as file:
        return Fitted(file["map"].astype(np.float32), Weights(file["features"], file["readings"]))


def _file(name: str) -> bytes:
    return resources.files(__package__).joinpath(name).read_bytes()


@cache
def _reader() -> Reader:
    return Reader(encoder().states, vocabulary(), fitted().map)


def messages(many: Sequence[Sequence[str]]) -> list[Floats]:
    """What the tier's `message` gives of each of several messages, in one go. Raises NotInstalled or ModelChanged."""
    return _reader().messages(many)


@cache
def semantic() -> Tier:
    """The tier, for `intents` and `compile_rules` as much as for the pool: a plain value, read on the caller's thread.

    The first call opens the model: half a second. Raises NotInstalled or ModelChanged.
    """
    words = TableReader(shipped(), np.eye(shipped().dims, dtype=np.float32)).words
    return Tier(VERSION, _reader().sentences, _reader().message, words, fitted().weights)
