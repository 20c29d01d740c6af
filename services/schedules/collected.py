"""Collected before it was invoiced: the money of an order waits on its payment until the invoice is posted.

Invariant: it goes to the invoice that names the same record, before anything else does; its
item is applied then.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from events.money import Money
from events.schedule import PaymentScheduleItemApplied
from services.applications import application
from services.applications.application import Why
from services.commands import Id, command
from services.decision import Changes, Context, Documents, Draft, Need, Needs, Rule, States
from services.invoices.invoice import Invoice
from services.payments.payment import Payment
from services.schedules import outcomes
from services.schedules import schedule as schedules
from services.schedules.outcomes import EVOLVE, finish
from services.schedules.schedule import Item, PaymentSchedule

RECORDS = frozenset({"ORDER", "QUOTE", "CONTRACT"})
"""What a schedule may collect for before there is an invoice, and an invoice may name."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@command("payments.payment_schedule.record_application.v1")
class RecordItemApplication:
    """What an item collected has settled something, by hand or by a rule: it is applied.

    The process's own; nothing happens where it is applied already.
    """

    payment_schedule_id: Id
    item_id: Id


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
    if not waits(item, payment):
        return
    rest = Money(item.processed, payment.currency) - applied
    draft.record(PaymentSchedule, id, PaymentScheduleItemApplied(item_id, payment.payment_id, applied, rest))
    finish(draft, id)


def waits(item: Item, payment: Payment) -> bool:
    """Whether it has collected the payment, and is to be applied yet."""
    return item.status == "PROCESSED" and item.payment_id == payment.payment_id


def _application_needs(states: States, command: RecordItemApplication, context: Context) -> Needs:
    yield from outcomes.whole(states, command.payment_schedule_id)
    schedule = states.find(PaymentSchedule, command.payment_schedule_id)
    item = schedule.items.get(command.item_id) if schedule else None
    if item and item.payment_id:
        yield Need(Payment, item.payment_id)


def record_application(states: States, command: RecordItemApplication, context: Context) -> Changes:
    schedule = schedules.of(states, command.payment_schedule_id, context)
    item = schedules.item_of(schedule, command.item_id)
    if item.status != "PROCESSED" or item.payment_id is None:
        return []
    payment, draft = states.get(Payment, item.payment_id), Draft(states, EVOLVE)
    if payment.applied > 0:
        _tell_item(draft, payment, Money(payment.applied, payment.currency))
    return draft.changes


RULES = (Rule(RecordItemApplication, _application_needs, record_application),)
