"""After a failover to a replica that lagged, a node remembers a history that another has taken the place of."""

from __future__ import annotations

from engine.core.draft import checksum_of_field
from protocol import commands as c
from protocol.messages import DraftSave
from protocol.words import Change, Splice
from tests.conductor.crash import commit_and_die
from tests.conductor.nodes import Candidate, Nodes, candidate, fresh_id, save
from tests.test_recorder import photograph


def goes_on(text: str) -> DraftSave:
    """A save of revision 3, typed behind `text`."""
    splice = Splice(at=len(text), ins=", and more")
    change = Change(field="functional_req", splices=(splice,), checksum=checksum_of_field(text + ", and more"))
    return DraftSave(id=fresh_id(), d=c.Save(base=2, changes=(change,)))


async def test_nothing_is_decided_on_a_history_that_redis_forgot(nodes: Nodes) -> None:
    first, second = await nodes.two()
    here = await candidate(first)
    there = Candidate(second, here.interview)
    there.fence = here.fence
    await here.does(save(0, "one"))
    rewind = await photograph(nodes, here)
    await commit_and_die(here, save(1, "forgotten"))
    forgotten = await here.loaded()
    await rewind()
    await there.does(save(1, "kept"))
    assert forgotten.interview.seq == (await there.loaded()).interview.seq
    assert await here.refused(goes_on("forgotten")) == "need_full"
    first.conductor._remember(forgotten)  # as if that were the first thing said here
    assert (await here.does(goes_on("kept"))).rev == 3
    assert (await first.recorder.rebuilder.read(here.interview)).draft.fields["functional_req"] == "kept, and more"
