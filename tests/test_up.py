"""`engine up` as a user runs it: it comes up, is alone in its folder, dies without a trace and comes back."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.embedded.process import born
from tests.until import until_now

STOP_SECONDS_MAX = 2.0
START_SECONDS_MAX = 60.0
"""Not the promise (that is 3 s, by the clock of an idle machine), but an end to waiting."""


class Running:
    """An `engine` process: what it says, what answers at its URL, which children it has."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home, self.log = home, home / f"{arguments[0]}.log"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ENGINE_")}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "engine.cli", *arguments],
                env=environ | {"ENGINE_DATA_DIR": str(home / "data")},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self, pattern: str) -> str:
        """Wait until it says something like `pattern`; its first group."""

        def found() -> re.Match[str] | None:
            assert self.process.poll() is None, self.log.read_text()
            return re.search(pattern, self.log.read_text())

        return until_now(found, START_SECONDS_MAX).group(1)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@contextmanager
def running(home: Path, *arguments: str) -> Iterator[Running]:
    engine = Running(home, *arguments)
    try:
        yield engine
    finally:
        engine.end()


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.read().decode()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


def servers_of(home: Path) -> list[tuple[int, str]]:
    """(pid, birth) of the two servers, by the notes beside their data."""
    notes = [(home / "data" / f"{name}.pid").read_text().partition(" ") for name in ("postgres", "valkey")]
    return [(int(pid), birth) for pid, _, birth in notes]


def test_up_serves_is_joined_and_leaves_nothing_when_killed(home: Path) -> None:
    with running(home, "up", "--port", "0") as up:
        url = up.said(r"Interviews +(http://127\.0\.0\.1:\d+)")
        assert f"{url}/dev/mailbox" in up.said(r"Sign in +(.*)")
        assert get(f"{url}/readyz")[0] == 200
        assert "<html" in get(url)[1]

        with running(home, "serve", "--port", "0") as node:  # a second node, by nothing but the folder
            port = node.said(r"port=(\d+)")
            until_now(lambda: _ready(f"http://127.0.0.1:{port}"), START_SECONDS_MAX)
            node.process.send_signal(signal.SIGTERM)
            assert node.process.wait(15) == 0, node.log.read_text()

        servers = servers_of(home)
        assert all(born(pid) == birth for pid, birth in servers)
        up.process.kill()
        if sys.platform == "linux":
            until_now(lambda: not any(born(pid) == birth for pid, birth in servers))


def test_up_again_has_the_same_data_and_ctrl_c_ends_all_at_once(home: Path) -> None:
    with running(home, "up", "--port", "0") as up:
        up.said(r"Interviews +(http://127\.0\.0\.1:\d+)")
        servers = servers_of(home)
        began = time.monotonic()
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(15) == 0, up.log.read_text()
        assert time.monotonic() - began < STOP_SECONDS_MAX
        assert not any(born(pid) == birth for pid, birth in servers)
        assert "Traceback" not in up.log.read_text()


def _ready(url: str) -> bool:
    try:
        return get(f"{url}/readyz")[0] == 200
    except OSError:
        return False
