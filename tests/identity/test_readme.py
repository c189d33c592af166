"""engine/identity/README.md is true: its limits are those of the code, its events are audited, its tests are there."""

from __future__ import annotations

import re

from engine.conductor.conductor import CACHE_MAX
from engine.identity import codes, sign_in
from engine.live.limits import Limit
from engine.record import challenges
from engine.settings import Settings
from engine.web import routes_auth
from engine.web.operations import NETWORK_FACTOR, USUAL_COUNT, USUAL_SECONDS
from tests.stack import ROOT
from tests.web.test_audit import AUDITED

README = (ROOT / "engine" / "identity" / "README.md").read_text()


def test_every_limit_is_in_the_table_as_it_is() -> None:
    told = {name: (int(count), int(seconds)) for count, seconds, name in LIMIT.findall(README)}
    named = [value for value in vars(sign_in).values() if isinstance(value, Limit)]
    limits = [*named, routes_auth.REFRESHES, routes_auth.GOOGLE_SIGN_INS]
    assert told == {limit.name: (limit.count, limit.window_seconds) for limit in limits}
    for row in (
        f"| {USUAL_COUNT} | {USUAL_SECONDS} | `rest:` and its name |",
        f"{USUAL_COUNT * NETWORK_FACTOR:,} a minute of what has the usual limit",
        f"{CACHE_MAX:,}\n  it touched last",
        f"| life of a code | | {codes.CODE_TTL_SECONDS} |",
        f"| wrong tries of one code | {challenges.TRIES_PER_CODE} |",
        f"over all its codes | {challenges.FAILURES_PER_DAY} | {challenges.DAY.days * 86_400} |",
    ):
        assert row in README


LIMIT = re.compile(r"^\|[^|]*\| (\d+) \| (\d+) \| `([\w:]+)` \|$", re.M)


def test_every_audited_event_is_named_and_no_other() -> None:
    table = README.partition("## In the log")[2].partition("## Threats")[0]
    assert set(re.findall(r"`(\w+_\w+)`", table)) - {"request_id"} == AUDITED


def test_every_test_and_variable_it_names_is_there() -> None:
    for name in re.findall(r"`(tests/[\w/.]+)`", README):
        assert (ROOT / name).is_file(), name
    for name in re.findall(r"`ENGINE_([A-Z_]+)[`=]", README):
        assert name.lower() in Settings.__struct_fields__, name
