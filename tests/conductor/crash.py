"""Processes that stop in the middle: a command that is committed, and then nobody there to record it."""

from __future__ import annotations

from engine.conductor.conductor import _Act, _change, _hash
from engine.core.machine import Decided, decide
from engine.live.values import Applied, Change
from protocol.messages import Command
from tests.conductor.nodes import Candidate


async def change_of(tab: Candidate, frame: Command) -> Change:
    """What the command would commit, by the pen that `tab` holds."""
    node = tab.node
    loaded = await tab.node.live.load(tab.interview)  # past what this node remembers: another process may have done it
    assert loaded is not None
    pack = await node.conductor.shelf.get(loaded.interview.pack)
    command = await node.conductor._understood(frame.d, loaded.interview)
    now = node.live.clock.now()
    decided = decide(loaded.interview, pack, command, now)
    assert isinstance(decided, Decided), decided
    act = _Act(tab.interview, frame.id, _hash(frame.d), frame.d, tab.fence)
    return _change(act, loaded, decided, now)


async def commit_and_die(tab: Candidate, frame: Command) -> Change:
    """Commit in Redis only."""
    change = await change_of(tab, frame)
    assert await tab.node.live.commit(change) == Applied()
    return change
