"""What the imports of a pure room cannot show, ruff bans by name; and these bans can fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BANNED = {
    "engine/core/x.py": "import datetime\n\nx = datetime.datetime.now(datetime.UTC)\n",
    "protocol/x.py": "from datetime import date\n\nx = date.today()\n",
    "engine/live/x.py": "import os\n\nx = os.environ\n",
    "engine/web/x.py": "import asyncio\n\nx = asyncio.wait_for\n",
}


@pytest.mark.parametrize("name", BANNED)
def test_a_banned_name_is_reported(name: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--quiet", "--select", "TID251", "--stdin-filename", name, "-"],
        cwd=ROOT,
        input=BANNED[name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "TID251" in found.stdout, found.stdout + found.stderr
