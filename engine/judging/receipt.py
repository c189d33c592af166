"""The receipt of an evaluation: by what it was judged, and what that took. No address, no secret, no candidate text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.core.marked import marked_copy
from engine.core.pack import Rubric
from engine.core.prompt import prompt_hash, schema_hash
from engine.judging.judge import Judge, Spent
from engine.judging.prices import Prices
from engine.judging.reuse import submission_hash
from engine.record.evaluations import Handed, Landed

COUNTS = ("ms", "input_tokens", "cached_tokens", "output_tokens")


def make_receipt(
    handed: Handed,
    rubric: Rubric,
    judge: Judge,
    landed: Mapping[str, Landed],
    prices: Prices,
    narrative: Spent,
    *,
    attempt: int,
    seconds: float,
    repeat: str = "never",
    fallback: str | None = None,
    trivial: str | None = None,
) -> dict[str, Any]:
    """`judge` is who was asked first; `fallback` says why the run left it, `trivial` why nobody was asked.

    `criteria` says of each who judged it first: code (nothing but `judge` null), or a judge, with the model that was
    asked, the one that answered, every try's outcome, and who was asked before in vain; `repeats` says the same of
    further judgings, such as `C3:2`. `used` and `cost` are of all calls, in vain or not; what an earlier run had bought
    costs nothing here.
    """
    taken = [*(spent for one in landed.values() for spent in _spents(one)), narrative]
    return {
        "pack": handed.pack_hash,
        "rubric": rubric_hash(rubric),
        "prompt": prompt_hash(),
        "schema": schema_hash(),
        "submission": submission_hash(handed),
        "judge": judge.name,
        **judge.describe(),
        "models": sorted({spent.model for spent in taken if spent.model}),
        "criteria": {id: _criterion(one) for id, one in landed.items() if one.n == 1},
        "repeats": {
            "when": repeat,
            "criteria": {id: _criterion(one) for id, one in landed.items() if one.n > 1},
        },
        "narrative": _shown(narrative),
        "attempt": attempt,
        "seconds": round(seconds, 3),
        "used": _sum(taken),
        "cost": prices.bill(taken),
        "cut": marked_copy(handed.fields, "").cut,
        "fallback": fallback,
        "trivial": trivial,
    }


def rubric_hash(rubric: Rubric) -> str:
    """SHA-256, in hex, of the rubric's canonical JSON."""
    return hashlib.sha256(msgspec.json.encode(rubric, order="sorted")).hexdigest()


def _spents(landed: Landed) -> tuple[Spent, ...]:
    return tuple(msgspec.convert(spent, Spent) for spent in (landed.spent, *landed.missed))


def _criterion(landed: Landed) -> dict[str, Any]:
    spent, *missed = _spents(landed)
    shown = {"judge": landed.judge, **(_shown(spent) if landed.judge else {})}
    if missed:
        shown["missed"] = [_shown(one) for one in missed]
    if landed.reused:
        shown["reused"] = landed.reused
    return shown


def _shown(spent: Spent) -> dict[str, Any]:
    """What it says beyond nothing."""
    return {name: value for name, value in msgspec.to_builtins(spent).items() if value}


def _sum(taken: Sequence[Spent]) -> dict[str, Any]:
    sums: dict[str, Any] = {count: sum(getattr(spent, count) for spent in taken) for count in COUNTS}
    return {**sums, "estimated": any(spent.estimated for spent in taken)}
