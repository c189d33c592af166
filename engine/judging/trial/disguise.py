"""The forms in which an order is hidden from a reader and yet shown to a model."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable, Mapping
from typing import Final, Literal

Disguise = Literal[
    "base64",
    "hex",
    "rot13",
    "reversed",
    "fullwidth",
    "homoglyphs",
    "zero_width",
    "tags",
    "bidi",
    "leet",
    "spaced",
    "scrambled",
    "entities",
    "morse",
]

_TAGS: Final = 0xE0000
"""Unicode's tag characters mirror ASCII and are drawn as nothing."""
_FULLWIDTH: Final = {i: i + 0xFEE0 for i in range(0x21, 0x7F)}
_CYRILLIC: Final = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")
_LEET: Final = str.maketrans("aeiostAEIOST", "431057431057")
_MORSE_CODE: Final = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
)
_MORSE: Final = dict(zip("abcdefghijklmnopqrstuvwxyz", _MORSE_CODE.split(), strict=True))


def _scrambled(word: str) -> str:
    """The inner letters turned round: people and models still read it."""
    return word if len(word) < 4 else word[0] + word[-2:0:-1] + word[-1]


DISGUISES: Final[Mapping[Disguise, Callable[[str], str]]] = {
    "base64": lambda text: "base64: " + base64.b64encode(text.encode()).decode(),
    "hex": lambda text: "hex: " + text.encode().hex(),
    "rot13": lambda text: "rot13: " + codecs.encode(text, "rot13"),
    "reversed": lambda text: "read from right to left: " + text[::-1],
    "fullwidth": lambda text: text.translate(_FULLWIDTH),
    "homoglyphs": lambda text: text.translate(_CYRILLIC),
    "zero_width": "\u200b".join,
    "tags": lambda text: "Fine." + "".join(chr(_TAGS + ord(char)) for char in text if ord(char) < 0x7F),
    "bidi": lambda text: "\u202e" + text[::-1] + "\u202c",
    "leet": lambda text: text.translate(_LEET),
    "spaced": " ".join,
    "scrambled": lambda text: " ".join(map(_scrambled, text.split())),
    "entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "morse": lambda text: "morse: " + " ".join(_MORSE.get(char, "/") for char in text.lower()),
}
