"""Time: nothing before its instant, nothing after it, whatever a node thinks; and the clock acts once."""

from __future__ import annotations

import asyncio
import time

import pytest
from msgspec.structs import replace

from engine.conductor import deadlines
from engine.core.interview import GRACE_MS, due_at
from engine.live.clock import SKEW_MS_MAX, Clock
from engine.live.keys import keys_of
from engine.live.values import Applied, Miss
from protocol import events as e
from protocol.codec import decode_event
from tests.conductor.crash import change_of
from tests.conductor.nodes import Candidate, Nodes, ask, candidate, proceed, save, start
from tests.until import until

CLARIFY_MS, DESIGN_MS = 60_000, 600_000


async def heard(tab: Candidate) -> list[e.Event]:
    return [decode_event(body).d for body in await tab.recorded()]


async def test_clarifying_runs_out_and_design_goes_on_from_its_deadline(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    began = (await tab.state()).started_at
    nodes.until(began + CLARIFY_MS + 5_000)
    await deadlines.poll(nodes.first.conductor)
    after = await tab.state()
    assert (after.phase, after.deadline_at) == ("design", began + CLARIFY_MS + DESIGN_MS)


async def test_design_runs_out_and_the_last_saved_draft_is_submitted(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    await tab.does(proceed())
    await tab.does(save(0, "the last word", field="code"))
    nodes.until((await tab.state()).deadline_at + GRACE_MS)
    await deadlines.poll(nodes.first.conductor)
    submitted = (await heard(tab))[-1]
    assert isinstance(submitted, e.SolutionSubmitted)
    assert (submitted.by, submitted.rev, submitted.late) == ("clock", 1, False)
    assert nodes.rung == [(tab.interview, 1)]


async def test_an_interview_nobody_came_to_ends_by_itself(nodes: Nodes) -> None:
    """Its live copy was never made: the record alone knows that it is due."""
    interview = await start(nodes.first)
    tab = Candidate(nodes.first, interview)
    nodes.later(CLARIFY_MS + DESIGN_MS + GRACE_MS + 1)
    for _ in range(2):
        await deadlines.sweep(nodes.first.conductor, nodes.first.engine)
        await deadlines.poll(nodes.first.conductor)
    assert [type(event) for event in await heard(tab)] == [e.PhaseChanged, e.SolutionSubmitted]


async def test_nothing_happens_a_moment_before(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    nodes.until((await tab.state()).deadline_at - 5_000)
    await act_everywhere(nodes)
    assert (await tab.state()).phase == "clarifying"
    await tab.does(proceed())
    nodes.until((await tab.state()).deadline_at + GRACE_MS - 5_000)
    await act_everywhere(nodes)
    assert (await tab.state()).phase == "design"


async def act_everywhere(nodes: Nodes) -> None:
    await deadlines.poll(nodes.first.conductor)
    await deadlines.sweep(nodes.first.conductor, nodes.first.engine)


async def test_two_nodes_that_act_on_one_deadline_make_one_event(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tabs = [await candidate(first) for _ in range(5)]
    for tab in tabs:
        await tab.does(proceed())
    nodes.until((await tabs[-1].state()).deadline_at + GRACE_MS)
    await asyncio.gather(*(deadlines.poll(node.conductor) for node in (first, second, first, second)))
    for tab in tabs:
        assert [type(event) for event in await heard(tab)] == [e.PhaseChanged, e.SolutionSubmitted]
    assert sorted(nodes.rung) == sorted((tab.interview, 1) for tab in tabs)


async def test_submit_and_the_clock_at_the_same_instant_submit_once(nodes: Nodes) -> None:
    first, second = await nodes.two()
    for _ in range(5):
        tab = await candidate(first)
        await tab.does(proceed())
        nodes.until((await tab.state()).deadline_at + GRACE_MS - 15)
        await asyncio.gather(tab.submits(), *(second.conductor.clock(tab.interview) for _ in range(3)))
        nodes.later(GRACE_MS)
        await asyncio.gather(first.conductor.clock(tab.interview), second.conductor.clock(tab.interview))
        assert [type(event) for event in await heard(tab)] == [e.PhaseChanged, e.SolutionSubmitted]


async def test_deadlines_outlive_the_loss_of_the_index(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    await tab.does(proceed())
    await nodes.first.redis.flushdb()
    nodes.until((await tab.loaded()).interview.deadline_at + GRACE_MS)
    await nodes.first.redis.flushdb()
    await deadlines.poll(nodes.first.conductor)
    assert len(await tab.recorded()) == 1
    await deadlines.sweep(nodes.first.conductor, nodes.first.engine)
    assert isinstance((await heard(tab))[-1], e.SolutionSubmitted)


async def test_the_running_hands_act_within_a_second(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    nodes.until((await tab.state()).deadline_at + 1)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(deadlines.run_deadlines(nodes.first.conductor, nodes.first.engine, stop))
        await until(lambda: in_design(tab), seconds=2.0)  # a second more than promised, for a busy machine
        stop.set()


async def in_design(tab: Candidate) -> bool:
    return (await tab.state()).phase == "design"


async def test_one_interview_in_trouble_does_not_hold_up_the_next(nodes: Nodes) -> None:
    tabs = [await candidate(nodes.first) for _ in range(2)]
    nodes.until((await tabs[1].state()).deadline_at)
    nobody, nonsense = "7e57ab1e-0000-4000-8000-00000000dead", "no id at all"
    for id in (nobody, nonsense):
        await nodes.first.redis.zadd(keys_of(id).due, {id: 1})
    await deadlines.poll(nodes.first.conductor)
    assert [(await tab.state()).phase for tab in tabs] == ["design", "design"]
    assert nobody not in await nodes.first.live.due()


# --- what a node thinks the time is ------------------------------------------------------------------------


@pytest.mark.parametrize("off_ms", [-SKEW_MS_MAX - 50, SKEW_MS_MAX + 50, -3_600_000, 86_400_000])
async def test_a_decision_on_a_wrong_clock_is_refused_and_made_again(nodes: Nodes, off_ms: int) -> None:
    tab = await candidate(nodes.first)
    change = await change_of(tab, ask())
    clock = nodes.first.live.clock
    assert await nodes.first.live.commit(replace(change, now=change.now + off_ms)) is Miss.CLOCK
    clock.learn(clock.now() + off_ms)  # the estimate goes astray
    await tab.does(ask())
    assert abs(clock.now() - await nodes.first.live.time()) < 50


@pytest.mark.parametrize("off_ms", [-100, 100])
async def test_a_small_error_is_no_reason_to_decide_again(nodes: Nodes, off_ms: int) -> None:
    tab = await candidate(nodes.first)
    change = await change_of(tab, ask())
    assert await nodes.first.live.commit(replace(change, now=change.now + off_ms)) == Applied()


async def test_the_script_holds_a_decision_to_its_instants(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    change = await change_of(tab, ask())
    now = await nodes.first.live.time()
    for astray in ({"holds_from": now + 5_000}, {"holds_until": now}, {"holds_until": now - 1}):
        assert await nodes.first.live.commit(replace(change, **astray)) is Miss.CLOCK
    assert await nodes.first.live.commit(replace(change, holds_from=now, holds_until=now + 60_000)) == Applied()


async def test_nobody_gets_less_time_because_a_node_is_ahead(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    clock = nodes.first.live.clock
    nodes.until((await tab.state()).deadline_at - 5_000)
    clock.learn(clock.now() + 60_000)
    await tab.does(ask())
    await tab.does(proceed())
    nodes.until((await tab.state()).deadline_at - 5_000)
    clock.learn(clock.now() + 60_000)
    assert not (await tab.does(save(0, "in time", field="code"))).late


async def test_nobody_gets_more_time_because_a_node_is_behind(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    nodes.until((await tab.state()).deadline_at + 1)
    clock = nodes.first.live.clock
    clock.learn(clock.now() - 60_000)
    assert await tab.refused(ask()) == "phase"
    assert (await tab.state()).phase == "design"


async def test_who_is_late_by_the_commits_clock_is_marked_late(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    await tab.does(proceed())
    due = due_at(await tab.state()) or 0
    nodes.until(due - GRACE_MS + 500)
    clock = nodes.first.live.clock
    clock.learn(clock.now() - 60_000)
    assert (await tab.does(save(0, "late", field="code"))).late
    clock.learn(clock.now() - 60_000)
    late = await tab.submits()
    assert getattr(late, "late", None) is True


async def test_the_first_command_after_the_deadline_acts_for_the_clock(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    nodes.until((await tab.state()).deadline_at)
    await tab.does(save(0, "a requirement"))  # which design takes as well
    assert [type(event) for event in await heard(tab)] == [e.PhaseChanged, e.DraftSaved]


def test_setting_a_nodes_clock_moves_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    clock.learn(1_900_000_000_000)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 <= clock.now() - 1_900_000_000_000 < 1_000


def test_the_tests_offset_moves_what_is_read_and_not_what_is_learnt() -> None:
    clock = Clock()
    clock.learn(1_900_000_000_000)
    clock.offset_ms += 60_000
    assert 60_000 <= clock.now() - 1_900_000_000_000 < 61_000
