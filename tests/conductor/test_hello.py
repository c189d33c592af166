"""Coming in: nothing, all that was missed, or one snapshot. Never a part."""

from __future__ import annotations

import asyncio

import pytest

from engine.live.keys import keys_of
from engine.live.store import EVENTS_KEPT, REPLAY_BYTES_MAX, REPLAY_EVENTS_MAX
from protocol.codec import decode_event
from protocol.words import Cursor
from tests.conductor.crash import commit_and_die
from tests.conductor.nodes import Candidate, Nodes, ask, candidate, proceed, save, start


async def epoch_of(tab: Candidate) -> int:
    return (await tab.loaded()).epoch


async def test_a_client_without_a_cursor_gets_a_snapshot(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    await tab.does(ask())
    arrival = (await tab.hello()).arrival
    assert (arrival.mode, arrival.missed, arrival.loaded.interview.seq) == ("snapshot", (), 1)


async def test_who_was_cut_off_before_the_first_event_resumes_all_the_same(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    cursor = Cursor(epoch=await epoch_of(tab), s=0)
    assert (await tab.hello(resume=cursor)).arrival.mode == "noop"
    await tab.does(ask())
    arrival = (await tab.hello(resume=cursor)).arrival
    assert (arrival.mode, len(arrival.missed)) == ("replay", 1)


@pytest.mark.parametrize("missing", [0, 1, 3])
async def test_a_client_is_replayed_what_it_misses_byte_for_byte(nodes: Nodes, missing: int) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    for text in ("Does it give change back?", "Who refills it?", "Is it red?"):
        await tab.does(ask(text))
    there = Candidate(second, tab.interview, tab="there")
    arrival = (await there.hello(resume=Cursor(epoch=await epoch_of(tab), s=3 - missing))).arrival
    assert arrival.mode == ("replay" if missing else "noop")
    assert list(arrival.missed) == (await tab.recorded())[3 - missing :]
    again = (await there.hello(resume=Cursor(epoch=await epoch_of(tab), s=3))).arrival
    assert (again.mode, again.missed) == ("noop", ())


@pytest.mark.parametrize("cursor", [Cursor(epoch=0, s=0), Cursor(epoch=7, s=1)])
async def test_a_cursor_of_another_epoch_gets_a_snapshot(nodes: Nodes, cursor: Cursor) -> None:
    tab = await candidate(nodes.first)
    await tab.does(ask())
    assert (await tab.hello(resume=cursor)).arrival.mode == "snapshot"


async def test_a_cursor_ahead_of_the_head_gets_a_snapshot(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    await tab.does(ask())
    for s in (2, 2**53):
        arrival = (await tab.hello(resume=Cursor(epoch=await epoch_of(tab), s=s))).arrival
        assert (arrival.mode, arrival.loaded.interview.seq) == ("snapshot", 1)


async def test_a_gap_is_replayed_up_to_a_number_of_events(nodes: Nodes) -> None:
    """All of them committed by a process that died: hello has them recorded first."""
    tab = await candidate(nodes.first)
    for rev in range(REPLAY_EVENTS_MAX + 1):
        await commit_and_die(tab, save(rev, str(rev)))
    epoch = await epoch_of(tab)
    whole = (await tab.hello(resume=Cursor(epoch=epoch, s=1))).arrival
    assert (whole.mode, len(whole.missed)) == ("replay", REPLAY_EVENTS_MAX)
    assert [decode_event(data).s for data in whole.missed] == list(range(2, REPLAY_EVENTS_MAX + 2))
    too_far = (await tab.hello(resume=Cursor(epoch=epoch, s=0))).arrival
    assert (too_far.mode, too_far.missed, too_far.loaded.interview.seq) == ("snapshot", (), REPLAY_EVENTS_MAX + 1)


async def test_a_gap_is_replayed_up_to_a_number_of_bytes(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    await tab.does(proceed())
    for rev in range(6):
        await tab.does(save(rev, "x" * (REPLAY_BYTES_MAX // 5), field="code"))
    epoch = await epoch_of(tab)
    assert (await tab.hello(resume=Cursor(epoch=epoch, s=1))).arrival.mode == "snapshot"
    assert (await tab.hello(resume=Cursor(epoch=epoch, s=5))).arrival.mode == "replay"


async def test_what_was_trimmed_is_never_replayed_in_part(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    for text in "abcde":
        await tab.does(ask(text))
    epoch = await epoch_of(tab)
    await nodes.first.redis.xtrim(keys_of(tab.interview).events, minid="3-0", approximate=False)
    assert (await tab.hello(resume=Cursor(epoch=epoch, s=1))).arrival.mode == "snapshot"
    assert (await tab.hello(resume=Cursor(epoch=epoch, s=2))).arrival.mode == "replay"


async def test_the_stream_is_not_trimmed_past_what_is_recorded(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    live = nodes.first.live
    for text in "ab":
        await tab.does(ask(text))
    await committed_only(tab, "not recorded")
    await nodes.first.redis.hset(keys_of(tab.interview).state, "head", EVENTS_KEPT + 100)
    await live.recorded(tab.interview, await epoch_of(tab), 2)
    assert 3 in [s for s, _ in await live.events(tab.interview, 0, 9)]


async def test_pending_commands_are_answered_at_once(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    done = await tab.does(save(0, "one", id="was-done"))
    there = Candidate(second, tab.interview)
    greeting = await there.hello(fence=tab.fence, pending=("was-done", "never-came"))
    assert set(greeting.acks) == {"was-done"}
    ack = greeting.acks["was-done"]
    assert (ack.s, ack.rev, ack.dup, ack.durable) == (done.s, 1, True, "record")


async def test_hello_shows_nothing_before_it_is_recorded(nodes: Nodes) -> None:
    """Another process has committed and died before it recorded: the welcome waits for the record."""
    tab = await candidate(nodes.first)
    await committed_only(tab, "found lying")
    greeting = await tab.hello(pending=("left-lying",))
    assert greeting.durable == "record"
    assert greeting.acks["left-lying"].durable == "record"
    assert len(await tab.recorded()) == 1


async def committed_only(tab: Candidate, text: str, id: str = "left-lying") -> None:
    """A save in Redis, by a process that went no further."""
    await commit_and_die(tab, save((await tab.state()).draft.rev, text, id=id))


async def test_the_first_touch_makes_the_live_copy_once(nodes: Nodes) -> None:
    first, second = await nodes.two()
    interview = await start(first)
    tabs = [Candidate((first, second)[i % 2], interview, tab=f"tab{i}") for i in range(20)]
    await asyncio.gather(*(tab.hello(write=False) for tab in tabs))
    assert {await epoch_of(tab) for tab in tabs[:2]} <= {1, 2}
