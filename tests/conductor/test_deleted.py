"""77: a deleted account's interviews: nobody finds them, nobody complains, and nothing brings a word of them back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from engine.conductor import deadlines
from engine.core.interview import GRACE_MS
from engine.identity.leaving import delete_account
from engine.live.keys import keys_of
from engine.record import deletion, interviews
from engine.recorder import NotThere
from engine.wiring import Backbone
from protocol import events as e
from tests.conductor.crash import commit_and_die
from tests.conductor.nodes import SMALL_PACK, Candidate, Nodes, ask, candidate, execute, proceed, save
from tests.planted import places
from tests.until import time_passes, until

CANARY = "canary7712"
ACCESS_SECONDS = 900
TYPING_SECONDS = 0.1


async def typing_candidate(node: Backbone, **more: Any) -> Candidate:
    """Somebody whose words are everywhere: in the draft, in a question, in the narrative."""
    tab = await candidate(node, **more)
    await tab.does(ask(f"Does it give change back, {CANARY}?"))
    await tab.does(save(0, CANARY))
    await node.live.narrate(tab.interview, 1, 1, 0, CANARY)
    return tab


async def owner(tab: Candidate) -> UUID:
    return UUID(await tab.node.conductor.owner(tab.interview))


async def delete(tab: Candidate) -> None:
    assert await delete_account(tab.node.engine, tab.node.live, await owner(tab), ACCESS_SECONDS)


async def delete_and_die(tab: Candidate) -> None:
    """The record commits, and the process is gone before it comes to the live copies."""
    async with tab.node.engine.begin() as connection:
        assert await deletion.delete_user(connection, await owner(tab))


async def left(node: Backbone, tab: Candidate) -> list[str]:
    return await places([CANARY, tab.interview], node.settings.database_url, node.redis)


COMPLETED = e.EvaluationCompleted(run=1, score=1.0, passed=False, judge="offline", narrative=CANARY)
TOUCHES: dict[str, Callable[[Candidate], Awaitable[Any]]] = {
    "a command": lambda tab: tab.says(save(1, f"{CANARY} again")),
    "a command that is refused": lambda tab: tab.says(save(9, CANARY)),
    "a tab that comes in": lambda tab: tab.hello(),
    "the pen": lambda tab: tab.conductor.take_pen(tab.interview, "other"),
    "the clock": lambda tab: tab.conductor.clock(tab.interview),
    "a worker's word": lambda tab: tab.conductor.announce(tab.interview, "eval:1:end", COMPLETED),
    "a look": lambda tab: tab.conductor.view(tab.interview),
    "the question whose it is": lambda tab: tab.conductor.owner(tab.interview),
}


async def test_77_whoever_comes_after_a_deletion_finds_nothing(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await typing_candidate(first)
    there = Candidate(second, tab.interview)
    await there.hello(take=True)
    await there.does(save(1, f"{CANARY} on the other node"))
    assert await left(first, tab)
    cached = await there.loaded()
    await delete(tab)
    assert not await left(first, tab)
    for name, touch in TOUCHES.items():
        second.conductor._remember(cached)  # as it would, had nobody come before
        with pytest.raises(NotThere):
            await touch(there)
        assert not await left(first, tab), name


async def test_77_a_narrative_does_not_grow_for_nobody(nodes: Nodes) -> None:
    tab = await typing_candidate(nodes.first)
    await delete(tab)
    await nodes.first.conductor.narrate(tab.interview, 1, 2, 0, f"{CANARY}, says the next attempt")
    assert not await left(nodes.first, tab)


async def test_77_deleted_while_two_nodes_type_and_the_clock_is_due(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab, due = await typing_candidate(first, slug="parking-garage"), await typing_candidate(second)
    user = await owner(tab)
    await execute(first, "UPDATE interview_sessions SET user_id = $1 WHERE id = $2", user, UUID(due.interview))
    await due.does(proceed())
    deadline_at = (await due.state()).deadline_at
    typed, over = [0], asyncio.Event()

    async def types(one: Candidate) -> None:
        with suppress(NotThere):
            while True:
                await one.says(save((await one.state()).draft.rev, f"{CANARY} {typed[0]}"))
                typed[0] += 1

    async def runs_the_clock(node: Backbone) -> None:
        while not over.is_set():
            await deadlines.poll(node.conductor)
            await deadlines.sweep(node.conductor, node.engine)

    async with asyncio.TaskGroup() as others:
        typing = [others.create_task(types(one)) for one in (tab, due)]
        for node in nodes.all:
            others.create_task(runs_the_clock(node))
        await until(lambda: typed[0] > 2)
        nodes.until(deadline_at + GRACE_MS - round(TYPING_SECONDS * 1_000))
        await time_passes(TYPING_SECONDS)
        await delete(tab)
        await asyncio.wait(typing)
        over.set()
    assert typed[0] > 2
    for one in (tab, due):
        assert not await left(first, one)
    assert not any(node.recorder.parked or node.recorder.away for node in nodes.all)


async def test_77_deleted_while_it_is_made_anew_from_the_record(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    node = nodes.first
    tab = await typing_candidate(node)
    user = await owner(tab)
    await node.redis.flushdb()
    reached, go_on, rebuild = asyncio.Event(), asyncio.Event(), node.live.rebuild

    async def slow(*given: Any) -> bool:
        reached.set()
        await go_on.wait()
        return await rebuild(*given)

    monkeypatch.setattr(node.live, "rebuild", slow)
    comes_in = asyncio.create_task(tab.hello())
    await reached.wait()
    assert await delete_account(node.engine, node.live, user, ACCESS_SECONDS)
    go_on.set()
    with pytest.raises(NotThere):
        await comes_in
    assert not await left(node, tab)


async def by_a_command(nodes: Nodes, tab: Candidate) -> None:
    with pytest.raises(NotThere):
        await tab.says(save(1, CANARY))


async def by_the_clock(nodes: Nodes, tab: Candidate) -> None:
    nodes.until((await tab.state()).deadline_at)
    await deadlines.poll(nodes.first.conductor)


async def by_the_sweep(nodes: Nodes, tab: Candidate) -> None:
    """Of events that were committed and never recorded."""
    nodes.later(2_000)

    async def gone() -> bool:
        return not await left(nodes.first, tab)

    await until(gone)


@pytest.mark.parametrize("erased", [by_a_command, by_the_clock, by_the_sweep])
async def test_77_after_a_crash_in_between_the_next_touch_erases(
    nodes: Nodes, erased: Callable[[Nodes, Candidate], Awaitable[None]]
) -> None:
    tab = await typing_candidate(nodes.first)
    if erased is by_the_sweep:
        await commit_and_die(tab, save(1, f"{CANARY} not recorded"))
    await delete_and_die(tab)
    assert all(place.startswith("redis:") for place in await left(nodes.first, tab))
    await erased(nodes, tab)
    assert not await left(nodes.first, tab)


async def test_77_what_a_crash_leaves_has_an_end(nodes: Nodes) -> None:
    """The clock will come to it, or each of its keys has a time to live."""
    node = nodes.first
    tab = await typing_candidate(node)
    keys = keys_of(tab.interview)
    assert await node.redis.zscore(keys.due, tab.interview)
    await tab.does(proceed())
    assert await node.redis.zscore(keys.due, tab.interview)
    await tab.submits()
    assert await node.redis.zscore(keys.due, tab.interview) is None
    for key in (keys.state, keys.events, keys.commands, keys.tail):
        assert 0 < await node.redis.ttl(key) <= 86_400, key


async def test_77_a_deleted_user_starts_nothing(nodes: Nodes) -> None:
    node = nodes.first
    tab = await typing_candidate(node)
    user = await owner(tab)
    await delete(tab)
    assert not await delete_account(node.engine, node.live, user, ACCESS_SECONDS)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await interviews.start(node.engine, user, SMALL_PACK.id, node.live.clock.now())
