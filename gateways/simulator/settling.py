"""What the simulator pays out: by day and currency, every movement that is final, less what it costs.  Pure.

A report is the same however often it is asked for, as long as nothing new has happened; a day that is not
over has no payout yet.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from gateways.simulator.core import Entry

FEE_SHARE, FEE_FIXED = Decimal("0.014"), 20
"""Of a charge: in minor units; a refund gives nothing of it back."""
PAYOUT_FEE = 25
"""Of a payout."""
ARRIVES_DAYS = 2

Row = dict[str, str]


def settlement(
    entries: Iterable[Entry], until: date, paid_in: str | None = None, rate: Decimal = Decimal(1)
) -> list[Row]:
    """The rows of all payouts before a day; with `paid_in`, everything in that currency, at a rate."""
    entries = list(entries)
    voided = {entry.of for entry in entries if entry.operation == "VOID" and entry.status == "EXECUTED"}
    days: defaultdict[tuple[date, str], list[Row]] = defaultdict(list)
    for entry in entries:
        for type, day, amount in _movements(entry, voided):
            if day < until:
                currency = paid_in or entry.currency
                days[day, currency].append(_row(entry, type, day, amount, currency, rate))
    return [row for (day, currency), rows in sorted(days.items()) for row in _paid(day, currency, rows)]


def _movements(entry: Entry, voided: set[str]) -> Iterator[tuple[str, date, int]]:
    day = datetime.fromisoformat(entry.at).date()
    if entry.operation in ("SALE", "CAPTURE") and entry.status == "EXECUTED" and entry.ref not in voided:
        yield "PAYMENT", day, entry.amount_minor
    elif entry.operation in ("REFUND", "UNREFERENCED_REFUND") and entry.status in ("EXECUTED", "REVERSED"):
        yield "REFUND", day, -entry.amount_minor
        if entry.status == "REVERSED":
            yield "REFUND_REVERSED", datetime.fromisoformat(entry.reversal_at).date(), entry.amount_minor


def _row(entry: Entry, type: str, day: date, amount: int, currency: str, rate: Decimal) -> Row:
    exact = rate if currency != entry.currency else Decimal(1)
    gross = int((amount * exact).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    fee = 0
    if type == "PAYMENT":
        fee = int((gross * FEE_SHARE).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)) + FEE_FIXED
    return {
        "line": f"{entry.ref}/{type.lower()}",
        "type": type,
        "reference": entry.ref,
        "of": entry.of,
        "merchant_reference": entry.merchant_reference,
        "charged_minor": str(amount),
        "charged_currency": entry.currency,
        "gross_minor": str(gross),
        "fee_minor": str(fee),
        "net_minor": str(gross - fee),
        "currency": currency,
        "at": entry.at if type != "REFUND_REVERSED" else entry.reversal_at,
    }


def _paid(day: date, currency: str, rows: list[Row]) -> Iterator[Row]:
    ref = f"po_{hashlib.sha256(f'{day}/{currency}'.encode()).hexdigest()[:12]}"
    fee = {
        "line": f"{ref}/fee",
        "type": "FEE",
        "reference": "",
        "of": "",
        "merchant_reference": "",
        "charged_minor": "",
        "charged_currency": "",
        "gross_minor": "0",
        "fee_minor": str(PAYOUT_FEE),
        "net_minor": str(-PAYOUT_FEE),
        "currency": currency,
        "at": f"{day.isoformat()}T23:59:59+00:00",
    }
    amount = sum(int(row["net_minor"]) for row in (*rows, fee))
    arrives = (day + timedelta(days=ARRIVES_DAYS)).isoformat()
    for row in (*rows, fee):
        yield {"payout": ref, "payout_minor": str(amount), "arrives_on": arrives, **row}
