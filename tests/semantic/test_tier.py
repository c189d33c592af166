"""The semantic tier, as a plain function, as a pack's matcher, and off the event loop."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from engine.core.matcher import compile_rules, intents, match
from engine.core.matcher.declines import DEFAULT_DECLINES
from engine.semantic import semantic
from engine.semantic.pool import Pool
from engine.semantic.tier import messages
from tests.core.shipped import packs

SMALL = {
    "pricing": ["how is the fee calculated", "is there an hourly rate", "do trucks pay more"],
    "floors": ["how many floors are there", "is it multi level"],
}
GARAGE = msgspec.structs.replace(packs()["parking-garage"].clarification, skip_declines=tuple(DEFAULT_DECLINES))
VERSION = "minilm-1"
"""The record shows decisions with it: whoever changes one writes a new version here."""
DECISIONS: dict[str, list[tuple[str, str | None, float]]] = {
    "How many floors are there, and is cash accepted?": [
        ("answer", "floors_and_gates", 0.9969),
        ("answer", "payment_methods", 0.9918),
    ],
    "What if no spot is left when I come in?": [("answer", "lot_full", 0.9566)],
    "Is it closed on Sundays?": [("fallback", None, 0.0123)],
    "r bikes allowd": [("answer", "vehicle_types", 0.9735)],
    "could two cars be given the same place at once": [("answer", "concurrency", 0.9955)],
    "Can drivers book a spot the day before?": [("confirm", "allocation_policy", 0.4992)],
}
TURNS_MIN = 100
"""Of the loop while the network reads for a tenth of a second: thousands, where the machine has a moment."""


def test_it_is_asked_as_a_plain_function() -> None:
    tier = semantic()
    assert intents(SMALL, "How is the fee calculated?", tier) == ("pricing",)
    assert intents(SMALL, "what do drivers owe when they leave?", tier) == ("pricing",)
    assert intents(SMALL, "what do drivers owe when they leave?") == ()
    assert intents(SMALL, "Is the garage painted green?", tier) == ()
    assert intents(SMALL, "汉字 ???", tier) == ()
    assert intents({}, "Is there anything?", tier) == ()


def test_decisions_are_those_that_were_pinned() -> None:
    assert semantic().version == VERSION
    garage = compile_rules(GARAGE, semantic())
    for text, wanted in DECISIONS.items():
        found = match(garage, text)
        assert [(one.zone, one.intent) for one in found] == [(zone, intent) for zone, intent, _ in wanted], text
        assert [one.score for one in found] == pytest.approx([score for *_, score in wanted], abs=1e-3), text


async def test_the_loop_goes_on_while_the_network_reads_and_answers_are_the_plain_functions() -> None:
    pool = Pool(semantic, messages)
    garage = await pool.compile(GARAGE)
    asked = asyncio.gather(*(pool.match(garage, text, "") for text in [*DECISIONS] * 3))
    turns = 0
    while not asked.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > TURNS_MIN
    assert await asked == [match(garage, text) for text in DECISIONS] * 3
    await pool.close()
