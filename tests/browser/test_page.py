"""What else people do with the page: two tabs, a reload without network, the keyboard alone, a phone."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from playwright.async_api import Browser, ViewportSize, WebSocketRoute, expect

from tests.browser.conftest import Site
from tests.browser.player import Player

PHONE = ViewportSize(width=360, height=740)


@pytest.fixture
async def playing(player: Player) -> Player:
    """Signed in, and in the design phase."""
    await player.sign_in()
    await player.start()
    await player.proceed()
    return player


async def test_two_tabs_one_writes_the_other_watches_and_takes_the_pen(playing: Player) -> None:
    first = playing
    await first.write("Entities", "Garage: from the first tab")
    await first.saved()

    second = await first.another_tab()
    await second.connected()
    banner = first.page.locator(".notices", has_text="Another tab has the pen.")
    await expect(banner).to_be_visible()
    await expect(first.text("Entities")).not_to_be_editable()
    await second.write("Entities", "\nFloor: from the second")
    await second.saved()
    both = "Garage: from the first tab\nFloor: from the second"
    await expect(first.text("Entities")).to_have_value(both)

    await first.take_the_pen()
    await expect(banner).to_be_hidden()
    await expect(second.page.locator(".notices")).to_contain_text("Another tab has the pen.")
    await first.write("Entities", "\nSpot: from the first again")
    await first.saved()
    await expect(second.text("Entities")).to_have_value(both + "\nSpot: from the first again")


async def test_two_tabs_changed_the_same_section_both_texts_are_kept(player: Player) -> None:
    first, through = player, asyncio.Event()
    through.set()
    await first.page.route_web_socket("**/v1/socket", lambda route: forward(route, through))
    await first.sign_in()
    await first.start()
    await first.proceed()
    second = await first.another_tab()
    await first.take_the_pen()
    await expect(first.text("Functional requirements")).to_be_editable()

    through.clear()  # what the first tab saves is on its way for very long
    await first.write("Functional requirements", "typed in the first tab")
    await second.take_the_pen()
    await second.write("Functional requirements", "typed in the second tab")
    await second.saved()
    await first.saved("Changed elsewhere")
    through.set()

    await expect(first.text("Functional requirements")).to_have_value("typed in the first tab")
    await first.page.get_by_text("The other text").click()
    await expect(first.page.locator(".choice pre")).to_have_text("typed in the second tab")
    await first.take_the_pen()
    await first.page.get_by_role("button", name="Keep mine").click()
    await first.saved()
    await expect(second.text("Functional requirements")).to_have_value("typed in the first tab")


async def forward(route: WebSocketRoute, through: asyncio.Event) -> None:
    """A socket that lets the page's frames through when it may; the engine's always."""
    server = route.connect_to_server()
    frames: asyncio.Queue[str | bytes] = asyncio.Queue()
    route.on_message(frames.put_nowait)

    async def pass_on() -> None:
        while True:
            frame = await frames.get()
            await through.wait()
            server.send(frame)

    passing = asyncio.create_task(pass_on())
    route.on_close(lambda code, reason: passing.cancel())


async def test_a_reload_while_the_network_is_away_loses_nothing(playing: Player, site: Site) -> None:
    playing.network_may_fail = True
    page = playing.page
    await playing.write("Entities", "Garage: saved")
    await playing.saved()
    site.front.cut()
    await page.context.set_offline(True)
    await playing.write("Entities", "\nFloor: typed in the dark")
    await playing.saved("Kept in this browser")
    page.on("dialog", lambda dialog: dialog.accept())  # "leave? what you typed may not be saved"
    address = page.url
    await page.goto("about:blank")
    site.front.mend()
    await page.context.set_offline(False)
    await page.goto(address)
    await playing.saved()
    await expect(playing.text("Entities")).to_have_value("Garage: saved\nFloor: typed in the dark")


async def test_the_keyboard_is_enough(player: Player) -> None:
    page = player.page
    await player.sign_in()
    await page.goto("/#/")
    await player.tab_to(page.get_by_role("link", name="LRU cache with expiring entries"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="LRU cache")).to_be_visible()
    await player.tab_to(page.get_by_role("button", name="Start the interview"))
    await page.keyboard.press("Enter")
    await player.phase("Clarify")
    await player.tab_to(page.get_by_label("Ask what is left open"))
    await page.keyboard.type("How big can the cache get?")
    await page.keyboard.press("Enter")
    await expect(page.locator(".log .theirs")).to_have_count(1)
    await by_keyboard_to_design(player)
    await player.tab_to(page.get_by_role("tab", selected=True))
    for _ in range(5):
        await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Code", exact=True)).to_be_focused()
    code = player.text("Code")
    await player.tab_to(code)
    await page.keyboard.type("def short(url):")
    await page.keyboard.press("Enter")
    await page.keyboard.type("return 1")
    await page.keyboard.press("Tab")
    await expect(code).to_have_value("def short(url):\n    return 1    ")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Tab")
    await expect(code).not_to_be_focused()
    await player.saved()


async def by_keyboard_to_design(player: Player) -> None:
    page = player.page
    await page.reload()  # the button comes before the chat: go there from the top
    await player.phase("Clarify")
    await player.tab_to(page.get_by_role("button", name="Start designing"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Not yet")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await player.phase("Design")


async def test_on_a_phone_nothing_sticks_out(chromium: Browser, site: Site) -> None:
    context = await chromium.new_context(base_url=site.front.url, viewport=PHONE, color_scheme="dark")
    player = Player(await context.new_page(), site.stack)
    page = player.page
    await page.goto("/#/")
    await expect(page.locator(".question").first).to_be_visible()
    await player.fits()
    await player.sign_in()
    await player.start()
    await player.ask("How many floors are there?")
    await player.fits()
    await player.proceed()
    await player.write("Code", "x" * 300)
    await player.saved()
    await player.fits()
    await player.hand_in()
    await expect(page.locator("[data-evaluation=completed]")).to_be_visible()
    await player.fits()
    for summary in await page.locator("summary").all():
        await summary.click()
    await player.fits()
    await page.get_by_role("link", name="History").click()
    await expect(page.locator(".line .badge", has_text="Handed in")).to_be_visible()
    await player.fits()
    assert not player.complaints, player.complaints
    await context.close()


async def test_a_wrong_code_is_told_and_what_was_typed_stays(player: Player) -> None:
    page = player.page
    await page.goto("/#/sign-in")
    await page.get_by_label("Email").fill(player.email)
    await page.get_by_role("button", name="Send me a code").click()
    await page.get_by_label("Code from the mail").fill("000000")
    player.complaints.clear()
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text(re.compile("Tries left: 4"))
    await expect(page.get_by_label("Code from the mail")).to_have_value("000000")
    assert "status of 401" in player.complaints.pop()  # a browser says so of any refusal


async def test_pages_for_members_ask_to_sign_in_and_lead_back(player: Player) -> None:
    page = player.page
    await page.goto("/#/interviews")
    await expect(page.get_by_label("Email")).to_be_visible()
    assert "to=" in page.url
    await page.goto("/#/nothing-here")
    await expect(page.get_by_text("There is no such page.")).to_be_visible()


async def test_search_and_filters(player: Player) -> None:
    page = player.page
    await page.goto("/#/")
    await page.get_by_label("Search", exact=True).fill("cache")
    await expect(page.locator(".question")).to_have_count(1)
    await page.get_by_label("Search", exact=True).fill("")
    await page.get_by_label("Kind").select_option("HLD")
    await page.get_by_label("Ready").select_option("published")
    await expect(page.locator(".question")).to_have_count(1)
    await expect(page.locator(".question")).to_contain_text("URL shortener")
    await page.reload()  # what is chosen is in the address
    await expect(page.locator(".question")).to_have_count(1)


async def test_profile_and_sign_out(player: Player, site: Site) -> None:
    page = player.page
    await player.sign_in()
    await page.goto("/#/profile")
    await page.get_by_label("Name").fill("Ada <b>Lovelace</b>")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("link", name="Ada <b>Lovelace</b>")).to_be_visible()
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Download my data").click()
    file = await downloading.value
    assert re.fullmatch(r"interview-data-[0-9-]{10}\.json", file.suggested_filename)
    assert json.loads((await file.path()).read_text())["profile"]["name"] == "Ada <b>Lovelace</b>"
    await page.get_by_role("button", name="On this device").click()
    await expect(page.get_by_role("link", name="Sign in", exact=True)).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("link", name="Sign in", exact=True)).to_be_visible()
    leaver = Player(page, site.stack)
    await leaver.sign_in()
    await leaves_for_good(leaver)


async def leaves_for_good(player: Player) -> None:
    """By the keyboard alone, on a phone; only one's own address arms the button."""
    page = player.page
    await page.set_viewport_size(PHONE)
    await page.goto("/#/profile")
    await player.tab_to(page.locator("summary", has_text="Delete my account"))
    await page.keyboard.press("Enter")
    await player.fits()
    await player.tab_to(page.get_by_label("To confirm, type"))
    await page.keyboard.type("somebody@else.example")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Delete for good")).to_be_disabled()
    await page.keyboard.press("Control+A")
    await page.keyboard.type(player.email)
    await player.tab_to(page.get_by_role("button", name="Delete for good"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Your account is deleted")).to_be_focused()
    await expect(page.get_by_role("link", name="Sign in", exact=True)).to_be_visible()
    assert await page.evaluate("Object.keys(localStorage)") == []
