"""The load: a process of its own, cheap, the same for every server. Told what to do by lines of JSON on its input.

connect  open sockets, come in, and send each one's first frames, one after the other
run      saves for some seconds: each socket its next when the last is acknowledged, or all together at a rate
hear     wait until so many frames of a kind have come in
drop     close all sockets
"""

from __future__ import annotations

import asyncio
import itertools
import random
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import uvloop

from tests.bench.speed.client import DELTA, NOOP, REPLAY, Client, Failed

TICK_SECONDS = 0.001
PATIENCE_SECONDS, HEAR_SECONDS = 60.0, 5.0
SOCKETS_PER_HOST = 20_000
"""From one address of loopback: a port each, and there are about 28 thousand."""
PERCENTILES = (0.5, 0.99)


class Load:
    """All sockets of one server."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self._delays: list[float] = []
        self._random = random.Random(1)

    async def connect(self, host: str, port: int, sockets: list[dict[str, Any]], parallel: int) -> dict[str, Any]:
        """Open sockets, `parallel` at a time, each with its protocols and first frames."""
        delays: list[float] = []
        resumes: list[float] = []
        waiting, first = iter(sockets), len(self.clients)
        started = time.perf_counter()

        async def some() -> None:
            for one in waiting:
                client = Client(len(self.clients), **one)
                self.clients.append(client)
                began = time.perf_counter()
                source = (f"127.0.0.{2 + len(self.clients) // SOCKETS_PER_HOST}", 0)
                await asyncio.get_running_loop().create_connection(
                    partial(_itself, client), host, port, local_addr=source
                )
                await client.ready
                delays.append(client.in_at - began)
                resumes.append(client.in_at - client.hello_at)

        async with asyncio.timeout(PATIENCE_SECONDS + len(sockets) / 20):
            await asyncio.gather(*(some() for _ in range(parallel)))
        told = self._told(delays, time.perf_counter() - started)
        came = self.clients[first:]
        told |= {f"resume_{name}": value for name, value in self._told(resumes, 1.0).items()}
        return told | {mode.decode(): sum(client.heard[mode] for client in came) for mode in (NOOP, REPLAY)}

    async def run(
        self,
        seconds: float,
        rate: float | None = None,
        each: int = sys.maxsize,
        first: int = 0,
        sockets: int = sys.maxsize,
    ) -> dict[str, Any]:
        """Saves for some seconds, or so many `each`, of all sockets or of some from the `first`; until all are in."""
        self._delays, cpu = [], time.process_time()
        started = time.perf_counter()
        ends = started + seconds
        async with asyncio.timeout(seconds + PATIENCE_SECONDS):
            if rate is None:
                await self._saturate(self.clients[first : first + sockets], ends, each)
            else:
                await self._at_rate(rate, ends)
        took = time.perf_counter() - started
        return {**self._told(self._delays, took), "generator": (time.process_time() - cpu) / took}

    async def _saturate(self, clients: list[Client], ends: float, each: int) -> None:
        left = len(clients)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def again(client: Client) -> None:
            nonlocal left
            now = time.perf_counter()
            self._delays.append(now - client.asked_at)
            client.saves += 1
            if now < ends and client.saves < each:
                client.asked_at = now
                client.save()
                return
            left -= 1
            if not left:
                done.set_result(None)

        for client in clients:
            client.acked, client.asked_at, client.saves = again, time.perf_counter(), 0
            client.save()
        await self._or_fails(done)

    async def _at_rate(self, rate: float, ends: float) -> None:
        """At random instants, as people do. A save that no socket is free for waits, and the wait counts."""
        free, late = deque(self.clients), deque[float]()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        loop, due = asyncio.get_running_loop(), time.perf_counter()

        def acked(client: Client) -> None:
            self._delays.append(time.perf_counter() - client.asked_at)
            if late:
                client.asked_at = late.popleft()
                client.save()
            else:
                free.append(client)
                if len(free) == len(self.clients) and due >= ends:
                    done.set_result(None)

        def tick() -> None:
            nonlocal due
            now = min(time.perf_counter(), ends)
            while due < now:
                if free:
                    client = free.popleft()
                    client.asked_at = due
                    client.save()
                else:
                    late.append(due)
                due += self._random.expovariate(rate)
            if now < ends:
                loop.call_later(TICK_SECONDS, tick)
            else:
                due = ends

        for client in self.clients:
            client.acked = acked
        tick()
        await self._or_fails(done)

    async def _or_fails(self, done: asyncio.Future[None]) -> None:
        failures = [client.failed for client in self.clients]
        await asyncio.wait([done, *failures], return_when=asyncio.FIRST_COMPLETED)
        for failure in failures:
            if failure.done():
                failure.result()

    async def hear(self, words: str) -> dict[str, Any]:
        """Wait until the last piece of text that each socket was sent holds these words; how many pieces came."""
        async with asyncio.timeout(HEAR_SECONDS):
            while not all(words.encode() in client.delta for client in self.clients):
                await self._next_frame()
        return {"n": sum(client.heard[DELTA] for client in self.clients)}

    async def _next_frame(self) -> None:
        loop = asyncio.get_running_loop()
        tick = loop.create_future()
        loop.call_later(10 * TICK_SECONDS, tick.set_result, None)
        await tick

    async def drop(self) -> dict[str, Any]:
        """Close all sockets, as a network that goes away does."""
        clients, self.clients = self.clients, []
        for client in clients:
            client.abort()
        await asyncio.gather(*(client.gone for client in clients))
        return {"n": len(clients)}

    def _told(self, delays: list[float], seconds: float) -> dict[str, Any]:
        ordered = sorted(delays)
        p50, p99 = (ordered[int(len(ordered) * p)] * 1000 if ordered else 0.0 for p in PERCENTILES)
        return {"n": len(delays), "seconds": seconds, "p50_ms": p50, "p99_ms": p99}


def _itself(client: Client) -> Client:
    return client


async def main() -> None:
    load = Load()
    ways: dict[str, Callable[..., Any]] = {
        "connect": load.connect, "run": load.run, "hear": load.hear, "drop": load.drop,
    }  # fmt: skip
    for _ in itertools.count():
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            return
        asked = msgspec.json.decode(line)
        try:
            answer = await ways[asked.pop("do")](**asked)
        except (Failed, OSError, TimeoutError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
