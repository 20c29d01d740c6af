"""Collected before it was invoiced: the money of an order waits on its payment until the invoice is posted.

Invariant (domain 2.9): it goes to the invoice that names the same record, before anything else does; its
item is applied then.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from events.money import Money
from events.schedule import PaymentScheduleItemApplied
from services.applications import application
from services.applications.application import Why
from services.decision import Context, Documents, Draft, Need, Needs, States
from services.invoices.invoice import Invoice
from services.payments.payment import Payment
from services.schedules.outcomes import finish
from services.schedules.schedule import PaymentSchedule

RECORDS = frozenset({"ORDER", "QUOTE", "CONTRACT"})
"""What a schedule may collect for before there is an invoice, and an invoice may name."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def needed(states: States, reference_type: str | None, reference_id: str | None, context: Context) -> Needs:
    """The account's money, and what it was collected for; nothing where the invoice names no such record."""
    if reference_type not in RECORDS or reference_id is None:
        return
    yield Documents(context.account_id)
    for id in states.find_documents(context.account_id, Payment):
        yield Need(Payment, id)
        payment = states.find(Payment, id)
        if payment and payment.schedule_item:
            yield Need(PaymentSchedule, payment.schedule_item.payment_schedule_id)


def waiting(
    states: States, reference_type: str | None, reference_id: str | None, context: Context
) -> list[Payment]:
    """What was collected for a record and settles nothing yet, oldest first."""
    if reference_type not in RECORDS or reference_id is None:
        return []
    found = [states.get(Payment, id) for id in states.documents(context.account_id, Payment)]
    meant = [payment for payment in found if _is_for(states, payment, reference_type, reference_id)]
    return sorted(meant, key=lambda payment: (payment.requested_at or _LONG_AGO, payment.payment_id))


def _is_for(states: States, payment: Payment, reference_type: str, reference_id: str) -> bool:
    if payment.schedule_item is None or application.free(payment) <= 0:
        return False
    schedule = states.get(PaymentSchedule, payment.schedule_item.payment_schedule_id)
    return (schedule.reference_type, schedule.reference_id) == (reference_type, reference_id)


def apply(draft: Draft, payments: Iterable[Payment], invoice_id: str, level: str, context: Context) -> None:
    """The invoice of a record takes what was collected for it, as far as it owes that much."""
    for payment in payments:
        invoice = draft.get(Invoice, invoice_id)
        amount = min(application.free(payment), invoice.balance)
        if not application.takes(invoice, payment, level):
            continue
        why, id = Why(context.now, "RULE", comments="MATCH_ID"), payment.payment_id
        application.apply(draft, Payment, id, invoice_id, amount, level, why, context, "MATCH_ID/")
        _tell_item(draft, payment, Money(amount, payment.currency))


def _tell_item(draft: Draft, payment: Payment, applied: Money) -> None:
    assert payment.schedule_item
    id, item_id = payment.schedule_item.payment_schedule_id, payment.schedule_item.item_id
    item = draft.get(PaymentSchedule, id).items[item_id]
    if item.status != "PROCESSED" or item.payment_id != payment.payment_id:
        return
    rest = Money(item.processed, payment.currency) - applied
    draft.record(PaymentSchedule, id, PaymentScheduleItemApplied(item_id, payment.payment_id, applied, rest))
    finish(draft, id)
