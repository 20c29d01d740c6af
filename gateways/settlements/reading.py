"""What every settlement report comes down to: payouts, their lines, and rows that cannot be read.

Amounts are as they change the payout: what the gateway takes is below zero; `gross` less `fee` is `net`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from events.money import EXPONENTS, Money

Row = Mapping[str, str]


@dataclass(frozen=True)
class Line:
    row: int
    """Its place in the file; 1 is the row below the heading."""
    payout_ref: str
    line_ref: str
    type: str
    gross: Money
    fee: Money
    net: Money
    charged: Money | None = None
    gateway_ref: str | None = None
    original_ref: str | None = None
    merchant_reference: str | None = None
    raw_type: str | None = None
    happened_at: datetime | None = None


@dataclass(frozen=True)
class Payout:
    payout_ref: str
    amount: Money
    lines: int
    arrives_on: date | None = None


@dataclass(frozen=True)
class Unreadable:
    row: int
    reason: str


@dataclass
class Report:
    payouts: list[Payout] = field(default_factory=list[Payout])
    lines: list[Line] = field(default_factory=list[Line])
    unreadable: list[Unreadable] = field(default_factory=list[Unreadable])


class NoLine(ValueError):
    """A row that cannot be read: why, in a sentence."""


def rows_of(text: str, needed: Sequence[str]) -> list[Row]:
    """The rows of a CSV file.  Raises `ValueError` where a column that is needed is not there."""
    reader = csv.DictReader(text.lstrip("\ufeff").splitlines(), restval="")
    lacking = [name for name in needed if name not in (reader.fieldnames or ())]
    if lacking:
        raise ValueError(f"it has no column {', '.join(lacking)}")
    return [{name: value for name, value in row.items() if isinstance(value, str)} for row in reader]


def each(rows: Iterable[Row], read: Callable[[int, Row], Line | None]) -> tuple[list[Line], list[Unreadable]]:
    """The lines of rows; a row that is none is told with its reason, and spoils no other."""
    lines, unreadable = list[Line](), list[Unreadable]()
    for number, row in enumerate(rows, start=1):
        try:
            line = read(number, row)
        except NoLine as why:
            unreadable.append(Unreadable(number, str(why)))
        else:
            if line is not None:
                lines.append(line)
    return lines, unreadable


def money(text: str, currency: str) -> Money:
    """A major amount, exact: half a cent is no amount."""
    code = currency.strip().upper()
    if code not in EXPONENTS:
        raise NoLine(f"{currency!r} is no currency")
    try:
        scaled = Decimal(text.strip() or "0").scaleb(EXPONENTS[code])
    except InvalidOperation as error:
        raise NoLine(f"{text!r} is no amount") from error
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise NoLine(f"{text} has more decimal places than {code}")
    return Money(int(scaled), code)


def instant(text: str) -> datetime | None:
    """`2026-03-02 09:00:00`, in UTC; nothing where there is none."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def day(text: str) -> date | None:
    at = instant(text)
    return at.date() if at else None


def some(text: str | None) -> str | None:
    stripped = (text or "").strip()
    return stripped or None


def by_payout(lines: Iterable[Line]) -> dict[str, list[Line]]:
    grouped: dict[str, list[Line]] = {}
    for line in lines:
        grouped.setdefault(line.payout_ref, []).append(line)
    return grouped


def sum_of(lines: Sequence[Line]) -> Money:
    """Raises `ValueError` where a payout is in two currencies."""
    currencies = {line.net.currency for line in lines}
    if len(currencies) != 1:
        raise ValueError(f"the payout {lines[0].payout_ref} is in {' and '.join(sorted(currencies))}")
    return Money(sum(line.net.amount_minor for line in lines), currencies.pop())
