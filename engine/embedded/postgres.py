"""A real Postgres as a child: made once, durable, on a port that stays, its password in a file of ours."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from signal import SIGINT

from engine.embedded import launch
from engine.embedded.binaries import postgres_folder
from engine.embedded.files import free_port, secret, took_port
from engine.embedded.process import As, Child, StartError, run

STARTS_MAX = 3
"""A port can be taken between our look and the server's, and the last one's memory can linger a moment."""

ALWAYS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # their paths may be 107 bytes at most; a checkout's need not
    "timezone": "UTC",
    "jit": "off",
    "log_min_error_statement": "panic",  # what people wrote stays out of this log as well
    "log_error_verbosity": "terse",
}
FOR_ROOT: tuple[As, ...] = ("namespace", "nobody")
"""As whom Postgres runs when we are root, which it refuses to be: the first that this system allows."""

FOR_TESTS = {"fsync": "off", "full_page_writes": "off"}
"""Not synchronous_commit: with it off, kill -9 of the server loses what was acknowledged."""


class Postgres:
    """The record's server. `start` gives its URL; `kill` and `start` again is what a fault test does."""

    def __init__(self, home: Path, *, durable: bool) -> None:
        self._home, self._durable = home, durable
        self._data = home / "postgres"
        self._child = Child("postgres", home, stop_signal=SIGINT)  # SIGINT: end now, cleanly, whoever is connected
        self.ask_to_stop, self.wait_stopped = self._child.ask_to_stop, self._child.wait_stopped
        self.kill = self._child.kill

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def start(self) -> str:
        """Start it (making its data the first time), wait until it answers, and give its URL."""
        programs = postgres_folder()
        who, version = _who_may_run(programs / "postgres")
        self._child.end_orphan()
        self._make(programs, who)
        self._check_version(version)
        self._own(who)
        self._forget_stranger()
        for attempt in range(1, STARTS_MAX + 1):
            port = free_port(self._home / "postgres.port")
            try:
                self._child.start(self._command(programs, port), who=who, ready=self._ready)
                break
            except StartError:
                if attempt == STARTS_MAX or not self._may_pass():
                    raise
        return self.url(self._home)

    @staticmethod
    def url(home: Path) -> str:
        """Where the one in this folder answers, or last did; empty if there never was one."""
        port, password = home / "postgres.port", home / "postgres.password"
        if not (port.exists() and password.exists()):
            return ""
        return f"postgresql://engine:{password.read_text()}@127.0.0.1:{port.read_text()}/postgres"

    def stop(self) -> None:
        """Stop it cleanly and wait for that."""
        self.ask_to_stop()
        self.wait_stopped()

    def _command(self, programs: Path, port: int) -> list[object]:
        settings = ALWAYS | ({} if self._durable else FOR_TESTS)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [programs / "postgres", "-D", self._data, "-p", port, *options]

    def _ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        # Line 1 is the process, line 8 its state: more than an open port, which also a stranger has.
        return len(lines) > 7 and lines[0] == str(self._child.pid) and lines[7].strip() == "ready"

    def _may_pass(self) -> bool:
        said = self._child.said()
        return "shared memory block" in said or took_port(self._home / "postgres.port", said)

    def _make(self, programs: Path, who: As) -> None:
        """initdb into a folder aside, renamed when done: half a cluster is never taken for one."""
        if (self._data / "PG_VERSION").exists():
            return
        aside = self._home / "postgres.new"
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(self._data, ignore_errors=True)
        aside.mkdir(mode=0o700)
        secret(self._home / "postgres.password")
        if who == "nobody":
            os.chown(aside, launch.NOBODY, launch.NOBODY)
        made = run(
            [
                *(programs / "initdb", "-D", aside, "--username=engine", "--auth=scram-sha-256"),
                *(f"--pwfile={self._home / 'postgres.password'}", "--encoding=UTF8", "--no-locale"),
                *("--no-instructions", *([] if self._durable else ["--no-sync"])),
            ],
            who=who,
        )
        if made.returncode:
            raise StartError(f"initdb could not make {self._data}. It said:\n{made.stderr.strip()}")
        aside.rename(self._data)

    def _check_version(self, version: str) -> None:
        made_by = (self._data / "PG_VERSION").read_text().strip()
        if made_by != version:
            raise StartError(
                f"{self._data} was made by Postgres {made_by}, and the one here is {version}. "
                f"Name the programs of {made_by} in ENGINE_PG_BINDIR, "
                "or move that folder away to begin with an empty record."
            )

    def _own(self, who: As) -> None:
        """Postgres wants its folder to be its user's own: give it over when that changed."""
        if os.geteuid() != 0:
            return
        owner = launch.NOBODY if who == "nobody" else 0
        if self._data.stat().st_uid != owner:
            for path in (self._data, *self._data.rglob("*")):
                os.chown(path, owner, owner, follow_symlinks=False)

    def _forget_stranger(self) -> None:
        """After a reboot the noted pid may be another program's, which would keep Postgres from starting."""
        note = self._data / "postmaster.pid"
        pid = note.read_text().split("\n")[0] if note.exists() else ""
        if pid.isdigit() and sys.platform == "linux":
            name = Path(f"/proc/{pid}/comm")
            if name.exists() and name.read_text().strip() != "postgres":
                note.unlink()


def _who_may_run(program: Path) -> tuple[As, str]:
    """As whom Postgres, which refuses root, can run here; and its major version."""
    tried: tuple[As, ...] = FOR_ROOT if os.geteuid() == 0 else ("self",)
    said = ""
    for who in tried:
        answer = run([program, "-V"], who=who)
        if found := re.search(r"\) (\d+)", answer.stdout):
            return who, found[1]
        said = answer.stderr.strip() or f"exit status {answer.returncode}"
    raise StartError(
        f"{program} does not run here: {said}. Run as an ordinary user, or name a running server in DATABASE_URL."
    )
