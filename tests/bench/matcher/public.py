"""Public intent sets as questions: ten intents with four phrasings each, out of scope and near misses beside them.

CLINC150 (Larson et al. 2019, CC BY 3.0) and BANKING77 (Casanueva et al. 2020, CC BY 4.0). Neither is part of this
repository; their folder is named by a setting.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path

from tests.bench.matcher.development import Question, Said

GROUPS, RULES, PHRASINGS = 10, 10, 4
DECLINES = 2
"""Phrasings of each intent that is held back, for those who decline it."""
INSIDE, NEAR, OUTSIDE = 10, 6, 30
"""Messages: of each rule, of each intent held back, and out of scope altogether."""
HELD_BACK = 5
SEED = 11

Phrasings = dict[str, list[str]]


def read(folder: Path) -> dict[str, list[Question]]:
    """The sets that are there, by name."""
    found: dict[str, list[Question]] = {}
    if (clinc := folder / "clinc150").is_dir():
        data, oos = _clinc(clinc)
        domains = list(json.loads((clinc / "domains.json").read_text()).values())
        found["CLINC150, random"] = _questions("clinc", data, [list(data)], oos)
        found["CLINC150, one domain"] = _questions("clinc-domain", data, domains, oos)
    if (banking := folder / "banking77").is_dir():
        data = _banking(banking)
        found["BANKING77"] = _questions("banking", data, [list(data)], [])
    return found


def _clinc(folder: Path) -> tuple[Phrasings, list[str]]:
    splits = json.loads((folder / "data_full.json").read_text())
    data: Phrasings = {}
    for text, intent in splits["test"]:
        data.setdefault(intent, []).append(text)
    return data, [text for text, _ in splits["oos_test"]]


def _banking(folder: Path) -> Phrasings:
    data: Phrasings = {}
    with (folder / "test.csv").open() as file:
        for row in csv.DictReader(file):
            data.setdefault(row["category"], []).append(row["text"])
    return data


def _questions(name: str, data: Phrasings, pools: Sequence[list[str]], oos: Sequence[str]) -> list[Question]:
    chance = random.Random(SEED)
    return [_one(f"{name}-{n}", data, pools[n % len(pools)], oos, chance) for n in range(GROUPS)]


def _one(slug: str, data: Phrasings, pool: list[str], oos: Sequence[str], chance: random.Random) -> Question:
    drawn = chance.sample(pool, RULES + HELD_BACK)
    texts = {intent: chance.sample(data[intent], len(data[intent])) for intent in drawn}
    rules = {intent: tuple(texts[intent][:PHRASINGS]) for intent in drawn[:RULES]}
    declines = {intent: tuple(texts[intent][:DECLINES]) for intent in drawn[RULES:]}
    said = [
        Said(text, frozenset((intent,))) for intent in rules for text in texts[intent][PHRASINGS : PHRASINGS + INSIDE]
    ]
    said += [
        Said(text, frozenset(), "near", True)
        for one in drawn[RULES:]
        for text in texts[one][DECLINES : DECLINES + NEAR]
    ]
    said += [Said(text, frozenset(), "outside") for text in chance.sample(list(oos), min(OUTSIDE, len(oos)))]
    return Question(slug, rules, {}, declines, tuple(said))
