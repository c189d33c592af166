"""Rounds to ratios: the median, and how far it spread; beside the goal that stands for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

MICROSECONDS, MILLISECONDS = 1e6, 1e3


class Round(NamedTuple):
    """What one round of one server came to. CPU in seconds."""

    n: int
    seconds: float
    api: float
    redis: float
    postgres: float
    p50_ms: float
    p99_ms: float
    generator: float = 0.0
    """Share of a core that the load took."""

    @property
    def api_us(self) -> float:
        return self.api / self.n * MICROSECONDS

    @property
    def redis_us(self) -> float:
        return self.redis / self.n * MICROSECONDS

    @property
    def postgres_us(self) -> float:
        return self.postgres / self.n * MICROSECONDS

    @property
    def all_us(self) -> float:
        return self.api_us + self.redis_us + self.postgres_us

    @property
    def rate(self) -> float:
        return self.n / self.seconds


class Spread(NamedTuple):
    """A median, and the least and the most that were seen."""

    middle: float
    least: float
    most: float

    def told(self, digits: int = 2) -> str:
        return f"{self.middle:.{digits}f} [{self.least:.{digits}f}, {self.most:.{digits}f}]"


def spread(values: Sequence[float]) -> Spread:
    """Of some rounds."""
    return Spread(median(values), min(values), max(values))


def ratios(of: Sequence[Round], to: Sequence[Round], figure: Callable[[Round], float]) -> Spread:
    """Round by round, so that what the machine did at that time is in both."""
    return spread([figure(one) / figure(floor) for one, floor in zip(of, to, strict=True)])


class Goal(NamedTuple):
    """What a figure should come to, at most."""

    figure: str
    most: float
    stretch: float
    unit: str = ""


def against(goal: Goal, found: Spread) -> str:
    """One line: the figure, its goal, and whether it is met."""
    if found.middle <= goal.stretch:
        verdict = "met, stretch too"
    elif found.middle <= goal.most:
        verdict = "met"
    else:
        times = f" ({found.middle / goal.most:.1f} times the goal)" if goal.most else ""
        verdict = f"not met, by {found.middle - goal.most:.2f}{goal.unit}{times}"
    return f"{goal.figure:<58} {found.told():>22}{goal.unit:<5} goal {goal.most:g} ({goal.stretch:g})  {verdict}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as what stands in them; the first to the left."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, *rows):
        first, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join((row[0].ljust(len(first)), *rest)).rstrip())
    return "\n".join(lines)


def autosave_table(rounds: Mapping[str, Sequence[Round]]) -> str:
    """Each server's medians."""
    head = ("server", "API us/op", "Redis", "Postgres", "all", "ops/s", "p50 ms", "p99 ms", "load, cores")
    rows = []
    for name, of in rounds.items():
        figures: list[tuple[Callable[[Round], float], int]] = [
            (lambda r: r.api_us, 1), (lambda r: r.redis_us, 1), (lambda r: r.postgres_us, 1), (lambda r: r.all_us, 1),
            (lambda r: r.rate, 0), (lambda r: r.p50_ms, 2), (lambda r: r.p99_ms, 2), (lambda r: r.generator, 2),
        ]  # fmt: skip
        rows.append((name, *(f"{median(map(figure, of)):.{digits}f}" for figure, digits in figures)))
    return table(head, rows)
