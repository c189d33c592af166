"""`./run fuzz-rest`: schemathesis with all its checks and phases against a real node. What it finds is a defect.

The short form is tests/web/test_schemathesis.py.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Sequence
from pathlib import Path

from engine import telemetry
from engine.embedded import Embedded
from engine.settings import load_settings
from engine.wiring import load_packs, migrate
from tests.web.listening import QUESTION, Node, Person, listening

EXAMPLES = 200
FORGET_SECONDS = 0.05
"""Limits are forgotten as often, or most of what is tried would never get past them."""

# What JSON Schema cannot say of a valid value, so that 422 is right also for one that fits its schema: an address
# that mail goes to, a name that can be shown, a cursor that was given out, one's own address, a command by its type.
BEYOND_SCHEMAS = ("request_code", "update_profile", "list_questions", "perform_command")

ACCEPTED = ["2xx", "401", "403", "404", "409", "422", "429"]
REJECTED = ["400", "401", "403", "404", "405", "409", "413", "414", "415", "422", "429", "431"]
CONFIG = """
checks.negative_data_rejection.expected-statuses = {rejected}
generation.allow-x00 = false  # refused in every text, which no schema says; test_guards.py has it
[[operations]]
include-operation-id = [{beyond}]
checks.positive_data_acceptance.expected-statuses = {accepted}

# These end the login or the account they are called with: not those of all the others.
[[operations]]
include-operation-id = ["log_out", "delete_account"]
headers = {{ Authorization = "{other}" }}
checks.positive_data_acceptance.expected-statuses = {accepted}
"""
REAL_IDS = """
[parameters]
"path.id" = "{interview}"
"path.slug" = "{slug}"
"""


async def fuzz(node: Node, folder: Path, options: Sequence[str], *, real_ids: bool) -> tuple[int, str]:
    """Run schemathesis once; its exit status, and what it says. With `real_ids`, paths lead to what is there."""
    person, other = await node.person(), await node.person()
    beyond = ", ".join(f'"{name}"' for name in BEYOND_SCHEMAS)
    config = CONFIG.format(beyond=beyond, other=_authorization(other), accepted=ACCEPTED, rejected=REJECTED)
    if real_ids:
        config += REAL_IDS.format(interview=await person.start(), slug=QUESTION)
    (folder / "schemathesis.toml").write_text(config)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{node.url}/openapi.json", "--checks", "all"),
        *("--no-color", "--header", f"Authorization: {_authorization(person)}", *options),
        cwd=folder,
        stdout=PIPE,
        stderr=STDOUT,
    )
    talking = asyncio.create_task(process.communicate())
    while not (await asyncio.wait({talking}, timeout=FORGET_SECONDS))[0]:
        await _forget_limits(node)
    assert process.returncode is not None
    return process.returncode, talking.result()[0].decode()


def _authorization(person: Person) -> str:
    return person.http.headers["authorization"]


async def _forget_limits(node: Node) -> None:
    if marks := [key async for key in node.parts.redis.scan_iter("{limits}:*", count=1_000)]:
        await node.parts.redis.delete(*marks)


async def _long(folder: Path, examples: int, seed: int) -> int:
    with Embedded(folder / "servers", durable=False) as servers:
        urls = servers.ensure()
        settings = load_settings(
            {}, database_url=urls.database, redis_url=urls.redis, data_dir=folder, judge="offline",
            secret_key="a secret of the tests, long enough to pass",
        )  # fmt: skip
        await migrate(settings)
        await load_packs(settings)
        worst = 0
        async with listening(settings) as node:
            for real_ids in (False, True):
                options = ["--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure"]
                status, said = await fuzz(node, folder, options, real_ids=real_ids)
                sys.stdout.write(said)
                worst = max(worst, status)
    return worst


def main() -> int:
    """Run schemathesis: all checks and phases, once with made-up ids in paths, once with real ones; 1: found some."""
    parser = argparse.ArgumentParser(prog="./run fuzz-rest", description=main.__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="requests an operation and phase, at most")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    telemetry.configure("json")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        status = asyncio.run(_long(Path(folder), arguments.examples, arguments.seed))
    if status:
        sys.stdout.write(f"again         ./run fuzz-rest --examples {arguments.examples} --seed {arguments.seed}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
