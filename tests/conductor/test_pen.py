"""One tab writes. Who comes in, who gets the pen, and what a fenced writer's late words do: nothing."""

from __future__ import annotations

import pytest

from engine.conductor import StateReset
from engine.live.values import Miss
from protocol.words import Fence
from tests.conductor.nodes import Candidate, Nodes, ask, candidate, fresh_id, save, start


async def test_a_new_tab_gets_the_pen_and_the_old_ones_words_change_nothing(nodes: Nodes) -> None:
    first, second = await nodes.two()
    old = await candidate(first)
    await old.does(save(0, "old"))
    new = Candidate(second, old.interview, tab="new")
    await new.hello()
    for late in (save(1, "late"), ask(), save(0, "wrong as well")):
        assert await old.refused(late) == "fenced"
    assert (await new.does(save(1, "new"))).rev == 2
    assert len(await new.recorded()) == 2


async def test_a_paused_writer_that_wakes_up_after_its_decision_is_fenced_in_the_commit(nodes: Nodes) -> None:
    old = await candidate(nodes.first)
    await old.does(save(0, "old"))  # the node holds the interview in its cache
    new = Candidate(nodes.first, old.interview, tab="new")
    await new.hello()
    loaded = await old.loaded()
    assert old.fence is not None and old.fence.n < loaded.fence
    assert await old.refused(save(1, "decided before, committed now")) == "fenced"


async def test_a_tab_that_comes_back_with_its_fence_goes_on_writing(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    again = Candidate(second, tab.interview)
    greeting = await again.hello(fence=tab.fence)
    assert greeting.arrival.writes and again.fence is not None and tab.fence is not None
    assert again.fence.n == tab.fence.n + 1
    assert await tab.refused(save(0, "from the half-open socket")) == "fenced"
    await again.does(save(0, "here"))


async def test_a_tab_that_lost_the_pen_observes_until_it_takes_it(nodes: Nodes) -> None:
    mine = await candidate(nodes.first)
    other = Candidate(nodes.first, mine.interview, tab="other")
    await other.hello()
    back = await mine.hello(fence=mine.fence)
    assert not back.arrival.writes
    assert await mine.refused(save(0, "no")) == "fenced"
    await other.does(save(0, "still the writer"))
    assert (await mine.hello(fence=mine.fence, take=True)).arrival.writes
    await mine.does(save(1, "mine again"))
    assert await other.refused(save(2, "no")) == "fenced"


async def test_who_does_not_want_to_write_disturbs_nobody(nodes: Nodes) -> None:
    writer = await candidate(nodes.first)
    watcher = Candidate(nodes.first, writer.interview, tab="watcher")
    greeting = await watcher.hello(write=False, take=True)
    assert not greeting.arrival.writes
    assert await watcher.refused(ask()) == "observer"
    await writer.does(ask())


async def test_a_client_without_a_socket_takes_the_pen(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    rest = Candidate(nodes.first, tab.interview)
    rest.fence = await nodes.first.conductor.take_pen(tab.interview, "rest")
    await rest.does(save(0, "by REST"))
    assert await tab.refused(save(1, "no")) == "fenced"


@pytest.mark.parametrize("fence", [Fence(epoch=0, n=1), Fence(epoch=99, n=1)])
async def test_a_fence_of_another_epoch_means_that_the_client_must_begin_anew(nodes: Nodes, fence: Fence) -> None:
    tab = await candidate(nodes.first)
    tab.fence = fence
    for command in (save(0, "no"), save(7, "refused anyway")):
        with pytest.raises(StateReset):
            await tab.says(command)


async def test_the_script_itself_keeps_a_stale_writer_out(nodes: Nodes) -> None:
    """Also one whose node decided on the newest state."""
    from engine.conductor.conductor import _Act, _change, _hash
    from engine.core.machine import Decided, decide
    from tests.conductor.nodes import SMALL_PACK

    tab = await candidate(nodes.first)
    loaded = await tab.loaded()
    frame, now = save(0, "text"), nodes.first.live.clock.now()
    decided = decide(loaded.interview, SMALL_PACK, frame.d, now)
    assert isinstance(decided, Decided)
    for fence in (Fence(epoch=loaded.epoch, n=loaded.fence - 1), Fence(epoch=loaded.epoch, n=loaded.fence + 1)):
        act = _Act(tab.interview, fresh_id(), _hash(frame.d), frame.d, fence)
        assert await nodes.first.live.commit(_change(act, loaded, decided, now)) is Miss.FENCED
    assert await tab.recorded() == []


async def test_two_tabs_that_come_in_together_are_one_writer_and_one_observer(nodes: Nodes) -> None:
    first, second = await nodes.two()
    interview = await start(first)
    tabs = [Candidate(node, interview, tab=f"tab{i}") for i, node in enumerate((first, second))]
    for tab in tabs:
        await tab.hello()
    replies = [await tab.says(ask()) for tab in tabs]
    assert [getattr(reply, "code", "ack") for reply in replies] == ["fenced", "ack"]
