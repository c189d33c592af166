"""A real Valkey (or Redis) as a child: append-only file, password, a port that stays."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM

from engine.embedded.binaries import valkey_program
from engine.embedded.files import free_port, secret, took_port
from engine.embedded.process import Child, StartError

STARTS_MAX = 3
ANSWER_SECONDS = 0.5


class Valkey:
    """The live interviews' server. `kill` and `start` keep its data; `wipe` between them loses it."""

    def __init__(self, home: Path, *, durable: bool, more: Mapping[str, object] | None = None) -> None:
        """`more`: settings of the server beside ours."""
        self.home, self.more = home, more or {}
        self._durable = durable
        self._data = home / "valkey"
        self._child = Child("valkey", home, stop_signal=SIGTERM)
        self.ask_to_stop, self.wait_stopped = self._child.ask_to_stop, self._child.wait_stopped
        self.kill = self._child.kill
        self._port, self._password = 0, ""

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def start(self) -> str:
        """Start it, wait until its data is loaded, and give its URL."""
        program = valkey_program()
        self._child.end_orphan()  # two servers on one append-only file would ruin it
        self._data.mkdir(exist_ok=True, mode=0o700)
        self._password = secret(self.home / "valkey.password")
        for attempt in range(1, STARTS_MAX + 1):
            self._port = free_port(self.home / "valkey.port")
            try:
                self._child.start([program, self._configured()], who="self", ready=self._ready)
                break
            except StartError:
                if attempt == STARTS_MAX or not took_port(self.home / "valkey.port", self._child.said()):
                    raise
        return self.url(self.home)

    @staticmethod
    def url(home: Path) -> str:
        """Where the one in this folder answers, or last did; empty if there never was one."""
        port, password = home / "valkey.port", home / "valkey.password"
        if not (port.exists() and password.exists()):
            return ""
        return f"redis://:{password.read_text()}@127.0.0.1:{port.read_text()}/0"

    def stop(self) -> None:
        """Stop it cleanly and wait for that."""
        self.ask_to_stop()
        self.wait_stopped()

    def files(self) -> list[Path]:
        """What it has written, file by file."""
        return sorted(self._data.glob("appendonlydir/*.aof"))

    def wipe(self) -> None:
        """Delete its data, as the loss of a disk would. Only while it does not run."""
        if self.pid is not None:
            raise RuntimeError("stop or kill Valkey before its data is deleted")
        shutil.rmtree(self._data, ignore_errors=True)

    def _configured(self) -> Path:
        """Write its settings to a file, not the command line, where every user could read the password."""
        path = self.home / "valkey.conf"
        path.touch(mode=0o600)
        settings = {
            "bind": "127.0.0.1",
            "port": self._port,
            "dir": f'"{self._data}"',
            "requirepass": self._password,
            "masterauth": self._password,  # where a test makes it the replica of another
            "maxmemory-policy": "noeviction",  # an interview must never be dropped to make room
            "appendonly": "yes",
            "appendfsync": "everysec" if self._durable else "no",  # either survives kill -9 of the server
            "save": '""',
            "daemonize": "no",
            **self.more,
        }
        path.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        return path

    def _ready(self) -> bool:
        said = b""
        address = ("127.0.0.1", self._port)
        with contextlib.suppress(OSError), socket.create_connection(address, ANSWER_SECONDS) as connection:
            connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
            while said.count(b"\r\n") < 2 and (more := connection.recv(256)):
                said += more
        return b"+PONG" in said  # not while it loads its file, and not from a stranger on this port
