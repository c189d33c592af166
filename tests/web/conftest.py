"""The application in this process, on real servers, with a clock that tests move."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx2
import msgspec
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette

from engine.identity.keys import derive
from engine.identity.logins import Logins
from engine.identity.mail_development import DevelopmentMailer
from engine.identity.mailer import MailRoom
from engine.identity.sign_in import SignIn
from engine.record.catalog import Catalog
from engine.record.engine import make_engine
from engine.settings import Settings
from engine.telemetry import make_metrics
from engine.web import routes_auth, routes_me, routes_ops, routes_questions
from engine.web.app import create_app
from engine.web.operations import Operation
from engine.web.parts import Parts
from tests.clock import HandClock
from tests.until import until

CODE = re.compile(r"\d{6}")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def parts(settings: Settings, clock: HandClock) -> AsyncIterator[Parts]:
    """The parts the web room is given, but for those of interviews."""
    engine, redis, metrics = make_engine(settings), Redis.from_url(settings.redis_url), make_metrics()
    keys = derive(settings.secret_key)
    logins = Logins(engine=engine, redis=redis, keys=keys, settings=settings, now=clock)
    room, stop = MailRoom(DevelopmentMailer(redis, clock, io.StringIO()), metrics), asyncio.Event()
    post = asyncio.create_task(room.run(stop))
    sign_in = SignIn(engine=engine, redis=redis, keys=keys, logins=logins, mail=room, settings=settings)
    yield Parts(
        settings=settings, metrics=metrics, engine=engine, redis=redis, catalog=Catalog(engine), logins=logins,
        sign_in=sign_in,
    )  # fmt: skip
    stop.set()
    await post
    await redis.aclose()
    await engine.dispose()


def operations_of(settings: Settings) -> tuple[Operation, ...]:
    return (
        *routes_auth.operations(settings),
        *routes_me.OPERATIONS,
        *routes_questions.OPERATIONS,
        *routes_ops.OPERATIONS,
    )


def app_of(parts: Parts) -> Starlette:
    operations = operations_of(parts.settings)
    return create_app(parts, operations, routes_ops.routes(parts, operations))


@pytest.fixture
def app(parts: Parts) -> Starlette:
    return app_of(parts)


class Browser:
    """A client with cookies of its own, that can sign in as people do."""

    def __init__(self, app: Starlette, parts: Parts) -> None:
        self.parts = parts
        transport = httpx2.ASGITransport(app=app)
        self.http = httpx2.AsyncClient(transport=transport, base_url=parts.settings.base_url)

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
