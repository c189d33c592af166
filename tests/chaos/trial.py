"""One trial: a real stack, people who play interviews, faults among them; then everything is checked."""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx2
from sqlalchemy.exc import DBAPIError

from engine.identity.keys import derive
from engine.identity.logins import Client as LoginClient
from engine.identity.logins import Logins
from engine.live.cluster import is_cluster
from engine.record import accounts
from engine.record.accounts import Address
from engine.record.engine import make_engine, migrate
from engine.record.past_runs import forgive, set_aside
from engine.recorder import AWAY
from engine.settings import load_settings
from engine.wiring import make_redis
from tests.chaos.checker import Violation, check
from tests.chaos.clauses_clock import late_ms, lateness
from tests.chaos.client import Client, Ended
from tests.chaos.ghost import haunt, race
from tests.chaos.history import Call, History, Rest
from tests.chaos.nemesis import Nemesis
from tests.chaos.record import audit, read_record, settled
from tests.chaos.rest import at_rest
from tests.chaos.script import play
from tests.chaos.ways import Ways
from tests.fake_model.server import FakeModel, Step
from tests.loopback import http_client
from tests.stack import PROGRAM, SECRET, Stack
from tests.until import cancelled, time_passes, until
from tests.valkey_cluster import servers_in

PATIENT = ("url-shortener", 2, 3)
"""The question whose ends are left to the clock, and its two limits in seconds."""
QUICK = ("lru-cache-ttl", "parking-garage")
OBSERVED = 0.5
"""The share of interviews that somebody watches from another connection."""
HAUNTED = 0.3
"""The share in which a second tab takes the pen for a moment."""
RACED = 0.5
"""The share of those left to the clock in which a submission, and a second tab's, race it."""
PATIENCE_SECONDS = 40.0
"""Whoever still waits so long after the last fault waits in vain."""
TOLD_SECONDS = 8.0
"""Some heartbeats: for an observer to be told what the writer was told."""
HEARTBEAT_SECONDS = 2
TOKEN_SECONDS = 0.04
"""Of the model, for each piece of an answer: so that an evaluation takes long enough to be interrupted."""
MODEL_CALLS = 10**6
OPERATOR_SECONDS = 0.5
SETTLE_SECONDS = 40.0
SETTLE_SECONDS_IF_STUCK = 3.0
REST_SECONDS = 5.0
LEASE_SECONDS = 2
SIGNED = re.compile(r"\bp\d+w\b")
AGAIN_SECONDS = 0.05


@dataclass
class Report:
    """What a trial came to."""

    seed: int
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    history: History = field(default_factory=History)
    resumes: list[tuple[float, float]] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    """Who waited in vain, and what they last saw."""

    @property
    def acknowledged(self) -> int:
        return sum(op.promised is not None for op in self.history.ops)

    def _recoveries(self) -> list[str]:
        """How long each kind of service was away, from its kill to when it served again."""
        away: dict[str, list[float]] = defaultdict(list)
        for outage in self.history.outages:
            away[outage.of.rstrip("0123456789")].append(outage.ended - outage.began)
        return [
            f"back again    {of}: p50 {statistics.median(seconds):.2f} s, max {max(seconds):.2f} s, n {len(seconds)}"
            for of, seconds in sorted(away.items())
        ]

    def count(self, clause: str) -> int:
        return sum(violation.clause == clause for violation in self.violations)

    @classmethod
    def sum(cls, reports: Sequence[Report]) -> Report:
        """Of several trials; the seed is the first one's."""
        whole = cls(reports[0].seed)
        for report in reports:
            whole.seconds += report.seconds
            whole.faults += report.faults
            whole.resumes += report.resumes
            whole.violations += report.violations
            whole.waiting += report.waiting
            history = whole.history
            history.ops += report.history.ops
            history.feeds += report.history.feeds
            history.outages += report.history.outages
            history.started |= report.history.started
            history.interviews |= report.history.interviews
        return whole

    def by_clause(self) -> Counter[str]:
        return Counter(violation.clause for violation in self.violations)

    def summary(self) -> str:
        """The figures in one line."""
        return (
            f"{len(self.history.interviews)} interviews, {self.acknowledged} acknowledged, {self.count('lost')} lost, "
            f"{self.count('twice')} doubled, {len(self.violations)} violations, {self.seconds:.1f} s"
        )

    def lines(self) -> list[str]:
        """The figures, one a line."""
        sent = len(self.history.ops)
        resumes = sorted(late_ms(self.history, lost * 1000, back * 1000) for lost, back in self.resumes) or [0.0]
        late = sorted(lateness(self.history)) or [0.0]
        p99 = resumes[min(len(resumes) - 1, round(len(resumes) * 0.99))]
        faults = ", ".join(f"{n} {name}" for name, n in sorted(self.faults.items()))
        events = sum(len(feed.seen) for feed in self.history.feeds)
        kills = sum(n for name, n in self.faults.items() if name.startswith(("node", "worker", "valkey", "postgres")))
        return [
            f"seed          {self.seed}",
            f"kills         {kills}",
            f"faults        {sum(self.faults.values())} in {self.seconds:.0f} s: {faults}",
            f"interviews    {len(self.history.interviews)}, watched by {len(self.history.feeds)} clients",
            f"commands      {sent} sent, {self.acknowledged} acknowledged as recorded",
            f"lost          {self.count('lost')}",
            f"duplicated    {self.count('twice')}",
            f"events        {events} seen",
            f"deadlines     {len(late)} by the clock, late p50 {statistics.median(late):.0f} ms, max {late[-1]:.0f} ms",
            f"resume        p50 {statistics.median(resumes):.0f} ms, p99 {p99:.0f} ms, n {len(resumes)} "
            "(from when Redis and a node were there)",
            *self._recoveries(),
            f"violations    {len(self.violations)}",
            *(f"  {violation.clause}: {violation.what}" for violation in self.violations[:20]),
            *(f"  waiting: {who}" for who in self.waiting[:6]),
        ]


class Trial:
    """People at a stack."""

    def __init__(self, stack: Stack, seed: int, model: FakeModel | None = None, ways: Ways | None = None) -> None:
        self.stack, self.report, self._model, self._ways = stack, Report(seed), model, ways
        self.chance = random.Random(seed)
        self._settings = load_settings(stack.environ, database_url=stack.database_url, redis_url=stack.redis_url)
        self._engine, self._redis = make_engine(self._settings), make_redis(self._settings)
        self._played = 0
        self._started: dict[str, float] = {}
        self._playing: set[Client] = set()

    async def run(
        self,
        faults: Callable[[Nemesis], Awaitable[None]],
        *,
        people: int,
        patient: int = 1,
        seconds_max: float | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Report:
        """Play while there are faults, let everything settle, and check. AssertionError if the faults do not end.

        `patient`: how many of the people leave the ends of phases to the clock.
        """
        await shorten(self.stack.database_url)
        await audit(self.stack.database_url)
        began, history = time.monotonic(), self.report.history
        nemesis = Nemesis(self.stack, history, random.Random(self.chance.random()), self._ways)
        watch = asyncio.create_task(nemesis.watch_this_machine())
        operating = asyncio.create_task(self._operate())
        breaking = asyncio.ensure_future(faults(nemesis))
        try:
            async with asyncio.timeout(seconds_max), asyncio.TaskGroup() as crowd:
                persons = [
                    crowd.create_task(self._person(random.Random(self.chance.random()), breaking, i < patient))
                    for i in range(people)
                ]
                await breaking
                stuck = await self._see_them_out(persons, patience_seconds)
            await nemesis.calm()
            with suppress(TimeoutError):  # what has not ended then is a violation
                seconds = SETTLE_SECONDS_IF_STUCK if stuck else SETTLE_SECONDS
                await until(lambda: settled(self.stack.database_url), seconds)
            history.rest, history.started = await self._rest(), self._started
            history.interviews = await read_record(
                self._engine, self.stack.database_url, self.stack.redis_url, self._started
            )
        except TimeoutError:
            raise AssertionError(f"the faults did not end: {nemesis.done}\n{self.stack.logs()}") from None
        finally:
            await cancelled((watch, operating, breaking))
            await nemesis.calm()
            await self._engine.dispose()
            await self._redis.aclose()
        history.calls = self._calls()
        self.report.faults = Counter(nemesis.done) + (self._ways.done if self._ways else Counter())
        self.report.seconds = time.monotonic() - began
        self.report.violations = check(history)
        return self.report

    async def _operate(self) -> None:
        """As who runs the engine would: let submissions go again that are set aside, for no one of them kills workers,
        the nemesis does."""
        while True:
            with suppress(*AWAY):
                if aside := await set_aside(self._engine):
                    await forgive(self._engine, [one.interview for one in aside])
            await time_passes(OPERATOR_SECONDS)

    async def _see_them_out(self, persons: list[asyncio.Task[None]], seconds: float) -> bool:
        """Wait for the last interviews to end; True when some do not."""
        _, waiting = await asyncio.wait(persons, timeout=seconds)
        for client in self._playing:
            client.feed.stayed, client.feed.unanswered = True, client.unanswered
            self.report.waiting.append(str(client))
        assert self._playing or not waiting, f"nobody can start an interview\n{self.stack.logs()}"
        for task in waiting:
            task.cancel()
        return bool(waiting)

    async def _rest(self) -> list[Rest]:
        """As soon as it is quiet, or as it is when it does not get quiet."""
        await self._engine.dispose()

        async def quiet() -> list[Rest] | None:
            found = await at_rest(self.stack)
            return found if all(rest.held <= rest.most for rest in found) else None

        try:
            return await until(quiet, REST_SECONDS) or []
        except TimeoutError:
            return await at_rest(self.stack)

    def _calls(self) -> list[Call]:
        """What the model was asked; each candidate signs what he writes."""
        interviews = {feed.client: feed.interview for feed in self.report.history.feeds}
        calls = []
        for call in self._model.calls if self._model else ():
            signed = SIGNED.search(call.body["messages"][-1]["content"])
            interview = interviews.get(signed.group(), "") if signed else ""
            calls.append(Call(interview=interview, criterion=call.criterion, whole=call.outcome == "answered"))
        return calls

    async def _person(self, chance: random.Random, breaking: asyncio.Future[None], patient: bool) -> None:
        """One interview after the other, as long as things break; and the last one to its end."""
        while not breaking.done():
            self._played += 1
            slug = PATIENT[0] if patient else chance.choice(QUICK)
            await self._interview(f"p{self._played}", slug, chance, patient=patient)

    async def _interview(self, name: str, slug: str, chance: random.Random, *, patient: bool) -> None:
        access = await self._sign_in(name)
        interview = await self._start(slug, access, chance)
        urls = self.stack.doors
        make = [("w", "writer"), ("o", "observer")] if chance.random() < OBSERVED else [("w", "writer")]
        clients = [
            Client(
                f"{name}{tag}", interview, access, urls, self.report.history, random.Random(chance.random()), role=role
            )
            for tag, role in make
        ]
        self._playing.update(clients)
        staying = [asyncio.create_task(client.run()) for client in clients]
        between = haunt if chance.random() < HAUNTED else None
        last = race if patient and chance.random() < RACED else None
        playing = asyncio.create_task(play(clients[0], chance, patient=patient, between=between, last=last))
        try:
            done, _ = await asyncio.wait({playing, *staying}, return_when=asyncio.FIRST_COMPLETED)
            await _all_told(clients)
        finally:
            await cancelled({playing, *staying})
        for client in clients:
            self._playing.discard(client)
            self.report.resumes += client.resumes
        for task in done:
            with suppress(Ended):  # its feed says so
                task.result()

    async def _sign_in(self, name: str) -> str:
        """An access token, past the mail."""
        logins = Logins(
            engine=self._engine, redis=self._redis, keys=derive(SECRET), settings=self._settings,
            now=lambda: datetime.now(UTC),
        )  # fmt: skip
        email = f"{name}.{self.report.seed}@example.com"
        address = Address(email, email)
        while True:
            with suppress(*AWAY, DBAPIError):
                async with self._engine.begin() as connection:
                    user = await accounts.user_by_address(connection, address, datetime.now(UTC))
                    return (await logins.open(connection, user, LoginClient(browser="", address=""), "code")).access
            await time_passes(AGAIN_SECONDS)

    async def _start(self, slug: str, access: str, chance: random.Random) -> str:
        """Ask any node until one answers; asking again gives back the same interview."""
        async with http_client(headers={"authorization": f"Bearer {access}"}) as http:
            while True:
                url = chance.choice(self.stack.doors)
                try:
                    answer = await http.post(f"{url}/v1/questions/{slug}/interviews")
                except httpx2.HTTPError:
                    answer = None
                if answer is not None and answer.status_code in (200, 201):
                    self._started.setdefault(id := str(answer.json()["id"]), time.time())
                    return id
                await time_passes(AGAIN_SECONDS)


async def _all_told(clients: list[Client]) -> None:
    """The writer has its result: whoever watches is told as much, soon."""
    try:
        await until(lambda: all(client.place >= clients[0].place for client in clients), TOLD_SECONDS)
    except TimeoutError:
        for client in clients:
            client.feed.stayed = client.place < clients[0].place


async def shorten(database_url: str) -> None:
    """Give the question that is left to the clock limits that a trial can wait for."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE questions SET clarify_seconds = $2, design_seconds = $3 WHERE slug = $1", *PATIENT)
    await connection.close()


@asynccontextmanager
async def durable_stack(
    folder: Path, model: FakeModel | None = None, program: tuple[str, ...] = PROGRAM, ways: Ways | None = None
) -> AsyncIterator[Stack]:
    """Two nodes and two workers on servers that sync to disk, judging by this model if there is one; all that they and
    their clients say goes these ways, if there are any.
    """
    environ = {"ENGINE_LEASE_SECONDS": str(LEASE_SECONDS), "ENGINE_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS)}
    if model is not None:
        model.script(Step(token_seconds=TOKEN_SECONDS, times=MODEL_CALLS))
        environ |= {"ENGINE_JUDGE": "openai", "OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "of no worth",
                    "ENGINE_JUDGE_REPEATS": "never"}  # fmt: skip
    with servers_in(folder / "servers", durable=True) as servers:
        urls = servers.ensure()
        engine = make_engine(load_settings({}, database_url=urls.database, redis_url=urls.redis))
        await migrate(engine)
        await engine.dispose()
        if ways is not None:
            environ["DATABASE_URL"] = await ways.through("postgres", urls.database)
            if not is_cluster(urls.redis):  # it names its members, which a proxy does not know
                environ["REDIS_URL"] = await ways.through("redis", urls.redis)
            if model is not None:
                environ["OPENAI_BASE_URL"] = await ways.through("model", model.url)
        stack = await Stack.up(
            servers, urls.database, urls.redis, folder, nodes=2, workers=2, program=program, first={}, **environ
        )
        if ways is not None:
            stack.doors = tuple([await ways.through("clients", node.url, frames=True) for node in stack.nodes])
        try:
            yield stack
        finally:
            await stack.down()
