"""Placing: money goes to the invoices that it was meant for, as far as they take it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from events.money import Money
from events.payment import (
    PaymentApplicationFailed,
)
from events.shapes import Intended
from services.applications import application, guards
from services.applications.application import Why
from services.decision import Changes, Context, Draft, States
from services.errors import Rejected, currency_mismatch, exceeded
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.payments import asking
from services.payments import payment as payments
from services.payments.asking import ApplyTo
from services.payments.payment import Payment
from services.tenants import exceptions, tenant_settings

EVOLVE = {Payment: payments.evolve, Invoice: invoices.evolve}


def check_asked(targets: Iterable[ApplyTo], whole: Money) -> None:
    """What can be known before the money arrives: the parts are in its currency, above 0, and no more."""
    parts = [target.amount for target in targets if target.amount is not None]
    for part in parts:
        if part.currency != whole.currency:
            raise currency_mismatch(whole.currency, part.currency, "the payment")
        if part.amount_minor <= 0:
            raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field="data.apply_to")
    asked = Money(sum(part.amount_minor for part in parts), whole.currency)
    if asked.amount_minor > whole.amount_minor:
        raise exceeded("PAYMENT_BALANCE_EXCEEDED", asked, whole, "the payment", "data.apply_to")


def apply_intended(states: States, payment: Payment, arrived: object, context: Context) -> Changes:
    """Apply arrived money where it was meant to go, as far as that still takes it."""
    draft = Draft(states, EVOLVE)
    draft.record(Payment, payment.payment_id, arrived)
    settings = tenant_settings.of(states, context)
    for intended in payment.intended:
        apply_one(draft, payment.payment_id, intended, settings["application_level"], context)
    return draft.changes[1:]


def apply_one(
    draft: Draft, payment_id: str, intended: Intended, level: str, context: Context, cause: str = "PAYMENT"
) -> None:
    """Apply what is free to one invoice as far as it takes it; what was promised and falls short is said."""
    payment, invoice = draft.get(Payment, payment_id), draft.get(Invoice, intended.invoice_id)
    wanted = intended.amount.amount_minor if intended.amount else payment.unapplied
    level = "INVOICE_LINE" if intended.line_id else level
    code = _refusal(payment, invoice, intended, level)
    room = _room(invoice, intended.line_id) if code is None else 0
    amount = min(wanted, payment.unapplied, room)
    why, line_id = Why(context.now, cause), intended.line_id
    part = f"{line_id or ''}/"
    application.apply(
        draft, Payment, payment_id, intended.invoice_id, amount, level, why, context, part, line_id
    )
    if intended.amount and amount < wanted:
        short = PaymentApplicationFailed(
            intended.invoice_id,
            code or "INVOICE_BALANCE_EXCEEDED",
            intended.amount,
            Money(max(amount, 0), payment.currency),
        )
        draft.record(Payment, payment_id, short)
        message = f"{short.applied} of {short.intended} could be applied: {short.code}"
        case = exceptions.raised(
            context, "APPLY_FAILED", "payment", payment_id, message, short.intended - short.applied
        )
        draft.changes.append(case)


def _refusal(payment: Payment, invoice: Invoice, intended: Intended, level: str) -> str | None:
    """Why an invoice takes nothing at all now."""
    if invoice.status != "POSTED" or invoice.account_id != payment.account_id:
        return "TARGET_NOT_POSTED"
    if invoice.locked_by is not None:
        return "INVOICE_LOCKED"
    if invoice.currency != payment.currency:
        return "CURRENCY_MISMATCH"
    if invoice.level not in (None, level):
        return "SETTLEMENT_LEVEL_MISMATCH"
    if intended.line_id is not None and intended.line_id not in invoice.lines:
        return "INVOICE_LINE_NOT_FOUND"
    return None


def _room(invoice: Invoice, line_id: str | None) -> int:
    return min(invoice.balance, invoice.lines[line_id].balance) if line_id else invoice.balance


def check_targets(states: States, targets: Sequence[ApplyTo], amount: Money, context: Context) -> None:
    for target in targets:
        _check_target(states.get(Invoice, target.invoice_id), target, amount.currency, context)
    check_asked(targets, amount)


def apply_now(
    draft: Draft, payment_id: str, targets: Sequence[ApplyTo], level: str, context: Context
) -> None:
    """A person names the targets here and now: what does not fit is refused, not kept for later."""
    for target, intended in zip(targets, asking.intended(targets), strict=True):
        invoice = draft.get(Invoice, target.invoice_id)
        if target.amount is not None:
            guards.check_room(invoice, target.amount, target.line_id)
        guards.check_level(invoice, "INVOICE_LINE" if target.line_id else level)
        apply_one(draft, payment_id, intended, level, context)


def _check_target(invoice: Invoice, target: ApplyTo, currency: str, context: Context) -> None:
    guards.check_invoice(invoice, target.invoice_id, context)
    guards.check_posted(invoice)
    guards.check_unlocked(invoice)
    if invoice.currency != currency:
        raise currency_mismatch(invoice.currency, currency, f"invoice {invoice.number}")
    if target.line_id is not None and target.line_id not in invoice.lines:
        raise Rejected("INVOICE_LINE_NOT_FOUND", f"there is no line {target.line_id}")
