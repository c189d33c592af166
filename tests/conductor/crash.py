"""Processes that stop in the middle: a command that is committed, and then nobody there to record it."""

from __future__ import annotations

from engine.conductor.conductor import _Act, _change, _hash, _reading
from engine.core.machine import Decided, decide
from engine.live.values import Applied, Change
from protocol.messages import Command
from tests.conductor.nodes import Candidate


async def change_of(tab: Candidate, frame: Command) -> Change:
    """What the command would commit, by the pen that `tab` holds."""
    node = tab.node
    loaded = await tab.loaded()
    shelved = await node.conductor.shelf.get(loaded.interview.pack)
    now = node.live.clock.now()
    decided = decide(loaded.interview, shelved.pack, _reading(frame.d)(shelved, loaded.interview), now)
    assert isinstance(decided, Decided), decided
    act = _Act(tab.interview, frame.id, _hash(frame.d), _reading(frame.d), tab.fence)
    return _change(act, loaded, decided, now)


async def commit_and_die(tab: Candidate, frame: Command) -> Change:
    """Commit in Redis only."""
    change = await change_of(tab, frame)
    assert await tab.node.live.commit(change) == Applied()
    return change
