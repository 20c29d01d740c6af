"""Collecting an item: claimed and asked for in one decision, so nobody else can ask for it meanwhile.

Invariant: one live claim; the key of an attempt names the item and the
attempt, so an attempt that is sent twice is charged once.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from events.money import Money
from events.schedule import (
    PaymentScheduleItemApplied,
    PaymentScheduleItemCanceled,
    PaymentScheduleItemClaimed,
    PaymentScheduleItemPassedOver,
    PaymentScheduleItemQueued,
)
from events.shapes import ScheduleItemRef
from services.accounts import account, card, payment_method
from services.accounts.account import Account
from services.accounts.payment_method import SavedMethod
from services.applications import application, guards, spreading
from services.applications.application import Why
from services.commands import Id, command
from services.credits import writing_off
from services.decision import Change, Changes, Context, Documents, Draft, Many, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state
from services.invoices.invoice import Invoice
from services.payments import asking
from services.payments import payment as payments
from services.payments.asking import ApplyTo, Asked
from services.payments.payment import Payment
from services.retries import wallet
from services.runs import batch_run
from services.runs.batch_run import PaymentBatchRun
from services.schedules import following, methods, outcomes
from services.schedules import schedule as schedules
from services.schedules.outcomes import finish
from services.schedules.schedule import Errand, Item, PaymentSchedule
from services.tenants import exceptions, tenant_settings
from services.tenants.tenant_settings import TenantSettings

NO_WAY = frozenset(
    {
        "GATEWAY_CAPABILITY_MISSING",
        "GATEWAY_CURRENCY_UNSUPPORTED",
        "GATEWAY_INACTIVE",
        "GATEWAY_NOT_FOUND",
        "METHOD_TYPE_UNSUPPORTED",
    }
)
"""Why a gateway takes an item neither now nor soon; a circuit that is open closes by itself."""

EVOLVE = {**outcomes.EVOLVE, Payment: payments.evolve}


@command("payments.payment_schedule.collect_item.v1")
class CollectScheduleItem:
    """Collect an item now: with its own method, its schedule's, its invoice's, or its account's.

    Its account's is the default, or of a schedule made by hand the newest.

    A failed one is tried again, as its next attempt.
    """

    payment_schedule_id: Id
    item_id: Id
    cause: Literal["NOW", "RUN", "RETRY"] = "NOW"
    """NOW: somebody asks for it; RUN, RETRY: a batch run, or a planned retry, does."""
    attempt_no: Annotated[int, Field(ge=1)] | None = None
    """Which attempt it is to be; where it is another's turn already, nothing happens."""
    run_id: Id | None = None
    """The run that it is for: what is in the way is then told as a fact, and the item stays as it is."""
    run_page: Annotated[int, Field(ge=1)] | None = None


@command("payments.payment_schedule.retry_application.v1")
class RetryApplication:
    """Apply what arrived for an item, and what no invoice took then."""

    payment_schedule_id: Id
    item_id: Id


def _needs(states: States, command: CollectScheduleItem, context: Context) -> Needs:
    yield from outcomes.whole(states, command.payment_schedule_id)
    yield account.needed(context)
    if command.run_id:
        yield Need(PaymentBatchRun, command.run_id)
        yield Documents(context.account_id)
        yield Many(PaymentSchedule, states.find_documents(context.account_id, PaymentSchedule))
    schedule = states.find(PaymentSchedule, command.payment_schedule_id)
    owner = states.find(Account, context.account_id)
    item = schedule.items.get(command.item_id) if schedule else None
    if schedule is None or owner is None or item is None:
        return
    planned = item.retry.planned if command.cause != "NOW" else None
    if not planned:
        yield from methods.needed(states, schedule, item)
    method_id = planned.method_id if planned else methods.method_id_of(states, schedule, item, owner)
    if method_id:
        yield Need(SavedMethod, method_id)
        yield from card.needed(states, method_id, context)
    method = states.find(SavedMethod, method_id) if method_id else None
    yield from asking.needed(states, method.gateway_id if method else None, _targets(item), context)
    yield from attempt_before(states, item, context)


def attempt_before(states: States, item: Item, context: Context) -> Needs:
    """How the latest attempt went, where it may say what not to send again."""
    settings = states.find(TenantSettings, context.tenant)
    if item.tried and settings and settings["level2_level3_data"]:
        yield Need(Payment, item.tried)


def collect(states: States, command: CollectScheduleItem, context: Context) -> Changes:
    schedule = schedules.of(states, command.payment_schedule_id, context)
    item = schedules.item_of(schedule, command.item_id)
    if command.run_id is not None and command.run_page is not None:
        return _for_run(states, command, schedule, item, context)
    if command.attempt_no is not None and item.attempts + 1 != command.attempt_no:
        return []
    return _collected(states, command, schedule, item, context)


def _for_run(
    states: States, command: CollectScheduleItem, schedule: PaymentSchedule, item: Item, context: Context
) -> Changes:
    """Claim it for a run, have it wait for another of its account, or say why it is passed over.

    A run takes an item once, whatever else is sent.
    """
    assert command.run_id
    assert command.run_page
    attempt_no = command.attempt_no or item.attempts + 1
    errand = Errand(command.run_id, command.run_page, attempt_no)
    if any(taken == errand for _, taken in item.errands):
        return []
    refusal = batch_run.refusal(states, command.run_id) or _not_its_turn(states, errand, item)
    if refusal is not None:
        return [_passed_over(command, refusal)]
    if item.status == "CANCELED":
        passing = _passing(command, "CANCELED_MEANWHILE", canceled=True)
        return [Change(PaymentSchedule, command.payment_schedule_id, passing)]
    try:
        check_collectable(schedule, item)
        if _account_is_busy(states, context):
            if item.queued == errand:
                return []
            queued = PaymentScheduleItemQueued(command.item_id, *errand)
            return [Change(PaymentSchedule, command.payment_schedule_id, queued)]
        return _collected(states, command, schedule, item, context)
    except Rejected as rejected:
        passed = _passed_over(command, rejected.code, rejected.message)
        return [passed, *_no_way(schedule, item, rejected, context)]


def _no_way(schedule: PaymentSchedule, item: Item, rejected: Rejected, context: Context) -> Changes:
    """A person hears once of an item that no gateway takes: no later run would fare better by itself."""
    if rejected.code not in NO_WAY or item.passed_over == rejected.code:
        return []
    amount = Money(item.requested, schedule.currency)
    message = f"runs cannot collect it: {rejected.message}"
    return [exceptions.raised(context, "ROUTING_UNAVAILABLE", "psi", item.plan.item_id, message, amount)]


def _passed_over(command: CollectScheduleItem, code: str, message: str | None = None) -> Change:
    return Change(PaymentSchedule, command.payment_schedule_id, _passing(command, code, message))


def _passing(
    command: CollectScheduleItem, code: str, message: str | None = None, *, canceled: bool = False
) -> PaymentScheduleItemPassedOver:
    assert command.run_id
    assert command.run_page
    return PaymentScheduleItemPassedOver(
        command.item_id, command.run_id, command.run_page, code, message, canceled
    )


def _not_its_turn(states: States, errand: Errand, item: Item) -> str | None:
    """It was due, and for this attempt, when it was selected; both may have changed since."""
    if item.attempts + 1 != errand.attempt_no:
        return "ATTEMPTED_MEANWHILE"
    due_on = max(item.plan.target_processing_date, item.skipped_until or date.min)
    return "NOT_DUE" if due_on > batch_run.created_of(states, errand.run_id).run_date else None


def _account_is_busy(states: States, context: Context) -> bool:
    """Two items of one account are never at a gateway at once; one whose outcome is not known
    holds up no other."""
    return any(
        item.status == "PROCESSING" and not item.unknown
        for id in states.documents(context.account_id, PaymentSchedule)
        for item in states.get(PaymentSchedule, id).items.values()
    )


def _collected(
    states: States, command: CollectScheduleItem, schedule: PaymentSchedule, item: Item, context: Context
) -> Changes:
    check_collectable(schedule, item)
    owner = account.of(states, context)
    account.check_collectable(owner, context, unasked=command.cause != "NOW")
    check_unlocked(states, item)
    draft = Draft(states, EVOLVE)
    if fits(draft, states, command.payment_schedule_id, command.item_id, context):
        method_id, cause = _meant(states, schedule, item, command.cause, context)
        attempt = Attempt(
            command.payment_schedule_id,
            command.item_id,
            method_id,
            cause,
            command.run_id,
            command.run_page,
        )
        begin(draft, states, attempt, context)
    elif command.run_page:
        facts = [change.fact for change in draft.changes if isinstance(change, Change)]
        [why] = [fact.reason for fact in facts if isinstance(fact, PaymentScheduleItemCanceled)]
        passing = _passing(command, why, canceled=True)
        draft.record(PaymentSchedule, command.payment_schedule_id, passing)
    return draft.changes


def _meant(
    states: States, schedule: PaymentSchedule, item: Item, cause: str, context: Context
) -> tuple[str, str]:
    """With which method, and as what: what failed is tried again unasked only as it was planned."""
    if item.status == "FAILED" and cause != "NOW":
        cycle = item.retry
        if cycle.planned is None or cycle.due_at is None or context.now < cycle.due_at:
            raise Rejected("RETRY_NOT_POSSIBLE", "no attempt is due", until=cycle.due_at, ended=cycle.ended)
        method_id, cause = cycle.planned.method_id, "RETRY"
    else:
        method_id = method_for(states, schedule, item, context)
    check_network(states, schedule, item, method_id, context)
    return method_id, cause


def method_for(states: States, schedule: PaymentSchedule, item: Item, context: Context) -> str:
    """The method that an item is collected with.  Raises `NO_PAYMENT_METHOD`."""
    method_id = methods.method_id_of(states, schedule, item, states.get(Account, context.account_id))
    if method_id is None:
        raise Rejected("NO_PAYMENT_METHOD", "neither the item, its schedule nor the account has a method")
    return method_id


def check_network(
    states: States, schedule: PaymentSchedule, item: Item, method_id: str, context: Context
) -> None:
    """Raises `RETRY_NOT_POSSIBLE` where the card's network allows no further attempt yet, says to wait, or
    never to try it again: for this item or for any other."""
    method, amount = states.get(SavedMethod, method_id), Money(item.requested, schedule.currency)
    if never := wallet.barred(states, method, context):
        raise Rejected("RETRY_NOT_POSSIBLE", never, cause="NEVER_RETRY")
    wait = wallet.wait(states, method, item.retry, context)
    if wait is not None and context.now < wait.until:
        message = f"{wait}: not before {wait.until.isoformat()}"
        raise Rejected("RETRY_NOT_POSSIBLE", message, until=wait.until)
    allowed, cap = wallet.allowed(states, method, item.retry, amount, context)
    if cap:
        raise Rejected("RETRY_NOT_POSSIBLE", f"{cap}: not before {allowed.isoformat()}", until=allowed)


def fits(draft: Draft, states: States, payment_schedule_id: str, item_id: str, context: Context) -> bool:
    """Cut an item to what its invoices take now; False where they take nothing and it was canceled."""
    item = draft.get(PaymentSchedule, payment_schedule_id).items[item_id]
    settings = tenant_settings.of(states, context)
    following.fit(draft, payment_schedule_id, item_id, following.room_now(states, item), settings, context)
    if draft.get(PaymentSchedule, payment_schedule_id).items[item_id].status != "CANCELED":
        return True
    finish(draft, payment_schedule_id)
    return False


def check_collectable(schedule: PaymentSchedule, item: Item) -> None:
    if schedule.status != "OPEN":
        raise invalid_state("payment schedule", schedule.status, ["OPEN"])
    if item.status == "PROCESSING":
        raise Rejected("ITEM_ALREADY_CLAIMED", "an attempt to collect it is under way", by=item.payment_id)
    if item.status not in ("READY", "FAILED"):
        raise invalid_state("item", item.status, ["READY", "FAILED"])


def check_unlocked(states: States, item: Item) -> None:
    for share in item.shares:
        guards.check_unlocked(states.get(Invoice, share.invoice_id))


class Attempt(NamedTuple):
    """One attempt at an item, to be begun."""

    payment_schedule_id: str
    item_id: str
    method_id: str
    cause: str
    """RUN, RETRY or NOW."""
    run_id: str | None = None
    run_page: int | None = None


def begin(draft: Draft, states: States, attempt: Attempt, context: Context) -> None:
    """Claim the item, and ask for it.  Raises what a method or a gateway that cannot be charged does."""
    schedule = draft.get(PaymentSchedule, attempt.payment_schedule_id)
    item, method = schedule.items[attempt.item_id], states.get(SavedMethod, attempt.method_id)
    payment_method.check_chargeable(method, attempt.method_id, context)
    snapshot, amount = payment_method.snapshot(method), Money(item.requested, schedule.currency)
    asked = Asked(
        context.new_id("payment"),
        amount,
        snapshot,
        _targets(item),
        "AD_HOC" if attempt.cause == "NOW" else "BATCH_RUN",
        new=True,
        item=ScheduleItemRef(attempt.payment_schedule_id, attempt.item_id),
        attempt_no=item.attempts + 1,
        reason=_reason(states, schedule, item),
        data_refused=_data_refused(states, item, snapshot.gateway_id),
    )
    claimed = PaymentScheduleItemClaimed(
        item_id=attempt.item_id,
        payment_id=asked.payment_id,
        attempt_no=asked.attempt_no,
        amount=amount,
        method_id=attempt.method_id,
        gateway_id=snapshot.gateway_id,
        cause=attempt.cause,
        run_id=attempt.run_id,
        run_page=attempt.run_page,
    )
    draft.record(PaymentSchedule, attempt.payment_schedule_id, claimed)
    draft.changes += asking.ask(states, asked, context)
    draft.changes += card.begun(states, method, asked.payment_id, amount, context)


def _data_refused(states: States, item: Item, gateway_id: str) -> bool:
    """Whether this gateway took no Level 2 and 3 data with the attempt before."""
    before = states.find(Payment, item.tried) if item.tried else None
    return before is not None and before.data_refused and before.gateway_id == gateway_id


def _reason(states: States, schedule: PaymentSchedule, item: Item) -> str:
    """Why the merchant charges it, as Visa tells such charges apart."""
    if item.attempts:
        return "RESUBMISSION"
    if len(schedule.items) > 1:
        return "INSTALLMENT"
    invoices = [states.get(Invoice, share.invoice_id) for share in item.shares]
    recurs = any(invoice.reference_type == "SUBSCRIPTION" for invoice in invoices)
    return "RECURRING" if recurs else "UNSCHEDULED"


def _targets(item: Item) -> tuple[ApplyTo, ...]:
    return tuple(ApplyTo(share.invoice_id, share.amount) for share in item.shares)


def _application_needs(states: States, command: RetryApplication, context: Context) -> Needs:
    yield from outcomes.whole(states, command.payment_schedule_id)
    yield tenant_settings.needed(context)
    yield from writing_off.small_needed(states, context)
    schedule = states.find(PaymentSchedule, command.payment_schedule_id)
    item = schedule.items.get(command.item_id) if schedule else None
    if item and item.payment_id:
        yield Need(Payment, item.payment_id)


def retry_application(states: States, command: RetryApplication, context: Context) -> Changes:
    schedule = schedules.of(states, command.payment_schedule_id, context)
    item = schedules.item_of(schedule, command.item_id)
    if item.status != "APPLY_FAILED" or item.payment_id is None:
        raise invalid_state("item", item.status, ["APPLY_FAILED"])
    guards.check_processed(states.get(Payment, item.payment_id))
    draft, level = Draft(states, EVOLVE), tenant_settings.of(states, context)["application_level"]
    applied = sum(
        _apply(draft, item.payment_id, share.invoice_id, share.amount.amount_minor, level, context)
        for share in item.shares
    )
    if not applied:
        raise Rejected("TARGET_NOT_POSTED", "its invoices take nothing of what arrived")
    money = Money(applied, schedule.currency)
    rest = Money(item.processed - applied, schedule.currency)
    fact = PaymentScheduleItemApplied(command.item_id, item.payment_id, money, rest)
    draft.record(PaymentSchedule, command.payment_schedule_id, fact)
    finish(draft, command.payment_schedule_id)
    return writing_off.with_small_balances(states, draft.changes, context)


def _apply(draft: Draft, payment_id: str, invoice_id: str, wanted: int, level: str, context: Context) -> int:
    payment, invoice = draft.get(Payment, payment_id), draft.get(Invoice, invoice_id)
    amount = min(wanted, payment.unapplied, invoice.balance)
    if amount <= 0 or invoice.locked_by or invoice.level not in (None, level):
        return 0
    shares = spreading.spread_payment(invoice, amount, level, None)
    draft.extend(application.place(payment, invoice, shares, Why(context.now, "PAYMENT"), context))
    return amount


RULES = (
    Rule(CollectScheduleItem, _needs, collect),
    Rule(RetryApplication, _application_needs, retry_application),
)
