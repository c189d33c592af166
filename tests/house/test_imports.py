"""The direction of imports is checked, and the check can fail: each breach planted here is reported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BREACHES = {
    "core knows no clock": ("engine/core/planted.py", "def now() -> float:\n    import time\n    return time.time()\n"),
    "core knows no settings": ("engine/core/planted.py", "from engine import settings\n"),
    "core knows no telemetry": ("engine/core/planted.py", "from engine.telemetry import log\n"),
    "core knows no redis": ("engine/core/planted.py", "import redis\n"),
    "the protocol knows no engine": ("protocol/planted.py", "from engine.core import machine\n"),
    "the protocol knows no chance": ("protocol/planted.py", "import random\n"),
    "live and record are strangers": ("engine/live/planted.py", "from engine.record import tables\n"),
    "nobody imports upwards": ("engine/record/planted.py", "from engine import recorder\n"),
    "every file has a room": ("engine/helpers.py", ""),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, to plant breaches in."""
    copy = tmp_path_factory.mktemp("house")
    for name in ("engine", "protocol"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def lint(house: Path) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports())"
    return subprocess.run([sys.executable, "-c", program], cwd=house, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_reported(house: Path, breach: str) -> None:
    name, text = BREACHES[breach]
    planted = house / name
    planted.write_text(text)
    try:
        found = lint(house)
    finally:
        planted.unlink()
    assert found.returncode != 0, found.stdout
    assert "planted" in found.stdout or "helpers" in found.stdout, found.stdout


def test_the_house_as_it_is_keeps_the_rules(house: Path) -> None:
    found = lint(house)
    assert found.returncode == 0, found.stdout + found.stderr
