"""Cash flow: what moved in a day, by currency, gateway and method; and all of it in the reporting currency.

Invariant: `settled`, `fees` and `unapplied` are the ledger's own postings, so that they tie to
it to the minor unit; the other columns are what each fact moves.  In the reporting currency each counts as
it was worth when it moved: a payment that is returned at another rate leaves the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from events.authorization import PaymentAuthorized
from events.payment import (
    ChargebackLost,
    ExternalPaymentRecorded,
    PaymentCanceled,
    PaymentProcessed,
    PaymentReturned,
)
from events.refund import ExternalRefundRecorded, RefundProcessed, RefundReversed
from projections.ledger import (
    BANK,
    BOOKED,
    CASH,
    DISPUTE_FEES,
    DOCUMENTS,
    FEES,
    SETTLED,
    Posting,
    entries,
)
from projections.table import DAY, TENANT, TEXT, Add, Column, Place, Row, Table, money

Own = Mapping[str, Any]

_IN_AND_OUT = (
    *("authorized", "captured", "received_outside", "refunded", "refunded_outside"),
    *("came_back", "canceled", "returned", "charged_back"),
)

cash_flow = Table(
    "cash_flow",
    key=(
        TENANT,
        Column("day", DAY),
        Column("currency", TEXT),
        Column("gateway_id", TEXT),
        Column("method_type", TEXT),
    ),
    columns=money(*_IN_AND_OUT, "settled", "fees", "unapplied"),
)

corporate_cash_flow = Table(
    "corporate_cash_flow",
    key=(
        TENANT,
        Column("day", DAY),
        Column("corporate_currency", TEXT),
        Column("gateway_id", TEXT),
        Column("method_type", TEXT),
    ),
    columns=money(*_IN_AND_OUT, currency="corporate_currency"),
)

_MOVED: dict[type[Any], tuple[str, Callable[[Any], int]]] = {
    PaymentProcessed: ("captured", lambda fact: fact.processed_amount.amount_minor),
    ExternalPaymentRecorded: ("received_outside", lambda fact: fact.amount.amount_minor),
    PaymentCanceled: ("canceled", lambda fact: fact.amount.amount_minor),
    RefundProcessed: ("refunded", lambda fact: fact.amount.amount_minor),
    ExternalRefundRecorded: ("refunded_outside", lambda fact: fact.amount.amount_minor),
    RefundReversed: ("came_back", lambda fact: fact.amount.amount_minor),
    PaymentReturned: ("returned", lambda fact: (fact.returned + fact.overdrawn).amount_minor),
    ChargebackLost: ("charged_back", lambda fact: (fact.lost + fact.overdrawn).amount_minor),
}
"""The column that a fact moves by itself, and by how much; its currency is that of its only entry."""


def _columns(fact: Any, postings: Iterable[Posting]) -> dict[str, int]:
    """What the postings of one currency add to which columns."""
    added, moved = dict[str, int](), _MOVED.get(fact.__class__)
    settles = isinstance(fact, SETTLED)
    for account, debit, credit in postings:
        if account == CASH:
            added["unapplied"] = added.get("unapplied", 0) + credit - debit
        elif account == BANK:
            if settles:
                added["settled"] = added.get("settled", 0) + debit - credit
        elif account in (FEES, DISPUTE_FEES):
            added["fees"] = added.get("fees", 0) + debit - credit
    if moved is not None:
        added[moved[0]] = moved[1](fact)
    return added


@cash_flow.on(PaymentAuthorized)
def authorized(fact: PaymentAuthorized, at: Place, own: Own) -> Iterable[Row]:
    key = at.tenant, at.time.date(), own["currency"], *_by(fact, own)
    yield Row(key, {"authorized": Add(own["amount"])})


_FLOWS = tuple(fact for fact in BOOKED if fact not in DOCUMENTS)


@cash_flow.on(*_FLOWS)
def flowed(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    for currency, postings in entries(fact, own).items():
        added = {column: Add(amount) for column, amount in _columns(fact, postings).items() if amount}
        if added:
            yield Row((at.tenant, at.time.date(), currency, *_by(fact, own)), added)


_WORTH = {PaymentAuthorized: "authorized", **{fact: column for fact, (column, _) in _MOVED.items()}}
"""The column of its worth, by fact."""


@corporate_cash_flow.on(*_WORTH)
def worth(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    """What has no worth, since there was no rate, is not in it."""
    if fact.corporate is not None:
        amount, column = fact.corporate.amount, _WORTH[fact.__class__]
        key = at.tenant, at.time.date(), amount.currency, *_by(fact, own)
        yield Row(key, {column: Add(amount.amount_minor)})


def _by(fact: Any, own: Own) -> tuple[str, str]:
    """The gateway and the method; of what is outside any gateway, the instrument."""
    instrument = getattr(fact, "instrument", None) or own.get("instrument")
    if instrument:
        return "", instrument.lower()
    return own.get("gateway_id") or "", own.get("method_type") or ""


TABLES = (cash_flow, corporate_cash_flow)
