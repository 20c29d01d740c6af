"""An independent reading of the retail file: the sums that the demo's report must meet.

It shares no code with the import: plain integers, row by row, so that a mistake there shows here.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from pathlib import Path


@dataclass
class Sums:
    """In pence, and how many."""

    invoices: int = 0
    positive: int = 0
    positive_count: int = 0
    zero_count: int = 0
    negative: int = 0
    negative_count: int = 0
    till: int = 0
    till_count: int = 0
    customers: int = 0
    rows: int = 0
    returned: int = 0
    """Of the cancellations, what takes back something that was sold before: it can go back."""


def pence(quantity: str, price: str) -> int:
    """Quantity x price, rounded half away from zero to the penny, in whole numbers only."""
    whole, _, part = price.strip().partition(".")
    sign = -1 if whole.startswith("-") else 1
    thousandths = int(whole.lstrip("-") or "0") * 10_000 + int((part + "0000")[:4])
    product = int(quantity) * thousandths * sign
    rounded = (abs(product) * 2 + 100) // 200
    return rounded if product >= 0 else -rounded


def read(path: Path) -> Sums:
    totals: dict[str, int] = defaultdict(int)
    customer: dict[str, str] = {}
    rows: list[list[str]] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.reader(file):
            if row[0] != "InvoiceNo":
                rows.append(row)
                totals[row[0]] += pence(row[3], row[5])
                customer[row[0]] = row[6].strip()
    sums = Sums(invoices=len(totals), customers=len({c for c in customer.values() if c}), rows=len(rows))
    for number, total in totals.items():
        if total > 0:
            sums.positive, sums.positive_count = sums.positive + total, sums.positive_count + 1
            if not customer[number]:
                sums.till, sums.till_count = sums.till + total, sums.till_count + 1
        elif total < 0:
            sums.negative, sums.negative_count = sums.negative + total, sums.negative_count + 1
        else:
            sums.zero_count += 1
    sums.returned = _returned(rows)
    return sums


def _returned(rows: list[list[str]]) -> int:
    """Pieces cancelled, as far as the same customer had bought so many before, at the same price."""
    bought: dict[tuple[str, str, str], int] = defaultdict(int)
    returned = 0
    for _, _, row in sorted((_minute(row[4]), place, row) for place, row in enumerate(rows)):
        quantity, key = int(row[3]), (row[6].strip(), row[1], row[5])
        if key[0] and quantity > 0:
            bought[key] += quantity
        elif key[0] and pence(row[3], row[5]) < 0:
            back = min(-quantity, bought[key])
            bought[key] -= back
            returned += pence(str(back), row[5])
    return returned


def _minute(text: str) -> tuple[int, ...]:
    """`12/1/10 8:26` as what sorts by time."""
    month, day, year, hour, minute = map(int, text.replace("/", " ").replace(":", " ").split())
    return year, month, day, hour, minute


@dataclass(frozen=True)
class Sold:
    """In pence, and how many."""

    invoices: int
    amount: int


def sold_on(path: Path, day: date) -> Sold:
    """What customers bought on a day."""
    totals: dict[str, int] = defaultdict(int)
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.reader(file):
            if row[0] == "InvoiceNo" or not row[6].strip():
                continue
            year, month, number = _minute(row[4])[:3]
            if (2000 + year, month, number) == (day.year, day.month, day.day):
                totals[row[0]] += pence(row[3], row[5])
    sales = [total for total in totals.values() if total > 0]
    return Sold(len(sales), sum(sales))
