"""The page's client without a browser: its own tests under Node, and its sums beside the engine's."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.draft import apply_change, apply_splices, checksum
from protocol.words import FIELDS, Change, Splice

PAGE = Path(__file__).parents[2] / "clients" / "js-example"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="NO NODE: the page's client is not tested. Install Node >= 20.")
Peer = Callable[..., Any]

EDGES = "a b\n\té€–ßء漢😀😁🤀👩‍🚀\U0010ffff"
texts = st.text(st.one_of(st.sampled_from(EDGES), st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    """Ask the page's own code."""
    assert NODE is not None
    with subprocess.Popen(
        [NODE, PAGE / "tests" / "peer.js"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:

        def ask(what: str, **given: Any) -> Any:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"ask": what, **given}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask


def test_its_own_tests_pass() -> None:
    assert NODE is not None
    files = sorted((PAGE / "tests").glob("*.test.js"))
    assert files
    done = subprocess.run([NODE, "--test", *files], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, str]:
    """A text, and the same text after something was typed over some of it."""
    before = draw(texts)
    start = draw(st.integers(0, len(before)))
    end = draw(st.integers(start, len(before)))
    return before * draw(st.integers(1, 20)), before[:start] + draw(texts) + before[end:]


@QUICK
@given(edits(), st.booleans())
def test_a_change_made_here_is_applied_there(peer: Peer, edit: tuple[str, str], whole: bool) -> None:
    before, after = edit
    change = msgspec.convert(peer("change", before=before, after=after, whole=whole), Change)
    assert apply_change(before, change) == after
    assert peer("apply", text=before, change=msgspec.to_builtins(change)) == after


@QUICK
@given(texts, st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), texts), max_size=4))
def test_splices_mean_the_same_on_both_sides(peer: Peer, text: str, splices: list[tuple[int, int, str]]) -> None:
    theirs = apply_splices(text, [Splice(at=at, delete=cut, ins=ins) for at, cut, ins in splices])
    ours = peer("splices", text=text, splices=[{"at": at, "del": cut, "ins": ins} for at, cut, ins in splices])
    if isinstance(theirs, str):
        assert ours == theirs
    else:  # past the end; or a pair was cut, which the checksum of a change tells
        assert ours is None or not _is_utf8(ours)


@QUICK
@given(st.lists(texts, min_size=len(FIELDS), max_size=len(FIELDS)))
def test_the_draft_has_one_checksum(peer: Peer, values: list[str]) -> None:
    fields = dict(zip(FIELDS, values, strict=True))
    assert peer("checksum", fields=fields) == checksum(fields)


@QUICK
@given(st.text())
def test_what_the_page_sends_the_engine_takes(peer: Peer, text: str) -> None:
    kept, length = peer("clean", text=text)
    assert "\0" not in kept
    assert len(kept.encode()) == length
    if "\r" not in text and text.isprintable() and _is_utf8(text):
        assert kept == text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
