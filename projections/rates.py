"""Exchange rates: what currencies were worth in a reporting currency, day by day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events.exchange_rates import ExchangeRatesPublished
from events.money import Money
from events.shapes import Corporate
from projections.table import DAY, INSTANT, TENANT, TEXT, Column, Place, Row, Table, money, text

Own = Mapping[str, Any]

exchange_rates = Table(
    "exchange_rates",
    key=(
        TENANT,
        Column("source", TEXT),
        Column("reporting_currency", TEXT),
        Column("currency", TEXT),
        Column("rate_date", DAY),
    ),
    columns=(*text("rate"), Column("published_at", INSTANT)),
)

CORPORATE = (
    *text("corporate_currency", "corporate_rate"),
    *money("corporate_amount", currency="corporate_currency"),
    Column("corporate_date", DAY),
)
"""What something is worth in the tenant's reporting currency, as it was recorded."""


def corporate(worth: Corporate | None) -> dict[str, Any]:
    """The columns of `CORPORATE`; nothing where there is nothing."""
    if worth is None:
        return {}
    return {
        "corporate_currency": worth.amount.currency,
        "corporate_amount": worth.amount.amount_minor,
        "corporate_rate": worth.rate,
        "corporate_date": worth.date,
    }


def loss(cause: str, amount: Money, worth: Corporate | None) -> dict[str, Any]:
    """Money that was taken back, and what it was worth in the reporting currency then."""
    return {"cause": cause, "amount_minor": amount.amount_minor, **_worth(worth)}


def _worth(worth: Corporate | None) -> dict[str, Any]:
    if worth is None:
        return {}
    amount = {"amount_minor": worth.amount.amount_minor, "currency": worth.amount.currency}
    return {"corporate": {**amount, "rate": worth.rate, "date": worth.date.isoformat()}}


@exchange_rates.on(ExchangeRatesPublished)
def published(fact: ExchangeRatesPublished, at: Place, own: Own) -> Iterable[Row]:
    for currency, rate in fact.rates.items():
        key = (at.tenant, fact.source, fact.currency, currency, fact.as_of)
        yield Row(key, {"rate": rate, "published_at": at.time})


TABLES = (exchange_rates,)
