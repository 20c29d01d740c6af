"""The ledger: double entry for every event that moves value.

Invariant: debits equal credits in every entry, and in each of its currencies; and per account and currency,
accounts receivable less unapplied cash less customer credits is the net balance of `account_balances`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events.credit_memo import CreditMemoApplied, CreditMemoPosted, CreditMemoUnapplied, CreditMemoVoided
from events.invoice import InvoicePosted, NegativeInvoiceLinesConverted
from events.money import Money
from events.payment import (
    ChargebackHoldRaised,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    ExternalPaymentRecorded,
    PaymentApplied,
    PaymentCanceled,
    PaymentOverdraftReduced,
    PaymentOverdraftWrittenOff,
    PaymentProcessed,
    PaymentReturned,
    PaymentUnapplied,
)
from events.payout import (
    PaymentSettledByGateway,
    PaymentTakenBackByGateway,
    PayoutLineBooked,
    PayoutLineMatched,
    PayoutLineUnmatched,
    RefundSettledByGateway,
)
from events.refund import ExternalRefundRecorded, RefundApplied, RefundProcessed, RefundReversed
from events.transfer import (
    PaymentBalanceTransferred,
    PaymentTransferGivenBack,
    PaymentTransferReceived,
    PaymentTransferReturned,
)
from projections.table import INSTANT, JSON, TENANT, TEXT, Add, Column, Place, Row, Table, money, text

Own = Mapping[str, Any]

RECEIVABLE, REVENUE, TAX = "Accounts receivable", "Revenue", "Tax payable"
CLEARING, BANK, CASH, CREDITS = "Gateway clearing", "Bank", "Unapplied cash", "Customer credits"
TO_BE_LINED = "Refunds to be lined"
"""Money that was given back outside, and of what is not said yet: until `ApplyRefund`."""
BETWEEN = "Between accounts"
"""Money of transfers: two accounts' entries meet here, and it is empty when nothing is on its way."""
DISPUTED, DISPUTE_FEES, BAD_DEBT = "Disputed cash", "Dispute fees", "Bad debt"
FEES, ADJUSTMENTS, EXCHANGE = "Gateway fees", "Gateway adjustments", "Currency exchange"
SUSPENSE = "Settlement suspense"
"""What gateways have paid out, or taken, for something that nobody knows yet."""

ledger_entries = Table(
    "ledger_entries",
    key=(TENANT, Column("event_id", TEXT)),
    columns=(
        *text("account_id", "currency", "event_type"),
        Column("postings", JSON),
        Column("at", INSTANT),
    ),
    append_only=True,
    indexes=(("tenant_id", "account_id"),),
)

ledger_balances = Table(
    "ledger_balances",
    key=(TENANT, Column("account_id", TEXT), Column("currency", TEXT), Column("ledger_account", TEXT)),
    columns=money("debit", "credit"),
)

Posting = tuple[str, int, int]
"""Ledger account, debit, credit, in minor units."""


def _post(debit: str, credit: str, amount: int) -> list[Posting]:
    """A negative amount is the same posting the other way round."""
    if amount < 0:
        debit, credit, amount = credit, debit, -amount
    return [(debit, amount, 0), (credit, 0, amount)] if amount else []


def _where(own: Own) -> str:
    """Where a payment's money lies until the gateway has paid it out."""
    return BANK if own.get("type") == "EXTERNAL" else CLEARING


def postings(fact: Any, own: Own) -> list[Posting]:
    """What an event books; reservations book nothing."""
    match fact:
        case InvoicePosted():
            return _post(RECEIVABLE, REVENUE, fact.total_charge.amount_minor) + _post(
                RECEIVABLE, TAX, fact.total_tax.amount_minor
            )
        case PaymentProcessed():
            return _post(CLEARING, CASH, fact.processed_amount.amount_minor)
        case PaymentApplied():
            return _post(CASH, RECEIVABLE, fact.total.amount_minor)
        case NegativeInvoiceLinesConverted():
            return _post(RECEIVABLE, CREDITS, -fact.total.amount_minor)
        case CreditMemoPosted(source_action="NEGATIVE_INVOICE_LINE_CONVERSION"):
            return []  # the negative invoice has booked it
        case CreditMemoPosted(category="INVOICE_WRITE_OFF"):
            return _post(BAD_DEBT, CREDITS, fact.total.amount_minor)
        case CreditMemoPosted():
            return _post(REVENUE, CREDITS, fact.total_charge.amount_minor) + _post(
                TAX, CREDITS, fact.total_tax.amount_minor
            )
        case CreditMemoVoided() if own.get("category") == "INVOICE_WRITE_OFF":
            return _post(CREDITS, BAD_DEBT, fact.amount.amount_minor)
        case CreditMemoVoided():
            charge = fact.amount - fact.tax
            return _post(CREDITS, REVENUE, charge.amount_minor) + _post(CREDITS, TAX, fact.tax.amount_minor)
        case CreditMemoApplied():
            return _post(CREDITS, RECEIVABLE, fact.total.amount_minor)
        case CreditMemoUnapplied():
            return _post(RECEIVABLE, CREDITS, fact.total.amount_minor)
        case ExternalPaymentRecorded():
            return _post(BANK, CASH, fact.amount.amount_minor)
        case PaymentCanceled():
            return _post(CASH, _where(own), fact.amount.amount_minor)
        case PaymentReturned():
            return _post(CASH, _where(own), fact.returned.amount_minor) + _post(
                RECEIVABLE, _where(own), fact.overdrawn.amount_minor
            )
        case PaymentOverdraftReduced():
            return _post(CASH, RECEIVABLE, fact.amount.amount_minor)
        case PaymentOverdraftWrittenOff():
            return _post(BAD_DEBT, RECEIVABLE, fact.amount.amount_minor)
        case ChargebackOpened() | ChargebackHoldRaised():
            return _post(CASH, DISPUTED, fact.held.amount_minor)
        case ChargebackWon():
            return _post(DISPUTED, CASH, fact.released.amount_minor)
        case ChargebackLost():
            return (
                _post(DISPUTED, CLEARING, fact.lost.amount_minor)
                + _post(RECEIVABLE, CLEARING, fact.overdrawn.amount_minor)
                + _post(DISPUTE_FEES, CLEARING, fact.fee.amount_minor if fact.fee else 0)
            )
        case PaymentUnapplied():
            return _post(RECEIVABLE, CASH, fact.total.amount_minor)
        case PaymentBalanceTransferred() | PaymentTransferGivenBack():
            return _post(CASH, BETWEEN, fact.amount.amount_minor)
        case PaymentTransferReceived() | PaymentTransferReturned():
            return _post(BETWEEN, CASH, fact.amount.amount_minor)
        case RefundProcessed():
            return _post(CASH if fact.type == "REFERENCED" else CREDITS, CLEARING, fact.amount.amount_minor)
        case ExternalRefundRecorded():
            source = CASH if fact.payment_id else CREDITS if fact.credit_memo_id else TO_BE_LINED
            return _post(source, BANK, fact.amount.amount_minor)
        case RefundApplied():
            if own.get("type") != "EXTERNAL" or own.get("payment_id") or own.get("credit_memo_id"):
                return []  # it was booked as what it gave back
            return _post(
                CASH if fact.target_kind == "payment" else CREDITS, TO_BE_LINED, fact.amount.amount_minor
            )
        case RefundReversed():
            return _post(
                CLEARING, CASH if fact.target_kind == "payment" else CREDITS, fact.amount.amount_minor
            )
        case _:
            raise AssertionError(fact)


def _paid_out(
    against: str, amount: Money, settled: Money, fee: Money, fees: str = FEES
) -> dict[str, list[Posting]]:
    """What reaches the bank, less the fee; through the exchange, where it was charged in another currency."""
    costs = fee.amount_minor
    into = _post(BANK, against, settled.amount_minor) + _post(fees, BANK, costs)
    if amount.currency == settled.currency:
        return {settled.currency: into}
    into = _post(BANK, EXCHANGE, settled.amount_minor) + _post(fees, BANK, costs)
    return {
        settled.currency: into,
        amount.currency: _post(EXCHANGE, against, amount.amount_minor),
    }


def _settled(fact: Any) -> dict[str, list[Posting]]:
    match fact:
        case PaymentSettledByGateway():
            return _paid_out(CLEARING, fact.amount, fact.settled, fact.fee)
        case PaymentTakenBackByGateway():
            fees = CLEARING if fact.fee_expected else DISPUTE_FEES if "CHARGEBACK" in fact.type else FEES
            return _paid_out(CLEARING, -fact.amount, -fact.settled, fact.fee, fees)
        case RefundSettledByGateway():
            return _paid_out(CLEARING, -fact.amount, -fact.settled, fact.fee)
        case PayoutLineUnmatched():
            return _paid_out(SUSPENSE, fact.gross, fact.gross, fact.fee)
        case PayoutLineMatched():
            return _paid_out(SUSPENSE, -fact.gross, -fact.gross, -fact.fee) if fact.was_unmatched else {}
        case PayoutLineBooked(was_unmatched=True):
            return {fact.gross.currency: _post(SUSPENSE, ADJUSTMENTS, fact.gross.amount_minor)}
        case PayoutLineBooked():
            return _paid_out(ADJUSTMENTS, fact.gross, fact.gross, fact.fee)
        case _:
            raise AssertionError(fact)


def entries(fact: Any, own: Own) -> dict[str, list[Posting]]:
    """What an event books, by currency."""
    if isinstance(fact, SETTLED):
        return _settled(fact)
    return {_currency(fact): postings(fact, own)}


SETTLED = (
    PaymentSettledByGateway,
    PaymentTakenBackByGateway,
    RefundSettledByGateway,
    PayoutLineUnmatched,
    PayoutLineMatched,
    PayoutLineBooked,
)
"""Facts of what gateways pay to the bank."""

DOCUMENTS = (
    InvoicePosted,
    NegativeInvoiceLinesConverted,
    CreditMemoPosted,
    CreditMemoVoided,
    CreditMemoApplied,
    CreditMemoUnapplied,
)
"""Facts that move what is owed, and no cash."""

BOOKED = (
    *DOCUMENTS,
    PaymentProcessed,
    ExternalPaymentRecorded,
    PaymentCanceled,
    PaymentApplied,
    PaymentUnapplied,
    RefundProcessed,
    ExternalRefundRecorded,
    RefundApplied,
    RefundReversed,
    PaymentReturned,
    PaymentOverdraftReduced,
    PaymentOverdraftWrittenOff,
    ChargebackOpened,
    ChargebackHoldRaised,
    ChargebackWon,
    ChargebackLost,
    PaymentBalanceTransferred,
    PaymentTransferReceived,
    PaymentTransferGivenBack,
    PaymentTransferReturned,
    *SETTLED,
)


def _currency(fact: Any) -> str:
    for name in ("currency", "total", "amount", "processed_amount", "returned", "held", "released", "lost"):
        value = getattr(fact, name, None)
        if value is not None:
            return value.currency if isinstance(value, Money) else value
    raise AssertionError(fact)


@ledger_entries.on(*BOOKED)
def booked(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    """One row; of money that was charged in another currency than it is paid out in, one for each."""
    for n, (currency, postings) in enumerate(entries(fact, own).items()):
        posted = [
            {"ledger_account": ledger_account, "debit_minor": debit, "credit_minor": credit}
            for ledger_account, debit, credit in postings
        ]
        if posted:
            yield Row(
                (at.tenant, f"{at.event.event_id}{f'/{currency}' if n else ''}"),
                {
                    "currency": currency,
                    "account_id": at.account_id,
                    "event_type": at.event.topic,
                    "postings": posted,
                    "at": at.time,
                },
            )


@ledger_balances.on(*BOOKED)
def balanced(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    for currency, postings in entries(fact, own).items():
        for ledger_account, debit, credit in postings:
            key = at.tenant, at.account_id, currency, ledger_account
            yield Row(key, {"debit": Add(debit), "credit": Add(credit)})


TABLES = (ledger_entries, ledger_balances)
