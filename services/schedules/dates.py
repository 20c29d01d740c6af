"""How a detail's share of a balance becomes dated amounts.

Invariant: the amounts sum to the share, to the last minor unit, and no date is before the posting.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple, cast

from events.money import Remainder, allocate
from events.schedule_policy import Detail, Distribution

_PLACES = 10**6
"""Percentages have at most 6 places: as weights they are whole numbers."""


class Terms(NamedTuple):
    """The dates of an invoice."""

    posted: date
    invoiced: date
    due: date


class Planned(NamedTuple):
    detail: Detail
    amount: int
    day: date


def planned(balance: int, currency: str, details: Sequence[Detail], terms: Terms) -> list[Planned]:
    """What is to be collected of a balance, and when; parts of nothing are dropped."""
    weights = [int(Decimal(detail.percentage) * _PLACES) for detail in details]
    return [
        Planned(detail, amount, max(day, terms.posted))
        for detail, share in zip(details, allocate(balance, weights, "LAST"), strict=True)
        for amount, day in _cut(share, currency, detail, terms)
        if amount
    ]


def _cut(share: int, currency: str, detail: Detail, terms: Terms) -> list[tuple[int, date]]:
    distribution = detail.distribution
    amounts = _amounts(share, currency, distribution)
    first = _anchor(distribution, terms) + timedelta(days=detail.date_offset_days)
    return [(amount, _step(first, index, distribution)) for index, amount in enumerate(amounts)]


def _amounts(share: int, currency: str, distribution: Distribution) -> list[int]:
    match distribution.type:
        case "EQUAL_INSTALLMENTS":
            count = _affordable(share, currency, distribution)
            return allocate(share, [1] * count, cast("Remainder", distribution.remainder))
        case "FIXED_AMOUNT" if distribution.amount and distribution.amount.currency == currency:
            whole, rest = divmod(share, distribution.amount.amount_minor)
            return [distribution.amount.amount_minor] * whole + ([rest] if rest else [])
        case _:
            return [share]


def _affordable(share: int, currency: str, distribution: Distribution) -> int:
    """How many instalments there are, so that none is below the minimum."""
    least = distribution.minimum
    if least is None or least.currency != currency:
        return distribution.count
    return max(1, min(distribution.count, share // least.amount_minor))


def _anchor(distribution: Distribution, terms: Terms) -> date:
    match distribution.anchor:
        case "INVOICE_DATE":
            return terms.invoiced
        case "MONTH_END":
            return month_end(terms.invoiced)
        case _:
            return terms.due


def _step(first: date, index: int, distribution: Distribution) -> date:
    if distribution.unit == "DAYS":
        return first + timedelta(days=index * distribution.every)
    months = first.year * 12 + first.month - 1 + index * distribution.every
    year, month = divmod(months, 12)
    last = month_end(date(year, month + 1, 1))
    return last if distribution.anchor == "MONTH_END" else last.replace(day=min(first.day, last.day))


def month_end(day: date) -> date:
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])
