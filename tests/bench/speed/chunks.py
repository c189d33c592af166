"""Fan-out: pieces of evaluations' text, written to Redis as a worker does, to sockets that only listen."""

from __future__ import annotations

import asyncio
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from engine.live.keys import keys_of
from engine.live.store import FINISHED_TTL_MS, NARRATIVE_BYTES_MAX
from tests.bench.speed.figures import MICROSECONDS, Goal, against, spread, table
from tests.bench.speed.floor_live import CHUNK
from tests.bench.speed.saying import say
from tests.bench.speed.servers import ENGINE, Server, running
from tests.until import time_passes

INTERVIEWS = 200
RATES = (2_000, 1_000, 500, 250, 100)
"""The first that both carry; what does not come to the sockets within a few seconds is not carried."""
SECONDS, ROUNDS = 5, 3
TICK_SECONDS = 0.005
PIECE = "a few words more, "
GOAL = Goal("fan-out: API CPU a chunk / F1", 1.0, 0.75)


class Writer:
    """In place of the workers: one text an interview, which grows."""

    def __init__(self, server: Server, redis: Redis, ids: list[str]) -> None:
        self._server, self._redis, self._ids = server, redis, ids
        narrate = resources.files("engine.live").joinpath("narrate.lua").read_text()
        self._script = redis.register_script(narrate if server.is_engine else CHUNK)

    async def write(self, attempt: int, rate: int) -> str:
        """Pieces for all interviews in turn, at the rate; the words that the last of each holds."""
        ends, each = f"END{attempt}.", SECONDS * rate // len(self._ids)
        started = time.perf_counter()
        sent, whole = 0, each * len(self._ids)
        while sent < whole:
            due = min(whole, round((time.perf_counter() - started) * rate))
            async with self._redis.pipeline(transaction=False) as pipe:
                while sent < due:
                    turn, number = divmod(sent, len(self._ids))
                    await self._piece(pipe, self._ids[number], attempt, turn, ends if turn == each - 1 else PIECE)
                    sent += 1
                await pipe.execute()
            await time_passes(TICK_SECONDS)
        return ends

    async def _piece(self, pipe: Any, id: str, attempt: int, turn: int, text: str) -> None:
        if not self._server.is_engine:
            await self._script(keys=[f"{id}:chunks"], args=[id, text], client=pipe)
            return
        keys, offset = keys_of(id), turn * len(PIECE)
        limits = (NARRATIVE_BYTES_MAX, FINISHED_TTL_MS, keys.bell)
        await self._script(keys=[keys.tail, keys.state], args=[1, attempt, offset, text, *limits], client=pipe)


async def chunks(folder: Path) -> None:
    """F1 and the engine in turn, at the highest rate that both carry."""
    for rate in RATES:
        try:
            await _at(rate, folder / str(rate))
        except RuntimeError as error:
            say(f"fan-out: {rate} chunks/s are not carried ({str(error).splitlines()[0][:80]})")
        else:
            return


async def _at(rate: int, folder: Path) -> None:
    async with running(folder, ("F1", ENGINE)) as servers:
        ids = {name: await server.plant(INTERVIEWS) for name, server in servers.items()}
        for name, server in servers.items():
            await server.connect(ids[name])
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in servers}
        for attempt in range(1, ROUNDS + 1):
            for name, server in servers.items():
                found[name].append(await _round(server, ids[name], attempt, rate))
    say(f"\nFan-out: {rate} chunks/s to {INTERVIEWS} sockets, {ROUNDS} rounds of {SECONDS} s, medians")
    head = ("server", "API us/chunk", "Redis us/chunk", "chunks a frame")
    medians = {name: [spread([one[i] for one in of]).middle for i in range(3)] for name, of in found.items()}
    say(table(head, [(name, *(f"{figure:.1f}" for figure in of)) for name, of in medians.items()]))
    pairs = zip(found[ENGINE], found["F1"], strict=True)
    say(against(GOAL, spread([engine[0] / floor[0] for engine, floor in pairs])))


async def _round(server: Server, ids: list[str], attempt: int, rate: int) -> tuple[float, float, float]:
    """(API us, Redis us) a chunk, and how many chunks came in one frame."""
    frames = (await server.load.ask("hear", words=""))["n"]
    async with Redis.from_url(server.place.redis_url) as redis:
        before = server.cpu()
        words = await Writer(server, redis, ids).write(attempt, rate)
        heard = (await server.load.ask("hear", words=words))["n"] - frames
        api, redis_cpu, _ = (after - then for after, then in zip(server.cpu(), before, strict=True))
    whole = SECONDS * rate // len(ids) * len(ids)
    return api / whole * MICROSECONDS, redis_cpu / whole * MICROSECONDS, whole / heard


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        asyncio.run(chunks(Path(folder)))
