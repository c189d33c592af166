"""Every event once and in order to every socket, whatever happens to doorbells."""

from __future__ import annotations

import asyncio

import pytest

from engine.live import line as of_line
from engine.live.fanout import Bell, Fanout
from engine.live.keys import keys_of
from engine.live.store import NARRATIVE_BYTES_MAX
from engine.record import events as record
from engine.record.events import Batch, Recorded
from engine.wiring import Backbone
from protocol.codec import decode_event
from tests.conductor.crash import commit_and_die
from tests.conductor.nodes import Candidate, Listener, Nodes, ask, candidate, save
from tests.until import until


async def silently(tab: Candidate, text: str) -> None:
    """Commit and record, and lose the doorbell."""
    change = await commit_and_die(tab, save((await tab.state()).draft.rev, text))
    entries = tuple(Recorded(e.seq, e.body, e.command_id, e.body_hash, e.outcome) for e in change.entries())
    batch = Batch(epoch=change.before.epoch, interview=change.after, entries=entries)
    assert await record.write(tab.node.engine, [batch])
    keys, redis = keys_of(tab.interview), tab.node.redis
    await redis.hset(keys.state, "recorded", change.after.seq)
    await redis.zrem(keys.dirty, tab.interview)


async def ring(node: Backbone, tab: Candidate, *numbers: object) -> None:
    """Publish a doorbell by hand."""
    await node.redis.publish(keys_of(tab.interview).bell, " ".join(map(str, numbers)))


def heard(watcher: Listener) -> list[int]:
    return [decode_event(data).s for data in watcher.events]


async def test_both_nodes_hear_every_event(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    watchers = [Listener(), Listener(), Listener()]
    for watcher, node in zip(watchers, (first, second, second), strict=True):
        await watcher.join(node, tab.interview)
    for rev in range(10):
        await tab.does(save(rev, str(rev)))
    for watcher in watchers:
        await until(lambda watcher=watcher: watcher.position == 10)  # type: ignore[misc]
        assert watcher.events == await tab.recorded()


async def test_a_commands_events_are_queued_before_its_ack(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    watcher = Listener()
    await watcher.join(nodes.first, tab.interview)
    ack = await tab.does(ask())
    assert watcher.position == ack.s


async def test_a_lost_doorbell_costs_at_most_a_beat(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    watcher = Listener()
    await watcher.join(second, tab.interview)
    for text in "abc":
        await silently(tab, text)
    assert watcher.position == 0
    await second.fanout.ring_again(tab.interview)
    assert heard(watcher) == [1, 2, 3]


async def test_the_next_doorbell_makes_up_for_those_that_were_lost(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    watcher = Listener()
    await watcher.join(second, tab.interview)
    await silently(tab, "a")
    await silently(tab, "b")
    await tab.does(save(2, "c"))
    await until(lambda: heard(watcher) == [1, 2, 3])


async def test_doorbells_out_of_order_and_twice_repeat_nothing(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    watcher = Listener()
    epoch = (await watcher.join(nodes.first, tab.interview)).arrival.loaded.epoch
    for text in "abcd":
        await silently(tab, text)
    for told in (2, 1, 2, 4, 3, 4, 1, 4):
        await ring(nodes.first, tab, epoch, told, told, 1)
    await tab.does(save(4, "the last to ring"))
    await until(lambda: watcher.position == 5)
    assert heard(watcher) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("garbled", [(), ("x",), (1,), (1, 2, 3), (1, 2, 3, 4, 5), ("1.5", 2, 3, 4), ("\0",)])
async def test_a_doorbell_nobody_can_read_is_a_doorbell(nodes: Nodes, garbled: tuple[object, ...]) -> None:
    tab = await candidate(nodes.first)
    watcher = Listener()
    await watcher.join(nodes.first, tab.interview)
    await silently(tab, "a")
    await ring(nodes.first, tab, *garbled)
    await until(lambda: heard(watcher) == [1])


async def test_a_doorbell_for_what_is_not_there_invents_nothing(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    watcher = Listener()
    epoch = (await watcher.join(nodes.first, tab.interview)).arrival.loaded.epoch
    await ring(nodes.first, tab, epoch, 99, 99, 1)
    await until(lambda: watcher.news)
    await tab.does(ask())
    await until(lambda: heard(watcher) == [1])


async def test_the_subscription_killed_again_and_again_loses_no_event(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    watcher = Listener()
    await watcher.join(second, tab.interview)
    for rev in range(12):
        if rev % 3 == 0:
            await first.redis.client_kill_filter(_type="pubsub")
        await tab.does(save(rev, str(rev)))
    await until(lambda: watcher.position == 12)
    assert heard(watcher) == list(range(1, 13))
    newcomer = Listener()
    await newcomer.join(second, tab.interview)
    await tab.does(save(12, "after"))
    await until(lambda: newcomer.position == 13)


async def test_who_joins_while_events_come_gets_each_exactly_once(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    watchers = [Listener() for _ in range(12)]

    async def write() -> None:
        for rev in range(40):
            await tab.does(save(rev, str(rev)))

    writing = asyncio.create_task(write())
    for i, watcher in enumerate(watchers):
        await watcher.join((first, second)[i % 2], tab.interview)
    await writing
    for watcher in watchers:
        await until(lambda watcher=watcher: watcher.position == 40)  # type: ignore[misc]
        assert watcher.events == (await tab.recorded())[40 - len(watcher.events) :]


async def test_leaving_and_coming_while_others_do_leaves_nobody_deaf(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)

    async def visit(times: int) -> Listener:
        for _ in range(times):
            passing = Listener()
            await passing.join(second, tab.interview)
            second.fanout.leave(tab.interview, passing)
        staying = Listener()
        await staying.join(second, tab.interview)
        return staying

    staying = await asyncio.gather(*(visit(times) for times in range(6)))
    await tab.does(ask())
    for watcher in staying:
        await until(lambda watcher=watcher: watcher.position == 1)  # type: ignore[misc]


async def test_who_left_hears_nothing_more(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    gone, staying = Listener(), Listener()
    for watcher in (gone, staying):
        await watcher.join(nodes.first, tab.interview)
    nodes.first.fanout.leave(tab.interview, gone)
    nodes.first.fanout.leave(tab.interview, gone)
    await tab.does(ask())
    assert (gone.position, staying.position) == (0, 1)


async def test_a_doorbell_that_rings_before_hello_is_not_forgotten(nodes: Nodes) -> None:
    """It rang between joining and hello, which then read an older state: as a slow hello does."""
    tab = await candidate(nodes.first)
    watcher, fanout = Listener(), nodes.first.fanout
    topic = fanout.join(tab.interview, watcher)
    await fanout.confirmed(topic)
    epoch = (await tab.loaded()).epoch
    await silently(tab, "a")
    await fanout.ring(tab.interview, Bell(epoch, 1, 1, 1))
    watcher.starts(0)
    assert watcher.position == 0
    await fanout.start(topic, epoch, 0)
    assert heard(watcher) == [1]


async def test_events_that_are_gone_mean_a_new_beginning_not_a_gap(nodes: Nodes) -> None:
    tab = await candidate(nodes.first)
    watcher = Listener()
    await watcher.join(nodes.first, tab.interview)
    for text in "abc":
        await silently(tab, text)
    await nodes.first.redis.xtrim(keys_of(tab.interview).events, minid="3-0", approximate=False)
    await nodes.first.fanout.ring_again(tab.interview)
    assert watcher.events == [] and watcher.news[-1].reset


async def test_nobody_hears_of_an_interview_without_listeners(nodes: Nodes) -> None:
    fanout: Fanout = nodes.first.fanout
    await fanout.ring("7e57ab1e-0000-4000-8000-00000000dead", Bell(1, 1, 1, 1))
    fanout.leave("7e57ab1e-0000-4000-8000-00000000dead", Listener())


async def test_a_subscription_that_is_confirmed_late_brings_what_was_rung_before(nodes: Nodes) -> None:
    first, second = await nodes.two()
    tab = await candidate(first)
    fanout = second.fanout
    subscription, fanout._subscription = fanout._subscription, None  # as while the connection to Redis is made anew
    assert subscription is not None
    watcher = Listener()
    await watcher.join(second, tab.interview)  # welcomed unconfirmed, after a while
    await tab.does(ask())
    subscription.say(("SUBSCRIBE", keys_of(tab.interview).bell))
    fanout._subscription = subscription
    await until(lambda: heard(watcher) == [1])


# --- the narrative -----------------------------------------------------------------------------------------


class Reader(Listener):
    """Who is told a narrative, and how often it was read from Redis for that."""

    def __init__(self, node: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.reads, read = 0, node.live.narrative

        async def counted(id: str) -> tuple[int, int, str] | None:
            self.reads += 1
            return await read(id)

        monkeypatch.setattr(node.live, "narrative", counted)

    @property
    def texts(self) -> list[tuple[int, int, str]]:
        return [news.narrative for news in self.news if news.narrative is not None]

    async def hears(self, run: int, attempt: int, text: str) -> None:
        await until(lambda: self.texts and self.texts[-1] == (run, attempt, text))


@pytest.fixture
async def told(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> tuple[Candidate, Reader]:
    """A candidate, who is on the first node, and a reader on the second."""
    first, second = await nodes.two()
    tab, reader = await candidate(first), Reader(second, monkeypatch)
    await reader.join(second, tab.interview)
    return tab, reader


async def narrates(tab: Candidate, *pieces: str, attempt: int = 1, after: str = "") -> None:
    for piece in pieces:
        assert await tab.node.live.narrate(tab.interview, 1, attempt, len(after.encode()), piece)
        after += piece


async def test_pieces_of_a_narrative_are_told_from_the_doorbell_alone(told: tuple[Candidate, Reader]) -> None:
    tab, reader = told
    await narrates(tab, "Grüß ", "Gott ", "und 7 😀", " Tage\n", "")
    await reader.hears(1, 1, "Grüß Gott und 7 😀 Tage\n")
    assert reader.reads == 0


async def test_a_piece_whose_doorbell_was_lost_is_told_with_the_next(told: tuple[Candidate, Reader]) -> None:
    tab, reader = told
    await narrates(tab, "one ")
    await reader.hears(1, 1, "one ")
    keys = keys_of(tab.interview)
    await tab.node.redis.hset(keys.tail, "text", "one two ")
    await narrates(tab, "three", after="one two ")
    await reader.hears(1, 1, "one two three")


async def test_a_later_attempt_begins_anew_and_the_one_before_is_heard_no_more(told: tuple[Candidate, Reader]) -> None:
    tab, reader = told
    await narrates(tab, "one ", "two ")
    await narrates(tab, "anew ", attempt=2)
    await reader.hears(1, 2, "anew ")
    for late in ("tail 1 1 8 three", "tail 1 2 0 anew ", "tail", "tail x", "tail 1 2 -1 x", "tail 1 2 5"):
        await tab.node.redis.publish(keys_of(tab.interview).bell, late)
    await narrates(tab, "and on", attempt=2, after="anew ")
    await reader.hears(1, 2, "anew and on")
    assert sorted(reader.texts) == reader.texts


async def test_an_event_lets_go_of_the_text(told: tuple[Candidate, Reader]) -> None:
    tab, reader = told
    await narrates(tab, "one ")
    await reader.hears(1, 1, "one ")
    await tab.does(ask())
    await until(lambda: reader.position == 1)
    reads = reader.reads
    await narrates(tab, "two", after="one ")
    await reader.hears(1, 1, "one two")
    assert reader.reads == reads + 1


async def test_a_narrative_is_told_to_its_last_character_that_is_kept(told: tuple[Candidate, Reader]) -> None:
    tab, reader = told
    begins = "x" * (NARRATIVE_BYTES_MAX - 3)
    await narrates(tab, begins)
    await reader.hears(1, 1, begins)
    await narrates(tab, "üüü", after=begins)
    await reader.hears(1, 1, begins + "ü")
    assert not await tab.node.live.narrate(tab.interview, 1, 1, NARRATIVE_BYTES_MAX + 3, "more")
    assert await tab.node.live.narrative(tab.interview) == reader.texts[-1]


async def test_a_subscription_that_is_silently_dead_is_made_anew(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = await nodes.two()
    tab, watcher = await candidate(first), Listener()
    await watcher.join(second, tab.interview)
    monkeypatch.setattr(of_line, "ANSWER_SECONDS", 0.1)
    dead = second.fanout._subscription
    assert dead is not None
    dead._transport.pause_reading()  # type: ignore[attr-defined]  # as if nothing came any more
    await until(lambda: second.fanout._subscription not in (dead, None))
    await tab.does(ask())
    await until(lambda: heard(watcher) == [1])


async def test_a_subscription_that_breaks_before_hello_is_read_loses_no_event(nodes: Nodes) -> None:
    """It was confirmed, broke, and was confirmed again; what rang in between is in no hello."""
    first, second = await nodes.two()
    tab, watcher, fanout = await candidate(first), Listener(), second.fanout
    topic = fanout.join(tab.interview, watcher)
    await fanout.confirmed(topic)
    epoch, bell = (await tab.loaded()).epoch, keys_of(tab.interview).bell
    fanout._say("UNSUBSCRIBE", bell)
    await until(lambda: nobody_hears(tab))
    await tab.does(ask())
    fanout._say("SUBSCRIBE", bell)
    await until(lambda: topic.doubted)
    watcher.starts(0)
    await fanout.start(topic, epoch, 0)
    assert heard(watcher) == [1]


async def nobody_hears(tab: Candidate) -> bool:
    bell = keys_of(tab.interview).bell
    return (await tab.node.redis.pubsub_numsub(bell))[0][1] == 0
