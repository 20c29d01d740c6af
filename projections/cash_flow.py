"""Cash flow: what moved in a day, by currency, gateway and method.

Invariant: `settled`, `fees` and `unapplied` are the ledger's own postings (domain 3.11), so that they tie to
it to the minor unit; the other columns are what each fact moves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from events.authorization import PaymentAuthorized
from events.money import Money
from events.payment import (
    ChargebackLost,
    ExternalPaymentRecorded,
    PaymentCanceled,
    PaymentProcessed,
    PaymentReturned,
)
from events.refund import ExternalRefundRecorded, RefundProcessed, RefundReversed
from projections.ledger import BANK, BOOKED, CASH, DISPUTE_FEES, DOCUMENTS, FEES, SETTLED, entries
from projections.table import DAY, TENANT, TEXT, Add, Column, Place, Row, Table, money

Own = Mapping[str, Any]

cash_flow = Table(
    "cash_flow",
    key=(
        TENANT,
        Column("day", DAY),
        Column("currency", TEXT),
        Column("gateway_id", TEXT),
        Column("method_type", TEXT),
    ),
    columns=money(
        "authorized",
        "captured",
        "received_outside",
        "settled",
        "fees",
        "refunded",
        "refunded_outside",
        "came_back",
        "canceled",
        "returned",
        "charged_back",
        "unapplied",
    ),
)


def _moved(fact: Any, own: Own) -> tuple[str, Money] | None:
    """The column that a fact moves by itself, and by how much."""
    match fact:
        case PaymentAuthorized():
            return "authorized", Money(own["amount"], own["currency"])
        case PaymentProcessed():
            return "captured", fact.processed_amount
        case ExternalPaymentRecorded():
            return "received_outside", fact.amount
        case PaymentCanceled():
            return "canceled", fact.amount
        case RefundProcessed():
            return "refunded", fact.amount
        case ExternalRefundRecorded():
            return "refunded_outside", fact.amount
        case RefundReversed():
            return "came_back", fact.amount
        case PaymentReturned():
            return "returned", fact.returned + fact.overdrawn
        case ChargebackLost():
            return "charged_back", fact.lost + fact.overdrawn
        case _:
            return None


def _posted(fact: Any, own: Own) -> Iterable[tuple[str, str, int]]:
    """Currency, column and amount of what the ledger says."""
    if isinstance(fact, PaymentAuthorized):
        return
    for currency, postings in entries(fact, own).items():
        for account, debit, credit in postings:
            if account == CASH:
                yield currency, "unapplied", credit - debit
            elif account == BANK and isinstance(fact, SETTLED):
                yield currency, "settled", debit - credit
            elif account in (FEES, DISPUTE_FEES):
                yield currency, "fees", debit - credit


_FLOWS = tuple(fact for fact in BOOKED if fact not in DOCUMENTS)


@cash_flow.on(PaymentAuthorized, *_FLOWS)
def flowed(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    changes: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    moved = _moved(fact, own)
    if moved is not None:
        changes[moved[1].currency][moved[0]] += moved[1].amount_minor
    for currency, column, amount in _posted(fact, own):
        changes[currency][column] += amount
    for currency, columns in changes.items():
        added = {column: Add(amount) for column, amount in columns.items() if amount}
        if added:
            yield Row((at.tenant, at.time.date(), currency, *_by(fact, own)), added)


def _by(fact: Any, own: Own) -> tuple[str, str]:
    """The gateway and the method; of what is outside any gateway, the instrument."""
    instrument = getattr(fact, "instrument", None) or own.get("instrument")
    if instrument:
        return "", instrument.lower()
    return own.get("gateway_id") or "", own.get("method_type") or ""


TABLES = (cash_flow,)
