"""A candidate in front of the page: sees and does what people see and do."""

from __future__ import annotations

import itertools
import os
import re

from playwright.async_api import ConsoleMessage, Locator, Page, expect

from tests.stack import CODE, Stack

_numbers = itertools.count(1)
UNREACHABLE = re.compile(r"net::ERR_|WebSocket connection to .* failed")
"""What a browser itself says of a network that is not there."""


class Player:
    """One tab of one candidate."""

    def __init__(self, page: Page, stack: Stack) -> None:
        self.page, self._stack = page, stack
        self.email = f"player{next(_numbers)}.{os.getpid()}@example.com"
        self.complaints: list[str] = []
        self.network_may_fail = False
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"thrown: {error}"))

    def _heard(self, message: ConsoleMessage) -> None:
        expected = self.network_may_fail and UNREACHABLE.search(message.text)
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(f"{message.type}: {message.text}")

    async def another_tab(self) -> Player:
        """The same browser, one more tab, at the same address."""
        other = Player(await self.page.context.new_page(), self._stack)
        other.email, other.complaints = self.email, self.complaints
        await other.page.goto(self.page.url)
        return other

    # --- before the interview ---

    async def sign_in(self) -> None:
        """By a code, read in the development mailbox's page."""
        await self.page.goto("/#/sign-in")
        await self.page.get_by_label("Email").fill(self.email)
        await self.page.get_by_role("button", name="Send me a code").click()
        code = self.page.get_by_label("Code from the mail")
        await expect(code).to_be_focused()
        mailbox = await self.page.context.new_page()
        link = self.page.get_by_role("link", name="Development mailbox")
        await mailbox.goto(await link.get_attribute("href") or "")
        mail = mailbox.locator("article", has_text=self.email)
        found = CODE.search(await mail.locator("h2").inner_text())
        assert found is not None
        await mailbox.close()
        await code.fill(found.group())
        await self.page.get_by_role("button", name="Sign in").click()
        await expect(self.page.get_by_role("link", name="History")).to_be_visible()

    async def start(self, title: str = "Multi-level parking garage") -> None:
        """Pick a question in the catalog, and start."""
        await self.page.goto("/#/")
        await self.page.get_by_role("link", name=title).click()
        await self.page.get_by_role("button", name="Start the interview").click()
        await expect(self.page.get_by_role("timer")).to_have_text(re.compile(r"\d\d:\d\d"))

    @property
    def interview(self) -> str:
        """The id in the address."""
        return self.page.url.rsplit("/", 1)[1]

    # --- the interview ---

    async def ask(self, text: str) -> Locator:
        """Ask, and wait for what comes of it: the last entry of the log."""
        log = self.page.get_by_role("log", name="Questions and answers")
        before = await log.locator(".theirs").count()
        await self.page.get_by_label("Ask what is left open").fill(text)
        await self.page.keyboard.press("Enter")
        await expect(log.locator(".theirs")).to_have_count(before + 1)
        return log.locator(".theirs").last

    async def proceed(self) -> None:
        await self.page.get_by_role("button", name="Start designing").click()
        await self.page.get_by_role("dialog").get_by_role("button", name="Start designing").click()
        await self.phase("Design")

    async def phase(self, name: str) -> None:
        """Wait until the bar names this phase."""
        await expect(self.page.locator(".steps [aria-current=step]")).to_have_text(name)

    async def take_the_pen(self) -> None:
        await self.page.bring_to_front()  # browsers are slow with tabs that nobody looks at
        await self.page.get_by_role("button", name="Take the pen").click()

    def text(self, name: str) -> Locator:
        """A section's editor."""
        return self.page.get_by_role("textbox", name=name, exact=True)

    async def write(self, name: str, text: str) -> None:
        """Go to a section and type at its end."""
        await self.page.get_by_role("tab", name=name, exact=True).click()
        await self.text(name).focus()
        await self.page.keyboard.press("Control+End")
        await self.page.keyboard.type(text)

    async def saved(self, word: str = "All saved") -> None:
        await expect(self.page.locator(".bar .saved")).to_have_text(word, timeout=20_000)

    async def connected(self, word: str = "Connected") -> None:
        await expect(self.page.locator(".bar [data-line]")).to_contain_text(word)

    async def hand_in(self) -> None:
        await self.page.get_by_role("button", name="Hand in …").click()
        await self.page.get_by_role("dialog").get_by_role("button", name="Hand in", exact=True).click()

    async def fits(self) -> None:
        """Nothing sticks out to the right."""
        too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await self.page.evaluate(too_wide) == 0, self.page.url

    async def tab_to(self, target: Locator, steps_max: int = 60) -> None:
        """Press Tab until `target` has the focus."""
        for _ in range(steps_max):
            if await target.evaluate("node => node === document.activeElement"):
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not get to {target}")
