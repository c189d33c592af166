"""What must hold of a history, clause by clause. Knows nothing of how the engine keeps it."""

from __future__ import annotations

from typing import NamedTuple

from tests.chaos.clauses_clock import on_time
from tests.chaos.clauses_commands import (
    fenced,
    linear,
    no_strange_refusals,
    nothing_lost,
    nothing_twice,
    nothing_unasked,
)
from tests.chaos.clauses_events import Clause, in_order, nothing_kept_back, of_one_mind
from tests.chaos.clauses_record import as_rebuilt, graded_as_told, judged, nothing_left, one_draft, one_end, whole
from tests.chaos.history import History

CLAUSES: dict[str, Clause] = {
    "lost": nothing_lost,  # C1
    "unasked": nothing_unasked,  # C2
    "twice": nothing_twice,  # C3
    "refusals": no_strange_refusals,  # C3
    "order": in_order,  # C4
    "silence": nothing_kept_back,  # C4
    "agreement": of_one_mind,  # C5
    "fence": fenced,  # C6
    "ends": one_end,  # C7
    "judged": judged,  # C7
    "deadlines": on_time,  # C8
    "graded": graded_as_told,  # C9
    "whole": whole,  # C10
    "rebuilt": as_rebuilt,  # C10
    "draft": one_draft,  # C11
    "linear": linear,  # C11
    "leaks": nothing_left,  # C12
}
"""Twelve claims: C1 what is acknowledged is recorded, C2 and nothing else, C3 once; C4 clients see all in order, C5 the
same; C6 one writes; C7 one end, one evaluation, really judged; C8 in time; C9 what was handed in is what is graded;
C10 live is what the record makes; C11 the draft is one register; C12 nothing is left open.
"""


class Violation(NamedTuple):
    clause: str
    what: str


def check(history: History) -> list[Violation]:
    """Everything that is wrong with this history."""
    return [Violation(name, what) for name, clause in CLAUSES.items() for what in clause(history)]
