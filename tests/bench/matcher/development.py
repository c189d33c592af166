"""The development set: interview questions with their rules, and what people said to them, written apart.

Of each question `<slug>.rules.yaml` holds what its author wrote, `<slug>.said.yaml` what candidates said, by people
who knew the statement and the names of the topics and had seen no phrasing. It is split by question: whatever is
reported on a question comes from weights that were fitted without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

FOLDER = Path(__file__).parent / "development"
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Eight times as fast, where PyYAML has it."""


class Said(NamedTuple):
    """What a candidate said: the rules that answer it (none, one or two), and how it was said.

    `near`: in the domain of the question, and yet no rule answers it. `after`: what was said before, if this needs it.
    """

    text: str
    intents: frozenset[str]
    kind: str = "plain"
    near: bool = False
    after: str = ""


class Question(NamedTuple):
    """A question: its rules and declined topics with their phrasings, and what was said."""

    slug: str
    rules: dict[str, tuple[str, ...]]
    labels: dict[str, str]
    declines: dict[str, tuple[str, ...]]
    said: tuple[Said, ...]


def load(folder: Path = FOLDER) -> list[Question]:
    """Every question of the set, by slug. Raises ValueError with the place of a fault."""
    return [_question(path) for path in sorted(folder.glob("*.rules.yaml"))]


def _question(path: Path) -> Question:
    author = yaml.load(path.read_text(), LOADER)
    candidates = yaml.load(path.with_name(f"{author['slug']}.said.yaml").read_text(), LOADER)
    rules = {rule["intent"]: tuple(rule["examples"]) for rule in author["rules"]}
    said = tuple(_said(row) for row in candidates["said"])
    for one in said:
        if not one.intents <= rules.keys():
            raise ValueError(f"{author['slug']}: {one.text!r} names {sorted(one.intents - rules.keys())}, no rule")
    return Question(
        slug=author["slug"],
        rules=rules,
        labels={rule["intent"]: rule["label"] for rule in author["rules"]},
        declines={topic["topic"]: tuple(topic["examples"]) for topic in author.get("declines") or ()},
        said=said,
    )


def _said(row: dict[str, Any]) -> Said:
    return Said(
        text=row["text"],
        intents=frozenset(row.get("intents") or ()),
        kind=row.get("kind", "plain"),
        near=bool(row.get("near", False)),
        after=row.get("after", ""),
    )
