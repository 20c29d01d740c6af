"""Adyen's settlement details report: a row for each journal entry of a settlement batch.

Columns: https://docs.adyen.com/reporting/settlement-reconciliation/transaction-level/settlement-details-report
Types: https://docs.adyen.com/reporting/invoice-reconciliation/journal-types
GC is the currency that was charged, NC the one that is paid out.
"""

from __future__ import annotations

from collections import Counter
from datetime import date

from events.money import Money
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
    "Merchant Account",
    "Psp Reference",
    "Merchant Reference",
    "Type",
    "Modification Reference",
    "Gross Currency",
    "Gross Debit (GC)",
    "Gross Credit (GC)",
    "Net Currency",
    "Net Debit (NC)",
    "Net Credit (NC)",
    "Batch Number",
)

TYPES = {
    "Settled": "PAYMENT",
    "SettledInInstallments": "PAYMENT",
    "Refunded": "REFUND",
    "RefundedReversed": "REFUND_REVERSED",
    "Chargeback": "CHARGEBACK",
    "SecondChargeback": "CHARGEBACK",
    "ChargebackReversed": "CHARGEBACK_REVERSED",
    "Fee": "FEE",
    "MiscCosts": "FEE",
    "PaymentCost": "FEE",
    "InvoiceDeduction": "FEE",
}
"""All else is an adjustment, but what is paid out."""

PAID_OUT = "MerchantPayout"
COSTS = ("Commission (NC)", "Markup (NC)", "Scheme Fees (NC)", "Interchange (NC)", "Payment Fees (NC)")


def read(text: str) -> Report:
    rows = rows_of(text, NEEDED)
    paid: dict[str, tuple[Money, date | None]] = {}
    repeats = Counter[str]()

    def line(number: int, row: Row) -> Line | None:
        if row["Type"].strip() != PAID_OUT:
            return _line(number, row, repeats)
        ref, amount = _payout_ref(row), -_net(row)
        before = paid.get(ref)
        booked = day(row.get("Booking Date", "") or row.get("Creation Date", ""))
        paid[ref] = (amount + before[0] if before else amount), booked
        return None

    lines, unreadable = each(rows, line)
    grouped = by_payout(lines)
    payouts = [
        Payout(ref, paid[ref][0] if ref in paid else sum_of(of), len(of), paid.get(ref, (None, None))[1])
        for ref, of in grouped.items()
    ]
    payouts += [Payout(ref, amount, 0, on) for ref, (amount, on) in paid.items() if ref not in grouped]
    return Report(payouts, lines, unreadable)


def _payout_ref(row: Row) -> str:
    batch = some(row["Batch Number"])
    if batch is None:
        raise NoLine("it has no batch number")
    return f"{row['Merchant Account'].strip()}:{batch}"


def _net(row: Row) -> Money:
    currency = row["Net Currency"]
    return money(row["Net Credit (NC)"], currency) - money(row["Net Debit (NC)"], currency)


def _line(number: int, row: Row, repeats: Counter[str]) -> Line:
    raw, net, payout_ref = row["Type"].strip(), _net(row), _payout_ref(row)
    type = TYPES.get(raw, "ADJUSTMENT")
    psp, modification = some(row["Psp Reference"]), some(row["Modification Reference"])
    name = f"{raw}/{psp or ''}/{modification or ''}"
    repeats[f"{payout_ref} {name}"] += 1
    nth = repeats[f"{payout_ref} {name}"]
    gross, fee, charged = _amounts(row, net, type)
    refunded = type in ("REFUND", "REFUND_REVERSED")
    merchant = row.get("Modification Merchant Reference") if refunded else row["Merchant Reference"]
    return Line(
        number,
        payout_ref,
        name if nth == 1 else f"{name}#{nth}",
        type,
        gross,
        fee,
        net,
        charged,
        modification if type not in ("FEE", "ADJUSTMENT") else None,
        psp,
        some(merchant),
        raw,
        instant(row.get("Creation Date", ""))
        if row.get("TimeZone", "").strip() in ("", "UTC", "GMT")
        else None,
    )


def _amounts(row: Row, net: Money, type: str) -> tuple[Money, Money, Money | None]:
    """Gross, fee, and what was charged where that was in another currency."""
    nothing = Money(0, net.currency)
    if type == "FEE":
        return nothing, -net, None
    currency = some(row["Gross Currency"])
    if type == "ADJUSTMENT" or currency is None:
        return net, nothing, None
    charged = money(row["Gross Credit (GC)"], currency) - money(row["Gross Debit (GC)"], currency)
    if charged.currency == net.currency:
        return charged, charged - net, None
    costs = nothing
    for column in COSTS:
        costs += money(row.get(column, ""), net.currency)
    return net + costs, costs, charged
