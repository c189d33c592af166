"""engine/README.md is true: every room is on the map, in the order of imports, and the diagram is the machine's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from engine.core.diagram import diagram
from engine.core.machine import TRANSITIONS

ROOT = Path(__file__).parent.parent
README = (ROOT / "engine" / "README.md").read_text()
ROW = re.compile(r"^\| `([\w./]+)` \| (.+?) \| (.+?) \|$", re.M)


def rows() -> dict[str, tuple[str, str]]:
    return {name.rstrip("/").removesuffix(".py"): (does, holds) for name, does, holds in ROW.findall(README)}


def test_every_room_is_on_the_map_and_no_other() -> None:
    there = {path.name.removesuffix(".py") for path in (ROOT / "engine").iterdir()}
    rooms = {name for name in there if not name.startswith("_") and name not in ("README.md", "packs")}
    assert set(rows()) == rooms


def test_rooms_stand_in_the_order_of_imports() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [re.findall(r"\w+", layer) for layer in contracts[0]["layers"]]
    place = {room: number for number, layer in enumerate(layers) for room in layer}
    places = [place[room] for room in rows()]
    assert places == sorted(places)


def test_each_room_has_one_sentence_and_one_invariant() -> None:
    for name, sentences in rows().items():
        for sentence in sentences:
            assert sentence.endswith("."), name
            assert sentence.count(". ") == 0, name


def test_the_diagram_is_the_machines() -> None:
    shown = re.findall(r"```mermaid\n(.*?)```", README, re.S)
    fresh = "put into engine/README.md: python -c 'from engine.core.diagram import diagram; print(diagram())'"
    assert shown == [diagram()], fresh


def test_the_diagram_has_every_transition() -> None:
    assert diagram().count("-->") == 1 + sum(map(len, TRANSITIONS.values()))


@pytest.mark.parametrize("readme", ["README.md", "engine/README.md", "protocol/README.md"])
def test_links_lead_somewhere(readme: str) -> None:
    path = ROOT / readme
    for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / link).exists(), link


@pytest.mark.parametrize("readme", ["engine/README.md", "protocol/README.md"])
def test_files_that_are_named_exist(readme: str) -> None:
    path = ROOT / readme
    for name in re.findall(r"`(\w[\w.-]*/[\w./-]*|\w[\w/-]*\.(?:py|lua|json|ts|yml|toml))`", path.read_text()):
        assert any((base / name).exists() for base in (path.parent, ROOT)), name
