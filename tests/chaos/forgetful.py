"""Redis comes back with less than it had: without its file, without the end of it, or as a replica that lagged."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from redis.asyncio import Redis

from engine.embedded import Valkey
from tests.chaos.nemesis import Nemesis
from tests.stack import Stack
from tests.until import time_passes, until

LAG_SECONDS = (0.02, 1.0)
"""For so long, what is acknowledged is in the record and not in the Redis that comes back."""
REST_SECONDS = (0.3, 2.0)
SYNC_SECONDS = 20.0

Away = AbstractAsyncContextManager[None]
Forget = Callable[[Stack, random.Random, Away], Awaitable[None]]
"""The last is entered when Redis goes, and left when it is back."""


async def forgets(nemesis: Nemesis, each: int) -> None:
    """Each way `each` times, in any order, one after the other."""
    chance = random.Random(nemesis.chance.random())
    ways = [*WAYS.items()] * each
    chance.shuffle(ways)
    for name, way in ways:
        await time_passes(chance.uniform(*REST_SECONDS))
        async with nemesis._hands["valkey"]:
            await way(nemesis.stack, chance, nemesis._away(name, "valkey"))


async def without_file(stack: Stack, chance: random.Random, away: Away) -> None:
    """kill -9 of a Redis that writes nothing down: it comes back empty."""
    async with away:
        stack.servers.valkey.kill()
        stack.servers.valkey.wipe()
        await _back(stack)


async def cut_short(stack: Stack, chance: random.Random, away: Away) -> None:
    """What was written last never got to the disk, as when the power fails."""
    valkey = stack.servers.valkey
    sizes = {file: file.stat().st_size for file in valkey.files()}
    await time_passes(chance.uniform(*LAG_SECONDS))
    async with away:
        valkey.kill()
        for file, size in sizes.items():
            if file.stat().st_size > size:
                with file.open("r+b") as open_file:
                    open_file.truncate(size)
        await _back(stack)


async def fail_over(stack: Stack, chance: random.Random, away: Away) -> None:
    """A replica whose link has been cut takes the place, and the address, of its killed primary."""
    servers, primary = stack.servers, stack.servers.valkey
    replica = Replica(primary)
    async with Redis.from_url(replica.start()) as there, Redis.from_url(servers.ensure().redis) as here:
        await here.config_set("repl-diskless-sync-delay", 0)
        await until(lambda: _in_step(there), SYNC_SECONDS)
        await there.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
        await time_passes(chance.uniform(*LAG_SECONDS))
        async with away:
            primary.kill()
            await there.config_set("port", replica.takes_over())
            servers.valkey = replica
            await _back(stack)


WAYS: dict[str, Forget] = {"no file": without_file, "cut short": cut_short, "failover": fail_over}


class Replica(Valkey):
    """Follows a primary from its start; started again, it is a primary."""

    def __init__(self, primary: Valkey) -> None:
        home = primary.home.parent / f"{primary.home.name}r"
        home.mkdir()
        (home / "valkey.password").write_text((primary.home / "valkey.password").read_text())
        self._port_of_primary = (primary.home / "valkey.port").read_text()
        super().__init__(home, durable=True, more={"replicaof": f"127.0.0.1 {self._port_of_primary}"})

    def takes_over(self) -> str:
        """The port that it has from now on."""
        self.more = {}
        (self.home / "valkey.port").write_text(self._port_of_primary)
        return self._port_of_primary


async def _in_step(replica: Redis) -> bool:
    info = await replica.info("replication")
    return bool(info["master_link_status"] == "up")


async def _back(stack: Stack) -> None:
    stack.servers.ensure()
    await stack.live_again()
