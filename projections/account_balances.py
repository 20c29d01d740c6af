"""What each account owes and owns, by currency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from events.credit_memo import (
    CreditMemoApplied,
    CreditMemoPosted,
    CreditMemoRefundReleased,
    CreditMemoRefundReserved,
    CreditMemoUnapplied,
    CreditMemoVoided,
    RefundAppliedToCreditMemo,
    RefundReversedOnCreditMemo,
)
from events.invoice import (
    InvoiceCreditApplied,
    InvoiceCreditUnapplied,
    InvoicePaymentApplied,
    InvoicePaymentUnapplied,
    InvoicePosted,
    NegativeInvoiceLinesConverted,
)
from events.payment import (
    ChargebackHoldRaised,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    ExternalPaymentRecorded,
    PaymentApplied,
    PaymentCanceled,
    PaymentFailed,
    PaymentOverdraftReduced,
    PaymentOverdraftWrittenOff,
    PaymentProcessed,
    PaymentRequested,
    PaymentReturned,
    PaymentUnapplied,
    RefundAppliedToPayment,
    RefundReservationReleased,
    RefundReservedOnPayment,
    RefundReversedOnPayment,
)
from events.transfer import (
    PaymentBalanceTransferred,
    PaymentTransferGivenBack,
    PaymentTransferReceived,
    PaymentTransferReleased,
    PaymentTransferReserved,
    PaymentTransferReturned,
)
from projections.table import TENANT, TEXT, Add, Column, Place, Row, Table, money

Own = Mapping[str, Any]

account_balances = Table(
    "account_balances",
    key=(TENANT, Column("account_id", TEXT), Column("currency", TEXT)),
    columns=money(
        "open_receivables",
        "unapplied_payments",
        "reserved_for_refunds",
        "reserved_for_transfers",
        "open_credit",
        "reserved_credit",
        "pending_collections",
        "disputed",
        "overdrawn",
    ),
)


def _balance(at: Place, currency: str, **changes: int) -> Row:
    return Row((at.tenant, at.account_id, currency), {name: Add(amount) for name, amount in changes.items()})


@account_balances.on(InvoicePosted)
def owed(fact: InvoicePosted, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.currency, open_receivables=fact.total.amount_minor)


@account_balances.on(NegativeInvoiceLinesConverted)
def no_longer_negative(fact: NegativeInvoiceLinesConverted, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, open_receivables=-fact.total.amount_minor)


@account_balances.on(InvoicePaymentApplied, InvoiceCreditApplied)
def settled(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, open_receivables=-fact.total.amount_minor)


@account_balances.on(InvoicePaymentUnapplied, InvoiceCreditUnapplied)
def unsettled(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, open_receivables=fact.total.amount_minor)


@account_balances.on(PaymentRequested)
def pending(fact: PaymentRequested, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, pending_collections=fact.amount.amount_minor)


@account_balances.on(PaymentProcessed)
def arrived(fact: PaymentProcessed, at: Place, own: Own) -> Iterable[Row]:
    waited = own["amount"] if own.get("in_flight") else 0
    amount = fact.processed_amount
    yield _balance(at, amount.currency, unapplied_payments=amount.amount_minor, pending_collections=-waited)


@account_balances.on(PaymentFailed)
def did_not_arrive(fact: PaymentFailed, at: Place, own: Own) -> Iterable[Row]:
    if own.get("in_flight"):
        yield _balance(at, own["currency"], pending_collections=-own["amount"])


@account_balances.on(ExternalPaymentRecorded)
def arrived_outside(fact: ExternalPaymentRecorded, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, unapplied_payments=fact.amount.amount_minor)


@account_balances.on(PaymentCanceled)
def canceled(fact: PaymentCanceled, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, unapplied_payments=-fact.amount.amount_minor)


@account_balances.on(PaymentApplied)
def payment_used(fact: PaymentApplied, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, unapplied_payments=-fact.total.amount_minor)


@account_balances.on(PaymentUnapplied)
def payment_freed(fact: PaymentUnapplied, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, unapplied_payments=fact.total.amount_minor)


@account_balances.on(RefundReservedOnPayment, RefundReservationReleased)
def refund_reserved(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    amount = (
        fact.amount.amount_minor if isinstance(fact, RefundReservedOnPayment) else -fact.amount.amount_minor
    )
    yield _balance(at, fact.amount.currency, unapplied_payments=-amount, reserved_for_refunds=amount)


@account_balances.on(RefundAppliedToPayment)
def refunded(fact: RefundAppliedToPayment, at: Place, own: Own) -> Iterable[Row]:
    source = "reserved_for_refunds" if fact.reserved else "unapplied_payments"
    yield _balance(at, fact.amount.currency, **{source: -fact.amount.amount_minor})


@account_balances.on(RefundReversedOnPayment)
def refund_came_back(fact: RefundReversedOnPayment, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, unapplied_payments=fact.amount.amount_minor)


@account_balances.on(PaymentTransferReserved, PaymentTransferReleased)
def transfer_reserved(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    amount = (
        fact.amount.amount_minor if isinstance(fact, PaymentTransferReserved) else -fact.amount.amount_minor
    )
    yield _balance(at, fact.amount.currency, unapplied_payments=-amount, reserved_for_transfers=amount)


@account_balances.on(PaymentBalanceTransferred)
def transferred(fact: PaymentBalanceTransferred, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, reserved_for_transfers=-fact.amount.amount_minor)


@account_balances.on(PaymentTransferReceived, PaymentTransferReturned)
def transfer_received(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, unapplied_payments=fact.amount.amount_minor)


@account_balances.on(PaymentTransferGivenBack)
def transfer_given_back(fact: PaymentTransferGivenBack, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, unapplied_payments=-fact.amount.amount_minor)


@account_balances.on(PaymentReturned)
def returned(fact: PaymentReturned, at: Place, own: Own) -> Iterable[Row]:
    unapplied, owed = fact.returned.amount_minor, fact.overdrawn.amount_minor
    yield _balance(at, fact.returned.currency, unapplied_payments=-unapplied, overdrawn=owed)


@account_balances.on(PaymentOverdraftReduced)
def overdraft_reduced(fact: PaymentOverdraftReduced, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    yield _balance(at, fact.amount.currency, unapplied_payments=-amount, overdrawn=-amount)


@account_balances.on(PaymentOverdraftWrittenOff)
def overdraft_written_off(fact: PaymentOverdraftWrittenOff, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, overdrawn=-fact.amount.amount_minor)


@account_balances.on(ChargebackOpened, ChargebackHoldRaised)
def held_for_dispute(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.held.amount_minor
    yield _balance(at, fact.held.currency, unapplied_payments=-amount, disputed=amount)


@account_balances.on(ChargebackWon)
def dispute_won(fact: ChargebackWon, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.released.amount_minor
    yield _balance(at, fact.released.currency, unapplied_payments=amount, disputed=-amount)


@account_balances.on(ChargebackLost)
def dispute_lost(fact: ChargebackLost, at: Place, own: Own) -> Iterable[Row]:
    lost, owed = fact.lost.amount_minor, fact.overdrawn.amount_minor
    yield _balance(at, fact.lost.currency, disputed=-lost, overdrawn=owed)


@account_balances.on(CreditMemoPosted)
def credited(fact: CreditMemoPosted, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.currency, open_credit=fact.total.amount_minor)


@account_balances.on(CreditMemoApplied)
def credit_used(fact: CreditMemoApplied, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, open_credit=-fact.total.amount_minor)


@account_balances.on(CreditMemoUnapplied)
def credit_freed(fact: CreditMemoUnapplied, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.total.currency, open_credit=fact.total.amount_minor)


@account_balances.on(CreditMemoRefundReserved, CreditMemoRefundReleased)
def credit_reserved(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    amount = (
        fact.amount.amount_minor if isinstance(fact, CreditMemoRefundReserved) else -fact.amount.amount_minor
    )
    yield _balance(at, fact.amount.currency, open_credit=-amount, reserved_credit=amount)


@account_balances.on(RefundAppliedToCreditMemo)
def credit_paid_out(fact: RefundAppliedToCreditMemo, at: Place, own: Own) -> Iterable[Row]:
    source = "reserved_credit" if fact.reserved else "open_credit"
    yield _balance(at, fact.amount.currency, **{source: -fact.amount.amount_minor})


@account_balances.on(RefundReversedOnCreditMemo)
def payout_came_back(fact: RefundReversedOnCreditMemo, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, open_credit=fact.amount.amount_minor)


@account_balances.on(CreditMemoVoided)
def credit_voided(fact: CreditMemoVoided, at: Place, own: Own) -> Iterable[Row]:
    yield _balance(at, fact.amount.currency, open_credit=-fact.amount.amount_minor)


TABLES = (account_balances,)
