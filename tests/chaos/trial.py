"""One trial: a real stack, people who play interviews, faults among them; then everything is checked."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx2

from engine.embedded import Embedded
from engine.identity.keys import derive
from engine.identity.logins import Client as LoginClient
from engine.identity.logins import Logins
from engine.record import accounts
from engine.record.accounts import Address
from engine.record.engine import make_engine, migrate
from engine.settings import load_settings
from engine.wiring import make_redis
from tests.chaos.checker import Violation, check, late_ms, lateness
from tests.chaos.client import Client
from tests.chaos.history import History
from tests.chaos.nemesis import Nemesis
from tests.chaos.record import read_record, settled
from tests.chaos.script import play
from tests.loopback import http_client
from tests.stack import SECRET, Stack
from tests.until import time_passes, until

PATIENT = ("url-shortener", 2, 3)
"""The question whose ends are left to the clock, and its two limits in seconds."""
QUICK = ("lru-cache-ttl", "parking-garage")
OBSERVED = 0.5
"""The share of interviews that somebody watches from another connection."""
SETTLE_SECONDS = 40.0
LEASE_SECONDS = 2
CANCEL_SECONDS = 1.0


@dataclass
class Report:
    """What a trial came to."""

    seed: int
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    history: History = field(default_factory=History)
    resumes: list[tuple[float, float]] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)

    @property
    def acknowledged(self) -> int:
        return sum(op.promised is not None for op in self.history.ops)

    def count(self, clause: str) -> int:
        return sum(violation.clause == clause for violation in self.violations)

    def lines(self) -> list[str]:
        """The figures, one a line."""
        sent = len(self.history.ops)
        resumes = sorted(late_ms(self.history, lost * 1000, back * 1000) for lost, back in self.resumes) or [0.0]
        late = sorted(lateness(self.history)) or [0.0]
        p99 = resumes[min(len(resumes) - 1, round(len(resumes) * 0.99))]
        faults = ", ".join(f"{n} {name}" for name, n in sorted(self.faults.items()))
        events = sum(len(feed.seen) for feed in self.history.feeds)
        return [
            f"seed          {self.seed}",
            f"faults        {sum(self.faults.values())} in {self.seconds:.0f} s: {faults}",
            f"interviews    {len(self.history.interviews)}, watched by {len(self.history.feeds)} clients",
            f"commands      {sent} sent, {self.acknowledged} acknowledged as recorded",
            f"lost          {self.count('lost')}",
            f"duplicated    {self.count('twice')}",
            f"events        {events} seen",
            f"deadlines     {len(late)} by the clock, late p50 {statistics.median(late):.0f} ms, max {late[-1]:.0f} ms",
            f"resume        p50 {statistics.median(resumes):.0f} ms, p99 {p99:.0f} ms, n {len(resumes)} "
            "(from when Redis and a node were there)",
            f"violations    {len(self.violations)}",
            *(f"  {violation.clause}: {violation.what}" for violation in self.violations[:20]),
        ]


class Trial:
    """People at a stack."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.stack, self.report = stack, Report(seed)
        self.chance = random.Random(seed)
        self._settings = load_settings(stack.environ)
        self._engine, self._redis = make_engine(self._settings), make_redis(self._settings)
        self._played = 0
        self._playing: set[Client] = set()

    async def run(
        self, faults: Callable[[Nemesis], Awaitable[None]], *, people: int, seconds_max: float | None = None
    ) -> Report:
        """Play while there are faults, let everything settle, and check. AssertionError if it does not end."""
        await shorten(self.stack.database_url)
        began, history = time.monotonic(), self.report.history
        nemesis = Nemesis(self.stack, history, random.Random(self.chance.random()))
        watch = asyncio.create_task(nemesis.watch_this_machine())
        breaking = asyncio.ensure_future(faults(nemesis))
        try:
            async with asyncio.timeout(seconds_max), asyncio.TaskGroup() as crowd:
                for i in range(people):
                    crowd.create_task(self._person(i, random.Random(self.chance.random()), breaking))
                await breaking
            await until(lambda: settled(self.stack.database_url), SETTLE_SECONDS)
        except TimeoutError:
            waiting = "\n".join(map(str, self._playing)) or "nobody"
            waiting = f"broken so far: {nemesis.done}; waiting:\n{waiting}\n{self.stack.logs()}"
            raise AssertionError(f"the trial did not end; {waiting}") from None
        finally:
            watch.cancel()
            breaking.cancel()
            await self._engine.dispose()
            await self._redis.aclose()
        history.interviews = await read_record(self.stack.database_url, self.stack.redis_url)
        self.report.faults, self.report.seconds = Counter(nemesis.done), time.monotonic() - began
        self.report.violations = check(history)
        return self.report

    async def _person(self, number: int, chance: random.Random, breaking: asyncio.Future[None]) -> None:
        """One interview after the other, as long as things break; and the last one to its end."""
        while not breaking.done():
            self._played += 1
            patient = number == 0
            slug = PATIENT[0] if patient else chance.choice(QUICK)
            await self._interview(f"p{number}i{self._played}", slug, chance, patient=patient)

    async def _interview(self, name: str, slug: str, chance: random.Random, *, patient: bool) -> None:
        access = await self._sign_in(name)
        interview = await self._start(slug, access, chance)
        urls = [node.url for node in self.stack.nodes]
        make = [("w", "writer"), ("o", "observer")] if chance.random() < OBSERVED else [("w", "writer")]
        clients = [
            Client(
                f"{name}{tag}", interview, access, urls, self.report.history, random.Random(chance.random()), role=role
            )
            for tag, role in make
        ]
        self._playing.update(clients)
        staying = [asyncio.create_task(client.run()) for client in clients]
        playing = asyncio.create_task(play(clients[0], chance, patient=patient))
        try:
            done, _ = await asyncio.wait({playing, *staying}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end({playing, *staying})
        for client in clients:
            self._playing.discard(client)
            self.report.resumes += client.resumes
        for task in done:
            task.result()

    async def _sign_in(self, name: str) -> str:
        """An access token, past the mail."""
        logins = Logins(
            engine=self._engine, redis=self._redis, keys=derive(SECRET), settings=self._settings,
            now=lambda: datetime.now(UTC),
        )  # fmt: skip
        address = Address(f"{name}@example.com", f"{name}@example.com")
        async with self._engine.begin() as connection:
            user = await accounts.user_by_address(connection, address, datetime.now(UTC))
            return (await logins.open(connection, user, LoginClient(browser="", address=""), "code")).access

    async def _start(self, slug: str, access: str, chance: random.Random) -> str:
        """Ask any node until one answers; asking again gives back the same interview."""
        async with http_client(headers={"authorization": f"Bearer {access}"}) as http:
            while True:
                url = chance.choice(self.stack.nodes).url
                try:
                    answer = await http.post(f"{url}/v1/questions/{slug}/interviews")
                except httpx2.HTTPError:
                    answer = None
                if answer is not None and answer.status_code in (200, 201):
                    return str(answer.json()["id"])
                await time_passes(0.05)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel them until they have ended: some library may swallow it once."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=CANCEL_SECONDS)


async def shorten(database_url: str) -> None:
    """Give the question that is left to the clock limits that a trial can wait for."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE questions SET clarify_seconds = $2, design_seconds = $3 WHERE slug = $1", *PATIENT)
    await connection.close()


@asynccontextmanager
async def durable_stack(folder: Path) -> AsyncIterator[Stack]:
    """Two nodes and two workers on servers that sync to disk."""
    with Embedded(folder / "servers", durable=True) as servers:
        urls = servers.ensure()
        engine = make_engine(load_settings({}, database_url=urls.database, redis_url=urls.redis))
        await migrate(engine)
        await engine.dispose()
        stack = await Stack.up(
            servers, urls.database, urls.redis, folder, workers=2, ENGINE_LEASE_SECONDS=str(LEASE_SECONDS)
        )
        try:
            yield stack
        finally:
            await stack.down()
