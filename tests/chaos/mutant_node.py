"""`python -m tests.chaos.mutant_node NAME serve ...`: the engine's own command, with one thing broken first."""

from __future__ import annotations

import sys

from tests.chaos import skew
from tests.chaos.mutants import MUTANTS

if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)].apply()
    skew.apply()

    from engine.cli import main

    main()
