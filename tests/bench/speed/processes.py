"""What processes have used, from /proc: CPU time and memory. Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Stat(NamedTuple):
    """Of /proc/PID/stat: the parent, own CPU ticks, and those of children that ended."""

    parent: int
    own: int
    ended: int


def stat_of(text: str) -> Stat:
    """Read one such file. The name in it may hold anything, also blanks and brackets."""
    fields = text.rpartition(")")[2].split()
    return Stat(int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14]))


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    parents = {one: stat.parent for one, stat in _all().items()}
    found = [pid]
    for one in found:
        found.extend(child for child, parent in parents.items() if parent == one)
    return found


def cpu_seconds(pid: int) -> float:
    """CPU that a process and all its children, living or ended, have used."""
    stats = _all()
    ticks = sum(stats[one].own + stats[one].ended for one in family(pid) if one in stats)
    return ticks / TICKS_PER_SECOND


def pss_kib(pids: Iterable[int]) -> int:
    """Memory of these, what they share with others counted in parts. Without the kernel's socket buffers."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def _all() -> dict[int, Stat]:
    found: dict[int, Stat] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found[int(name)] = stat_of(Path(f"/proc/{name}/stat").read_text())
            except OSError:  # it ended meanwhile
                continue
    return found
