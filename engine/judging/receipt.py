"""The receipt of an evaluation: by what it was judged, and what that took. No address, no secret, no candidate text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.core.marked import SECTION_CHARS_MAX
from engine.core.pack import Rubric
from engine.core.prompt import prompt_hash, schema_hash
from engine.judging.judge import Judge
from engine.record.evaluations import Handed, Landed

COUNTS = ("ms", "input_tokens", "cached_tokens", "output_tokens")


def make_receipt(
    handed: Handed,
    rubric: Rubric,
    judge: Judge,
    landed: Mapping[str, Landed],
    *,
    attempt: int,
    seconds: float,
    fallback: str | None = None,
    trivial: str | None = None,
) -> dict[str, Any]:
    """`judge` is who was asked first; `fallback` says why somebody else finished, `trivial` why nobody was asked."""
    return {
        "pack": handed.pack_hash,
        "rubric": rubric_hash(rubric),
        "prompt": prompt_hash(),
        "schema": schema_hash(),
        "submission": handed.checksum,
        "judge": judge.name,
        **judge.describe(),
        "models": sorted({landed.spent["model"] for landed in landed.values() if landed.spent.get("model")}),
        "attempt": attempt,
        "seconds": round(seconds, 3),
        "calls": {id: list(one.spent["outcomes"]) for id, one in landed.items() if one.spent.get("outcomes")},
        "used": {count: sum(one.spent.get(count, 0) for one in landed.values()) for count in COUNTS},
        "cut": [field for field, text in handed.fields.items() if len(text) > SECTION_CHARS_MAX],
        "fallback": fallback,
        "trivial": trivial,
    }


def rubric_hash(rubric: Rubric) -> str:
    """SHA-256, in hex, of the rubric's canonical JSON."""
    return hashlib.sha256(msgspec.json.encode(rubric, order="sorted")).hexdigest()
