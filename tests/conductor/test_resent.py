"""A command that is sent again: its events come before its ack, also on a node that did not commit it."""

from __future__ import annotations

from tests.conductor.crash import commit_and_die
from tests.conductor.nodes import Candidate, Listener, Nodes, ask, candidate


async def test_a_repeated_ack_comes_after_the_events_it_speaks_of(nodes: Nodes) -> None:
    first, second = await nodes.two()
    here = await candidate(first)
    there = Candidate(second, here.interview)
    there.fence = here.fence
    listener = Listener()
    await listener.join(second, here.interview)
    command = ask()
    await commit_and_die(here, command)
    ack = await there.does(command)
    assert (ack.dup, ack.durable, listener.position) == (True, "record", ack.s)
