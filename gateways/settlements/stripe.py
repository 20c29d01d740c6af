"""Stripe's payout reconciliation report, itemized: a row for each balance transaction of automatic payouts.

Columns of `payout_reconciliation.itemized.5`: https://docs.stripe.com/reports/report-types/payout-reconciliation
Categories: https://docs.stripe.com/reports/reporting-categories
Needs the columns `payment_intent_id` and `charge_id` besides the default ones: payments are found by them.
"""

from __future__ import annotations

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
    money,
    rows_of,
    some,
    sum_of,
)

NEEDED = (
    "automatic_payout_id",
    "balance_transaction_id",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
)

TYPES = {
    "charge": "PAYMENT",
    "refund": "REFUND",
    "partial_capture_reversal": "REFUND",
    "refund_failure": "REFUND_REVERSED",
    "dispute": "CHARGEBACK",
    "dispute_reversal": "CHARGEBACK_REVERSED",
    "charge_failure": "RETURN",
    "fee": "FEE",
    "network_cost": "FEE",
    "tax": "FEE",
}
"""All else is an adjustment."""

OF_CHARGES = frozenset({"PAYMENT", "CHARGEBACK", "CHARGEBACK_REVERSED", "RETURN"})


def read(text: str) -> Report:
    """A payout has no row of its own: it is the sum of its rows, and the bank's word is its check."""
    rows = rows_of(text, NEEDED)
    lines, unreadable = each(rows, _line)
    arrives = {row["automatic_payout_id"]: day(row.get("automatic_payout_effective_at", "")) for row in rows}
    payouts = [Payout(ref, sum_of(of), len(of), arrives.get(ref)) for ref, of in by_payout(lines).items()]
    return Report(payouts, lines, unreadable)


def _line(number: int, row: Row) -> Line | None:
    category = row["reporting_category"].strip()
    if category == "payout":
        return None
    payout_ref, name = some(row["automatic_payout_id"]), some(row["balance_transaction_id"])
    if payout_ref is None or name is None:
        raise NoLine("it is of no automatic payout, or has no balance transaction")
    gross, fee, net = (money(row[part], row["currency"]) for part in ("gross", "fee", "net"))
    if gross - fee != net:
        raise NoLine(f"{gross} less {fee} is not {net}")
    type = TYPES.get(category, "ADJUSTMENT")
    if type == "FEE":
        gross, fee = gross - gross, -net
    charged = None
    facing = some(row.get("customer_facing_currency", ""))
    if facing and facing.upper() != net.currency:
        charged = money(row["customer_facing_amount"], facing)
        charged = charged if (charged.amount_minor < 0) == (gross.amount_minor < 0) else -charged
    source, intent = some(row["source_id"]), some(row.get("payment_intent_id", ""))
    of_charge = type in OF_CHARGES
    return Line(
        number,
        payout_ref,
        name,
        type,
        gross,
        fee,
        net,
        charged,
        (intent or source) if of_charge else source,
        some(row.get("charge_id", "")) if of_charge else None,
        None,
        category,
        instant(row.get("created_utc", "") or row.get("created", "")),
    )
