"""Following: what is still to be collected keeps within what its invoices owe.

Invariant: an item never asks for more than its invoices take; what falls away is said, and why.
"""

from __future__ import annotations

from collections.abc import Iterable

from events.money import Money
from events.schedule import PaymentScheduleItemCanceled, PaymentScheduleItemResized
from services.commands import Id, command
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.invoices.invoice import Invoice
from services.schedules import outcomes
from services.schedules import schedule as schedules
from services.schedules.outcomes import EVOLVE, finish
from services.schedules.schedule import CHANGEABLE, InvoiceShare, Item, PaymentSchedule
from services.tenants import exceptions, tenant_settings


@command("payments.payment_schedule.follow_invoice.v1")
class FollowInvoiceBalance:
    """An invoice owes less than before: what was planned for it follows, by `reduced_balance_policy`."""

    payment_schedule_id: Id
    invoice_id: Id


def _needs(states: States, command: FollowInvoiceBalance, context: Context) -> Needs:
    yield from outcomes.whole(states, command.payment_schedule_id)
    yield tenant_settings.needed(context)
    yield Need(Invoice, command.invoice_id)


def follow(states: States, command: FollowInvoiceBalance, context: Context) -> Changes:
    schedule = schedules.of(states, command.payment_schedule_id, context)
    draft = Draft(states, EVOLVE)
    settings = tenant_settings.of(states, context)
    reduces = settings["reduced_balance_policy"] == "REDUCE_ITEM"
    for item_id, rooms in reversed(list(_exceeding(states, schedule, command.invoice_id, reduces))):
        fit(draft, command.payment_schedule_id, item_id, rooms, settings, context)
    finish(draft, command.payment_schedule_id)
    return draft.changes


def _exceeding(
    states: States, schedule: PaymentSchedule, invoice_id: str, reduces: bool
) -> Iterable[tuple[str, dict[str, int]]]:
    """The items in turn that ask an invoice for more than it owes, each with the room of its invoices.

    Where they are reduced, together they ask for no more; where they are canceled, only those that are
    too much each for itself: the others are looked at again when it is their turn.
    """
    ids = {invoice_id, *schedule.invoice_ids}
    rooms = {id: _collectable(states, id) - _in_flight(schedule, id) for id in ids}
    whole = rooms[invoice_id]
    for item in _in_turn(schedule):
        free = min(whole, max(0, rooms[invoice_id])) if reduces else whole
        if item.meant_for(invoice_id) > free:
            yield item.plan.item_id, dict(rooms)
        for share in item.shares:
            rooms[share.invoice_id] -= share.amount.amount_minor


def _in_flight(schedule: PaymentSchedule, invoice_id: str) -> int:
    return sum(item.meant_for(invoice_id) for item in schedule.items.values() if item.status == "PROCESSING")


def _in_turn(schedule: PaymentSchedule) -> list[Item]:
    waiting = [item for item in schedule.items.values() if item.status in CHANGEABLE]
    return sorted(waiting, key=lambda item: (item.plan.target_processing_date, item.plan.number))


def _collectable(states: States, invoice_id: str) -> int:
    """What an invoice owes; what is disputed of it is not to be collected meanwhile."""
    invoice = states.get(Invoice, invoice_id)
    return max(0, invoice.balance - sum(invoice.disputes.values())) if invoice.status == "POSTED" else 0


def room_now(states: States, item: Item) -> dict[str, int]:
    """What each invoice of an item takes at this moment."""
    return {share.invoice_id: _collectable(states, share.invoice_id) for share in item.shares}


def fit(
    draft: Draft,
    payment_schedule_id: str,
    item_id: str,
    rooms: dict[str, int],
    settings: tenant_settings.TenantSettings,
    context: Context,
) -> None:
    """Resize an item to what its invoices take, or cancel it, where it asks for more."""
    schedule = draft.get(PaymentSchedule, payment_schedule_id)
    item = schedule.items[item_id]
    shares = _within(item.shares, rooms)
    left = sum(share.amount.amount_minor for share in shares)
    if left == item.requested or not item.shares:
        return
    previous = Money(item.requested, schedule.currency)
    if left and settings["reduced_balance_policy"] == "REDUCE_ITEM":
        resized = PaymentScheduleItemResized(
            item_id, Money(left, schedule.currency), previous, shares, "BALANCE_REDUCED"
        )
        draft.record(PaymentSchedule, payment_schedule_id, resized)
        return
    reason = "BALANCE_BELOW_ITEM" if left else "SETTLED_OTHERWISE"
    draft.record(PaymentSchedule, payment_schedule_id, PaymentScheduleItemCanceled(item_id, previous, reason))
    if left:
        message = f"{item.plan.number} asked for {previous}, but {Money(left, schedule.currency)} is owed"
        case = exceptions.raised(context, "ITEM_CANCELED", "psi", item_id, message, previous)
        draft.changes.append(case)


def _within(shares: Iterable[InvoiceShare], rooms: dict[str, int]) -> tuple[InvoiceShare, ...]:
    cut = [
        InvoiceShare(
            share.invoice_id,
            Money(min(share.amount.amount_minor, max(0, rooms[share.invoice_id])), share.amount.currency),
        )
        for share in shares
    ]
    return tuple(share for share in cut if share.amount.amount_minor)


RULES = (Rule(FollowInvoiceBalance, _needs, follow),)
