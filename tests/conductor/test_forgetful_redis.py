"""Redis fails over to a replica that lags, while processes still wait for the record of what it forgot."""

from __future__ import annotations

import asyncio

import pytest

from engine.recorder import Lost
from tests.conductor.crash import change_of, commit_and_die
from tests.conductor.nodes import Nodes, candidate, save
from tests.test_recorder import epoch_is, photograph
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
    live = nodes.first.live
    if told == "before":
        assert not await live.recorded(tab.interview, epoch, 3)
    await commit_and_die(tab, save(1, "not two"))
    other = await commit_and_die(tab, save(2, "not three"))
    if told == "after":
        assert await live.recorded(tab.interview, epoch, 3)
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
