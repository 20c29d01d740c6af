"""Freeing a payment's money: applications taken back, newest first, until enough is unapplied.

Invariant: applications are whole; what was too much is applied again where it was.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from events.money import Money
from services.applications import application, guards
from services.applications.application import Why
from services.decision import Context, Draft, Need, Needs, States
from services.invoices.invoice import Invoice
from services.payments.payment import Payment, PaymentApplication
from services.tenants import periods


def needed(states: States, payment_id: str, context: Context, at: datetime | None = None) -> Needs:
    """A payment, and every invoice that it settles, with the periods that the time of it all may be in."""
    yield Need(Payment, payment_id)
    payment = states.find(Payment, payment_id)
    for applied in payment.applications.values() if payment else ():
        yield Need(Invoice, applied.invoice_id)
        if at and (invoice := states.find(Invoice, applied.invoice_id)):
            yield from guards.dated(invoice, at, context)


def free(draft: Draft, payment_id: str, amount: int, why: Why, context: Context) -> dict[str, Money]:
    """Have an amount unapplied, as far as applications give it; what each invoice has lost by it.

    What happened in a closed accounting period takes effect on the first open day after it.
    """
    lost: dict[str, int] = {}
    for whole in _newest_first(draft.get(Payment, payment_id)):
        payment = draft.get(Payment, payment_id)
        short = amount - payment.unapplied
        if short <= 0:
            break
        lost[whole.invoice_id] = lost.get(whole.invoice_id, 0) + min(whole.amount, short)
        _take_back(draft, payment, whole, short, why, context)
    currency = draft.get(Payment, payment_id).currency
    return {invoice_id: Money(minor, currency) for invoice_id, minor in lost.items()}


def _newest_first(payment: Payment) -> list[PaymentApplication]:
    return sorted(payment.applications.values(), key=lambda a: (a.applied_at, a.application_id), reverse=True)


def _take_back(
    draft: Draft, payment: Payment, whole: PaymentApplication, short: int, why: Why, context: Context
) -> None:
    invoice = draft.get(Invoice, whole.invoice_id)
    at = periods.first_open(draft, invoice.legal_entity_id, why.effective_at, context)
    level, why = invoice.level or "INVOICE", replace(why, effective_at=at)
    draft.extend(application.take_back(payment, invoice, [whole.application_id], why, context))
    id, excess, part = payment.payment_id, whole.amount - short, "reapply/"
    application.apply(draft, Payment, id, whole.invoice_id, excess, level, why, context, part, whole.line_id)


def check_unlocked(draft: Draft, payment_id: str, amount: int) -> None:
    """Raises `INVOICE_LOCKED` where `free` would touch an invoice that a process holds.

    A fact needs no such leave: what a bank has done is done.
    """
    payment = draft.get(Payment, payment_id)
    short = amount - payment.unapplied
    for whole in _newest_first(payment):
        if short <= 0:
            return
        guards.check_unlocked(draft.get(Invoice, whole.invoice_id))
        short -= whole.amount
