"""Redis Cluster on loopback: three primaries, and replicas where a test wants them, in the place of one Valkey."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import redis

from engine.embedded import Embedded, Valkey
from engine.embedded.files import free_port, secret
from tests.until import until_now

PRIMARIES = 3
SLOTS = 16_384
NODE_TIMEOUT_MS = 1_000
"""How long a node is silent before the others give up on it. A restart after kill -9 takes some 2 s until the node
takes writes again, which is a cluster's own rule."""
TOGETHER_SECONDS = 20.0


class ValkeyCluster(Valkey):
    """Looks like one Valkey to `Embedded`: `kill` kills one primary after the other, `start` starts who is dead."""

    def __init__(self, home: Path, *, durable: bool, replicas: int = 0) -> None:
        self.home = home
        self.members = [_Member(home / f"member{i}", durable=durable) for i in range(PRIMARIES + replicas)]
        self._turn = itertools.cycle(range(PRIMARIES))
        self._formed = False
        self.killed: Valkey | None = None

    @property
    def pid(self) -> int | None:
        pids = [member.pid for member in self.members]
        return None if None in pids else pids[0]

    def start(self) -> str:
        """Start who does not run, and give the URL. The first time, make a cluster of them and wait until it serves;
        later that is for others to wait for (`serves`), who have a loop to keep going.
        """
        password = secret(self.home / "valkey.password")
        for member in self.members:
            if member.pid is None:
                member.home.mkdir(exist_ok=True, mode=0o700)
                (member.home / "valkey.password").write_text(password)
                member.start()
        if not self._formed:
            self._form()
            self._formed = True
            until_now(self.serves, TOGETHER_SECONDS)
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        return f"redis+cluster://:{password}@{hosts}"

    def serves(self) -> bool:
        """Whether all say that the cluster is well."""
        return all(member.serves(len(self.members)) for member in self.members)

    def _form(self) -> None:
        primaries = self.members[:PRIMARIES]
        for i, member in enumerate(primaries):
            member.cluster("ADDSLOTSRANGE", i * SLOTS // PRIMARIES, (i + 1) * SLOTS // PRIMARIES - 1)
            member.cluster("SET-CONFIG-EPOCH", i + 1)
        for member in self.members[1:]:
            self.members[0].cluster("MEET", "127.0.0.1", member.port, member.bus_port)
        for primary, replica in zip(primaries, self.members[PRIMARIES:], strict=False):
            until_now(lambda replica=replica: replica.knows(len(self.members)), TOGETHER_SECONDS)  # type: ignore[misc]
            replica.cluster("REPLICATE", primary.cluster("MYID"))

    def kill(self) -> None:
        """kill -9 of the next primary."""
        self.killed = self.members[next(self._turn)]
        self.killed.kill()

    def ask_to_stop(self) -> None:
        """All of them."""
        for member in self.members:
            member.ask_to_stop()

    def wait_stopped(self) -> None:
        """All of them."""
        for member in self.members:
            member.wait_stopped()

    def wipe(self) -> None:
        """Delete what the killed one held; that it is of this cluster, it still knows."""
        assert isinstance(self.killed, _Member)
        self.killed.wipe()


class _Member(Valkey):
    def __init__(self, home: Path, *, durable: bool) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.bus_port = free_port(home / "bus.port")
        more = {
            "cluster-enabled": "yes",
            "cluster-config-file": f'"{home / "nodes.conf"}"',
            "cluster-node-timeout": NODE_TIMEOUT_MS,
            "cluster-port": self.bus_port,
        }
        super().__init__(home, durable=durable, more=more)

    @property
    def port(self) -> int:
        return int((self.home / "valkey.port").read_text())

    def cluster(self, *words: object) -> Any:
        """What it answers to a CLUSTER command."""
        with redis.Redis.from_url(Valkey.url(self.home), decode_responses=True) as client:
            return client.cluster(*words)

    def knows(self, nodes: int) -> bool:
        return bool(self.cluster("INFO")["cluster_known_nodes"] == str(nodes))

    def serves(self, nodes: int) -> bool:
        """Whether it says so. Not while it does not run, or loads what it had."""
        try:
            info = self.cluster("INFO")
        except redis.RedisError:
            return False
        return (info["cluster_state"], info["cluster_known_nodes"]) == ("ok", str(nodes))


def servers_in(home: Path, *, durable: bool) -> Embedded:
    """The servers that tests run on: with TEST_REDIS=cluster, a cluster in the place of the one Valkey."""
    if os.environ.get("TEST_REDIS") == "cluster":
        return EmbeddedCluster(home, durable=durable)
    return Embedded(home, durable=durable)


class EmbeddedCluster(Embedded):
    """Postgres, and a cluster for the live interviews."""

    def __init__(self, home: str | Path, *, durable: bool = True, replicas: int = 0) -> None:
        super().__init__(home, durable=durable)
        self.valkey = ValkeyCluster(self.home, durable=durable, replicas=replicas)
