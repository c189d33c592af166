"""Sockets that come in together, while something happens: nobody's hello hides from another what it missed."""

from __future__ import annotations

from tests.conductor.nodes import Listener, Nodes, ask, candidate


async def test_what_happens_during_a_hello_is_heard_though_another_came_in_after_it(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    slow, quick = Listener(), Listener()
    topic = nodes.first.fanout.join(tab.interview, slow)
    await nodes.first.fanout.confirmed(topic)
    stood = (await tab.hello()).arrival.loaded
    await tab.does(ask())
    await quick.join(nodes.first, tab.interview)
    slow.starts(stood.interview.seq)
    await nodes.first.fanout.start(topic, stood.epoch, stood.interview.seq)
    assert slow.events == await tab.recorded()
    await tab.does(ask())
    assert slow.position == quick.position == 2
