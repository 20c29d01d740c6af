"""Exchange rates, and what an amount was worth in the tenant's reporting currency when it moved.

Invariant: a snapshot is for reports only; it is taken once, by the latest rate of its day or before, and
changes no balance.  Where there is no such rate, there is no snapshot.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from events.exchange_rates import ExchangeRatesEvent, ExchangeRatesPublished
from events.ids import tenant_home
from events.money import EXPONENTS, Money
from events.shapes import Corporate
from services.commands import Currency, Id, command
from services.decision import Change, Changes, Context, Draft, Need, Needs, Rule, States, Subject
from services.errors import Rejected
from services.tenants.tenant_settings import TenantSettings

DAYS_MAX = 400
"""Of each currency's rates, so many of the latest are known; older facts find none."""

Rate = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$")]


@dataclass(slots=True)
class ExchangeRates:
    KIND: ClassVar[str] = "rates"

    version: int = 0
    days: dict[tuple[str, str], list[tuple[date, str]]] = field(
        default_factory=dict[tuple[str, str], list[tuple[date, str]]]
    )
    """By currency and reporting currency: the rates, by the day that they are of."""

    @property
    def open(self) -> bool:
        return False

    def rate(self, currency: str, reporting: str, day: date) -> tuple[date, str] | None:
        """The latest of a day, or before it."""
        days = self.days.get((currency, reporting), [])
        at = bisect_right(days, day, key=lambda known: known[0])
        return days[at - 1] if at else None


def evolve(rates: ExchangeRates, event: ExchangeRatesEvent) -> None:
    for currency, rate in event.rates.items():
        days = rates.days.setdefault((currency, event.currency), [])
        days[:] = [known for known in days if known[0] != event.as_of]
        insort(days, (event.as_of, rate))
        del days[:-DAYS_MAX]


@command("payments.exchange_rates.publish.v1")
class PublishExchangeRates:
    """Say what currencies are worth in a reporting currency, from a day on; a day's rates can be corrected.

    What was recorded before keeps the snapshot that it has.
    """

    source: Id
    """Whose rates they are, such as `ECB`: the setting `rate_source` names the one that counts."""
    currency: Currency
    """The reporting currency: each rate says how much of it one of another is."""
    as_of: date
    rates: Annotated[dict[Currency, Rate], Field(min_length=1, max_length=200)]
    """Currency to how much of the reporting currency one of it is, as a decimal string."""


def needed(states: States, context: Context) -> Needs:
    """What a snapshot is taken by, where the tenant has a reporting currency; its settings are known."""
    settings = states.find(TenantSettings, context.tenant)
    if settings and settings["corporate_currency"] and settings["rate_source"]:
        yield Need(ExchangeRates, settings["rate_source"])


def snapshot(seen: States | Draft, amount: Money, day: date | datetime, context: Context) -> Corporate | None:
    """What an amount is worth in the reporting currency on a day; None where there is none, or no rate."""
    settings = seen.get(TenantSettings, context.tenant)
    reporting = settings["corporate_currency"]
    if reporting is None:
        return None
    day = day.date() if isinstance(day, datetime) else day
    if amount.currency == reporting:
        return Corporate(amount, "1", day)
    if settings["rate_source"] is None:
        return None
    known = seen.get(ExchangeRates, settings["rate_source"]).rate(amount.currency, reporting, day)
    return Corporate(converted(amount, known[1], reporting), known[1], known[0]) if known else None


def converted(amount: Money, rate: str, currency: str) -> Money:
    """Half away from zero, to the minor unit."""
    shift = EXPONENTS[currency] - EXPONENTS[amount.currency]
    worth = (Decimal(amount.amount_minor) * Decimal(rate)).scaleb(shift)
    return Money(int(worth.to_integral_value(ROUND_HALF_UP)), currency)


def _needs(states: States, command: PublishExchangeRates, context: Context) -> Needs:
    yield Need(ExchangeRates, command.source)


def publish(states: States, command: PublishExchangeRates, context: Context) -> Changes:
    for currency, rate in command.rates.items():
        if Decimal(rate) <= 0 or currency == command.currency:
            message = f"{rate} is no rate from {currency} to {command.currency}"
            raise Rejected("MALFORMED_REQUEST", message, field=f"data.rates.{currency}")
    known = states.get(ExchangeRates, command.source)
    told = {
        currency: rate
        for currency, rate in command.rates.items()
        if (command.as_of, rate) not in known.days.get((currency, command.currency), [])
    }
    if not told:
        return []
    fact = ExchangeRatesPublished(command.source, command.currency, command.as_of, told)
    return [Change(ExchangeRates, command.source, fact)]


def _home(command: PublishExchangeRates, tenant: str) -> str:
    return tenant_home("exchange_rates", command.source)


SUBJECT = Subject(ExchangeRates, evolve, (Rule(PublishExchangeRates, _needs, publish, _home),))
