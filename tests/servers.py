"""`./run servers`: the whole stack's tests and the short form of chaos on every pair of servers that is supported."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

TESTS = ("tests/e2e", "tests/chaos/test_chaos.py", "tests/conductor", "tests/live", "tests/test_recorder.py")
OF_A_CLUSTER = ("tests/e2e", "tests/chaos/test_chaos.py", "tests/live/test_cluster.py")
"""The others look into one Redis, past the engine."""

DEBIAN_REDIS, DEBIAN_POSTGRES = Path("/usr/bin/redis-server"), Path("/usr/lib/postgresql/15/bin")
LIVE: dict[str, tuple[str, Path | None, str]] = {
    "valkey": ("the wheel's Valkey", None, ""),
    "redis70": ("Redis 7.0, Debian 12's package redis-server", DEBIAN_REDIS, ""),
    "cluster": ("three primaries of the wheel's Valkey", None, "cluster"),
}
RECORD: dict[str, tuple[str, Path | None]] = {
    "postgres18": ("the wheel's Postgres", None),
    "postgres15": ("Postgres 15, Debian 12's package postgresql-15", DEBIAN_POSTGRES),
}
PAIRS = ("valkey+postgres18", "redis70+postgres15", "cluster+postgres18")
"""Each server once; any other pair may be asked for."""


def main() -> int:
    """Run the tests on each pair; 1 when they fail on any, 2 when a server is missing."""
    told = "\n".join(f"  {name:<12}{about[0]}" for name, about in (LIVE | RECORD).items())
    parser = argparse.ArgumentParser(
        prog="./run servers", description=f"{main.__doc__}\n\n{told}\n\nENGINE_REDIS_BIN and ENGINE_PG_BINDIR, where "
        "they are set, say where redis70 and postgres15 are.", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("pairs", nargs="*", default=PAIRS, metavar="PAIR", help=f"as in {PAIRS[1]} ({' '.join(PAIRS)})")
    arguments = parser.parse_args()
    environs: dict[str, dict[str, str]] = {}
    for pair in arguments.pairs:
        live, _, record = pair.partition("+")
        if live not in LIVE or record not in RECORD:
            parser.error(f"{pair}: a pair is one of {', '.join(LIVE)}, a +, and one of {', '.join(RECORD)}")
        environs[pair] = _environ(live, record)
    failed = [pair for pair, environ in environs.items() if not _passes(pair, environ)]
    _say(f"== FAILED on {', '.join(failed)}" if failed else f"== all passed on {', '.join(environs)}")
    return 1 if failed else 0


def _environ(live: str, record: str) -> dict[str, str]:
    """The environment in which tests start these servers. Ends the program when one is missing."""
    environ = {
        name: value for name, value in os.environ.items() if name not in ("ENGINE_REDIS_BIN", "ENGINE_PG_BINDIR")
    }
    _, redis, kind = LIVE[live]
    _, postgres = RECORD[record]
    if redis is not None:
        environ["ENGINE_REDIS_BIN"] = _there("ENGINE_REDIS_BIN", redis, "", "redis-server")
    if postgres is not None:
        environ["ENGINE_PG_BINDIR"] = _there("ENGINE_PG_BINDIR", postgres, "postgres", "postgresql-15")
    return environ | {"TEST_REDIS": kind}


def _there(variable: str, usual: Path, program: str, package: str) -> str:
    place = Path(os.environ.get(variable) or usual)
    if not (place / program).exists():
        _say(
            f"There is no {place / program}. On Debian 12: apt-get install -y --no-install-recommends {package} "
            f"(no service of it need run). Elsewhere, say in {variable} where it is."
        )
        sys.exit(2)
    return str(place)


def _passes(pair: str, environ: dict[str, str]) -> bool:
    _say(f"== {pair}")
    tests = OF_A_CLUSTER if environ["TEST_REDIS"] else TESTS
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", *tests]
    return subprocess.run(command, env=environ, check=False).returncode == 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
