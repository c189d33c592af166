"""What a server keeps in our folder beside its data: its password and its port."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from pathlib import Path

BIND_FAILURES = ("could not bind", "Address already in use", "Address in use")


def secret(path: Path) -> str:
    """The secret in `path`, made the first time; only its owner reads it."""
    with contextlib.suppress(FileExistsError), open(path, "x", opener=_private) as file:
        file.write(secrets.token_urlsafe(32))
    return path.read_text()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def free_port(path: Path) -> int:
    """The port in `path` if it is free, else a new one, which is put there: a restart keeps its addresses."""
    last = [int(path.read_text())] if path.exists() else []
    for wanted in (*last, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", wanted))
            port = int(probe.getsockname()[1])
            path.write_text(str(port))
            return port
    raise OSError("no free port on 127.0.0.1")


def took_port(path: Path, said: str) -> bool:
    """True if the server said that somebody has its port; the port is then forgotten."""
    taken = any(failure in said for failure in BIND_FAILURES)
    if taken:
        path.unlink(missing_ok=True)
    return taken
