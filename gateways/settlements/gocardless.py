"""GoCardless: a payout and its items, as its API answers them, in one JSON object or in a list of such.

    {"payouts": {…}, "payout_items": [{"type", "amount", "links": {"payment", "refund"}}, …]}

A payout: https://developer.gocardless.com/api-reference/#core-endpoints-payouts
Its items: https://developer.gocardless.com/api-reference/#core-endpoints-payout-items
Items are in minor units with one decimal place: their sum is rounded, and so is what fees add up to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, cast

import orjson

from events.money import EXPONENTS, Money
from gateways.settlements.reading import Line, NoLine, Payout, Report, Unreadable, day

TYPES = {
    "payment_paid_out": "PAYMENT",
    "payment_failed": "RETURN",
    "payment_charged_back": "CHARGEBACK",
    "payment_refunded": "REFUND",
    "refund": "REFUND",
    "refund_funds_returned": "REFUND_REVERSED",
    "gocardless_fee": "FEE",
    "app_fee": "FEE",
    "surcharge_fee": "FEE",
    "tax": "FEE",
}
"""All else is an adjustment."""

Item = Mapping[str, Any]


def read(text: str) -> Report:
    try:
        told: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"this is no JSON: {error}") from error
    report = Report()
    for one in cast("list[Any]", told) if isinstance(told, list) else [told]:
        if not isinstance(one, dict) or not {"payouts", "payout_items"} <= cast("Item", one).keys():
            raise ValueError("it needs the objects payouts and payout_items")
        _read_payout(cast("Item", one["payouts"]), cast("list[Item]", one["payout_items"]), report)
    return report


def _read_payout(payout: Mapping[str, Any], items: Sequence[Item], report: Report) -> None:
    currency, ref = str(payout.get("currency", "")).upper(), str(payout.get("id", ""))
    if currency not in EXPONENTS or not ref or not isinstance(payout.get("amount"), int):
        raise ValueError("a payout has an id, an amount in minor units, and a currency")
    exchanged: Item = payout.get("fx") or {}
    if exchanged.get("fx_currency"):
        raise ValueError(f"{ref} is paid out in another currency than it was collected in: not read")
    carried, repeats, begun = Decimal(0), Counter[str](), len(report.lines)
    for number, item in enumerate(items, start=1):
        try:
            amount = _amount(item)
            whole = int(amount)
            if amount != whole:  # of the fractions, what adds up to a whole unit goes to the next of them
                carried += amount
                whole = int(carried.quantize(Decimal(1), rounding=ROUND_HALF_UP))
                carried -= whole
            report.lines.append(_line(number, ref, item, Money(whole, currency), repeats))
        except NoLine as why:
            report.unreadable.append(Unreadable(number, f"{ref}: {why}"))
    count = len(report.lines) - begun
    report.payouts.append(
        Payout(ref, Money(payout["amount"], currency), count, day(str(payout.get("arrival_date") or "")))
    )


def _amount(item: Item) -> Decimal:
    try:
        return Decimal(str(item["amount"]))
    except (KeyError, InvalidOperation) as error:
        raise NoLine("it has no amount") from error


def _line(number: int, payout_ref: str, item: Item, net: Money, repeats: Counter[str]) -> Line:
    raw, links = str(item.get("type", "")), cast("Mapping[str, str]", item.get("links") or {})
    type = TYPES.get(raw, "ADJUSTMENT")
    payment, refund = links.get("payment"), links.get("refund")
    name = f"{raw}/{refund or payment or links.get('mandate') or ''}"
    repeats[name] += 1
    refunded, nothing = type in ("REFUND", "REFUND_REVERSED"), Money(0, net.currency)
    return Line(
        number,
        payout_ref,
        name if repeats[name] == 1 else f"{name}#{repeats[name]}",
        type,
        nothing if type == "FEE" else net,
        -net if type == "FEE" else nothing,
        net,
        None,
        (refund if refunded else payment) or None,
        payment if refunded and refund else None,
        None,
        raw,
    )
