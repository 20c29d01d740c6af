"""Receiving: money of another account's payment arrives, or is refused; and it is given back when asked.

Invariant: what arrives becomes a payment here, once, and settles what it was meant for
in the same decision; where it cannot, nothing is taken.  Both are facts: the other account waits for one.
"""

from __future__ import annotations

from datetime import datetime

from events.money import Money
from events.transfer import (
    PaymentTransferGivenBack,
    PaymentTransferKept,
    PaymentTransferReceived,
    PaymentTransferRefused,
)
from services.accounts import account
from services.applications import applying, freeing, guards
from services.applications.application import Why
from services.commands import Amount, FreeText, Id, command
from services.credits import writing_off
from services.decision import Change, Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, exceeded
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.payments import payment as payments
from services.payments.payment import Payment
from services.tenants import tenant_settings

_EVOLVE = {Payment: payments.evolve, Invoice: invoices.evolve}


@command("payments.payment.receive_transfer.v1")
class ReceiveTransfer:
    """Take money of another account's payment, and settle the invoice that it is for.  The process's own."""

    transfer_id: Id
    from_account_id: Id
    from_payment_id: Id
    amount: Amount
    invoice_id: Id | None = None
    """The invoice that it settles; without one, it stays unapplied."""
    line_id: Id | None = None
    """One line of the invoice; without it, the invoice."""
    effective_at: datetime | None = None
    comments: FreeText | None = None


@command("payments.payment.expire_transfer.v1")
class ExpireTransfer:
    """Refuse money that should be here and never came, so that it is free again.  The timer's own."""

    transfer_id: Id
    from_account_id: Id
    from_payment_id: Id
    amount: Amount


@command("payments.payment.give_transfer_back.v1")
class GiveTransferBack:
    """Give money back to the payment that it came from.  The process's own.

    By force (its bank has taken that payment back): as much as is here, whatever it has settled.
    """

    transfer_id: Id
    amount: Amount
    forced: bool = False
    """True: as much as is here, whatever it has settled, since its bank has taken the payment back."""


def _receive_needs(states: States, command: ReceiveTransfer, context: Context) -> Needs:
    yield Need(Payment, command.transfer_id)
    yield account.needed(context)
    yield tenant_settings.needed(context)
    if command.invoice_id:
        yield Need(Invoice, command.invoice_id)
        yield from writing_off.small_needed(states, context)
        if invoice := states.find(Invoice, command.invoice_id):
            yield from guards.dated(invoice, command.effective_at, context)


def receive(states: States, command: ReceiveTransfer, context: Context) -> Changes:
    if states.get(Payment, command.transfer_id).status:
        return []
    try:
        return _received(states, command, context)
    except Rejected as rejected:
        return [_refused(command, rejected.code, rejected.message, context)]


def _received(states: States, command: ReceiveTransfer, context: Context) -> Changes:
    account.of(states, context)
    received = PaymentTransferReceived(
        command.transfer_id,
        context.number("PAY"),
        context.account_id,
        command.amount,
        command.from_account_id,
        command.from_payment_id,
        context.now,
    )
    draft = Draft(states, _EVOLVE)
    draft.record(Payment, command.transfer_id, received)
    if command.invoice_id:
        payment, invoice = draft.get(Payment, command.transfer_id), draft.get(Invoice, command.invoice_id)
        level = guards.level_of(states, context, command.line_id)
        why = Why(command.effective_at or context.now, "TRANSFER", command.comments)
        guards.check_period(states, invoice, command.effective_at, context)
        changes = applying.apply_checked(
            payment, invoice, command.invoice_id, command.amount, command.line_id, level, why, context
        )
        draft.extend(changes)
    return writing_off.with_small_balances(states, draft.changes, context)


def _refused(command: ReceiveTransfer | ExpireTransfer, code: str, message: str, context: Context) -> Change:
    refused = PaymentTransferRefused(
        command.transfer_id,
        context.account_id,
        command.amount,
        command.from_account_id,
        command.from_payment_id,
        code,
        message,
    )
    return Change(Payment, command.transfer_id, refused)


def _expire_needs(states: States, command: ExpireTransfer, context: Context) -> Needs:
    yield Need(Payment, command.transfer_id)


def expire(states: States, command: ExpireTransfer, context: Context) -> Changes:
    if states.get(Payment, command.transfer_id).status:
        return []
    return [_refused(command, "DEADLINE_EXCEEDED", "it never arrived, and its time is over", context)]


def _give_back_needs(states: States, command: GiveTransferBack, context: Context) -> Needs:
    yield from freeing.needed(states, command.transfer_id, context)


def give_back(states: States, command: GiveTransferBack, context: Context) -> Changes:
    payment, id = states.get(Payment, command.transfer_id), command.transfer_id
    guards.check_payment(payment, id, context)
    assert payment.from_account_id is not None
    assert payment.from_payment_id is not None
    to, asked = (payment.from_account_id, payment.from_payment_id), command.amount
    draft = Draft(states, _EVOLVE)
    try:
        if not command.forced:
            _check_free(draft, payment, asked)
    except Rejected as rejected:
        return [Change(Payment, id, PaymentTransferKept(*to, asked, rejected.code, rejected.message))]
    cause = "RETURN" if command.forced else "TRANSFER"
    freeing.free(draft, id, asked.amount_minor, Why(context.now, cause), context)
    here = Money(min(asked.amount_minor, draft.get(Payment, id).unapplied), asked.currency)
    draft.record(Payment, id, PaymentTransferGivenBack(*to, here, asked - here, asked=True))
    return draft.changes


def _check_free(draft: Draft, payment: Payment, asked: Money) -> None:
    """All of it must be here, and nobody may hold what it has settled."""
    here = Money(payment.unapplied + payment.applied, payment.currency)
    if asked.amount_minor > here.amount_minor:
        raise exceeded("PAYMENT_BALANCE_EXCEEDED", asked, here, f"payment {payment.number}")
    freeing.check_unlocked(draft, payment.payment_id, asked.amount_minor)


RULES = (
    Rule(ReceiveTransfer, _receive_needs, receive),
    Rule(ExpireTransfer, _expire_needs, expire),
    Rule(GiveTransferBack, _give_back_needs, give_back),
)
