"""An independent reading of the retail file: the sums that the demo's report must meet.

It shares no code with the import: plain integers, row by row, so that a mistake there shows here.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
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
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.reader(file):
            if row[0] != "InvoiceNo":
                totals[row[0]] += pence(row[3], row[5])
                customer[row[0]] = row[6].strip()
    sums = Sums(invoices=len(totals), customers=len({c for c in customer.values() if c}))
    for number, total in totals.items():
        if total > 0:
            sums.positive, sums.positive_count = sums.positive + total, sums.positive_count + 1
            if not customer[number]:
                sums.till, sums.till_count = sums.till + total, sums.till_count + 1
        elif total < 0:
            sums.negative, sums.negative_count = sums.negative + total, sums.negative_count + 1
        else:
            sums.zero_count += 1
    return sums
