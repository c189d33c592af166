"""The harness's own arithmetic, and that what it sends is what the protocol means."""

from __future__ import annotations

import os

import pytest

from engine.core.draft import apply_change
from protocol import codec
from protocol.messages import DraftSave
from tests.bench.speed.client import DRAFTS, draft_frame, framed, save_bytes
from tests.bench.speed.figures import Goal, Round, Spread, against, ratios
from tests.bench.speed.floor_live import read_save
from tests.bench.speed.instructions import Count
from tests.bench.speed.processes import cpu_seconds, family, stat_of
from tests.bench.speed.slow_node import TIMES
from tests.web.raw_socket import frame


def a_round(n: int, api: float) -> Round:
    return Round(n, 1.0, api, 0.0, 0.0, 0.0, 0.0)


def test_a_ratio_is_of_the_same_round_and_its_middle_is_told() -> None:
    engine, floor = [a_round(10, 1.0), a_round(10, 4.0), a_round(10, 3.0)], [a_round(20, 1.0), a_round(20, 2.0)] * 2
    assert ratios(engine, floor[:3], lambda r: r.api_us) == Spread(4.0, 2.0, 6.0)


def test_a_goal_is_met_or_missed_by_a_figure() -> None:
    goal = Goal("CPU", 0.5, 0.4)
    assert against(goal, Spread(0.4, 0.1, 0.9)).endswith("met, stretch too")
    assert against(goal, Spread(0.5, 0.1, 0.9)).endswith("  met")
    assert against(goal, Spread(1.0, 0.1, 1.9)).endswith("not met, by 0.50 (2.0 times the goal)")


def test_cpu_is_read_behind_any_name() -> None:
    assert stat_of("7 (a) b) S 3 7 7 0 -1 4 1 0 0 0 11 5 2 1 20 0 1 0 9") == (3, 16, 3)
    assert os.getpid() in family(os.getppid())
    assert cpu_seconds(os.getpid()) > 0


def test_each_save_turns_one_draft_into_the_other_for_floor_and_engine() -> None:
    text = draft_frame(0, "first-save")["d"]["changes"][0]["text"]
    for base in (1, 2, 3):
        data = save_bytes("00001", base)
        command = codec.decode(data)
        assert isinstance(command, DraftSave) and command.d.base == base == read_save(data).d.base
        text = apply_change(text, command.d.changes[0])
        assert text == DRAFTS[base % 2]


def test_frames_are_what_the_tests_of_the_socket_send() -> None:
    assert [framed(b"x" * size) for size in (3, 125, 126, 2_000)] == [
        frame(0x1, b"x" * size) for size in (3, 125, 126, 2_000)
    ]


def test_a_count_grows_by_its_ratio_to_the_floor_of_the_same_run() -> None:
    kept = Count(engine=300, floor=100, python="3.11")
    assert Count(engine=630, floor=200, python="3.13").growth(kept) == pytest.approx(0.05)
    assert Count(engine=300, floor=120, python="3.11").growth(kept) == pytest.approx(-1 / 6)


def test_every_time_that_is_made_longer_for_valgrind_is_there() -> None:
    assert all(getattr(module, name) > 0 for module, name, _ in TIMES)
