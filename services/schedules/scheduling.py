"""Scheduling by hand: a schedule is made, and its items are added, changed, skipped and canceled.

Invariants (domain 2.9): Σ of the items never exceeds the schedule (S1), nor the live schedules of an
invoice its balance as they are made (S5); only what is not under way can be changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from events.invoice import InvoiceScheduled
from events.money import Money
from events.schedule import (
    PaymentScheduleCanceled,
    PaymentScheduleCreated,
    PaymentScheduleItemAdded,
    PaymentScheduleItemCanceled,
    PaymentScheduleItemChanged,
    PaymentScheduleItemReleased,
    PaymentScheduleItemSkipped,
    PaymentScheduleOpened,
    ScheduleItem,
)
from services.accounts import account, payment_method
from services.accounts.payment_method import SavedMethod
from services.applications import guards
from services.commands import Amount, FreeText, Id, command
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, currency_mismatch, exceeded, invalid_state
from services.invoices.invoice import Invoice
from services.schedules import outcomes
from services.schedules import schedule as schedules
from services.schedules.outcomes import EVOLVE, finish
from services.schedules.schedule import CANCELABLE, CHANGEABLE, InvoiceShare, Item, PaymentSchedule


@dataclass(frozen=True)
class NewItem:
    amount: Amount
    target_processing_date: date
    method_id: Id | None = None
    matching_value: Id | None = None
    draft: bool = False
    """Not to be collected before it is released."""


@command("payments.payment_schedule.create.v1")
class CreatePaymentSchedule:
    """A plan of payments for one record: an invoice by its id, or something no invoice was posted for yet.

    Without `total_requested`: what the invoice owes, less what other schedules collect of it.  Without
    a method: the account's default, as it is when an item is collected.
    """

    reference_type: Literal["INVOICE", "ORDER", "QUOTE", "CONTRACT", "COLLECTION_PLAN"]
    reference_id: Id
    items: tuple[NewItem, ...] = ()
    payment_schedule_id: Id | None = None
    total_requested: Amount | None = None
    default_method_id: Id | None = None
    draft: bool = False
    """It is made as a draft: nothing is collected before it is opened."""
    comments: FreeText | None = None


@command("payments.payment_schedule.open.v1")
class OpenPaymentSchedule:
    payment_schedule_id: Id


@command("payments.payment_schedule.cancel.v1")
class CancelPaymentSchedule:
    """Cancel every item that is not under way; what is under way ends as it ends."""

    payment_schedule_id: Id
    reason: FreeText


@command("payments.payment_schedule.add_item.v1")
class AddScheduleItem:
    payment_schedule_id: Id
    item: NewItem


@command("payments.payment_schedule.change_item.v1")
class ChangeScheduleItem:
    """Another amount, date, method or label; what is not named stays."""

    payment_schedule_id: Id
    item_id: Id
    amount: Amount | None = None
    target_processing_date: date | None = None
    method_id: Id | None = None
    matching_value: Id | None = None
    reason: FreeText | None = None


@command("payments.payment_schedule.release_item.v1")
class ReleaseScheduleItem:
    """A draft becomes ready to be collected."""

    payment_schedule_id: Id
    item_id: Id
    reason: FreeText | None = None


@command("payments.payment_schedule.release_waiting_items.v1")
class ReleaseWaitingItems:
    """The account has a payment method now: what waited for one is ready."""

    payment_schedule_id: Id


@command("payments.payment_schedule.skip_item.v1")
class SkipScheduleItem:
    """Leave an item out of every run before a date."""

    payment_schedule_id: Id
    item_id: Id
    until: date
    reason: FreeText


@command("payments.payment_schedule.cancel_item.v1")
class CancelScheduleItem:
    payment_schedule_id: Id
    item_id: Id
    reason: FreeText


OfItem = AddScheduleItem | ChangeScheduleItem
OfOne = (
    OpenPaymentSchedule
    | CancelPaymentSchedule
    | ReleaseScheduleItem
    | ReleaseWaitingItems
    | SkipScheduleItem
    | CancelScheduleItem
)


# -- a schedule


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
    return created_with(states, created, command.items, context, new=command.payment_schedule_id is None)


def created_with(
    states: States,
    created: PaymentScheduleCreated,
    items: Iterable[NewItem],
    context: Context,
    *,
    new: bool,
) -> Changes:
    """A schedule with its items, and its invoices told."""
    draft = Draft(states, EVOLVE)
    draft.record(PaymentSchedule, created.payment_schedule_id, created, new=new)
    for item in items:
        _add(draft, created.payment_schedule_id, item, context)
    for invoice_id in created.invoice_ids:
        draft.record(Invoice, invoice_id, InvoiceScheduled(created.payment_schedule_id))
    return draft.changes


def _total(states: States, command: CreatePaymentSchedule, context: Context) -> Money:
    if command.reference_type != "INVOICE":
        if command.total_requested is None:
            raise Rejected("MALFORMED_REQUEST", "say how much", field="data.total_requested")
        return _above_zero(command.total_requested, "data.total_requested")
    invoice = owed_invoice(states, command.reference_id, context)
    others = sum(
        states.get(PaymentSchedule, id).live_for(command.reference_id) for id in invoice.schedule_ids
    )
    free = Money(invoice.balance - others, invoice.currency)
    total = command.total_requested or free
    check_within(total, free, f"the invoice {invoice.number}", "SCHEDULE_EXCEEDS_BALANCE")
    return _above_zero(total, "data.total_requested")


def owed_invoice(states: States, invoice_id: str, context: Context) -> Invoice:
    """Raises `INVOICE_NOT_FOUND`, `ACCOUNT_MISMATCH`, `TARGET_NOT_POSTED`."""
    invoice = states.get(Invoice, invoice_id)
    guards.check_invoice(invoice, invoice_id, context)
    if invoice.status != "POSTED":
        raise Rejected("TARGET_NOT_POSTED", f"the invoice is {invoice.status}", state=invoice.status)
    return invoice


def check_within(asked: Money, free: Money, of: str, code: str) -> None:
    if asked.currency != free.currency:
        raise currency_mismatch(free.currency, asked.currency, of)
    if asked.amount_minor > free.amount_minor:
        raise exceeded(code, asked, free, of)


def _above_zero(amount: Money, field: str) -> Money:
    if amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field=field)
    return amount


def _one_needs(states: States, command: OfOne, context: Context) -> Needs:
    yield from outcomes.whole(states, command.payment_schedule_id)


def open_schedule(states: States, command: OpenPaymentSchedule, context: Context) -> Changes:
    schedule = schedules.of(states, command.payment_schedule_id, context)
    if schedule.status != "DRAFT":
        raise invalid_state("payment schedule", schedule.status, ["DRAFT"])
    draft = Draft(states, EVOLVE)
    draft.record(PaymentSchedule, command.payment_schedule_id, PaymentScheduleOpened())
    return draft.changes


def cancel_schedule(states: States, command: CancelPaymentSchedule, context: Context) -> Changes:
    schedule = _open(states, command.payment_schedule_id, context)
    draft = Draft(states, EVOLVE)
    for item_id, item in schedule.items.items():
        if item.status in CANCELABLE:
            _cancel(draft, command.payment_schedule_id, item_id, command.reason)
    if not schedule.items:
        canceled = PaymentScheduleCanceled(command.reason)
        draft.record(PaymentSchedule, command.payment_schedule_id, canceled)
    finish(draft, command.payment_schedule_id, command.reason)
    return draft.changes


def _open(states: States, payment_schedule_id: str, context: Context) -> PaymentSchedule:
    schedule = schedules.of(states, payment_schedule_id, context)
    if not schedule.open:
        raise invalid_state("payment schedule", schedule.status, ["DRAFT", "OPEN"])
    return schedule


# -- its items


def _item_needs(states: States, command: OfItem, context: Context) -> Needs:
    yield from outcomes.whole(states, command.payment_schedule_id)
    item = command.item if isinstance(command, AddScheduleItem) else command
    if item.method_id:
        yield Need(SavedMethod, item.method_id)


def add_item(states: States, command: AddScheduleItem, context: Context) -> Changes:
    _open(states, command.payment_schedule_id, context)
    _check_method(states, command.item.method_id, context)
    draft = Draft(states, EVOLVE)
    _add(draft, command.payment_schedule_id, command.item, context)
    return draft.changes


def _check_method(states: States, method_id: str | None, context: Context) -> None:
    if method_id:
        payment_method.check_usable(states.get(SavedMethod, method_id), method_id, context)


def _add(draft: Draft, payment_schedule_id: str, new: NewItem, context: Context) -> None:
    schedule = draft.get(PaymentSchedule, payment_schedule_id)
    _check_amount(schedule, new.amount, 0)
    item = ScheduleItem(
        item_id=context.new_id(f"item/{payment_schedule_id}/{len(schedule.items)}"),
        number=context.number("PSI"),
        requested=new.amount,
        target_processing_date=new.target_processing_date,
        status="DRAFT" if new.draft else "READY",
        shares=_shares(schedule, new.amount),
        method_id=new.method_id,
        matching_value=new.matching_value,
    )
    draft.record(PaymentSchedule, payment_schedule_id, PaymentScheduleItemAdded(item))


def _shares(schedule: PaymentSchedule, amount: Money) -> tuple[InvoiceShare, ...]:
    if schedule.reference_type == "INVOICE" and schedule.reference_id:
        return (InvoiceShare(schedule.reference_id, amount),)
    return ()


def _check_amount(schedule: PaymentSchedule, amount: Money, instead_of: int) -> None:
    """Raises `AMOUNT_NOT_POSITIVE`, `CURRENCY_MISMATCH`, `SCHEDULE_AMOUNT_EXCEEDED` (S1, S4)."""
    _above_zero(amount, "data.amount")
    free = Money(schedule.total_requested - schedule.planned + instead_of, schedule.currency)
    check_within(amount, free, f"the schedule {schedule.number}", "SCHEDULE_AMOUNT_EXCEEDED")


def change_item(states: States, command: ChangeScheduleItem, context: Context) -> Changes:
    schedule = _open(states, command.payment_schedule_id, context)
    item = _changeable(schedule, command.item_id)
    _check_method(states, command.method_id, context)
    amount = command.amount or Money(item.requested, schedule.currency)
    _check_amount(schedule, amount, item.requested)
    plan = replace(
        item.plan,
        requested=amount,
        status=item.status,
        shares=_resized(schedule, item, amount),
        target_processing_date=command.target_processing_date or item.plan.target_processing_date,
        method_id=command.method_id or item.plan.method_id,
        matching_value=command.matching_value or item.plan.matching_value,
    )
    if plan == replace(item.plan, requested=_asked(schedule, item), status=item.status, shares=item.shares):
        raise Rejected("NOTHING_TO_CHANGE", "the item is like this already")
    draft = Draft(states, EVOLVE)
    changed = PaymentScheduleItemChanged(plan, _asked(schedule, item), command.reason)
    draft.record(PaymentSchedule, command.payment_schedule_id, changed)
    return draft.changes


def _asked(schedule: PaymentSchedule, item: Item) -> Money:
    return Money(item.requested, schedule.currency)


def _resized(schedule: PaymentSchedule, item: Item, amount: Money) -> tuple[InvoiceShare, ...]:
    if amount.amount_minor > item.requested and len(item.shares) > 1:
        raise Rejected(
            "SCHEDULE_AMOUNT_EXCEEDED", "what several invoices owe together can only be lowered by hand"
        )
    if len(item.shares) == 1:
        return (InvoiceShare(item.shares[0].invoice_id, amount),)
    return schedules.fitted(item.shares, amount.amount_minor, schedule.currency)


def _changeable(schedule: PaymentSchedule, item_id: str) -> Item:
    item = schedules.item_of(schedule, item_id)
    if item.status not in CHANGEABLE:
        raise invalid_state("item", item.status, CHANGEABLE)
    return item


def release_item(states: States, command: ReleaseScheduleItem, context: Context) -> Changes:
    schedule = _open(states, command.payment_schedule_id, context)
    item = schedules.item_of(schedule, command.item_id)
    if item.status != "DRAFT":
        raise invalid_state("item", item.status, ["DRAFT"])
    return _released(states, command.payment_schedule_id, [command.item_id], command.reason)


def release_waiting(states: States, command: ReleaseWaitingItems, context: Context) -> Changes:
    schedule = schedules.of(states, command.payment_schedule_id, context)
    waiting = [item_id for item_id, item in schedule.items.items() if waits_for_method(item)]
    return _released(states, command.payment_schedule_id, waiting, "METHOD_SET")


def waits_for_method(item: Item) -> bool:
    return item.status == "DRAFT" and item.plan.warning == "NO_PAYMENT_METHOD"


def _released(
    states: States, payment_schedule_id: str, item_ids: Iterable[str], reason: str | None
) -> Changes:
    draft = Draft(states, EVOLVE)
    for item_id in item_ids:
        draft.record(PaymentSchedule, payment_schedule_id, PaymentScheduleItemReleased(item_id, reason))
    return draft.changes


def skip_item(states: States, command: SkipScheduleItem, context: Context) -> Changes:
    item = _changeable(_open(states, command.payment_schedule_id, context), command.item_id)
    if command.until <= (item.skipped_until or item.plan.target_processing_date):
        raise Rejected("DATE_INVALID", "it is not to be collected before that anyway", field="data.until")
    draft = Draft(states, EVOLVE)
    skipped = PaymentScheduleItemSkipped(command.item_id, command.until, command.reason)
    draft.record(PaymentSchedule, command.payment_schedule_id, skipped)
    return draft.changes


def cancel_item(states: States, command: CancelScheduleItem, context: Context) -> Changes:
    schedule = _open(states, command.payment_schedule_id, context)
    item = schedules.item_of(schedule, command.item_id)
    if item.status not in CANCELABLE:
        raise invalid_state("item", item.status, CANCELABLE)
    draft = Draft(states, EVOLVE)
    _cancel(draft, command.payment_schedule_id, command.item_id, command.reason)
    finish(draft, command.payment_schedule_id, command.reason)
    return draft.changes


def _cancel(draft: Draft, payment_schedule_id: str, item_id: str, reason: str) -> None:
    schedule = draft.get(PaymentSchedule, payment_schedule_id)
    item = schedule.items[item_id]
    left = Money(item.requested - item.processed, schedule.currency)
    draft.record(PaymentSchedule, payment_schedule_id, PaymentScheduleItemCanceled(item_id, left, reason))


RULES = (
    Rule(CreatePaymentSchedule, _create_needs, create),
    Rule(OpenPaymentSchedule, _one_needs, open_schedule),
    Rule(CancelPaymentSchedule, _one_needs, cancel_schedule),
    Rule(AddScheduleItem, _item_needs, add_item),
    Rule(ChangeScheduleItem, _item_needs, change_item),
    Rule(ReleaseScheduleItem, _one_needs, release_item),
    Rule(ReleaseWaitingItems, _one_needs, release_waiting),
    Rule(SkipScheduleItem, _one_needs, skip_item),
    Rule(CancelScheduleItem, _one_needs, cancel_item),
)
