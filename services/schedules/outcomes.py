"""What became of an item's payment: known in the same decision as the payment's own outcome.

Invariant: an item's money arrives once; what comes late for an item that was collected
otherwise meanwhile stays on its payment, and is said to a person there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from events.invoice import InvoiceScheduled, InvoiceUnscheduled
from events.money import Money
from events.payment import PaymentApplicationFailed, PaymentApplied
from events.schedule import (
    PaymentScheduleCanceled,
    PaymentScheduleCompleted,
    PaymentScheduleItemApplied,
    PaymentScheduleItemApplyFailed,
    PaymentScheduleItemOutcomeUnknown,
    PaymentScheduleItemPaymentCanceled,
    PaymentScheduleItemPaymentFailed,
    PaymentScheduleItemProcessed,
    PaymentScheduleOpened,
    PromiseBroken,
    PromiseKept,
)
from events.shapes import Outcome
from services.decision import Change, Changes, Context, Draft, Need, Needs, States
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.payments.payment import Payment
from services.retries import failing
from services.schedules import promise
from services.schedules import schedule as schedules
from services.schedules.promise import Promise
from services.schedules.schedule import ENDED, Item, PaymentSchedule

EVOLVE = {PaymentSchedule: schedules.evolve, Invoice: invoices.evolve, Promise: promise.evolve}

UNDECIDED = frozenset({"UNKNOWN", "PENDING", "REQUIRES_ACTION", "REQUIRES_REVIEW"})


def needed(states: States, payment: Payment, outcome: Outcome | None, context: Context) -> Needs:
    """What an outcome of a payment means for its item; a failure, for what follows it too."""
    item = payment.schedule_item
    if item is None:
        return
    yield from whole(states, item.payment_schedule_id)
    if outcome is None or outcome.result_code != "Success":
        yield from failing.needed(states, item.payment_schedule_id, item.item_id, context)


def whole(states: States, payment_schedule_id: str) -> Needs:
    """A schedule, the invoices that it collects, and the promise that it keeps."""
    yield Need(PaymentSchedule, payment_schedule_id)
    schedule = states.find(PaymentSchedule, payment_schedule_id)
    for invoice_id in schedule.invoice_ids if schedule else ():
        yield Need(Invoice, invoice_id)
    if schedule and schedule.origin == "PROMISE":
        yield Need(Promise, payment_schedule_id)


def heard(
    states: States,
    payment: Payment,
    verdict: str,
    outcome: Outcome,
    changes: Changes,
    context: Context,
) -> Changes:
    """What follows for the item that a payment was collected for, from what was just decided for it."""
    if payment.schedule_item is None:
        return []
    draft = Draft(states, EVOLVE)
    id, item_id = payment.schedule_item.payment_schedule_id, payment.schedule_item.item_id
    item = draft.get(PaymentSchedule, id).items[item_id]
    if item.payment_id not in (None, payment.payment_id):
        return []
    changes, before = list(changes), item.retry
    if verdict in ("PROCESSED", "LATE_SUCCESS"):
        facts = [change.fact for change in changes if isinstance(change, Change)]
        _succeeded(draft, payment, item, facts, verdict == "LATE_SUCCESS", outcome)
        failing.after_success(draft, states, id, item_id, before, verdict == "LATE_SUCCESS", context)
    elif verdict == "FAILED":
        draft.record(PaymentSchedule, id, _failed(payment, item, outcome, context.now))
        _broken(draft, id, item_id, outcome.raw_code or outcome.result_code)
        failing.after_failure(draft, states, id, item_id, changes, context)
    elif verdict in UNDECIDED and not item.unknown:
        unknown = PaymentScheduleItemOutcomeUnknown(item_id, payment.payment_id, verdict)
        draft.record(PaymentSchedule, id, unknown)
    finish(draft, id)
    return draft.changes


def _succeeded(
    draft: Draft, payment: Payment, item: Item, facts: Sequence[object], late: bool, outcome: Outcome
) -> None:
    assert payment.schedule_item
    id, item_id = payment.schedule_item.payment_schedule_id, item.plan.item_id
    received = outcome.processed_amount or Money(payment.amount, payment.currency)
    processed = PaymentScheduleItemProcessed(item_id, payment.payment_id, received, late)
    draft.record(PaymentSchedule, id, processed)
    if not item.shares:
        return  # collected for what no invoice was posted for yet: it stays on the payment until then
    applied = sum(fact.total.amount_minor for fact in facts if isinstance(fact, PaymentApplied))
    if applied:
        money = Money(applied, received.currency)
        fact: object = PaymentScheduleItemApplied(item_id, payment.payment_id, money, received - money)
    else:
        codes = [fact.code for fact in facts if isinstance(fact, PaymentApplicationFailed)]
        fact = PaymentScheduleItemApplyFailed(item_id, payment.payment_id, (codes or ["AMOUNT_MISMATCH"])[0])
    draft.record(PaymentSchedule, id, fact)


def _failed(payment: Payment, item: Item, outcome: Outcome, at: datetime) -> PaymentScheduleItemPaymentFailed:
    assert payment.method
    assert payment.method.method_id
    return PaymentScheduleItemPaymentFailed(
        item_id=item.plan.item_id,
        payment_id=payment.payment_id,
        attempt_no=payment.attempt_no,
        result_code=outcome.result_code,
        category=outcome.category or "Unknown",
        raw_code=outcome.raw_code,
        hard=outcome.hard,
        never_retry=outcome.never_retry,
        method_id=payment.method.method_id,
        gateway_id=payment.method.gateway_id,
        failed_at=at,
        message=outcome.raw_message,
        taken_back=Money(item.processed, payment.currency) if item.processed else None,
        applied_before=Money(item.applied, payment.currency) if item.processed else None,
        retry_after_seconds=outcome.retry_after_seconds,
        network_advice=outcome.network_advice,
    )


def returned(
    states: States,
    payment: Payment,
    outcome: Outcome,
    just_now: Changes,
    context: Context,
) -> Changes:
    """A bank took back what an item had collected: it is to be collected again."""
    if payment.schedule_item is None:
        return []
    draft = Draft(states, EVOLVE)
    id, item_id = payment.schedule_item.payment_schedule_id, payment.schedule_item.item_id
    schedule = draft.get(PaymentSchedule, id)
    item = schedule.items[item_id]
    if item.payment_id != payment.payment_id:
        return []
    draft.record(PaymentSchedule, id, _failed(payment, item, outcome, context.now))
    _broken(draft, id, item_id, outcome.raw_code or outcome.result_code)
    failing.after_failure(draft, states, id, item_id, just_now, context)
    if schedule.status == "COMPLETED":
        draft.record(PaymentSchedule, id, PaymentScheduleOpened())
        for invoice_id in schedule.invoice_ids:
            draft.changes.append(Change(Invoice, invoice_id, InvoiceScheduled(id)))
    return draft.changes


def canceled(states: States, payment: Payment, context: Context) -> Changes:
    """A person took back what an item had collected: it is not collected again unless somebody plans it."""
    if payment.schedule_item is None:
        return []
    draft = Draft(states, EVOLVE)
    id, item_id = payment.schedule_item.payment_schedule_id, payment.schedule_item.item_id
    item = draft.get(PaymentSchedule, id).items[item_id]
    if item.payment_id != payment.payment_id:
        return []
    amounts = (item.processed, item.applied, item.requested)
    money = (Money(amount, payment.currency) for amount in amounts)
    draft.record(PaymentSchedule, id, PaymentScheduleItemPaymentCanceled(item_id, payment.payment_id, *money))
    _broken(draft, id, item_id, "PAYMENT_CANCELED")
    finish(draft, id, "PAYMENT_CANCELED")
    return draft.changes


def _broken(draft: Draft, payment_schedule_id: str, item_id: str, why: str) -> None:
    """A promised part did not come; one that comes later may still keep the promise."""
    if draft.get(PaymentSchedule, payment_schedule_id).origin != "PROMISE":
        return
    if draft.get(Promise, payment_schedule_id).status == "RECORDED":
        draft.record(Promise, payment_schedule_id, PromiseBroken(item_id, why))


def finish(draft: Draft, payment_schedule_id: str, reason: str = "ALL_ITEMS_CANCELED") -> None:
    """A schedule whose items have all ended is complete; one that collected nothing was canceled."""
    schedule = draft.get(PaymentSchedule, payment_schedule_id)
    if not schedule.open or not schedule.items:
        return
    if any(item.status not in ENDED for item in schedule.items.values()):
        return
    if not any(item.processed for item in schedule.items.values()):
        end(draft, payment_schedule_id, PaymentScheduleCanceled(reason))
        return
    totals = (schedule.total(what) for what in ("processed", "applied", "canceled"))
    end(draft, payment_schedule_id, PaymentScheduleCompleted(*totals))


def end(
    draft: Draft, payment_schedule_id: str, how: PaymentScheduleCompleted | PaymentScheduleCanceled
) -> None:
    """The end of a schedule: its promise is kept, if all of it came, and its invoices are free of it."""
    draft.record(PaymentSchedule, payment_schedule_id, how)
    schedule = draft.get(PaymentSchedule, payment_schedule_id)
    if schedule.origin == "PROMISE" and isinstance(how, PaymentScheduleCompleted):
        draft.record(Promise, payment_schedule_id, PromiseKept(how.processed))
    for invoice_id in schedule.invoice_ids:
        draft.changes.append(Change(Invoice, invoice_id, InvoiceUnscheduled(payment_schedule_id)))
