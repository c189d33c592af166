"""The packs that ship, read once, and a small whole one to break."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from engine.core.pack import Pack, parse_pack

PACKS_DIR = Path(__file__).parents[2] / "engine" / "packs"


@cache
def packs() -> dict[str, Pack]:
    """Every shipped pack by its id."""
    found = [parse_pack(path.read_bytes()) for path in sorted(PACKS_DIR.glob("*.yaml"))]
    return {pack.id: pack for pack in found}


def playable() -> list[Pack]:
    """Those an interview can be started on."""
    return [pack for pack in packs().values() if pack.playable]


SMALL = """\
schema: interview-pack/1
id: vending-machine
version: 2
title: Vending machine
type: LLD
difficulty: easy
status: published
languages: [go, python]
time_limits: {clarify_seconds: 60, design_seconds: 600}
statement: Design the software of a machine that sells snacks and gives change back.
sections:
  functional_req: {label: Requirements, required: true, min_chars: 20, min_items: 2}
  non_functional_req: {label: Qualities}
  entities: {label: Entities, min_items: 2}
  classes_and_relationships: {label: Relationships}
  apis: {label: Operations}
  code: {label: Code, min_chars: 10}
  extra: {label: More}
clarification:
  max_questions: 5
  fallback: As you like.
  settled: Asked already.
  rules:
    - intent: change_giving
      label: Change
      weight: 2
      response: It gives change when it can.
      examples: [does it give change back, what if it has no coins]
    - intent: stock_refill
      label: Refilling
      response: Once a day.
      examples: [who refills it, how often is it filled up]
rubric:
  pass_mark: {mid: 50, senior: 75}
  criteria:
    - id: C1
      name: Coverage
      weight: 30
      kind: counted
      levels: [none, some, most, all]
      checks:
        - {id: C1.a, points: 2, ask: Asked about change., count: {of: asked, intent: change_giving}}
        - {id: C1.b, points: 1, ask: Filled in the requirements., count: {of: filled, field: functional_req}}
        - {id: C1.c, points: 1, ask: Used the classes., count: {of: named, percent: 50}}
    - id: C2
      name: States
      weight: 70
      kind: judged
      evidence: [entities, code]
      levels: [none, some, most, all]
      checks:
        - {id: C2.a, points: 2, ask: Names the states.}
        - {id: C2.b, points: 2, ask: Rejects coins while it dispenses.}
        - {id: C2.x, points: -1, ask: One class does everything.}
"""
