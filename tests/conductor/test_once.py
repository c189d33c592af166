"""A command takes effect once, however often it is sent, to however many nodes."""

from __future__ import annotations

import asyncio

import msgspec

from protocol.messages import Ack, Refusal
from tests.conductor.nodes import ASK, Candidate, Nodes, ask, candidate, proceed, save

TIMES = 200


async def test_two_hundred_at_once_on_two_nodes_are_one(nodes: Nodes) -> None:
    first, second = await nodes.two()
    here = await candidate(first)
    there = Candidate(second, here.interview)
    there.fence = here.fence
    command = ask(id="once-only")
    replies = await asyncio.gather(*((here, there)[i % 2].says(command) for i in range(TIMES)))
    acks = [reply for reply in replies if isinstance(reply, Ack)]
    assert len(acks) == TIMES
    assert {msgspec.structs.replace(ack, dup=False) for ack in acks} == {Ack(id="once-only", s=1)}
    assert sum(not ack.dup for ack in acks) == 1
    assert len(await here.recorded()) == 1


async def test_a_command_sent_again_later_has_its_first_outcome(nodes: Nodes) -> None:
    first, second = await nodes.two()
    here = await candidate(first)
    first_ack = await here.does(save(0, "one", id="save-once"))
    await here.does(save(1, "two"))
    await here.does(proceed())
    there = Candidate(second, here.interview)
    there.fence = here.fence
    again = await there.does(save(0, "one", id="save-once"))
    assert again == msgspec.structs.replace(first_ack, dup=True)
    assert (again.s, again.rev) == (1, 1)
    assert (await here.state()).draft.fields["functional_req"] == "two"


async def test_what_was_acknowledged_stays_so_after_its_phase_and_its_time(nodes: Nodes) -> None:
    here = await candidate(nodes.first)
    asked = ask()
    await here.does(asked)
    await here.does(proceed())
    nodes.later(10_000_000)
    assert (await here.does(asked)).dup


async def test_an_id_means_one_command_for_good(nodes: Nodes) -> None:
    first, second = await nodes.two()
    here = await candidate(first)
    await here.does(ask(id="used-once"))
    there = Candidate(second, here.interview)
    there.fence = here.fence
    for other in (ask("Who refills it?", id="used-once"), save(0, "x", id="used-once")):
        assert await here.refused(other) == "id_reused"
        assert await there.refused(other) == "id_reused"
    await here.does(proceed())
    assert await here.refused(ask("Who refills it?", id="used-once")) == "id_reused"
    assert len(await here.recorded()) == 2


async def test_a_refused_command_may_be_sent_again(nodes: Nodes) -> None:
    here = await candidate(nodes.first)
    early = save(1, "one", id="too-early")
    assert await here.refused(early) == "conflict"
    await here.does(save(0, "zero"))
    assert not (await here.does(early)).dup


async def test_two_nodes_that_write_in_turn_decide_on_the_newest_state(nodes: Nodes) -> None:
    first, second = await nodes.two()
    here = await candidate(first)
    there = Candidate(second, here.interview)
    there.fence = here.fence
    for rev in range(6):
        ack = await (here, there)[rev % 2].does(save(rev, f"text {rev}"))
        assert ack.rev == rev + 1
    assert (await here.state()).draft.fields["functional_req"] == "text 5"


async def test_commands_that_race_on_two_nodes_all_take_effect_in_some_order(nodes: Nodes) -> None:
    first, second = await nodes.two()
    here = await candidate(first)
    there = Candidate(second, here.interview)
    there.fence = here.fence
    replies = await asyncio.gather(*((here, there)[i % 2].says(ask(f"{ASK} {i}")) for i in range(6)))
    assert all(isinstance(reply, Ack) for reply in replies), replies
    assert sorted(reply.s for reply in replies if isinstance(reply, Ack)) == [1, 2, 3, 4, 5, 6]
    assert len(await here.recorded()) == 6


async def test_one_of_two_saves_on_the_same_revision_wins(nodes: Nodes) -> None:
    first, second = await nodes.two()
    here = await candidate(first)
    there = Candidate(second, here.interview)
    there.fence = here.fence
    replies = await asyncio.gather(here.says(save(0, "mine")), there.says(save(0, "other")))
    won = [reply for reply in replies if isinstance(reply, Ack)]
    lost = [reply for reply in replies if isinstance(reply, Refusal)]
    assert len(won) == 1
    assert (lost[0].code, lost[0].d["rev"]) == ("conflict", 1)
