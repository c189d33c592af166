"""What the web room is given: every part it may call, in one frozen value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import HTTPConnection

from engine.conductor import Conductor
from engine.identity.logins import Logins
from engine.identity.sign_in import SignIn
from engine.record.catalog import Catalog
from engine.settings import Settings
from engine.telemetry import Metrics


def _always() -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts, made by wiring."""

    settings: Settings
    metrics: Metrics
    engine: AsyncEngine
    redis: Redis
    catalog: Catalog
    logins: Logins
    sign_in: SignIn
    conductor: Conductor
    accepting: Callable[[], bool] = _always
    """Whether this node wants new work: false before its first sweep and once it drains."""


def parts_of(connection: HTTPConnection) -> Parts:
    """The parts of the application that this request or socket came to."""
    parts: Parts = connection.app.state.parts
    return parts
