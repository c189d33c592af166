"""Where a Chromium is. Run as a program, it says loudly that there is none, for then no browser test runs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
FLAGS = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *(("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()),  # which root may not use
)
"""How tests start it: quiet, and small enough for a container."""


def find_chromium() -> Path | None:
    """The program named in CHROMIUM, or the first one found; None if there is none."""
    if named := os.environ.get("CHROMIUM"):
        return Path(named)
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    return next((Path(place) for place in APPLICATIONS if Path(place).exists()), None)


if __name__ == "__main__" and find_chromium() is None:
    sys.stderr.write(
        "\n!!  NO CHROMIUM FOUND: the browser's tests will be SKIPPED.\n"
        "!!  Install one (Debian: apt-get install chromium; macOS: brew install --cask chromium),\n"
        "!!  or name one in CHROMIUM.\n\n"
    )
