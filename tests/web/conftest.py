"""The application in this process, on real servers, with a clock that tests move."""

from __future__ import annotations

import asyncio
import io
import itertools
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx2
import msgspec
import pytest
from starlette.applications import Starlette

from engine.embedded import Embedded
from engine.identity.keys import keys_of
from engine.identity.logins import Logins
from engine.identity.mail_development import DevelopmentMailer
from engine.identity.mailer import MailRoom
from engine.identity.sign_in import SignIn
from engine.settings import Settings, load_settings
from engine.web import routes_ops
from engine.web.app import create_app
from engine.web.parts import Parts
from engine.wiring import all_operations, make_backbone
from tests.clock import HandClock
from tests.until import until
from tests.web.documented import checking

NUMBERS = itertools.count(1)
CODE = re.compile(r"\d{6}")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


async def no_queue(interview: str, run: int) -> None:
    """Nothing is submitted in these tests."""


@asynccontextmanager
async def open_parts(settings: Settings, clock: HandClock) -> AsyncIterator[Parts]:
    """The parts the web room is given, as wiring makes them, on a clock of the tests'."""
    backbone = make_backbone(settings, no_queue)
    engine, redis = backbone.engine, backbone.redis
    keys = keys_of(settings)
    logins = Logins(engine=engine, redis=redis, keys=keys, settings=settings, now=clock)
    room, stop = MailRoom(DevelopmentMailer(redis, clock, io.StringIO()), backbone.metrics), asyncio.Event()
    sign_in = SignIn(engine=engine, redis=redis, keys=keys, logins=logins, mail=room, settings=settings)
    made = Parts(
        settings=settings,
        metrics=backbone.metrics,
        engine=engine,
        redis=redis,
        catalog=backbone.catalog,
        logins=logins,
        sign_in=sign_in,
        conductor=backbone.conductor,
    )
    post = asyncio.create_task(room.run(stop))
    yield made
    stop.set()
    await post
    await redis.aclose()
    await engine.dispose()


@pytest.fixture
async def parts(settings: Settings, clock: HandClock) -> AsyncIterator[Parts]:
    """The parts, on this test's own database."""
    async with open_parts(settings, clock) as made:
        yield made


@pytest.fixture(scope="module")
async def shared(servers: Embedded, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """A signed-in browser for a whole file, for requests that are to change nothing."""
    urls, name = servers.ensure(), f"shared_{next(NUMBERS)}"
    admin = await asyncpg.connect(urls.database)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    settings = load_settings(
        {},
        database_url=urlsplit(urls.database)._replace(path=f"/{name}").geturl(),
        redis_url=urls.redis,
        secret_key="a secret of the tests, long enough to pass",
        data_dir=tmp_path_factory.mktemp("data"),
        port=0,
    )
    async with open_parts(settings, HandClock()) as made:
        browser = Browser(app_of(made), made)
        await browser.forget_limits()
        await browser.sign_in()
        yield browser
        await browser.http.aclose()
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


def app_of(parts: Parts) -> Starlette:
    operations = all_operations(parts.settings)
    return create_app(parts, operations, routes_ops.routes(parts, operations))


@pytest.fixture
def app(parts: Parts) -> Starlette:
    return app_of(parts)


class Browser:
    """A client with cookies of its own, that can sign in as people do."""

    def __init__(self, app: Starlette, parts: Parts) -> None:
        self.parts = parts
        transport = httpx2.ASGITransport(app=app)
        self.http = httpx2.AsyncClient(
            transport=transport, base_url=parts.settings.base_url, event_hooks=checking(parts.settings)
        )

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        """One request; a body goes as JSON."""
        if body is not None:
            more["json"] = body
        return await self.http.request(method, path, **more)

    async def ask_code(self, email: str) -> tuple[str, str]:
        """(challenge, code), read from the mailbox as a person would."""
        asked = await self.call("POST", "/v1/auth/otp", {"email": email})
        assert asked.status_code == 202, asked.text
        mail: dict[str, Any] = await until(lambda: self._mail_to(email))
        found = CODE.search(mail["subject"])
        assert found
        return asked.json()["challenge_id"], found.group()

    async def _mail_to(self, email: str) -> Any:
        mails: list[dict[str, Any]] = (await self.call("GET", "/dev/mailbox.json")).json()
        return next((mail for mail in mails if mail["to"].lower() == email.lower()), None)

    async def sign_in(self, email: str = "ada@example.com", **more: Any) -> dict[str, Any]:
        """Sign in by a code; later calls carry the access token."""
        challenge, code = await self.ask_code(email)
        answer = await self.call("POST", "/v1/auth/otp/verify", {"challenge_id": challenge, "code": code, **more})
        assert answer.status_code == 200, answer.text
        signed_in: dict[str, Any] = answer.json()
        self.use(signed_in["access_token"])
        return signed_in

    def use(self, access_token: str) -> None:
        self.http.headers["authorization"] = f"Bearer {access_token}"

    async def forget_limits(self) -> None:
        """As if no limit had been touched, and no mail had come."""
        keys = [key async for key in self.parts.redis.scan_iter("{limits}:*")]
        await self.parts.redis.delete("mailbox:development", *keys)


NewBrowser = Callable[[], Browser]


@pytest.fixture
async def new_browser(app: Starlette, parts: Parts) -> AsyncIterator[NewBrowser]:
    """Makes browsers that share nothing."""
    made: list[Browser] = []

    def make() -> Browser:
        made.append(Browser(app, parts))
        return made[-1]

    yield make
    for browser in made:
        await browser.http.aclose()


@pytest.fixture
def browser(new_browser: NewBrowser) -> Browser:
    return new_browser()


def with_settings(parts: Parts, **changes: Any) -> Parts:
    """The same parts under other settings."""
    return replace(parts, settings=msgspec.structs.replace(parts.settings, **changes))
