"""The items of a schedule by hand: added, changed, released, skipped and canceled.

Invariants: Σ of the items never exceeds the schedule; only what is not under way changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from events.money import Money
from events.schedule import (
    PaymentScheduleItemAdded,
    PaymentScheduleItemCanceled,
    PaymentScheduleItemChanged,
    PaymentScheduleItemCustomFieldsSet,
    PaymentScheduleItemReleased,
    PaymentScheduleItemSkipped,
    ScheduleItem,
)
from services import custom_fields
from services.accounts import payment_method
from services.accounts.payment_method import SavedMethod
from services.commands import Amount, FreeText, Id, command
from services.custom_fields import FieldChanges, GivenFields
from services.decision import Change, Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, currency_mismatch, exceeded, invalid_state
from services.schedules import outcomes
from services.schedules import schedule as schedules
from services.schedules.outcomes import EVOLVE, finish
from services.schedules.schedule import CANCELABLE, CHANGEABLE, InvoiceShare, Item, PaymentSchedule


@dataclass(frozen=True)
class NewItem:
    amount: Amount
    """How much is collected: above 0."""
    target_processing_date: date
    """The first day on which a batch run takes it, in the tenant's time zone."""
    method_id: Id | None = None
    """The saved payment method that it is collected with; without it, the schedule's."""
    matching_value: Id | None = None
    draft: bool = False
    """Not to be collected before it is released."""
    custom_fields: GivenFields | None = None


@command("payments.payment_schedule.add_item.v1")
class AddScheduleItem:
    """Add an amount, to be collected on a date."""

    payment_schedule_id: Id
    item: NewItem


@command("payments.payment_schedule.change_item.v1")
class ChangeScheduleItem:
    """Another amount, date, method or label; what is not named stays."""

    payment_schedule_id: Id
    item_id: Id
    amount: Amount | None = None
    """How much is collected from now on."""
    target_processing_date: date | None = None
    method_id: Id | None = None
    """The saved payment method that it is collected with from now on."""
    matching_value: Id | None = None
    reason: FreeText | None = None


@command("payments.payment_schedule.set_item_custom_fields.v1")
class SetItemCustomFields:
    """What is null is taken away, what is not named stays."""

    payment_schedule_id: Id
    item_id: Id
    custom_fields: FieldChanges
    """Name to new value; null takes it away, and what is not named stays."""


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
    """No run before this date takes it."""
    reason: FreeText


@command("payments.payment_schedule.cancel_item.v1")
class CancelScheduleItem:
    """Collect nothing more for an item."""

    payment_schedule_id: Id
    item_id: Id
    reason: FreeText


OfItem = AddScheduleItem | ChangeScheduleItem


def check_within(asked: Money, free: Money, of: str, code: str) -> None:
    if asked.currency != free.currency:
        raise currency_mismatch(free.currency, asked.currency, of)
    if asked.amount_minor > free.amount_minor:
        raise exceeded(code, asked, free, of)


def above_zero(amount: Money, field: str) -> Money:
    if amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field=field)
    return amount


def needs_of_one(states: States, command: Any, context: Context) -> Needs:
    yield from outcomes.whole(states, command.payment_schedule_id)


def open_of(states: States, payment_schedule_id: str, context: Context) -> PaymentSchedule:
    schedule = schedules.of(states, payment_schedule_id, context)
    if not schedule.open:
        raise invalid_state("payment schedule", schedule.status, ["DRAFT", "OPEN"])
    return schedule


def _item_needs(states: States, command: OfItem, context: Context) -> Needs:
    yield from outcomes.whole(states, command.payment_schedule_id)
    item = command.item if isinstance(command, AddScheduleItem) else command
    if item.method_id:
        yield Need(SavedMethod, item.method_id)


def add_item(states: States, command: AddScheduleItem, context: Context) -> Changes:
    open_of(states, command.payment_schedule_id, context)
    _check_method(states, command.item.method_id, context)
    draft = Draft(states, EVOLVE)
    add(draft, command.payment_schedule_id, command.item, context)
    return draft.changes


def _check_method(states: States, method_id: str | None, context: Context) -> None:
    if method_id:
        payment_method.check_usable(states.get(SavedMethod, method_id), method_id, context)


def add(draft: Draft, payment_schedule_id: str, new: NewItem, context: Context) -> None:
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
    if new.custom_fields:
        fields = PaymentScheduleItemCustomFieldsSet(item.item_id, dict(new.custom_fields))
        draft.record(PaymentSchedule, payment_schedule_id, fields)


def set_custom_fields(states: States, command: SetItemCustomFields, context: Context) -> Changes:
    schedule = schedules.of(states, command.payment_schedule_id, context)
    item = schedules.item_of(schedule, command.item_id)
    after = custom_fields.changed(item.custom_fields, command.custom_fields)
    if after is None:
        return []
    fact = PaymentScheduleItemCustomFieldsSet(command.item_id, after)
    return [Change(PaymentSchedule, command.payment_schedule_id, fact)]


def _shares(schedule: PaymentSchedule, amount: Money) -> tuple[InvoiceShare, ...]:
    if schedule.reference_type == "INVOICE" and schedule.reference_id:
        return (InvoiceShare(schedule.reference_id, amount),)
    return ()


def _check_amount(schedule: PaymentSchedule, amount: Money, instead_of: int) -> None:
    """Raises `AMOUNT_NOT_POSITIVE`, `CURRENCY_MISMATCH`, `SCHEDULE_AMOUNT_EXCEEDED`."""
    above_zero(amount, "data.amount")
    free = Money(schedule.total_requested - schedule.planned + instead_of, schedule.currency)
    check_within(amount, free, f"the schedule {schedule.number}", "SCHEDULE_AMOUNT_EXCEEDED")


def change_item(states: States, command: ChangeScheduleItem, context: Context) -> Changes:
    schedule = open_of(states, command.payment_schedule_id, context)
    item = _changeable(schedule, command.item_id)
    _check_method(states, command.method_id, context)
    amount = command.amount or Money(item.requested, schedule.currency)
    _check_amount(schedule, amount, item.requested)
    plan = replace(
        item.now(schedule.currency),
        requested=amount,
        shares=_resized(schedule, item, amount),
        target_processing_date=command.target_processing_date or item.plan.target_processing_date,
        method_id=command.method_id or item.plan.method_id,
        matching_value=command.matching_value or item.plan.matching_value,
    )
    if plan == item.now(schedule.currency):
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
    schedule = open_of(states, command.payment_schedule_id, context)
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
    item = _changeable(open_of(states, command.payment_schedule_id, context), command.item_id)
    if command.until <= (item.skipped_until or item.plan.target_processing_date):
        raise Rejected("DATE_INVALID", "it is not to be collected before that anyway", field="data.until")
    draft = Draft(states, EVOLVE)
    skipped = PaymentScheduleItemSkipped(command.item_id, command.until, command.reason)
    draft.record(PaymentSchedule, command.payment_schedule_id, skipped)
    return draft.changes


def cancel_item(states: States, command: CancelScheduleItem, context: Context) -> Changes:
    schedule = open_of(states, command.payment_schedule_id, context)
    item = schedules.item_of(schedule, command.item_id)
    if item.status not in CANCELABLE:
        raise invalid_state("item", item.status, CANCELABLE)
    draft = Draft(states, EVOLVE)
    cancel(draft, command.payment_schedule_id, command.item_id, command.reason)
    finish(draft, command.payment_schedule_id, command.reason)
    return draft.changes


def cancel(draft: Draft, payment_schedule_id: str, item_id: str, reason: str) -> None:
    schedule = draft.get(PaymentSchedule, payment_schedule_id)
    item = schedule.items[item_id]
    left = Money(item.requested - item.processed, schedule.currency)
    draft.record(PaymentSchedule, payment_schedule_id, PaymentScheduleItemCanceled(item_id, left, reason))


RULES = (
    Rule(AddScheduleItem, _item_needs, add_item),
    Rule(ChangeScheduleItem, _item_needs, change_item),
    Rule(SetItemCustomFields, needs_of_one, set_custom_fields),
    Rule(ReleaseScheduleItem, needs_of_one, release_item),
    Rule(ReleaseWaitingItems, needs_of_one, release_waiting),
    Rule(SkipScheduleItem, needs_of_one, skip_item),
    Rule(CancelScheduleItem, needs_of_one, cancel_item),
)
