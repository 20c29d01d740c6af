"""What the two ends of a transfer between accounts share: how money is set aside for it, and asked back.

A transfer's id is the id of the payment that it becomes on the other account.
"""

from __future__ import annotations

from datetime import datetime

from events.money import Money
from events.transfer import PaymentTransferRecalled, PaymentTransferReserved
from services.decision import Change, Changes, Context
from services.errors import Rejected, currency_mismatch, exceeded, invalid_state, not_found
from services.payments.payment import Payment


def reserve(
    payment: Payment,
    to_account_id: str,
    amount: Money,
    context: Context,
    *,
    invoice_id: str | None = None,
    line_id: str | None = None,
    effective_at: datetime | None = None,
    comments: str | None = None,
) -> Changes:
    """Set money of a processed payment aside for another account, which decides whether it takes it."""
    if payment.disputes:
        raise Rejected("PAYMENT_DISPUTED", "the payment is disputed: its money stays on its account")
    check_amount(payment, amount)
    reserved = PaymentTransferReserved(
        context.new_id("transfer"),
        to_account_id,
        amount,
        context.now,
        invoice_id,
        line_id,
        effective_at,
        comments,
    )
    return [Change(Payment, payment.payment_id, reserved)]


def check_amount(payment: Payment, amount: Money) -> None:
    if amount.currency != payment.currency:
        raise currency_mismatch(payment.currency, amount.currency, f"payment {payment.number}")
    if amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field="data.amount")
    if amount.amount_minor > payment.unapplied:
        available = Money(payment.unapplied, payment.currency)
        raise exceeded("PAYMENT_BALANCE_EXCEEDED", amount, available, f"payment {payment.number}")


def recall(payment: Payment, transfer_id: str, reason: str | None) -> Changes:
    """Ask for the money of a transfer back; by force, where the bank has taken the payment back."""
    transfer = payment.transfers.get(transfer_id)
    if transfer is None:
        raise not_found("TRANSFER", transfer_id)
    if transfer.phase != "SENT":
        raise invalid_state("transfer", transfer.phase, ["SENT"])
    amount = Money(transfer.amount, payment.currency)
    recalled = PaymentTransferRecalled(
        transfer_id, transfer.to_account_id, amount, payment.overdrawn > 0, reason
    )
    return [Change(Payment, payment.payment_id, recalled)]
