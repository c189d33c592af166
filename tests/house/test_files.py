"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES_MAX = 400
CODE = ("engine", "protocol", "tests", "migrations", "clients")
LANGUAGES = {".py", ".js", ".mjs", ".ts", ".lua", ".css", ".html"}
GENERATED = ("/vendor/", "protocol/messages.ts", "package-lock.json")
"""Third-party bundles and files a program writes; a test of their own keeps those fresh."""

OURS = {"engine", "protocol", "tests", "migrations"}

TIME_PASSES_IN = {"tests/until.py", "tests/chaos/mutants.py"}
"""Where tests may sleep: to wait for a condition, which all others do by it, and to be an engine that is too slow."""

LEAKS = re.compile(
    r"(?<![\w.])(?:/work|/root|/home/\w+|/Users/\w+)/\w"  # a folder of one machine
    r"|file://|\b(?:[\w-]+\.)*pypi\.(?:org|io)\b|files\.pythonhosted\.org"  # the host of a registry
    r"|registry\.(?:npmjs\.org|yarnpkg\.com)"
)
"""What must not be in a tracked file: it would be true on one machine only."""


def tracked() -> Iterator[Path]:
    """Files that git tracks, or would; in a tree without git, all but what is hidden."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            yield ROOT / name


def code(*suffixes: str) -> Iterator[tuple[str, str]]:
    """(name, text) of our own source files."""
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        own = name.startswith(CODE) and not any(part in name for part in GENERATED)
        if own and path.suffix in (suffixes or LANGUAGES):
            yield name, path.read_text()


def test_no_file_is_long() -> None:
    long = {name: text.count("\n") for name, text in code() if text.count("\n") > LINES_MAX}
    assert not long, f"over {LINES_MAX} lines: {long}"


def test_tests_wait_for_conditions_and_never_sleep() -> None:
    sleeping = [
        f"{name}:{call.lineno}"
        for name, text in code(".py")
        if name.startswith("tests/") and name not in TIME_PASSES_IN
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("sleep") and not _yields(call)
    ]
    assert not sleeping, f"use tests.until: {sleeping}"


def _yields(call: ast.Call) -> bool:
    """`asyncio.sleep(0)` lets others run and takes no time."""
    return [ast.unparse(argument) for argument in call.args] == ["0"]


def test_nothing_of_this_machine_is_in_the_files() -> None:
    leaks = []
    for path in tracked():
        if path == Path(__file__):
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if found := LEAKS.search(line):
                leaks.append(f"{path.relative_to(ROOT)}:{number}: {found[0]}")
    assert not leaks, leaks[:20]


SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\bsk-[A-Za-z0-9_-]{20,}|\bAKIA[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b"
    r"|\bxox[abprs]-[0-9A-Za-z-]{10,}|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"  # Slack; a signed token
)
"""What keys of well-known kinds look like."""


def test_74_no_secret_is_in_the_files() -> None:
    found = []
    for path in tracked():
        try:
            secret = SECRETS.search(path.read_text()) if path != Path(__file__) else None
        except UnicodeDecodeError:
            continue
        if secret:
            found.append(f"{path.relative_to(ROOT)}: {secret[0][:12]}...")
    assert not found


def test_what_is_imported_is_named_in_pyproject() -> None:
    """A package that is here only because another one needs it may be gone tomorrow."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runs = {_package(one) for one in project["project"]["dependencies"]}
    tests = runs | {_package(one) for one in project["dependency-groups"]["dev"]}
    extras = project["project"]["optional-dependencies"]
    homes = packages_distributions()
    missing = {
        f"{name}: {module}"
        for name, text in code(".py")
        for module in _imports(ast.parse(text))
        if module not in OURS | sys.stdlib_module_names
        and not {_package(one) for one in homes.get(module, [module])}
        & (tests if name.startswith("tests/") else runs | {_package(one) for one in extras.get(_room(name), [])})
    }
    assert not missing, missing


def _room(name: str) -> str:
    """A room has the name of the extra that it needs."""
    return name.split("/")[1]


def _package(requirement: str) -> str:
    return re.split(r"[\s<>=!~;\[]", requirement)[0].lower().replace("_", "-")


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
