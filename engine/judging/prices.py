"""What tokens cost, by a table of prices that whoever runs the engine writes: none ships, for it would go stale unseen.

The file is JSON: {"version": "2026-11", "currency": "USD", "models": {"some-model": {"input": 0.25, "cached": 0.025,
"output": 2.0}}}, each price for a million tokens. The version stands in every receipt.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from engine.judging.judge import Spent
from engine.settings import SettingsError

PER: Final = 1_000_000
DIGITS: Final = 6
"""Of an amount: a millionth of a dollar is a few tokens."""

Amount = Annotated[float, Meta(ge=0, le=1_000_000)]


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For a million tokens. `cached`: of input that the provider had in its cache; None: as any input."""

    input: Amount
    output: Amount
    cached: Amount | None = None


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Annotated[str, Meta(min_length=1, max_length=80)] = "none"
    currency: Annotated[str, Meta(min_length=1, max_length=8)] = "USD"
    models: dict[str, Price] = {}

    def cost(self, spent: Spent) -> float | None:
        """What this took, by the model that answered, else the one that was asked for; None: no price is known."""
        price = self.models.get(spent.model) or self.models.get(spent.asked)
        if price is None:
            return None if spent.input_tokens or spent.output_tokens else 0.0
        cached = price.input if price.cached is None else price.cached
        fresh = max(0, spent.input_tokens - spent.cached_tokens)
        return (fresh * price.input + spent.cached_tokens * cached + spent.output_tokens * price.output) / PER

    def bill(self, spents: Iterable[Spent]) -> dict[str, Any]:
        """The whole cost, for a receipt: null as soon as one model has no price, which is then named."""
        spents = tuple(spents)
        unpriced = sorted({spent.model or spent.asked for spent in spents if self.cost(spent) is None})
        amount = None if unpriced else round(sum(self.cost(spent) or 0.0 for spent in spents), DIGITS)
        return {"amount": amount, "currency": self.currency, "prices": self.version, "unpriced": unpriced}


NO_PRICES: Final = Prices()


def read_prices(path: Path | None) -> Prices:
    """The table in this file; without one, no model has a price. Raises SettingsError."""
    if path is None:
        return NO_PRICES
    try:
        prices = msgspec.json.decode(path.read_bytes(), type=Prices)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"ENGINE_JUDGE_PRICES: {path}: {error}") from None
    if prices.models and prices.version == NO_PRICES.version:
        raise SettingsError(f"ENGINE_JUDGE_PRICES: {path}: the table needs a version of its own, such as its date")
    return prices
