"""Moving: what was planned for an invoice's due date moves with it.

Invariant: only what a policy has planned moves, and only what nobody has begun to collect.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from events.invoice import InvoiceDueDateExtended
from events.money import Money
from events.schedule import PaymentScheduleItemChanged
from services.decision import Changes, Draft, Needs, States
from services.invoices.invoice import Invoice
from services.schedules import outcomes
from services.schedules.outcomes import EVOLVE
from services.schedules.schedule import CHANGEABLE, PaymentSchedule

REASON = "DUE_DATE_EXTENDED"


def schedules_needed(states: States, invoice_id: str) -> Needs:
    """Every schedule that collects an invoice, with the other invoices that it collects."""
    invoice = states.find(Invoice, invoice_id)
    for id in invoice.schedule_ids if invoice else ():
        yield from outcomes.whole(states, id)


def due_later(states: States, invoice_id: str, extended: InvoiceDueDateExtended) -> Changes:
    """An invoice is due later, and with it the items that wait to be collected for it."""
    draft = Draft(states, EVOLVE)
    draft.record(Invoice, invoice_id, extended)
    for id in sorted(draft.get(Invoice, invoice_id).schedule_ids):
        schedule = draft.get(PaymentSchedule, id)
        if schedule.open and schedule.origin == "AUTOMATIC":
            _move(draft, id, _days(draft, schedule, invoice_id, extended))
    return draft.changes


def _days(
    draft: Draft, schedule: PaymentSchedule, invoice_id: str, extended: InvoiceDueDateExtended
) -> timedelta:
    """By how much the day moves that its items were planned from: its invoices' earliest due date."""
    others = [draft.get(Invoice, id).due_date for id in schedule.invoice_ids if id != invoice_id]
    known: list[date] = [day for day in others if day is not None]
    return min([extended.due_date, *known]) - min([extended.previous, *known])


def _move(draft: Draft, payment_schedule_id: str, by: timedelta) -> None:
    schedule = draft.get(PaymentSchedule, payment_schedule_id)
    for item in list(schedule.items.values()) if by else ():
        if item.status in CHANGEABLE:
            was = item.now(schedule.currency)
            moved = replace(was, target_processing_date=was.target_processing_date + by)
            changed = PaymentScheduleItemChanged(moved, Money(item.requested, schedule.currency), REASON)
            draft.record(PaymentSchedule, payment_schedule_id, changed)
