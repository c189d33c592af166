"""The settings of judging become judges in an order, prices and limits; what does not fit together is told at once."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from engine.judging.judge import Spent
from engine.judging.judge_openai import OpenAIJudge
from engine.judging.prices import NO_PRICES, Price, Prices, read_prices
from engine.settings import Settings, SettingsError, load_settings
from engine.telemetry import make_metrics
from engine.wiring import open_judges, prices_of

WHOLE = {
    "OPENAI_API_KEY": "k1",
    "ENGINE_OPENAI_MODEL": "large",
    "ENGINE_OPENAI_FALLBACK_MODEL": "small",
    "ENGINE_OPENAI_SECOND_BASE_URL": "http://127.0.0.1:9/v1",
    "ENGINE_OPENAI_SECOND_API_KEY": "k2",
    "ENGINE_OPENAI_SECOND_MODEL": "other",
    "ENGINE_JUDGE_FALLBACKS": "model, second, offline",
}
TABLE = '{"version": "2026-11", "models": {"large": {"input": 2, "cached": 0.5, "output": 8}}}'


async def order(settings: Settings) -> list[tuple[str, str]]:
    async with AsyncExitStack() as stack:
        judges = open_judges(settings, make_metrics(), stack)
        return [(judge.describe()["provider"], judge.describe()["model"]) for judge in judges]


async def test_the_order() -> None:
    first, offline = ("openai", "large"), ("none", "presence-1")
    small, other = ("openai", "small"), ("openai-compatible", "other")
    assert await order(load_settings(WHOLE)) == [first, small, other, offline]
    assert await order(load_settings({**WHOLE, "ENGINE_JUDGE_FALLBACKS": "second,model,fail"})) == [first, other, small]
    assert await order(load_settings({**WHOLE, "ENGINE_JUDGE_FALLBACKS": "fail"})) == [first]
    assert await order(load_settings({"OPENAI_API_KEY": "k"})) == [("openai", "gpt-5-mini"), offline]
    assert await order(load_settings({})) == [offline]
    assert "k2" not in repr(load_settings(WHOLE))


async def test_models_of_one_server_share_a_breaker() -> None:
    async with AsyncExitStack() as stack:
        first, small, other, _ = open_judges(load_settings(WHOLE), make_metrics(), stack)
    breakers = [judge._breaker for judge in (first, small, other) if isinstance(judge, OpenAIJudge)]
    assert breakers[0] is breakers[1] is not breakers[2]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ENGINE_JUDGE_FALLBACKS": "offline,model"}, "put it last"),
        ({"ENGINE_JUDGE_FALLBACKS": "fail,offline"}, "put it last"),
        ({"ENGINE_JUDGE_FALLBACKS": "model,model"}, "twice"),
        ({"ENGINE_JUDGE_FALLBACKS": "third"}, "ENGINE_JUDGE_FALLBACKS"),
        ({"ENGINE_OPENAI_FALLBACK_MODEL": ""}, "ENGINE_OPENAI_FALLBACK_MODEL"),
        ({"ENGINE_OPENAI_SECOND_MODEL": ""}, "ENGINE_OPENAI_SECOND_MODEL"),
        ({"ENGINE_OPENAI_SECOND_BASE_URL": "", "ENGINE_OPENAI_SECOND_API_KEY": ""}, "ENGINE_OPENAI_SECOND_BASE_URL"),
        ({"ENGINE_JUDGE_DAY_COST": "1.5"}, "ENGINE_JUDGE_PRICES"),
        ({"ENGINE_JUDGE_DAY_COST": "-1"}, "ENGINE_JUDGE_DAY_COST"),
        ({"ENGINE_JUDGE_DAY_TOKENS": "-1"}, "ENGINE_JUDGE_DAY_TOKENS"),
    ],
)
def test_what_does_not_fit_together(changes: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load_settings({**WHOLE, **changes})


def test_prices(tmp_path: Path) -> None:
    table = tmp_path / "prices.json"
    table.write_text(TABLE)
    prices = read_prices(table)
    spent = Spent(asked="large", model="large-1", input_tokens=1_000_000, cached_tokens=400_000, output_tokens=500_000)
    assert prices.cost(spent) == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 0.5 * 8)
    assert prices.bill([spent]) == {"amount": 5.4, "currency": "USD", "prices": "2026-11", "unpriced": []}
    unknown = Spent(asked="small", input_tokens=1)
    assert prices.bill([spent, unknown])["amount"] is None
    assert prices.bill([spent, unknown])["unpriced"] == ["small"]
    assert NO_PRICES.bill([])["amount"] == 0
    assert Prices(version="1", models={"m": Price(input=1, output=0)}).cost(
        Spent(asked="m", input_tokens=10, cached_tokens=10)
    ) == pytest.approx(10 / 1e6)  # no price for what was cached: as any input


def test_a_limit_in_money_needs_the_price_of_every_model(tmp_path: Path) -> None:
    table = tmp_path / "prices.json"
    table.write_text(TABLE)
    limited = {**WHOLE, "ENGINE_JUDGE_DAY_COST": "1", "ENGINE_JUDGE_PRICES": str(table)}
    with pytest.raises(SettingsError, match="no price for small"):
        prices_of(load_settings(limited))
    assert prices_of(load_settings({**limited, "ENGINE_JUDGE_FALLBACKS": "offline"})).version == "2026-11"


@pytest.mark.parametrize("text", ["", "{", '{"version": "1", "models": {"m": {"input": -1, "output": 1}}}', '{"a": 1}'])
def test_a_table_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    table = tmp_path / "prices.json"
    table.write_text(text)
    with pytest.raises(SettingsError, match="ENGINE_JUDGE_PRICES"):
        read_prices(table)
    with pytest.raises(SettingsError, match="ENGINE_JUDGE_PRICES"):
        read_prices(tmp_path / "nowhere.json")


def test_a_table_has_a_version(tmp_path: Path) -> None:
    table = tmp_path / "prices.json"
    table.write_text(TABLE.replace('"version": "2026-11", ', ""))
    with pytest.raises(SettingsError, match="version"):
        read_prices(table)
