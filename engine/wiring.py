"""Puts the parts together: the only file that names concrete ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any, assert_never
from uuid import UUID

import httpx2
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette

from engine import failpoints
from engine.background import closed, running
from engine.conductor import Conductor, deadlines
from engine.conductor.shelf import Matching, OnTheSpot, Shelf
from engine.core.pack import parse_pack
from engine.identity import leaving
from engine.identity.google import Google
from engine.identity.keys import keys_of
from engine.identity.logins import Logins
from engine.identity.mail_development import DevelopmentMailer
from engine.identity.mail_smtp import SmtpMailer
from engine.identity.mailer import Mailer, MailRoom
from engine.identity.sign_in import SignIn
from engine.judging.breaker import Breaker
from engine.judging.budget import Budget
from engine.judging.judge import Judge
from engine.judging.judge_offline import OfflineJudge
from engine.judging.judge_openai import OpenAIJudge
from engine.judging.keeping import Bench
from engine.judging.prices import Prices, read_prices
from engine.live.clock import Clock
from engine.live.cluster import Cluster, is_cluster
from engine.live.connection import make_cancellable
from engine.live.fanout import Fanout
from engine.live.store import Live
from engine.record import past_runs, results
from engine.record.catalog import Catalog, Loaded
from engine.record.catalog import load_packs as load_into_catalog
from engine.record.engine import identity, make_engine
from engine.record.engine import migrate as bring_up_to_date
from engine.record.past_runs import SetAside
from engine.recorder import Recorder, run_comparing
from engine.semantic.model import NotInstalled, check_installed
from engine.semantic.pool import Pool
from engine.semantic.tier import messages, semantic
from engine.settings import Settings, SettingsError
from engine.telemetry import Metrics, make_metrics
from engine.web import routes_auth, routes_interviews, routes_me, routes_ops, routes_questions, routes_socket
from engine.web.app import create_app
from engine.web.operations import Operation
from engine.web.parts import Parts
from engine.web.sockets import Sockets
from engine.worker import main as worker
from engine.worker.broker import make_broker, ring
from protocol.messages import Ack

PACKS = Path(__file__).parent / "packs"
HTTP_SECONDS = 5.0
REDIS_SECONDS = 5.0
REDIS_CONNECT_SECONDS = 2.0
REDIS_RETRIES = 3
"""A commit sent twice is one commit: its id is looked up first."""
Ring = Callable[[str, int], Awaitable[object]]


@dataclass(frozen=True)
class Backbone:
    """What an API process and a worker both stand on."""

    settings: Settings
    metrics: Metrics
    engine: AsyncEngine
    redis: Redis
    live: Live
    fanout: Fanout
    recorder: Recorder
    catalog: Catalog
    matching: Matching
    conductor: Conductor


def make_redis(settings: Settings) -> Redis:
    """A pool of connections that waits for a free one, and tries again when a server has restarted."""
    options: dict[str, Any] = {
        "max_connections": settings.redis_pool_size,
        "timeout": REDIS_SECONDS,
        "socket_timeout": None,  # kept by the connections themselves
        "socket_connect_timeout": REDIS_CONNECT_SECONDS,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.5), REDIS_RETRIES),
        "legacy_responses": False,
    }
    if is_cluster(settings.redis_url):
        return Cluster(settings.redis_url, **options)
    pool = BlockingConnectionPool.from_url(settings.redis_url, **options)
    make_cancellable(pool)
    return Redis.from_pool(pool)


def make_backbone(settings: Settings, ring: Ring, *, clock_offset_ms: int = 0) -> Backbone:
    """Everything below the doors; nothing connects or runs yet. `ring` tells the queue that a run waits."""
    failpoints.arm(settings.failpoints)
    metrics = make_metrics()
    engine = make_engine(settings)
    redis = make_redis(settings)
    live = Live(redis, Clock(clock_offset_ms))
    fanout = Fanout(redis, live)
    recorder = Recorder(engine, live, fanout, metrics)
    catalog = Catalog(engine)
    matching = make_matching(settings)
    conductor = Conductor(live, recorder, fanout, Shelf(catalog.pack, matching), ring, metrics)
    return Backbone(settings, metrics, engine, redis, live, fanout, recorder, catalog, matching, conductor)


def make_matching(settings: Settings) -> Matching:
    """What reads questions. Raises SettingsError when it is not installed."""
    match settings.matcher:
        case "static":
            return OnTheSpot()
        case "semantic":
            try:
                check_installed()
            except NotInstalled as error:
                raise SettingsError(f"ENGINE_MATCHER: {error}") from None
            return Pool(semantic, messages)
        case _:
            assert_never(settings.matcher)


@asynccontextmanager
async def running_backbone(backbone: Backbone) -> AsyncIterator[None]:
    """The backbone at work: doorbells heard, events recorded. What waits for the record is recorded at the end."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(closed, backbone.engine.dispose)
        stack.push_async_callback(closed, backbone.redis.aclose)
        stack.push_async_callback(backbone.matching.close)
        await backbone.live.time()
        await backbone.live.belong_to(await identity(backbone.engine))
        await stack.enter_async_context(running(backbone.fanout.run, "fanout"))
        await stack.enter_async_context(running(backbone.recorder.run, "recorder"))
        comparing = partial(run_comparing, backbone.engine, backbone.live, backbone.recorder.rebuilder)
        await stack.enter_async_context(running(comparing, "comparing"))
        yield


@asynccontextmanager
async def open_backbone(settings: Settings, ring: Ring, clock_offset_ms: int = 0) -> AsyncIterator[Backbone]:
    """A backbone, made and at work."""
    backbone = make_backbone(settings, ring, clock_offset_ms=clock_offset_ms)
    async with running_backbone(backbone):
        yield backbone


def build_app(settings: Settings) -> Starlette:
    """An API node. It is ready once it has looked for deadlines that passed while nobody ran."""
    broker = make_broker(settings)
    backbone = make_backbone(settings, partial(ring, broker))
    sockets = Sockets(settings, backbone.conductor, backbone.fanout, backbone.metrics)
    ready = asyncio.Event()
    mail = MailRoom(_mailer(settings, backbone.redis), backbone.metrics)
    google = Google(settings, httpx2.AsyncClient(timeout=HTTP_SECONDS)) if settings.google_client_id else None
    parts = _parts(backbone, mail, google, accepting=lambda: ready.is_set() and not sockets.draining)
    operations = all_operations(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(closed, broker.shutdown)
            if google is not None:
                stack.push_async_callback(google.close)
            await stack.enter_async_context(running_backbone(backbone))
            await stack.enter_async_context(running(mail.run, "mail"))
            for hash in await backbone.catalog.hashes():
                await backbone.conductor.shelf.prepare(hash)  # at hand also while Postgres is away
            await deadlines.poll(backbone.conductor)
            await deadlines.sweep(backbone.conductor, backbone.engine)
            deadlines_run = partial(deadlines.run_deadlines, backbone.conductor, backbone.engine)
            await stack.enter_async_context(running(deadlines_run, "deadlines"))
            ready.set()
            yield

    documents = [*routes_ops.routes(parts, operations), routes_socket.document()]
    app = create_app(parts, operations, documents, upgrades=routes_socket.upgrades(sockets), lifespan=lifespan)
    app.state.drain = partial(sockets.drain, settings.drain_seconds)
    return app


def all_operations(settings: Settings) -> tuple[Operation, ...]:
    """Every REST operation that these settings have."""
    return (
        *routes_auth.operations(settings),
        *routes_me.OPERATIONS,
        *routes_questions.OPERATIONS,
        *routes_interviews.OPERATIONS,
        *routes_ops.OPERATIONS,
    )


async def run_worker(settings: Settings) -> None:
    """A worker, until it is cancelled; then what runs may end in `drain_seconds`."""
    broker = make_broker(settings)
    async with AsyncExitStack() as stack:
        backbone = await stack.enter_async_context(open_backbone(settings, partial(ring, broker)))
        judge, *fallbacks = open_judges(settings, backbone.metrics, stack)
        bench = Bench(
            engine=backbone.engine,
            judge=judge,
            fallbacks=tuple(fallbacks),
            prices=prices_of(settings),
            budget=Budget(tokens=settings.judge_day_tokens, cost=settings.judge_day_cost),
            announce=backbone.conductor.announce,
            narrate=backbone.conductor.narrate,
            metrics=backbone.metrics,
            owner=token_hex(8),
            lease_seconds=settings.lease_seconds,
            job_seconds=settings.judge_job_seconds,
            calls_parallel=settings.judge_calls_parallel,
            repeat=settings.judge_repeats,
            appeals=settings.judge_appeals,
        )
        parts = worker.WorkerParts(broker=broker, bench=bench, drain_seconds=settings.drain_seconds)
        stop = asyncio.Event()
        work = asyncio.create_task(worker.run(parts, stop))
        try:
            await asyncio.shield(work)
        finally:
            stop.set()
            await asyncio.wait({work})


async def migrate(settings: Settings) -> None:
    """Bring the tables up to date."""
    engine = make_engine(settings)
    try:
        await bring_up_to_date(engine)
    finally:
        await engine.dispose()


async def load_packs(settings: Settings, paths: Sequence[Path] = ()) -> Loaded:
    """Bring packs into the catalog: those at `paths`, else those that ship and those of ENGINE_PACKS_DIR."""
    engine = make_engine(settings)
    try:
        return await load_into_catalog(engine, [parse_pack(path.read_bytes()) for path in paths or _shipped(settings)])
    finally:
        await engine.dispose()


async def delete_account(settings: Settings, email: str) -> bool:
    """Delete the account with this address; False: there is none, or it is no address."""
    engine, redis = make_engine(settings), make_redis(settings)
    try:
        return await leaving.delete_by_address(engine, Live(redis, Clock()), email, settings)
    finally:
        await redis.aclose()
        await engine.dispose()


async def set_aside(settings: Settings) -> list[SetAside]:
    """The submissions that too many workers died on."""
    engine = make_engine(settings)
    try:
        return await past_runs.set_aside(engine)
    finally:
        await engine.dispose()


async def ask_again(settings: Settings, interviews: Sequence[UUID]) -> list[UUID]:
    """Forgive what became of these, and ask for a new run of each; those that had not failed are left out."""
    broker = make_broker(settings)
    asked = []
    async with AsyncExitStack() as stack:
        stack.push_async_callback(broker.shutdown)
        backbone = await stack.enter_async_context(open_backbone(settings, partial(ring, broker)))
        for interview in interviews:
            view = await results.read_view(backbone.engine, interview)
            newest = view and (view.appeal or view)
            if newest is None or newest.failure is None:
                continue
            await past_runs.forgive(backbone.engine, [interview])
            if isinstance(await backbone.conductor.ask_again(interview, newest.run), Ack):
                asked.append(interview)
    return asked


def _shipped(settings: Settings) -> list[Path]:
    folders = [PACKS, *([settings.packs_dir] if settings.packs_dir else [])]
    return sorted(path for folder in folders for path in folder.glob("*.yaml"))


def _parts(backbone: Backbone, mail: MailRoom, google: Google | None, accepting: Callable[[], bool]) -> Parts:
    settings, engine, redis = backbone.settings, backbone.engine, backbone.redis
    keys = keys_of(settings)
    logins = Logins(engine=engine, redis=redis, keys=keys, settings=settings, now=_now)
    sign_in = SignIn(
        engine=engine, redis=redis, keys=keys, logins=logins, mail=mail, settings=settings, provider=google
    )
    return Parts(
        settings=settings,
        metrics=backbone.metrics,
        engine=engine,
        redis=redis,
        catalog=backbone.catalog,
        logins=logins,
        sign_in=sign_in,
        conductor=backbone.conductor,
        accepting=accepting,
    )


def _mailer(settings: Settings, redis: Redis) -> Mailer:
    return SmtpMailer(settings) if settings.smtp_host else DevelopmentMailer(redis, _now)


def open_judges(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> tuple[Judge, ...]:
    """The judge, and who is asked when it cannot, in order; closed with `stack`."""
    if settings.judge_name == "offline":
        return (OfflineJudge(),)
    breakers: dict[str, Breaker] = {}

    def opened(api_key: str, base_url: str, model: str) -> Judge:
        judge = OpenAIJudge(
            api_key=api_key,
            base_url=base_url,
            model=model,
            call_seconds=settings.judge_call_seconds,
            metrics=metrics,
            provider="openai-compatible" if base_url else "openai",
            breaker=breakers.setdefault(base_url, Breaker()),
        )
        stack.push_async_callback(judge.close)
        return judge

    first, second = settings.openai_base_url, settings.openai_second_base_url
    judges = [opened(settings.openai_api_key, first, settings.openai_model)]
    for step in settings.judge_fallbacks:
        match step:
            case "model":
                judges.append(opened(settings.openai_api_key, first, settings.openai_fallback_model))
            case "second":
                judges.append(opened(settings.openai_second_api_key, second, settings.openai_second_model))
            case "offline":
                judges.append(OfflineJudge())
            case "fail":
                pass
            case _:
                assert_never(step)
    return tuple(judges)


def prices_of(settings: Settings) -> Prices:
    """The prices of models. Raises SettingsError, also when a limit in money stands on a price that nobody knows."""
    prices = read_prices(settings.judge_prices)
    asked = {
        "judge": settings.openai_model,
        "model": settings.openai_fallback_model,
        "second": settings.openai_second_model,
    }
    for step in ("judge", *settings.judge_fallbacks):
        if settings.judge_day_cost and step in asked and asked[step] not in prices.models:
            raise SettingsError(f"ENGINE_JUDGE_DAY_COST: ENGINE_JUDGE_PRICES has no price for {asked[step]}")
    return prices


def _now() -> datetime:
    return datetime.now(UTC)
