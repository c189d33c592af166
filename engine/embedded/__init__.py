"""Postgres and Valkey as child processes, for `engine up` and for the tests: real servers, no installation.

They keep their data in one folder, answer only on 127.0.0.1 and to a password, and end when we end: by a
clean stop, by the death signal when we are killed (Linux), or by the next start, which ends what outlived us.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

from engine.embedded.binaries import Missing
from engine.embedded.postgres import Postgres
from engine.embedded.process import POLL_SECONDS, StartError
from engine.embedded.valkey import Valkey

__all__ = ["Embedded", "FolderInUse", "Missing", "Postgres", "StartError", "Urls", "Valkey", "running_urls"]


LOCK_SECONDS = 0.5
"""Whoever only looks who has the folder holds the lock for a moment; that is no other supervisor."""


class FolderInUse(RuntimeError):
    """Another supervisor has this folder; the message says what to do."""


class Urls(NamedTuple):
    """Where the two servers answer. Empty where that one was not asked for."""

    database: str
    redis: str


class Embedded:
    """Both servers in one folder. `durable=False`, for tests: a power cut may lose data, kill -9 does not."""

    def __init__(self, home: str | Path, *, durable: bool = True, postgres: bool = True, valkey: bool = True) -> None:
        self.home = Path(home).absolute()
        self.postgres = Postgres(self.home, durable=durable)
        self.valkey = Valkey(self.home, durable=durable)
        self._wanted = (postgres, valkey)
        self._urls = Urls("", "")
        self._lock: IO[str] | None = None

    def start(self) -> Urls:
        """Take the folder and start what is wanted, from the main thread.

        Raises FolderInUse, Missing (no program) or StartError; nothing is left running then.
        """
        self._take_folder()
        try:
            return self.ensure()
        except BaseException:
            self.stop()
            raise

    def ensure(self) -> Urls:
        """Start what is wanted and does not run (the first time, or after a kill), and say where it answers."""
        postgres, valkey = self._wanted
        if postgres and self.postgres.pid is None:
            self._urls = self._urls._replace(database=self.postgres.start())
        if valkey and self.valkey.pid is None:
            self._urls = self._urls._replace(redis=self.valkey.start())
        return self._urls

    def dead(self) -> str:
        """The name of one that is wanted and does not run, or nothing."""
        postgres, valkey = self._wanted
        if postgres and self.postgres.pid is None:
            return "postgres"
        return "valkey" if valkey and self.valkey.pid is None else ""

    @property
    def _servers(self) -> tuple[Postgres, Valkey]:
        return self.postgres, self.valkey

    def stop(self) -> None:
        """Stop both cleanly, side by side, and give the folder back."""
        for server in self._servers:
            server.ask_to_stop()
        for server in self._servers:
            server.wait_stopped()
        if self._lock:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    def _take_folder(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self.home / "lock").open("a+")
        except PermissionError as error:
            raise FolderInUse(
                f"{self.home} is another user's ({error.strerror}). "
                "Run as that user, or name another folder in ENGINE_DATA_DIR."
            ) from error
        if not _locked(lock, fcntl.LOCK_EX, LOCK_SECONDS):
            lock.seek(0)
            by = lock.read().strip() or "unknown"
            lock.close()
            raise FolderInUse(
                f"{self.home} is in use by another engine (process {by}). "
                "Stop that one first, or give this one a folder of its own in ENGINE_DATA_DIR."
            )
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock


def running_urls(home: str | Path) -> Urls | None:
    """Where the servers of another process's Embedded in `home` answer; None when none runs there."""
    folder = Path(home).absolute()
    if not (folder / "lock").exists():
        return None
    with (folder / "lock").open() as lock:
        if _locked(lock, fcntl.LOCK_SH, 0):
            return None
    return Urls(Postgres.url(folder), Valkey.url(folder))


def _locked(lock: IO[str], how: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(POLL_SECONDS)
