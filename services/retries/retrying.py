"""Retrying: what is planned is carried out when it is due, and what people decide about it.

Invariant: whatever was true when an attempt was planned is looked at again before
it is made; what stands in its way for a while postpones it, what does for good leads to another plan.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field

from events.money import Money
from events.retrying import (
    ItemRetriesExtended,
    ItemRetriesStopped,
    ItemRetryPostponed,
    ItemRetryScheduled,
    ItemRetrySkipped,
)
from services.accounts import account, card
from services.accounts.account import Account
from services.accounts.payment_method import SavedMethod
from services.calls.gateway import Gateway
from services.commands import FreeText, Id, command
from services.decision import Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state
from services.invoices.invoice import Invoice
from services.retries import failing, wallet
from services.retries.cycle import Cycle
from services.retries.deciding import GiveUp
from services.retries.failing import Following
from services.schedules import collecting, methods, outcomes
from services.schedules import schedule as schedules
from services.schedules.collecting import EVOLVE, Attempt
from services.schedules.schedule import Item, PaymentSchedule

LOOK_AGAIN = timedelta(minutes=15)
"""So long after something stood in its way an attempt is looked at again; each time after twice as long."""
LOOK_AGAIN_MAX = timedelta(days=7)
EXTRA_MAX = 10


@command("payments.payment_schedule.carry_out_retry.v1")
class CarryOutRetry:
    """An attempt that was planned is due, or may be possible now that was postponed.

    The process's own; what is planned otherwise is left alone.
    """

    payment_schedule_id: Id
    item_id: Id
    attempt: int
    due_at: datetime | None
    """When it was to be made; null, where it waits for the end of a hold."""


@command("payments.payment_schedule.rearm_item.v1")
class RearmItem:
    """The account pays with another method now: what was given up is tried once more, outside the cap."""

    payment_schedule_id: Id
    item_id: Id
    method_id: Id
    """The saved payment method that the account pays with now."""


@command("payments.payment_schedule.retry_item_now.v1")
class RetryItemNow:
    """Try a failed item at once, with a method of its account's; no automatic attempt is used up by it."""

    payment_schedule_id: Id
    item_id: Id
    reason: FreeText
    method_id: Id | None = None
    """The saved payment method that is charged; without one, what the item is collected with otherwise."""


@command("payments.payment_schedule.skip_item_retry.v1")
class SkipItemRetry:
    """Leave out the attempt that is planned, as if it had been made and failed."""

    payment_schedule_id: Id
    item_id: Id
    reason: FreeText


@command("payments.payment_schedule.stop_item_retries.v1")
class StopItemRetries:
    """Give a failed item up."""

    payment_schedule_id: Id
    item_id: Id
    reason: FreeText


@command("payments.payment_schedule.extend_item_retries.v1")
class ExtendItemRetries:
    """Allow more attempts than the rules do; what was given up goes on."""

    payment_schedule_id: Id
    item_id: Id
    attempts: Annotated[int, Field(ge=1, le=EXTRA_MAX)]
    reason: FreeText


OfItem = CarryOutRetry | RearmItem | RetryItemNow | SkipItemRetry | StopItemRetries | ExtendItemRetries


def _needs(states: States, command: OfItem, context: Context) -> Needs:
    yield from outcomes.whole(states, command.payment_schedule_id)
    yield from failing.needed(states, command.payment_schedule_id, command.item_id, context)
    for method_id in _methods(states, command, context):
        yield Need(SavedMethod, method_id)
        yield from card.needed(states, method_id, context)
        method = states.find(SavedMethod, method_id)
        if method and method.gateway_id:
            yield Need(Gateway, method.gateway_id)
    schedule = states.find(PaymentSchedule, command.payment_schedule_id)
    item = schedule.items.get(command.item_id) if schedule else None
    if item:
        yield from collecting.attempt_before(states, item, context)


def _methods(states: States, command: OfItem, context: Context) -> list[str]:
    """Methods that may be charged, whether or not they are among the account's live ones."""
    schedule = states.find(PaymentSchedule, command.payment_schedule_id)
    owner, item = states.find(Account, context.account_id), None
    named = [command.method_id] if isinstance(command, RetryItemNow | RearmItem) else []
    if schedule and owner:
        item = schedule.items.get(command.item_id)
        named += [methods.method_id_of(states, schedule, item, owner)] if item else []
    if item and item.retry.planned:
        named.append(item.retry.planned.method_id)
    return [method_id for method_id in named if method_id]


# -- when it is due


def carry_out(states: States, command: CarryOutRetry, context: Context) -> Changes:
    schedule, item = _item(states, command, context)
    planned = item.retry.planned
    if planned is None or (planned.attempt, item.retry.due_at) != (command.attempt, command.due_at):
        return []
    if item.status != "FAILED" or schedule.status != "OPEN" or context.now < planned.at:
        return []
    draft = Draft(states, EVOLVE)
    following = _following(draft, states, command, context)
    if following.pinned() is None:
        following.give_up("RETRIES_OFF")
    elif kept := _kept_back(states, following, item, planned, context):
        if kept != (item.retry.due_at, item.retry.kept_back):
            following.record(ItemRetryPostponed(command.item_id, planned.attempt, *kept))
    elif _unusable(states, schedule, planned, item, context):
        following.carry_on(cause=planned.cause)
    elif collecting.fits(draft, states, command.payment_schedule_id, command.item_id, context):
        attempt = Attempt(command.payment_schedule_id, command.item_id, planned.method_id, "RETRY")
        collecting.begin(draft, states, attempt, context)
    return draft.changes


def _kept_back(
    states: States, following: Following, item: Item, planned: ItemRetryScheduled, context: Context
) -> tuple[datetime | None, str] | None:
    """Until when it must wait, and for what."""
    now = context.now
    again = now + min(LOOK_AGAIN * 2 ** min(item.retry.postponed, 20), LOOK_AGAIN_MAX)
    owner = states.get(Account, context.account_id)
    try:
        account.check_collectable(owner, context)
    except Rejected as refused:
        return owner.hold and owner.hold.until, refused.code
    for share in item.shares:
        if states.get(Invoice, share.invoice_id).locked_by:
            return again, "INVOICE_LOCKED"
    gateway = states.get(Gateway, states.get(SavedMethod, planned.method_id).gateway_id)
    if gateway.circuit_open_until and now < gateway.circuit_open_until:
        return max(gateway.circuit_open_until, again), "GATEWAY_CIRCUIT_OPEN"
    return following.network_allows_at()


def _unusable(
    states: States, schedule: PaymentSchedule, planned: ItemRetryScheduled, item: Item, context: Context
) -> str | None:
    amount = Money(item.requested, schedule.currency)
    return wallet.why_not(states, states.get(SavedMethod, planned.method_id), amount, context)


def rearm(states: States, command: RearmItem, context: Context) -> Changes:
    schedule, item = _item(states, command, context)
    cycle = item.retry
    if item.status != "FAILED" or schedule.status != "OPEN" or cycle.ended in (None, "STOPPED"):
        return []
    draft = Draft(states, EVOLVE)
    following = _following(draft, states, command, context)
    pinned = following.pinned()
    method = states.get(SavedMethod, command.method_id)
    amount = Money(item.requested, schedule.currency)
    if pinned is None or wallet.why_not(states, method, amount, context):
        return []
    following.plan_rearmed(command.method_id, pinned)
    return draft.changes


# -- what people decide


def retry_now(states: States, command: RetryItemNow, context: Context) -> Changes:
    schedule, item = _failed_item(states, command, context)
    collecting.check_collectable(schedule, item)
    account.check_collectable(account.of(states, context), context, unasked=False)
    collecting.check_unlocked(states, item)
    method_id = command.method_id or collecting.method_for(states, schedule, item, context)
    collecting.check_network(states, schedule, item, method_id, context)
    draft = Draft(states, EVOLVE)
    if collecting.fits(draft, states, command.payment_schedule_id, command.item_id, context):
        attempt = Attempt(command.payment_schedule_id, command.item_id, method_id, "NOW")
        collecting.begin(draft, states, attempt, context)
    return draft.changes


def skip(states: States, command: SkipItemRetry, context: Context) -> Changes:
    _, item = _failed_item(states, command, context)
    planned = item.retry.planned
    if planned is None:
        raise _nothing_planned(item.retry)
    draft = Draft(states, EVOLVE)
    following = _following(draft, states, command, context)
    following.record(ItemRetrySkipped(command.item_id, planned.attempt, command.reason))
    following.carry_on(counted_from=item.retry.due_at or planned.at)
    return draft.changes


def stop(states: States, command: StopItemRetries, context: Context) -> Changes:
    _, item = _failed_item(states, command, context)
    if item.retry.ended is not None:
        raise _nothing_planned(item.retry)
    draft = Draft(states, EVOLVE)
    following = _following(draft, states, command, context)
    following.record(ItemRetriesStopped(command.item_id, command.reason))
    following.give_up("STOPPED")
    return draft.changes


def extend(states: States, command: ExtendItemRetries, context: Context) -> Changes:
    _, item = _failed_item(states, command, context)
    draft = Draft(states, EVOLVE)
    following = _following(draft, states, command, context)
    pinned = following.pinned()
    if pinned is None:
        raise Rejected("RETRY_NOT_POSSIBLE", "failed payments are not retried here")
    following.record(ItemRetriesExtended(command.item_id, command.attempts, command.reason))
    if item.retry.ended is None:
        return draft.changes
    ahead = following.next(pinned)
    if isinstance(ahead, GiveUp):
        raise Rejected("RETRY_NOT_POSSIBLE", "; ".join(ahead.why), cause=ahead.reason)
    following.carry_on(cause="EXTENDED")
    return draft.changes


def _nothing_planned(cycle: Cycle) -> Rejected:
    return invalid_state("retry", cycle.ended or "NOT_PLANNED", ["PLANNED"])


def _item(states: States, command: OfItem, context: Context) -> tuple[PaymentSchedule, Item]:
    schedule = schedules.of(states, command.payment_schedule_id, context)
    return schedule, schedules.item_of(schedule, command.item_id)


def _failed_item(states: States, command: OfItem, context: Context) -> tuple[PaymentSchedule, Item]:
    schedule, item = _item(states, command, context)
    if item.status != "FAILED":
        raise invalid_state("item", item.status, ["FAILED"])
    if schedule.status != "OPEN":
        raise invalid_state("payment schedule", schedule.status, ["OPEN"])
    return schedule, item


def _following(draft: Draft, states: States, command: OfItem, context: Context) -> Following:
    return Following(draft, states, command.payment_schedule_id, command.item_id, context)


RULES = (
    Rule(CarryOutRetry, _needs, carry_out),
    Rule(RearmItem, _needs, rearm),
    Rule(RetryItemNow, _needs, retry_now),
    Rule(SkipItemRetry, _needs, skip),
    Rule(StopItemRetries, _needs, stop),
    Rule(ExtendItemRetries, _needs, extend),
)
