"""A real Chromium before the real stack: two nodes behind one address, a worker, a model that does as it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright

from engine.embedded import Embedded
from tests.browser.front import Front
from tests.browser.player import Player
from tests.chromium import FLAGS, find_chromium
from tests.fake_model import FakeModel
from tests.stack import Stack, running_stack

VIEW = ViewportSize(width=1280, height=860)


@dataclass(frozen=True)
class Site:
    """What a browser meets, and what a test may do to it."""

    front: Front
    stack: Stack
    model: FakeModel


@pytest.fixture(scope="package")
async def shared_site(
    servers: Embedded, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    async with Front() as front, FakeModel() as model:
        folder = tmp_path_factory.mktemp("browser")
        async with running_stack(
            servers, template, folder,
            ENGINE_PUBLIC_URL=front.url, ENGINE_JUDGE="openai", OPENAI_BASE_URL=model.url, OPENAI_API_KEY="of no use",
        ) as stack:  # fmt: skip
            front.targets = stack.nodes
            yield Site(front, stack, model)


@pytest.fixture
async def site(shared_site: Site) -> Site:
    """The site, whole: what the test before has cut or killed is there again."""
    shared_site.front.mend()
    shared_site.model.script()
    await shared_site.stack.restore()
    return shared_site


@pytest.fixture(scope="package")
async def chromium() -> AsyncIterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("NO CHROMIUM: the page is not tested. Install one, or name one in CHROMIUM.")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture
async def context(chromium: Browser, site: Site) -> AsyncIterator[BrowserContext]:
    """A browser nobody has used, at the site."""
    context = await chromium.new_context(base_url=site.front.url, viewport=VIEW)
    context.set_default_timeout(15_000)
    yield context
    await context.close()


@pytest.fixture
async def page(context: BrowserContext) -> Page:
    return await context.new_page()


@pytest.fixture
async def player(page: Page, site: Site) -> AsyncIterator[Player]:
    """A candidate at the page. Whatever the console complains of fails the test, but for what the test expects."""
    player = Player(page, site.stack)
    yield player
    assert not player.complaints, player.complaints
