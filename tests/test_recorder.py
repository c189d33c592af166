"""The recorder: groups, order, the whole prefix; and when answers, data, servers or epochs are not as hoped."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from signal import SIGKILL
from typing import Any

import asyncpg
import msgspec
import pytest

from engine.conductor import StateReset
from engine.embedded import Embedded
from engine.live.keys import keys_of
from engine.live.values import Applied
from engine.record import events as record
from engine.record import interviews
from engine.record.events import Batch, Recorded
from engine.recorder import Lost, Parked
from engine.settings import Settings
from protocol.codec import decode_event
from protocol.messages import Ack, Refusal
from tests.conductor.conftest import hall, hall_settings, nodes
from tests.conductor.crash import change_of, commit_and_die
from tests.conductor.nodes import Candidate, Listener, Nodes, ask, candidate, execute, fresh_id, proceed, save
from tests.until import until

__all__ = ["hall", "hall_settings", "nodes"]


def seqs(bodies: list[bytes]) -> list[int]:
    return [decode_event(body).s for body in bodies]


# --- groups and order --------------------------------------------------------------------------------------


async def test_many_interviews_share_a_few_transactions(nodes: Nodes) -> None:
    tabs = await asyncio.gather(*(candidate(nodes.first) for _ in range(30)))
    acks = await asyncio.gather(*(tab.does(save(0, "one")) for tab in tabs))
    assert {(ack.s, ack.durable) for ack in acks} == {(1, "record")}
    (row,) = await execute(nodes.first, "SELECT count(*), count(DISTINCT xmin::text) FROM interview_events")
    assert row[0] == 30
    assert row[1] < 15


async def test_events_of_one_interview_are_recorded_in_order_and_once(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    await asyncio.gather(*(tab.does(ask(f"Does it give change back? {i}")) for i in range(6)))
    assert seqs(await tab.recorded()) == [1, 2, 3, 4, 5, 6]
    live = await nodes.first.live.events(tab.interview, 0, 6)
    assert [body for _, body in live] == await tab.recorded()


async def test_what_events_mean_stands_in_the_tables(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    await tab.does(ask())
    await tab.does(proceed())
    await tab.does(save(0, "class Machine", field="code"))
    await tab.submits()
    (session,) = await execute(nodes.first, "SELECT phase, recorded_seq, submitted_at FROM interview_sessions")
    (solution,) = await execute(nodes.first, "SELECT code, rev, submitted_by, submitted_at FROM solutions")
    (said,) = await execute(nodes.first, "SELECT seq, intent, charged FROM clarification_logs")
    (run,) = await execute(nodes.first, "SELECT run, state FROM evaluation_runs")
    assert tuple(session)[:2] == ("submitted", 4) and session[2] == solution[3]
    assert tuple(solution)[:3] == ("class Machine", 1, "candidate")
    assert (tuple(said), tuple(run)) == ((1, "change_giving", True), (1, "queued"))


# --- processes that die ------------------------------------------------------------------------------------


async def test_the_next_process_records_the_whole_prefix(nodes: Nodes) -> None:
    """Two commits whose process died before it recorded; a third, elsewhere, is acknowledged with all of them."""
    first, second = await nodes.two()
    tab = await candidate(first)
    await commit_and_die(tab, ask())
    await commit_and_die(tab, save(0, "left lying"))
    there = Candidate(second, tab.interview)
    there.fence = tab.fence
    ack = await there.does(save(1, "recorded"))
    assert (ack.s, ack.durable) == (3, "record")
    assert seqs(await tab.recorded()) == [1, 2, 3]


async def test_what_lies_about_is_recorded_by_anyone_after_a_second(nodes: Nodes) -> None:
    first, _ = await nodes.two()
    tab = await candidate(first)
    await commit_and_die(tab, save(0, "nobody comes back for this"))
    assert await tab.recorded() == []
    nodes.later(1_001)
    assert seqs(await until(tab.recorded)) == [1]
    await until(lambda: nothing_dirty(first))


async def nothing_dirty(node: Any) -> bool:
    return not await node.live.dirty(-3_600_000)


async def test_a_resent_command_whose_process_died_is_acknowledged_once_recorded(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    command = save(0, "sent twice")
    await commit_and_die(tab, command)
    again = await tab.does(command)
    assert (again.dup, again.durable) == (True, "record")
    assert seqs(await tab.recorded()) == [1]


async def test_two_nodes_in_turn_leave_no_gap(nodes: Nodes) -> None:
    """Between two commits of one process that wait for the record, another process commits."""
    first, second = await nodes.two()
    tab = await candidate(first)
    there = Candidate(second, tab.interview)
    there.fence = tab.fence
    mine = [await commit_and_die(tab, save(0, "first"))]
    await commit_and_die(there, save(1, "second, elsewhere"))
    mine.append(await commit_and_die(tab, save(2, "third")))
    assert await asyncio.gather(*map(first.recorder.add, mine)) == ["record", "record"]
    assert seqs(await tab.recorded()) == [1, 2, 3]
    assert (await tab.loaded()).recorded == 3


async def test_an_answer_to_commit_that_was_lost_is_settled_by_the_bytes(nodes: Nodes) -> None:
    """The transaction went through and nobody was told: nothing is written twice, and no epoch begins."""
    tab = await candidate(nodes.first)
    change = await commit_and_die(tab, save(0, "went through"))
    assert await record.write(nodes.first.engine, [batch_of(change)]) == {tab.interview}
    assert await nodes.first.recorder.add(change) == "record"
    assert seqs(await tab.recorded()) == [1]
    assert (await tab.loaded()).epoch == change.before.epoch
    assert (await tab.does(save(1, "on it goes"))).durable == "record"


def batch_of(change: Any, body: bytes | None = None) -> Batch:
    entries = tuple(
        Recorded(entry.seq, body or entry.body, entry.command_id, entry.body_hash, entry.outcome)
        for entry in change.entries()
    )
    return Batch(epoch=change.before.epoch, interview=change.after, entries=entries)


async def test_other_bytes_in_the_record_win_and_live_is_made_anew(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    recorded = await change_of(tab, save(0, "what the record has"))
    assert await record.write(nodes.first.engine, [batch_of(recorded)])
    with pytest.raises(Lost):
        await tab.says(save(0, "what live has"))
    loaded = await tab.loaded()
    assert loaded.epoch == recorded.before.epoch + 1
    assert loaded.interview.draft.fields["functional_req"] == "what the record has"
    await tab.hello()
    assert (await tab.does(save(1, "on it goes"))).durable == "record"


# --- data that cannot be recorded --------------------------------------------------------------------------

BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "text that Postgres refuses": lambda body: body.replace(b"poison", b"\\u0000"),
    "bytes that are no event": lambda body: b"poison",
    "an instant beyond all calendars": lambda body: body.replace(b'"ts":', b'"ts":9007199254740991,"was":'),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_a_poisoned_interview_is_set_aside_and_the_others_go_on(
    nodes: Nodes, broken: Callable[[bytes], bytes]
) -> None:
    first, second = await nodes.two()
    sick, *others = [await candidate(first) for _ in range(4)]
    change = await change_of(sick, ask("poison"))
    bad = msgspec.structs.replace(change, events=tuple(map(broken, change.events)))
    assert await first.live.commit(bad) == Applied()
    replies = await asyncio.gather(
        first.recorder.add(bad), *(other.does(save(0, "well")) for other in others), return_exceptions=True
    )
    assert isinstance(replies[0], Parked)
    assert [getattr(reply, "durable", reply) for reply in replies[1:]] == ["record"] * 3
    assert not first.recorder.away
    row = await interviews.read(first.engine, sick.interview)
    assert row is not None and row.parked
    for node in (first, second):
        visitor = Candidate(node, sick.interview)
        with pytest.raises(Parked):
            await visitor.hello()
    assert (await others[0].does(save(1, "still well"))).durable == "record"


async def test_a_table_of_another_version_parks_nobody(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    await execute(nodes.first, "ALTER TABLE solutions RENAME COLUMN extra TO other")
    assert (await tab.does(save(0, "waits"))).durable == "live"
    await execute(nodes.first, "ALTER TABLE solutions RENAME COLUMN other TO extra")
    assert seqs(await until(tab.recorded)) == [1]
    row = await interviews.read(nodes.first.engine, tab.interview)
    assert row is not None and row.parked is None


# --- Redis that forgot, and a record that did --------------------------------------------------------------


async def test_left_lying_events_of_a_past_that_is_over_are_not_taken_for_recorded(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    await commit_and_die(tab, save(0, "one"))
    rewind = await photograph(nodes, tab)
    await tab.does(save(1, "two"))
    await tab.does(save(2, "three"))
    await rewind()
    nodes.later(1_001)
    await until(lambda: epoch_is(tab, 2))
    assert (await tab.state()).draft.fields["functional_req"] == "three"


async def epoch_is(tab: Candidate, epoch: int) -> bool:
    return (await tab.loaded()).epoch == epoch


async def photograph(nodes: Nodes, tab: Candidate) -> Callable[[], Any]:
    """Keeps what Redis holds of an interview now; what is returned brings it back."""
    keys, redis = keys_of(tab.interview), nodes.first.redis
    kept = {key: await redis.dump(key) for key in (keys.state, keys.events, keys.commands, keys.dirty)}

    async def rewind() -> None:
        for key, held in kept.items():
            await redis.delete(key)
            if held:
                await redis.restore(key, 0, held)

    return rewind


async def test_a_record_from_before_is_brought_up_from_what_live_still_has(nodes: Nodes) -> None:
    """Postgres was restored to an earlier moment: the stream still holds what came after."""
    tab = await candidate(nodes.first)
    for rev, text in enumerate(("one", "two", "three")):
        await tab.does(save(rev, text))
    await execute(nodes.first, "DELETE FROM interview_events WHERE seq > 1")
    await execute(nodes.first, "UPDATE interview_sessions SET recorded_seq = 1")
    assert (await tab.does(save(3, "four"))).durable == "record"
    assert seqs(await tab.recorded()) == [1, 2, 3, 4]


@pytest.mark.parametrize("ahead", [-1, 5])
async def test_a_live_copy_of_another_epoch_does_not_block_its_interview(nodes: Nodes, ahead: int) -> None:
    """A process raised the epoch and died, or Postgres went back to before it was raised."""
    tab = await candidate(nodes.first)
    await tab.does(save(0, "one"))
    epoch = (await tab.loaded()).epoch
    await execute(nodes.first, "UPDATE interview_sessions SET epoch = $1", epoch - ahead)
    with pytest.raises((Lost, StateReset)):  # found by the command, or by who compares at the start
        await tab.says(save(1, "two"))
    await tab.hello()
    assert (await tab.does(save(1, "two, again"))).durable == "record"
    assert (await tab.loaded()).epoch > epoch


# --- Postgres away -----------------------------------------------------------------------------------------


@pytest.fixture
async def outage(servers: Embedded, nodes: Nodes) -> AsyncIterator[Outage]:
    yield Outage(servers)
    servers.ensure()


class Outage:
    """Postgres is killed, and comes back."""

    def __init__(self, servers: Embedded) -> None:
        self._servers = servers

    async def begin(self) -> None:
        """None of its processes is left: those that serve somebody would outlive their parent for a moment."""
        connection = await asyncpg.connect(self._servers.ensure().database)
        processes = await connection.fetch("SELECT pid FROM pg_stat_activity")
        await connection.close()
        self._servers.postgres.kill()
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process["pid"], SIGKILL)

    def end(self) -> None:
        self._servers.postgres.start()


async def test_work_goes_on_without_postgres_and_is_recorded_when_it_is_back(nodes: Nodes, outage: Outage) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    await tab.does(proceed())
    watcher = Listener()
    await watcher.join(second, tab.interview)
    await outage.begin()
    assert [(await tab.does(save(rev, str(rev), field="code"))).durable for rev in range(3)] == ["live"] * 3
    await until(lambda: watcher.position == 4)
    assert watcher.news[-1].bell.recorded == 1
    refused = await tab.submits()
    assert isinstance(refused, Refusal) and (refused.code, refused.temp) == ("record_unavailable", True)
    assert refused.retry_ms
    outage.end()
    await until(lambda: watcher.news[-1].bell.recorded == 4)
    assert seqs(await tab.recorded()) == [1, 2, 3, 4]
    assert (await until(lambda: acknowledged(tab)))[0].durable == "record"
    await until(lambda: seqs(watcher.events) == [2, 3, 4, 5])


async def acknowledged(tab: Candidate) -> list[Ack]:
    """Submit again and again, as a client does that is told to."""
    reply = await tab.submits()
    return [reply] if isinstance(reply, Ack) else []


async def test_a_submission_on_its_way_when_postgres_goes_is_pending_until_it_is_back(
    nodes: Nodes, outage: Outage
) -> None:
    tab = await candidate(nodes.first)
    await tab.does(proceed())
    watcher = Listener()
    await watcher.join(nodes.first, tab.interview)
    await outage.begin()
    pending = asyncio.Event()
    submitting = asyncio.create_task(tab.submits(pending=pending.set))
    async with asyncio.timeout(10):
        await pending.wait()
    assert not submitting.done()
    assert watcher.events == [], "a submission is told when it is recorded"
    outage.end()
    ack = await submitting
    assert isinstance(ack, Ack) and ack.durable == "record"
    assert (seqs(await tab.recorded()), seqs(watcher.events)) == ([1, 2], [2])


async def test_the_record_is_found_again_by_whoever_asks_first(nodes: Nodes, outage: Outage) -> None:
    """All that waited was of an interview that is gone: the way to submit must open all the same."""
    gone, tab = await candidate(nodes.first), await candidate(nodes.first)
    await tab.does(proceed())
    await outage.begin()
    assert (await gone.does(save(0, "lost soon"))).durable == "live"
    await nodes.first.redis.delete(keys_of(gone.interview).state)
    outage.end()
    assert (await until(lambda: acknowledged(tab)))[0].durable == "record"


# --- the end -----------------------------------------------------------------------------------------------


async def test_a_node_that_ends_records_what_waits(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    async with AsyncExitStack() as stack:
        leaving = await Nodes(nodes.settings, stack).open()
        change = await commit_and_die(tab, save(0, "the last thing"))
        future = leaving.recorder.add(change)
    assert await future == "record"


async def test_a_node_ends_in_time_also_when_redis_is_away(hall_settings: Settings, servers: Embedded) -> None:
    async with AsyncExitStack() as stack:
        node = await Nodes(hall_settings, stack).open()
        tab = await candidate(node)
        change = await commit_and_die(tab, save(0, "kept by the stream", id=fresh_id()))
        servers.valkey.kill()
        node.recorder.ensure(msgspec.structs.replace(change.before, interview=change.after))
        began = time.monotonic()
    assert time.monotonic() - began < 8.0
    servers.ensure()
