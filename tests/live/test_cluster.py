"""Redis Cluster: what the engine asks of Redis, asked of three primaries; slots that move; a primary that is killed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError

from engine.cli import Told
from engine.cli.servers import check_redis
from engine.live import logins, tickets
from engine.live.clock import Clock
from engine.live.cluster import Address, Cluster, node_url, seeds_of, slot_of
from engine.live.keys import keys_of
from engine.live.limits import Limit, give_back, take
from engine.live.store import ForeignRecord, Live
from engine.settings import load_settings
from engine.wiring import make_redis
from engine.worker.broker import QUEUE, leave, make_broker, ring
from protocol.words import Role
from tests.core.playing import fresh
from tests.core.test_machine import CHANGE, PACK, asked
from tests.live.test_store import HASH, Desk
from tests.until import until, until_now
from tests.valkey_cluster import PRIMARIES, ValkeyCluster

INTERVIEWS = 12
"""As many as reach all primaries, whatever their ids are: the ids are not random."""


@pytest.fixture(scope="module")
def valkeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"), durable=False)
    cluster.start()
    yield cluster
    cluster.ask_to_stop()
    cluster.wait_stopped()


@pytest.fixture
async def redis(valkeys: ValkeyCluster) -> AsyncIterator[Redis]:
    """As the engine has it."""
    async with make_redis(load_settings({}, redis_url=valkeys.start())) as client:
        yield client


@pytest.fixture
async def desks(redis: Redis) -> list[Desk]:
    """Interviews, some on each primary."""
    live = Live(redis, Clock())
    await live.time()
    made = []
    for i in range(INTERVIEWS):
        interview = replace(fresh(PACK, started_at=live.clock.now()), id=str(uuid.UUID(int=i)))
        made.append(Desk(live, interview))
        await live.erase([interview.id])
        assert await live.rebuild(made[-1].loaded, [("earlier", HASH + b"[0]")])
    return made


async def test_interviews_live_on_all_primaries_and_answer_together(desks: list[Desk], redis: Redis) -> None:
    live, ids = desks[0].live, {desk.id for desk in desks}
    assert isinstance(redis, Cluster)
    assert len({id(await redis.node_of(slot_of(("GET", desk.keys.state)))) for desk in desks}) == PRIMARIES
    for desk in desks:
        await desk.does(asked(CHANGE))
        look = await live.look(desk.id, "earlier")
        assert look is not None and (look.head, look.seen) == (1, HASH + b"[0]")
        assert await live.unrecorded(desk.id, 0) is not None
        arrival = await live.hello(desk.id, "tab", write=True)
        assert arrival is not None and arrival.writes
        assert await live.narrate(desk.id, 1, 1, 0, "so far")
        assert await live.narrative(desk.id) == (1, 1, "so far")
    assert await live.events(desks[0].id, 0, 9) != []
    assert ids <= set(await live.dirty(-1_000))
    assert await live.all_recorded([(desk.id, 1, 1, b"") for desk in desks]) == [True] * INTERVIEWS
    assert not ids & set(await live.dirty(-1_000))
    live.clock.offset_ms = 24 * 3_600_000
    assert ids <= set(await live.due())
    await live.forget(desks[0].id)
    await live.erase(ids - {desks[0].id})
    assert not ids & set(await live.due())
    assert await live.load(desks[1].id) is None


async def test_what_is_nobodys_interview_works_as_well(redis: Redis) -> None:
    live = Live(redis, Clock())
    await live.belong_to("a record")
    with pytest.raises(ForeignRecord):
        await live.belong_to("another")
    one = Limit("one", 1, 3_600)
    wanted = [(one, f"subject {uuid.uuid4()}"), (one, f"subject {uuid.uuid4()}")]
    assert (await take(redis, wanted)).limit is None
    assert (await take(redis, wanted)).limit == one
    await give_back(redis, wanted)
    assert (await take(redis, wanted)).limit is None
    role: Role = "writer"
    ticket = tickets.Ticket(user="u", interview="i", role=role, origin="", login="l", expires_at=1)
    opaque = await tickets.issue(redis, ticket)
    assert await tickets.redeem(redis.execute_command, opaque) == ticket
    assert await tickets.redeem(redis.execute_command, opaque) is None
    login = uuid.uuid4()
    await logins.end(redis, [login], 60)
    assert await logins.ended(redis.execute_command, login)


async def test_a_doorbell_that_any_primary_rings_is_heard(desks: list[Desk], redis: Redis) -> None:
    async with redis.pubsub() as heard:
        await heard.subscribe(*(desk.keys.bell for desk in desks))
        rung = set()

        async def all_rung() -> bool:
            message = await heard.get_message(ignore_subscribe_messages=True, timeout=0.1)
            rung.update([message["channel"].decode()] if message else [])
            return len(rung) == INTERVIEWS

        async def subscribed() -> bool:
            return bool(await heard.get_message(timeout=0.1))

        for _ in desks:
            await until(subscribed)
        for desk in desks:
            await desk.live.hello(desk.id, "tab", write=True)
        await until(all_rung)


async def test_the_queue_works_in_one_slot(valkeys: ValkeyCluster, redis: Redis) -> None:
    broker = make_broker(load_settings({}, redis_url=valkeys.start()))
    await broker.startup()
    listening = broker.listen()
    for run in (1, 2):  # after the first it looks for what others left lying, behind a lock of its own
        assert await ring(broker, "an interview", run)
        message = await anext(listening)
        assert b"an interview" in message.data
        await message.ack()  # type: ignore[misc]
    await listening.aclose()
    await leave(broker)
    assert await redis.exists(QUEUE)
    await broker.shutdown()


async def test_a_slot_that_moves_takes_its_interviews_along(
    valkeys: ValkeyCluster, desks: list[Desk], redis: Redis
) -> None:
    desk = desks[0]
    keys = [desk.keys.state, desk.keys.events, desk.keys.commands, desk.keys.due]
    slot = slot_of(("GET", desk.keys.state))
    assert isinstance(redis, Cluster) and slot is not None
    owner = seeds_of(valkeys.start()).index(_address(await redis.node_of(slot)))
    source, target = valkeys.members[owner], valkeys.members[owner - 1]
    target.cluster("SETSLOT", slot, "IMPORTING", source.cluster("MYID"))
    source.cluster("SETSLOT", slot, "MIGRATING", target.cluster("MYID"))
    await (await redis.node_of(slot)).migrate("127.0.0.1", target.port, keys, 0, 5_000, auth=_password(valkeys))
    assert await desk.live.load(desk.id) == desk.loaded  # that it is on its way is told with ASK
    for member in (target, source):
        member.cluster("SETSLOT", slot, "NODE", target.cluster("MYID"))
    await desk.does(asked(CHANGE))  # and then with MOVED
    assert _address(await redis.node_of(slot)) == Address("127.0.0.1", target.port)
    assert await desk.live.all_recorded([(one.id, 1, 0, b"") for one in desks]) == [True] * INTERVIEWS


async def test_a_killed_primary_takes_only_its_own_with_it_and_comes_back(
    valkeys: ValkeyCluster, desks: list[Desk], redis: Redis
) -> None:
    live = desks[0].live
    live.clock.offset_ms = 24 * 3_600_000
    valkeys.kill()
    alive = [desk for desk in desks if await _answers(desk)]
    assert 0 < len(alive) < INTERVIEWS
    assert {desk.id for desk in alive} <= set(await live.due())
    await live.time()
    valkeys.start()
    until_now(valkeys.serves)
    for desk in desks:
        assert await desk.live.load(desk.id) == desk.loaded


async def test_with_all_primaries_gone_it_says_so() -> None:
    url = "redis+cluster://127.0.0.1:1,127.0.0.1:2"
    async with Cluster(url, Retry(ConstantBackoff(0), 1)) as nowhere:
        with pytest.raises(RedisError, match="no node of the cluster says who has which slots"):
            await nowhere.get("key")
        with pytest.raises(RedisError, match="no node of the cluster"):
            await Live(nowhere, Clock()).due()


@pytest.mark.parametrize(
    ("url", "seeds"),
    [
        ("redis+cluster://:p@a:7000,b:7001", [("a", 7000), ("b", 7001)]),
        ("rediss+cluster://user:p%40@a.example", [("a.example", 6379)]),
        ("redis+cluster://[::1]:7000,127.0.0.1/0", [("::1", 7000), ("127.0.0.1", 6379)]),
    ],
)
def test_a_cluster_is_found_by_any_of_its_nodes(url: str, seeds: list[tuple[str, int]]) -> None:
    assert seeds_of(url) == seeds


def test_a_node_of_a_cluster_has_an_ordinary_url() -> None:
    assert node_url("rediss+cluster://user:p%40@[::1]:7000,b:7001") == "rediss://user:p%40@[::1]:7000"
    assert node_url("redis://:p@a:1/3") == "redis://:p@a:1/3"


@pytest.mark.parametrize(
    "url",
    [
        "redis://a",
        "redis+cluster://",
        "redis+cluster://a,,b",
        "redis+cluster://a:7000/1",
        "redis+cluster://:pass/word@a",
    ],
)
def test_what_names_no_cluster_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="a cluster") as error:
        seeds_of(url)
    assert "word" not in str(error.value).replace("password", "")


async def _answers(desk: Desk) -> bool:
    try:
        return await desk.live.load(desk.id) == desk.loaded
    except RedisError:
        return False


def _address(node: Redis) -> Address:
    options = node.connection_pool.connection_kwargs
    return Address(options["host"], options["port"])


def _password(valkeys: ValkeyCluster) -> str:
    return valkeys.start().partition("://:")[2].partition("@")[0]


def test_the_keys_of_an_interview_are_in_one_slot() -> None:
    keys = keys_of(str(uuid.UUID(int=1)))[:-1]
    assert len({slot_of(("GET", key)) for key in keys}) == 1
    assert slot_of(("EVALSHA", "sha", 1, keys[0])) == slot_of(("GET", keys[0].encode()))
    assert slot_of(("TIME",)) is None


async def test_a_node_of_a_cluster_is_not_taken_for_a_redis_of_its_own(valkeys: ValkeyCluster) -> None:
    url = valkeys.start()
    await check_redis(url)
    with pytest.raises(Told, match=r"is a node of a cluster. Then write redis\+cluster://"):
        await check_redis(node_url(url))
