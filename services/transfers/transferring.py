"""Transferring: a payment's money goes to another account, whose own decision it is to take it.

Invariant: from the moment that it is set aside until the other account has answered,
nothing else can take the money; and it is never on both accounts, free to be used.
"""

from __future__ import annotations

from typing import Literal

from events.money import Money
from events.transfer import (
    PaymentBalanceTransferred,
    PaymentTransferGivenBack,
    PaymentTransferRecallRefused,
    PaymentTransferReleased,
    PaymentTransferReturned,
)
from services.applications import guards
from services.commands import Amount, FreeText, Id, Text, command
from services.decision import Change, Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, exceeded
from services.payments import payment as payments
from services.payments import returning
from services.payments.payment import Payment, Transfer
from services.tenants import exceptions
from services.transfers import transfer

_EVOLVE = {Payment: payments.evolve}


@command("payments.payment.transfer_unapplied_balance.v1")
class TransferUnappliedBalance:
    """Give unapplied money to another account of the tenant; without an amount, all that is unapplied."""

    payment_id: Id
    to_account_id: Id
    amount: Amount | None = None
    """How much; without it, all that is unapplied."""
    comments: FreeText | None = None


@command("payments.payment.recall_transfer.v1")
class RecallTransfer:
    """Ask for money that has gone to another account back; what it had settled there is open again."""

    payment_id: Id
    transfer_id: Id
    reason: FreeText | None = None


@command("payments.payment.record_transfer_outcome.v1")
class RecordTransferOutcome:
    """What the other account has decided.  The process's own."""

    payment_id: Id
    transfer_id: Id
    outcome: Literal["RECEIVED", "REFUSED", "GIVEN_BACK", "SENT_BACK", "KEPT"]
    """GIVEN_BACK was asked for, SENT_BACK was not."""
    amount: Amount
    """What has come, or was to come."""
    code: Text | None = None
    message: FreeText | None = None


def _needs(
    states: States,
    command: TransferUnappliedBalance | RecallTransfer | RecordTransferOutcome,
    context: Context,
) -> Needs:
    yield Need(Payment, command.payment_id)


def transfer_balance(states: States, command: TransferUnappliedBalance, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    guards.check_processed(payment)
    if command.to_account_id == context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", "the money is on this account already", field="data.to_account_id")
    amount = command.amount or Money(payment.unapplied, payment.currency)
    if amount.amount_minor == 0 and command.amount is None:
        raise exceeded("PAYMENT_BALANCE_EXCEEDED", amount, amount, f"payment {payment.number}", None)
    if command.to_account_id == payment.from_account_id:
        return _send_back(payment, amount)
    return transfer.reserve(payment, command.to_account_id, amount, context, comments=command.comments)


def _send_back(payment: Payment, amount: Money) -> Changes:
    """Money goes home to the payment that it came from, where a gateway can give it back to its payer."""
    assert payment.from_account_id is not None
    assert payment.from_payment_id is not None
    transfer.check_amount(payment, amount)
    nothing = Money(0, payment.currency)
    to = payment.from_account_id, payment.from_payment_id
    back = PaymentTransferGivenBack(*to, amount, rest=nothing, asked=False)
    return [Change(Payment, payment.payment_id, back)]


def recall(states: States, command: RecallTransfer, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    return transfer.recall(payment, command.transfer_id, command.reason)


def record_outcome(states: States, command: RecordTransferOutcome, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    known = payment.transfers.get(command.transfer_id)
    if known is None or known.phase not in _AWAITED[command.outcome]:
        return []
    draft = Draft(states, _EVOLVE)
    if command.outcome == "SENT_BACK" and known.phase == "RESERVED":  # its news have overtaken each other
        draft.record(Payment, command.payment_id, _sent(known, payment.currency))
    draft.record(Payment, command.payment_id, _fact(known, command))
    returning.reduce_overdraft(draft, command.payment_id)
    left = known.amount - command.amount.amount_minor
    if command.outcome == "GIVEN_BACK" and left > 0 and payment.overdrawn:
        owed = Money(left, payment.currency)
        message = f"{owed} of it went to account {known.to_account_id}, and are there no more"
        case = exceptions.raised(context, "RETURN_AFTER_REFUND", "payment", command.payment_id, message, owed)
        draft.changes.append(case)
    return draft.changes


_AWAITED = {
    "RECEIVED": ("RESERVED",),
    "REFUSED": ("RESERVED",),
    "GIVEN_BACK": ("RECALLED",),
    "SENT_BACK": ("RESERVED", "SENT", "RECALLED"),
    "KEPT": ("RECALLED",),
}
"""The phases in which a transfer waits for an outcome; any other has come before, and changes nothing."""


def _sent(known: Transfer, currency: str) -> PaymentBalanceTransferred:
    amount = Money(known.amount, currency)
    return PaymentBalanceTransferred(known.transfer_id, known.to_account_id, amount, known.invoice_id)


def _fact(known: Transfer, command: RecordTransferOutcome) -> object:
    all = Money(known.amount, command.amount.currency)
    why = command.code or "", command.message or ""
    ends = known.transfer_id, known.to_account_id
    match command.outcome:
        case "RECEIVED":
            return _sent(known, command.amount.currency)
        case "REFUSED":
            return PaymentTransferReleased(*ends, all, *why)
        case "GIVEN_BACK" | "SENT_BACK":
            asked = command.outcome == "GIVEN_BACK"
            return PaymentTransferReturned(*ends, command.amount, all - command.amount, asked)
        case "KEPT":
            return PaymentTransferRecallRefused(*ends, all, *why)


RULES = (
    Rule(TransferUnappliedBalance, _needs, transfer_balance),
    Rule(RecallTransfer, _needs, recall),
    Rule(RecordTransferOutcome, _needs, record_outcome),
)
