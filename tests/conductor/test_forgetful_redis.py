"""Redis fails over to a replica that lags, while processes still wait for the record of what it forgot."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from engine.conductor import StateReset
from engine.embedded import Embedded
from engine.live.values import Arrival
from engine.recorder import Lost
from engine.recorder.comparing import compare
from protocol import events
from protocol.messages import Ack
from protocol.words import Cursor
from tests.conductor.crash import change_of, commit_and_die
from tests.conductor.nodes import Candidate, Nodes, candidate, proceed, save
from tests.test_recorder import epoch_is, photograph, seqs
from tests.until import until

NEVER_SECONDS = 3.0


async def test_an_event_that_another_took_the_place_of_is_not_acknowledged(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    rewind = await photograph(nodes, tab)
    forgotten = await commit_and_die(tab, save(0, "forgotten"))
    await rewind()
    await tab.does(save(0, "in its place"))
    with pytest.raises(Lost):
        await nodes.first.recorder.add(forgotten)
    assert (await tab.state()).draft.fields["functional_req"] == "in its place"


@pytest.mark.parametrize("told", ["before", "after"])
async def test_live_that_was_told_of_a_record_it_forgot_does_not_pass_off_other_events(nodes: Nodes, told: str) -> None:
    """The word that events are recorded reaches the replica, which has other events in their place, or will have."""
    tab = await candidate(nodes.first)
    await tab.does(save(0, "one"))
    epoch = (await tab.loaded()).epoch
    rewind = await photograph(nodes, tab)
    await tab.does(save(1, "two"))
    await tab.does(save(2, "three"))
    await rewind()
    live, third = nodes.first.live, (await tab.recorded())[2]
    if told == "before":
        assert not await live.recorded(tab.interview, epoch, 3, third)
    await commit_and_die(tab, save(1, "not two"))
    other = await commit_and_die(tab, save(2, "not three"))
    if told == "after":
        assert not await live.recorded(tab.interview, epoch, 3, third)
    with pytest.raises(Lost):
        await nodes.first.recorder.add(other)
    assert (await tab.state()).draft.fields["functional_req"] == "three"


async def test_whoever_waits_for_a_forgotten_event_is_told_that_it_is_lost(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    rewind = await photograph(nodes, tab)
    await commit_and_die(tab, save(0, "forgotten"))
    seen = await tab.loaded()
    await rewind()
    async with asyncio.timeout(NEVER_SECONDS):
        with pytest.raises(Lost):
            await nodes.first.recorder.ensure(seen)
    assert (await tab.loaded()).epoch > seen.epoch


async def test_live_that_lags_behind_its_own_record_is_made_anew_at_once(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    rewind = await photograph(nodes, tab)
    change = await change_of(tab, save(0, "one"))
    await nodes.first.live.commit(change)
    await rewind()  # before the word of the record comes
    assert await nodes.first.recorder.add(change) == "record"
    await until(lambda: epoch_is(tab, change.before.epoch + 1))
    assert (await tab.state()).draft.fields["functional_req"] == "one"


async def test_live_that_lost_its_last_writes_is_made_anew_before_anything_is_acknowledged(nodes: Nodes) -> None:
    """A failover to a lagging replica: recorded events are gone from Redis, and nothing looks wrong there."""
    tab = await candidate(nodes.first)
    await tab.does(save(0, "one"))
    rewind = await photograph(nodes, tab)
    await tab.does(save(1, "two"))
    await tab.does(save(2, "three"))
    await rewind()
    with pytest.raises((Lost, StateReset)):  # committed and then found out, or found out before
        await tab.says(save(1, "on a past that is over"))
    assert (await tab.loaded()).interview.draft.fields["functional_req"] == "three"
    assert seqs(await tab.recorded()) == [1, 2, 3]


async def test_a_client_that_saw_more_than_live_knows_has_live_made_anew(nodes: Nodes) -> None:
    first, other = await nodes.two()
    tab = await candidate(first)
    await tab.does(save(0, "one"))
    rewind = await photograph(nodes, tab)
    await tab.does(save(1, "two"))
    epoch = (await tab.loaded()).epoch
    await rewind()
    there = Candidate(other, tab.interview)  # which remembers nothing
    arrival = await until(lambda: arrived(there, Cursor(epoch=epoch, s=2)))
    assert arrival is not None
    assert (arrival.mode, arrival.loaded.interview.draft.rev) == ("snapshot", 2)


async def test_a_client_of_an_epoch_that_live_knows_nothing_of_has_live_made_anew(nodes: Nodes) -> None:
    first, other = await nodes.two()
    tab = await candidate(first)
    await tab.does(save(0, "one"))
    rewind = await photograph(nodes, tab)
    epoch = (await tab.loaded()).epoch
    await nodes.first.recorder.rebuilder.rebuild(tab.interview, stale=epoch)
    await rewind()
    there = Candidate(other, tab.interview)
    arrival = await until(lambda: arrived(there, Cursor(epoch=epoch + 1, s=1)))
    assert arrival is not None
    assert arrival.loaded.epoch == epoch + 2


async def arrived(tab: Candidate, cursor: Cursor) -> Arrival | None:
    try:
        return (await tab.hello(resume=cursor)).arrival
    except Lost:
        return None


# --- another process, which remembers nothing --------------------------------------------------------------


async def test_nothing_is_refused_on_a_past_that_is_over(nodes: Nodes) -> None:
    first, second = await nodes.two()
    here = await candidate(first)
    rewind = await photograph(nodes, here)
    await here.does(save(0, "one"))
    await rewind()
    there = Candidate(second, here.interview)
    there.fence = here.fence
    with pytest.raises(StateReset):
        await there.says(save(1, "two"))
    await there.hello(take=True)
    assert (await there.does(save(1, "two"))).rev == 2


async def test_a_workers_word_on_a_submission_that_redis_forgot_is_heard(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    await tab.does(proceed())
    await tab.does(save(0, "code", field="code"))
    rewind = await photograph(nodes, tab)
    assert isinstance(await tab.submits(), Ack)
    await rewind()
    started = events.EvaluationStarted(run=1, attempt=1, judge="offline", criteria=())
    assert await second.conductor.announce(tab.interview, "eval:1:start:1", started)
    assert (await tab.state()).phase == "submitted"


async def test_what_redis_forgot_of_an_interview_that_nobody_touches_is_made_anew(nodes: Nodes) -> None:
    tab, whole = await candidate(nodes.first), await candidate(nodes.first)
    await whole.does(save(0, "whole"))
    rewind = await photograph(nodes, tab)
    await tab.does(save(0, "forgotten"))
    await rewind()
    node = nodes.first
    await compare(node.engine, node.live, node.recorder.rebuilder)
    found, untouched = await node.live.load(tab.interview), await node.live.load(whole.interview)
    assert found is not None and untouched is not None
    assert (found.epoch, found.interview.draft.fields["functional_req"]) == (2, "forgotten")
    assert untouched.epoch == 1


async def test_what_a_primary_that_is_away_holds_is_compared_when_it_is_back(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab, unseen = await candidate(nodes.first), await candidate(nodes.first)
    rewind = await photograph(nodes, tab)
    await tab.does(save(0, "forgotten"))
    await rewind()
    node = nodes.first
    real = node.live.positions

    async def but_one(ids: list[str]) -> Any:
        away = RedisConnectionError("its primary is away")
        return [away if id == unseen.interview else at for id, at in zip(ids, await real(ids), strict=True)]

    monkeypatch.setattr(node.live, "positions", but_one)
    with pytest.raises(RedisConnectionError):  # so that it is compared again
        await compare(node.engine, node.live, node.recorder.rebuilder)
    found = await node.live.load(tab.interview)
    assert found is not None
    assert found.epoch == 2


async def test_a_redis_that_was_started_again_is_told_from_the_one_before(nodes: Nodes, servers: Embedded) -> None:
    tab = await candidate(nodes.first)
    rewind = await photograph(nodes, tab)
    await tab.does(save(0, "forgotten"))
    before = await nodes.first.live.servers()
    assert await nodes.first.live.servers() == before
    await rewind()
    servers.valkey.kill()
    servers.ensure()
    await until(lambda: _is_in_epoch(nodes, tab, 2))  # with nobody asking
    assert await nodes.first.live.servers() != before


async def _is_in_epoch(nodes: Nodes, tab: Candidate, epoch: int) -> bool:
    try:
        loaded = await nodes.first.live.load(tab.interview)
    except RedisError:
        return False
    return loaded is not None and loaded.epoch == epoch
