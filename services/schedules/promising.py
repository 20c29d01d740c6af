"""Promising: what a customer says he will pay, and when, becomes a schedule.

Invariant: a promise never asks for more than its invoice owes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from events.money import Money
from events.schedule import PaymentScheduleCreated, PromiseCanceled, PromiseRecorded
from services.accounts import account, payment_method
from services.accounts.payment_method import SavedMethod
from services.commands import Amount, FreeText, Id, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States, Subject
from services.errors import Rejected, invalid_state, not_found
from services.invoices.invoice import Invoice
from services.schedules import items, outcomes, promise, scheduling
from services.schedules.items import NewItem
from services.schedules.promise import Promise
from services.schedules.schedule import PaymentSchedule
from services.schedules.scheduling import CancelPaymentSchedule

PARTS_MAX = 3


@dataclass(frozen=True)
class Part:
    amount: Amount
    pay_on: date
    """The day on which it is collected, in the tenant's time zone."""


@command("payments.promise.record.v1")
class RecordPromise:
    """Up to three parts, together at most what the invoice owes; collected with a saved method."""

    invoice_id: Id
    parts: tuple[Part, ...]
    """How much is paid when, in up to three parts."""
    promise_id: Id | None = None
    """An id of the caller's own for it, and for its schedule; without it, one is made."""
    method_id: Id | None = None
    """The saved payment method that it is collected with; without one, the invoice's, its billing profile's,
    or the account's default, as it is then."""
    comments: FreeText | None = None


@command("payments.promise.cancel.v1")
class CancelPromise:
    """Let a promise count no more."""

    promise_id: Id
    reason: FreeText


def _needs(states: States, command: RecordPromise, context: Context) -> Needs:
    if command.promise_id:
        yield Need(Promise, command.promise_id)
        yield Need(PaymentSchedule, command.promise_id)
    yield account.needed(context)
    yield Need(Invoice, command.invoice_id)
    if command.method_id:
        yield Need(SavedMethod, command.method_id)


def record(states: States, command: RecordPromise, context: Context) -> Changes:
    account.of(states, context)
    id = command.promise_id or context.new_id("promise")
    if command.promise_id and (states.get(Promise, id).status or states.get(PaymentSchedule, id).status):
        raise Rejected("PROMISE_EXISTS", f"the promise {id} exists already")
    if not command.parts:
        raise Rejected("MALFORMED_REQUEST", "a promise has at least one part", field="data.parts")
    if len(command.parts) > PARTS_MAX:
        raise Rejected(
            "PROMISE_TOO_MANY_PARTS", f"a promise has at most {PARTS_MAX} parts", field="data.parts"
        )
    if command.method_id:
        payment_method.check_usable(states.get(SavedMethod, command.method_id), command.method_id, context)
    invoice = scheduling.owed_invoice(states, command.invoice_id, context)
    total = Money(sum(part.amount.amount_minor for part in command.parts), command.parts[0].amount.currency)
    owed = Money(invoice.balance, invoice.currency)
    items.check_within(total, owed, f"the invoice {invoice.number}", "SCHEDULE_EXCEEDS_BALANCE")
    new = command.promise_id is None
    promised = PromiseRecorded(
        id, context.account_id, command.invoice_id, total, len(command.parts), context.now
    )
    created = PaymentScheduleCreated(
        payment_schedule_id=id,
        number=context.number("PS"),
        account_id=context.account_id,
        total_requested=total,
        reference_type="INVOICE",
        reference_id=command.invoice_id,
        invoice_ids=(command.invoice_id,),
        origin="PROMISE",
        status="OPEN",
        created_at=context.now,
        default_method_id=command.method_id,
        usage_type="COLLECTION_PLAN",
        comments=command.comments,
    )
    parts = [NewItem(part.amount, part.pay_on) for part in command.parts]
    return [
        Change(Promise, id, promised, new=new),
        *scheduling.created_with(states, created, parts, context, new=new),
    ]


def _cancel_needs(states: States, command: CancelPromise, context: Context) -> Needs:
    yield Need(Promise, command.promise_id)
    yield from outcomes.whole(states, command.promise_id)


def cancel(states: States, command: CancelPromise, context: Context) -> Changes:
    promised = states.get(Promise, command.promise_id)
    if not promised.status or promised.account_id != context.account_id:
        raise not_found("PROMISE", command.promise_id)
    if promised.status not in ("RECORDED", "BROKEN"):
        raise invalid_state("promise", promised.status, ["RECORDED", "BROKEN"])
    ended = CancelPaymentSchedule(command.promise_id, command.reason)
    return [
        Change(Promise, command.promise_id, PromiseCanceled(command.reason)),
        *scheduling.cancel_schedule(states, ended, context),
    ]


SUBJECT = Subject(
    Promise, promise.evolve, (Rule(RecordPromise, _needs, record), Rule(CancelPromise, _cancel_needs, cancel))
)
