"""Row 45: are codes that follow each other as unlike as chance makes them?"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from engine.identity.codes import new_code

CLASSES = 1_000
FREEDOM = CLASSES - 1


class Chances(NamedTuple):
    """Chi squared over 1,000 classes each: of the codes' first halves, their last, and of neighbours together."""

    first_half: float
    last_half: float
    neighbours: float
    """The last three digits of the difference to the code before."""


def chances(codes: int) -> Chances:
    """Make so many codes. Each figure should be near 999; above CHI_SQUARED_MAX once in a million runs."""
    first, last, steps = Counter[int](), Counter[int](), Counter[int]()
    before = int(new_code())
    for _ in range(codes):
        code = int(new_code())
        first[code // CLASSES] += 1
        last[code % CLASSES] += 1
        steps[(code - before) % CLASSES] += 1
        before = code
    return Chances(*(_chi_squared(counts, codes) for counts in (first, last, steps)))


CHI_SQUARED_MAX = 1_227.0
"""Of 999 degrees of freedom: the quantile of one in a million."""


def _chi_squared(counts: Counter[int], codes: int) -> float:
    expected = codes / CLASSES
    return sum((counts[n] - expected) ** 2 / expected for n in range(CLASSES))
