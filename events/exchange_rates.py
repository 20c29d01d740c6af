"""What can happen to a source of exchange rates (stream `rates-{source}`)."""

from __future__ import annotations

from datetime import date

from events.catalog import fact


@fact("exchange_rates.published.v1")
class ExchangeRatesPublished:
    """What currencies are worth in one of them, from a day on."""

    source: str
    """Whose rates they are, such as `ECB`."""
    currency: str
    """The reporting currency."""
    as_of: date
    rates: dict[str, str]
    """Currency to how much of the reporting currency one of it is, as a decimal string."""


ExchangeRatesEvent = ExchangeRatesPublished
