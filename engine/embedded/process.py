"""One child process: started as the right user, tied to our life, found again when it outlived us."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Literal

from engine.embedded import launch

START_SECONDS_MAX = 60.0
"""Crash recovery of a large record takes a while; a server that is silent for longer will not come."""

STOP_SECONDS_MAX = 15.0
POLL_SECONDS = 0.01
LOG_BYTES_MAX = 10 * 2**20
"""A log larger than this is put aside at the next start."""

LOG_TAIL_BYTES = 800

LINUX: bool = platform.system() == "Linux"

As = Literal["self", "namespace", "nobody"]
"""As whom a child runs: as we do; as an ordinary user within a user namespace; as the account `nobody`."""


class StartError(RuntimeError):
    """A server did not start; the message says which, and what it said last."""


def launched(command: Sequence[object], *, who: As, signal: int = 0) -> list[str]:
    """The command that makes a child run `command` as `who`, and get `signal` when we die (Linux)."""
    prelude = [sys.executable, "-I", "-S", launch.__file__, who, int(signal), os.getpid()]
    return [str(part) for part in (*prelude, *command)]


def run(command: Sequence[object], *, who: As) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end; its output and status are returned, never raised."""
    return subprocess.run(
        launched(command, who=who), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


class Child:
    """A server as a child process, with its log and the note by which a later supervisor finds it."""

    def __init__(self, name: str, home: Path, *, stop_signal: Signals) -> None:
        self.name = name
        self.log = home / f"{name}.log"
        self._note = home / f"{name}.pid"
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, command: Sequence[object], *, who: As, ready: Callable[[], bool]) -> None:
        """Start it and wait until `ready()`. Raises StartError if it exits first, or is not ready in time."""
        if threading.current_thread() is not threading.main_thread():
            # Linux sends the death signal when the *thread* that made the child ends.
            raise RuntimeError(f"{self.name} must be started from the main thread")
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                launched(command, who=who, signal=self._stop_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on
            )
        self._note.write_text(f"{self._process.pid} {born(self._process.pid)}")
        self._wait_until(ready)

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + START_SECONDS_MAX
        while not ready():
            if self.pid is None:
                raise StartError(f"{self.name} stopped while it started. It said:\n{self.said()}")
            if time.monotonic() > end:
                self.kill()
                raise StartError(f"{self.name} was not ready after {START_SECONDS_MAX:.0f} s. {self.said()}")
            time.sleep(POLL_SECONDS)

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace") if self.log.exists() else ""

    def ask_to_stop(self) -> None:
        """Send the signal of a clean stop; `wait_stopped` waits for it."""
        if self.pid is not None and self._process:
            self._process.send_signal(self._stop_signal)

    def wait_stopped(self) -> None:
        """Wait for the end; one that does not come is killed."""
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
        self._note.unlink(missing_ok=True)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end_orphan(self) -> None:
        """End the child of a supervisor that was killed, if it still runs; kill it if it does not listen."""
        pid, birth = self._remembered()
        if pid is None or birth is None or born(pid) != birth:
            return
        end = time.monotonic() + STOP_SECONDS_MAX
        os.kill(pid, self._stop_signal)
        while born(pid) == birth:
            if time.monotonic() > end:
                os.kill(pid, SIGKILL)
            time.sleep(POLL_SECONDS)

    def _remembered(self) -> tuple[int | None, str | None]:
        pid, _, birth = self._note.read_text().partition(" ") if self._note.exists() else ("", "", "")
        return (int(pid), birth) if pid.isdigit() and birth else (None, None)


def born(pid: int) -> str | None:
    """When process `pid` began, as this system tells it: with the pid, an identity. None if there is none.

    A zombie counts as gone: it holds no file.
    """
    if LINUX:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if stat[0] in "ZX" else f"{boot} {stat[19]}"
    told = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return None if not told or told.startswith("Z") else told.partition(" ")[2].strip()
