"""A whole interview in a browser, with the cable pulled and a node killed in the middle of typing."""

from __future__ import annotations

import re

import asyncpg
from playwright.async_api import expect

from tests.browser.conftest import Site
from tests.browser.player import Player
from tests.fake_model import Step
from tests.until import until

ENTITIES = "Garage: owns floors\nFloor: owns spots\nSpot: id, size, state\nTicket: spot, entered at\n"
MORE_ENTITIES = "Vehicle: plate, size – für alle Größen 🚚\n"
EVEN_MORE = "Payment: amount, paid at\n"
OPERATIONS = "enter(vehicle) -> Ticket: claims the nearest fitting spot in one atomic step\n"
AFTER_THE_KILL = "leave(ticket): gives the spot back, also when a later step fails\n"
REQUIREMENTS = "A vehicle is admitted, given a spot and a ticket.\nThe fee is worked out before the vehicle leaves.\n"
HELD = "Entities and responsibilities"


async def test_a_whole_interview_survives_a_cut_and_kill_9(player: Player, site: Site) -> None:
    page = player.page
    await player.sign_in()
    await player.start()
    await clarify(player)
    await player.write("Functional requirements", REQUIREMENTS)
    await player.proceed()

    await player.write("Entities", ENTITIES)
    await cut_and_killed_while_typing(player, site)
    await killed_while_typing(player, site)

    site.model.script(Step(only=HELD, hold=0))
    await player.hand_in()
    await player.phase("Result")
    await judged(player, site)
    score = await page.locator(".ring .total").text_content()

    await page.reload()
    await expect(page.get_by_role("heading", name=re.compile("pass", re.IGNORECASE))).to_be_visible()
    assert await page.locator(".ring .total").text_content() == score
    await in_the_record(site, player.interview)
    await appealed(player)


async def clarify(player: Player) -> None:
    """Three questions: each is answered with what it was taken to be about."""
    for question, about in (
        ("How many floors are there?", "Floors"),
        ("What kinds of vehicles must fit?", "ehicle"),
        ("How is the fee worked out?", "fee"),
    ):
        answer = await player.ask(question)
        if (yes := answer.get_by_role("button", name=re.compile("^Yes"))) and await yes.count():
            await yes.click()
            answer = player.page.locator(".log .theirs.answered").last
        await expect(answer.locator(".chip")).to_contain_text(re.compile(about, re.IGNORECASE))


async def cut_and_killed_while_typing(player: Player, site: Site) -> None:
    player.network_may_fail = True
    first, _ = site.stack.nodes
    await player.page.keyboard.type(MORE_ENTITIES[:10])
    site.front.cut()
    await player.page.context.set_offline(True)
    first.kill()
    await player.page.keyboard.type(MORE_ENTITIES[10:])
    await player.connected("Offline")
    await player.saved("Kept in this browser")
    await player.write("Entities", EVEN_MORE)
    await player.page.context.set_offline(False)
    site.front.mend()
    await player.saved()
    await player.connected()
    await expect(player.text("Entities")).to_have_value(ENTITIES + MORE_ENTITIES + EVEN_MORE)


async def killed_while_typing(player: Player, site: Site) -> None:
    first, second = site.stack.nodes
    first.start()
    await first.ready()
    await player.write("Operations", OPERATIONS[:20])
    second.kill()
    await player.page.keyboard.type(OPERATIONS[20:] + AFTER_THE_KILL)
    await player.saved()
    await expect(player.text("Operations")).to_have_value(OPERATIONS + AFTER_THE_KILL)
    await until(lambda: first.running)


async def judged(player: Player, site: Site) -> None:
    """Criteria come in one by one; the one the model holds back is waited for, and the total with it."""
    page = player.page
    waiting = page.locator(".criterion.waiting")
    await expect(waiting).to_have_count(1)
    await expect(waiting).to_contain_text(HELD)
    await expect(page.locator("[data-evaluation=running]")).to_be_visible()
    site.model.release()
    await expect(page.locator("[data-evaluation=completed]")).to_be_visible()
    await expect(waiting).to_have_count(0)
    requirements = page.locator(".criterion", has=page.get_by_role("heading", name="Requirements", exact=True))
    await requirements.get_by_text("checks met").click()
    quote = requirements.locator("blockquote").first
    words = await quote.locator("p").inner_text()
    assert words in REQUIREMENTS
    await quote.get_by_role("button").click()
    await expect(page.locator("mark")).to_have_text(words)
    await expect(requirements.locator(".since").first).to_have_text(re.compile("there since minute [01]"))
    await expect(page.get_by_role("heading", name="Strengths")).to_be_visible()
    await expect(page.get_by_role("heading", name="Never asked")).to_be_visible()


async def in_the_record(site: Site, interview: str) -> None:
    """Postgres holds what was typed, once, and one evaluation of it."""
    connection = await asyncpg.connect(site.stack.database_url)
    try:
        solution = await connection.fetchrow("SELECT * FROM solutions WHERE interview_id = $1", interview)
        events = "SELECT seq FROM interview_events WHERE interview_id = $1 ORDER BY seq"
        seqs = [row["seq"] for row in await connection.fetch(events, interview)]
        evaluations = await connection.fetchval("SELECT count(*) FROM evaluations WHERE interview_id = $1", interview)
    finally:
        await connection.close()
    assert solution is not None
    assert solution["functional_req"] == REQUIREMENTS
    assert solution["entities"] == ENTITIES + MORE_ENTITIES + EVEN_MORE
    assert solution["apis"] == OPERATIONS + AFTER_THE_KILL
    assert seqs == list(range(1, len(seqs) + 1))
    assert evaluations == 1


async def appealed(player: Player) -> None:
    """From the stored result: wrong words are refused in place; with right ones both verdicts stand at the check."""
    page = player.page
    requirements = page.locator(".criterion", has=page.get_by_role("heading", name="Requirements", exact=True))
    await requirements.get_by_text("checks met").click()
    check = requirements.locator(".verdict.not_met").first
    await check.get_by_text("Appeal", exact=True).click()
    await check.get_by_label("Section").select_option("functional_req")
    await check.get_by_label("Your words that show it").fill("words that I never wrote")
    await check.get_by_role("button", name="Have it judged again").click()
    await expect(check.get_by_role("alert")).to_contain_text("do not stand in functional_req")
    player.complaints.clear()  # a browser says so of any refusal
    await check.get_by_label("Your words that show it").fill(REQUIREMENTS.splitlines()[0])
    await check.get_by_role("button", name="Have it judged again").click()
    await expect(page.locator(".appealed")).to_contain_text("First not met; judged again, not met (3 of 3 judgings)")
    await expect(page.get_by_text("Have it judged again")).to_have_count(0)
