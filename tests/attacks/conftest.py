"""One site for all tests of this folder; and the application on a clock that tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from engine.embedded import Embedded
from tests.attacks.site import Site, open_site
from tests.web.conftest import app, browser, clock, new_browser, parts, shared

__all__ = ["app", "browser", "clock", "new_browser", "parts", "shared"]


@pytest.fixture(scope="package")
async def shared_site(
    servers: Embedded, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    async with open_site(servers, template, tmp_path_factory.mktemp("attacks")) as site:
        yield site


@pytest.fixture
async def site(shared_site: Site) -> Site:
    """The site, to which nobody has come yet."""
    await shared_site.forget_limits()
    return shared_site
