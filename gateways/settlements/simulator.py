"""The simulator's own settlement report: `GET /v1/settlement-report`, a CSV in minor units."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from events.money import EXPONENTS, Money
from gateways.settlements.reading import (
    Line,
    NoLine,
    Payout,
    Report,
    Row,
    by_payout,
    day,
    each,
    instant,
    rows_of,
    some,
)

COLUMNS = (
    "payout",
    "payout_minor",
    "arrives_on",
    "line",
    "type",
    "reference",
    "of",
    "merchant_reference",
    "charged_minor",
    "charged_currency",
    "gross_minor",
    "fee_minor",
    "net_minor",
    "currency",
    "at",
)
TYPES = frozenset({"PAYMENT", "REFUND", "REFUND_REVERSED", "FEE"})


def write(rows: Iterable[Row]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([row[name] for name in COLUMNS] for row in rows)
    return out.getvalue()


def read(text: str) -> Report:
    rows = rows_of(text, COLUMNS)
    lines, unreadable = each(rows, _line)
    said = {row["payout"]: row for row in rows}
    payouts: list[Payout] = []
    for ref, of in by_payout(lines).items():
        amount = _minor(said[ref]["payout_minor"], said[ref]["currency"])
        payouts.append(Payout(ref, amount, len(of), day(said[ref]["arrives_on"])))
    return Report(payouts, lines, unreadable)


def _line(number: int, row: Row) -> Line:
    payout, name, type = some(row["payout"]), some(row["line"]), row["type"]
    if payout is None or name is None or type not in TYPES:
        raise NoLine("it has no payout, no name, or no type that is known")
    gross, fee, net = (_minor(row[f"{part}_minor"], row["currency"]) for part in ("gross", "fee", "net"))
    if gross - fee != net:
        raise NoLine(f"{gross} less {fee} is not {net}")
    charged = _minor(row["charged_minor"], row["charged_currency"]) if some(row["charged_minor"]) else None
    return Line(
        number,
        payout,
        name,
        type,
        gross,
        fee,
        net,
        charged if charged and charged.currency != net.currency else None,
        some(row["reference"]),
        some(row["of"]) if type in ("REFUND", "REFUND_REVERSED") else None,
        some(row["merchant_reference"]),
        type,
        instant(row["at"]),
    )


def _minor(text: str, currency: str) -> Money:
    if currency not in EXPONENTS or not text.strip().lstrip("-").isdigit():
        raise NoLine(f"{text!r} {currency!r} is no amount")
    return Money(int(text), currency)
