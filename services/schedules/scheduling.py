"""Scheduling by hand: a plan of payments is made for one record, opened, and canceled.

Invariant: as they are made, the live schedules of an invoice are at most its balance.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from events.invoice import InvoiceScheduled
from events.money import Money
from events.schedule import (
    PaymentScheduleCanceled,
    PaymentScheduleCreated,
    PaymentScheduleCustomFieldsSet,
    PaymentScheduleOpened,
)
from services import custom_fields
from services.accounts import account, payment_method
from services.accounts.payment_method import SavedMethod
from services.applications import guards
from services.commands import Amount, FreeText, Id, command
from services.custom_fields import FieldChanges, GivenFields
from services.decision import Change, Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state
from services.invoices.invoice import Invoice
from services.schedules import items, outcomes
from services.schedules import schedule as schedules
from services.schedules.items import NewItem
from services.schedules.outcomes import EVOLVE, end, finish
from services.schedules.schedule import CANCELABLE, PaymentSchedule


@command("payments.payment_schedule.create.v1")
class CreatePaymentSchedule:
    """A plan of payments for one record: an invoice by its id, or something no invoice was posted for yet.

    Without `total_requested`: what the invoice owes, less what other schedules collect of it.  Without
    a method: the invoice's, its billing profile's, or the account's newest, as it is when it is collected.
    """

    reference_type: Literal["INVOICE", "ORDER", "QUOTE", "CONTRACT", "COLLECTION_PLAN"]
    """What it is for: an INVOICE here, or what no invoice was posted for yet."""
    reference_id: Id
    """The id of the invoice here, or of the order, quote, contract or plan where it is kept."""
    items: tuple[NewItem, ...] = ()
    """What is collected when; more can be added later."""
    payment_schedule_id: Id | None = None
    """An id of the caller's own for it; without it, one is made."""
    total_requested: Amount | None = None
    """What all items may come to; without it, what the invoice owes, less what other schedules collect of
    it."""
    default_method_id: Id | None = None
    """The saved payment method for items that name none; without it, the invoice's, its billing profile's, or
    the account's newest."""
    draft: bool = False
    """It is made as a draft: nothing is collected before it is opened."""
    comments: FreeText | None = None
    custom_fields: GivenFields | None = None


@command("payments.payment_schedule.open.v1")
class OpenPaymentSchedule:
    """Collect a draft's items when their dates come."""

    payment_schedule_id: Id


@command("payments.payment_schedule.set_custom_fields.v1")
class SetScheduleCustomFields:
    """What is null is taken away, what is not named stays."""

    payment_schedule_id: Id
    custom_fields: FieldChanges
    """Name to new value; null takes it away, and what is not named stays."""


@command("payments.payment_schedule.cancel.v1")
class CancelPaymentSchedule:
    """Cancel every item that is not under way; what is under way ends as it ends."""

    payment_schedule_id: Id
    reason: FreeText


def _create_needs(states: States, command: CreatePaymentSchedule, context: Context) -> Needs:
    if command.payment_schedule_id:
        yield from outcomes.whole(states, command.payment_schedule_id)
    yield account.needed(context)
    for method_id in _named_methods(command):
        yield Need(SavedMethod, method_id)
    if command.reference_type == "INVOICE":
        yield from invoice_needed(states, command.reference_id)


def invoice_needed(states: States, invoice_id: str) -> Needs:
    """An invoice, and every schedule that collects it."""
    yield Need(Invoice, invoice_id)
    invoice = states.find(Invoice, invoice_id)
    for id in invoice.schedule_ids if invoice else ():
        yield Need(PaymentSchedule, id)


def _named_methods(command: CreatePaymentSchedule) -> list[str]:
    named = [command.default_method_id, *[item.method_id for item in command.items]]
    return [method_id for method_id in named if method_id]


def create(states: States, command: CreatePaymentSchedule, context: Context) -> Changes:
    account.of(states, context)
    id = command.payment_schedule_id or context.new_id("schedule")
    if command.payment_schedule_id and states.get(PaymentSchedule, id).status:
        raise Rejected("SCHEDULE_EXISTS", f"the schedule {id} exists already")
    for method_id in _named_methods(command):
        payment_method.check_usable(states.get(SavedMethod, method_id), method_id, context)
    total = _total(states, command, context)
    created = PaymentScheduleCreated(
        payment_schedule_id=id,
        number=context.number("PS"),
        account_id=context.account_id,
        total_requested=total,
        reference_type=command.reference_type,
        reference_id=command.reference_id,
        invoice_ids=(command.reference_id,) if command.reference_type == "INVOICE" else (),
        origin="MANUAL",
        status="DRAFT" if command.draft else "OPEN",
        created_at=context.now,
        default_method_id=command.default_method_id,
        comments=command.comments,
    )
    made = created_with(states, created, command.items, context, new=command.payment_schedule_id is None)
    fields = custom_fields.facts(PaymentScheduleCustomFieldsSet, command.custom_fields)
    return [*made, *(Change(PaymentSchedule, id, fact) for fact in fields)]


def created_with(
    states: States,
    created: PaymentScheduleCreated,
    planned: Iterable[NewItem],
    context: Context,
    *,
    new: bool,
) -> Changes:
    """A schedule with its items, and its invoices told."""
    draft = Draft(states, EVOLVE)
    draft.record(PaymentSchedule, created.payment_schedule_id, created, new=new)
    for item in planned:
        items.add(draft, created.payment_schedule_id, item, context)
    for invoice_id in created.invoice_ids:
        draft.record(Invoice, invoice_id, InvoiceScheduled(created.payment_schedule_id))
    return draft.changes


def _total(states: States, command: CreatePaymentSchedule, context: Context) -> Money:
    if command.reference_type != "INVOICE":
        if command.total_requested is None:
            raise Rejected("MALFORMED_REQUEST", "say how much", field="data.total_requested")
        return items.above_zero(command.total_requested, "data.total_requested")
    invoice = owed_invoice(states, command.reference_id, context)
    others = sum(
        states.get(PaymentSchedule, id).live_for(command.reference_id) for id in invoice.schedule_ids
    )
    free = Money(invoice.balance - others, invoice.currency)
    total = command.total_requested or free
    items.check_within(total, free, f"the invoice {invoice.number}", "SCHEDULE_EXCEEDS_BALANCE")
    return items.above_zero(total, "data.total_requested")


def owed_invoice(states: States, invoice_id: str, context: Context) -> Invoice:
    """Raises `INVOICE_NOT_FOUND`, `ACCOUNT_MISMATCH`, `TARGET_NOT_POSTED`."""
    invoice = states.get(Invoice, invoice_id)
    guards.check_invoice(invoice, invoice_id, context)
    guards.check_posted(invoice)
    return invoice


def open_schedule(states: States, command: OpenPaymentSchedule, context: Context) -> Changes:
    schedule = schedules.of(states, command.payment_schedule_id, context)
    if schedule.status != "DRAFT":
        raise invalid_state("payment schedule", schedule.status, ["DRAFT"])
    draft = Draft(states, EVOLVE)
    draft.record(PaymentSchedule, command.payment_schedule_id, PaymentScheduleOpened())
    return draft.changes


def set_custom_fields(states: States, command: SetScheduleCustomFields, context: Context) -> Changes:
    schedule = schedules.of(states, command.payment_schedule_id, context)
    after = custom_fields.changed(schedule.custom_fields, command.custom_fields)
    if after is None:
        return []
    return [Change(PaymentSchedule, command.payment_schedule_id, PaymentScheduleCustomFieldsSet(after))]


def cancel_schedule(states: States, command: CancelPaymentSchedule, context: Context) -> Changes:
    schedule = items.open_of(states, command.payment_schedule_id, context)
    draft = Draft(states, EVOLVE)
    for item_id, item in schedule.items.items():
        if item.status in CANCELABLE:
            items.cancel(draft, command.payment_schedule_id, item_id, command.reason)
    if schedule.items:
        finish(draft, command.payment_schedule_id, command.reason)
    else:
        end(draft, command.payment_schedule_id, PaymentScheduleCanceled(command.reason))
    return draft.changes


RULES = (
    Rule(CreatePaymentSchedule, _create_needs, create),
    Rule(SetScheduleCustomFields, items.needs_of_one, set_custom_fields),
    Rule(OpenPaymentSchedule, items.needs_of_one, open_schedule),
    Rule(CancelPaymentSchedule, items.needs_of_one, cancel_schedule),
    *items.RULES,
)
