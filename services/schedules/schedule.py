"""A payment schedule: a plan of payments for one thing that is owed; each item is one chain of attempts.

Invariants: the items' amounts never exceed the schedule's; an item has at most one
live claim and one successful payment; everything is in one currency.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import ClassVar, NamedTuple

from events.custom import CustomFields
from events.money import Money
from events.retrying import RetryingEvent
from events.schedule import (
    InvoiceShare,
    PaymentScheduleCanceled,
    PaymentScheduleCompleted,
    PaymentScheduleCreated,
    PaymentScheduleCustomFieldsSet,
    PaymentScheduleEvent,
    PaymentScheduleItemAdded,
    PaymentScheduleItemApplied,
    PaymentScheduleItemApplyFailed,
    PaymentScheduleItemCanceled,
    PaymentScheduleItemChanged,
    PaymentScheduleItemClaimed,
    PaymentScheduleItemCustomFieldsSet,
    PaymentScheduleItemOutcomeUnknown,
    PaymentScheduleItemPassedOver,
    PaymentScheduleItemPaymentCanceled,
    PaymentScheduleItemPaymentFailed,
    PaymentScheduleItemProcessed,
    PaymentScheduleItemQueued,
    PaymentScheduleItemReleased,
    PaymentScheduleItemResized,
    PaymentScheduleItemSkipped,
    PaymentScheduleOpened,
    ScheduleItem,
)
from services.decision import Context, States
from services.errors import Rejected, not_found
from services.retries import cycle as cycles
from services.retries.cycle import NONE_BEGUN, Cycle

CHANGEABLE = frozenset({"DRAFT", "READY"})
CANCELABLE = frozenset({"DRAFT", "READY", "FAILED", "APPLY_FAILED"})
ENDED = frozenset({"APPLIED", "APPLY_FAILED", "CANCELED"})
"""A schedule is complete once each of its items is one of these."""


class Errand(NamedTuple):
    """A run's turn at an item: which run, on which of its pages, and which attempt it is to be."""

    run_id: str
    page_no: int
    attempt_no: int


@dataclass(slots=True)
class Item:
    plan: ScheduleItem
    status: str
    """DRAFT, READY, PROCESSING, PROCESSED, APPLIED, APPLY_FAILED, FAILED, CANCELED."""
    requested: int
    shares: tuple[InvoiceShare, ...]
    processed: int = 0
    applied: int = 0
    canceled: int = 0
    payment_id: str | None = None
    """Of the live claim, or of the payment that succeeded."""
    attempts: int = 0
    tried: str | None = None
    """The payment of its latest attempt, whatever became of it."""
    unknown: bool = False
    """Its outcome is not known: it is PROCESSING until it is."""
    skipped_until: date | None = None
    custom_fields: CustomFields = field(default_factory=CustomFields)
    retry: Cycle = NONE_BEGUN
    """What follows its failures."""
    passed_over: str | None = None
    """Why the last run did, if no attempt was made since."""
    queued: Errand | None = None
    """It waits for another item of its account."""
    errands: tuple[tuple[str, Errand], ...] = ()
    """Of each payment that a run has claimed it for."""

    def errand_of(self, payment_id: str) -> Errand | None:
        return next((errand for id, errand in self.errands if id == payment_id), None)

    @property
    def live(self) -> int:
        """What is still to be collected with it."""
        return self.requested if self.status in ("DRAFT", "READY", "PROCESSING", "FAILED") else 0

    def now(self, currency: str) -> ScheduleItem:
        """Its plan, with what has become of it since."""
        warning = self.plan.warning if self.status == "DRAFT" else None
        requested = Money(self.requested, currency)
        return replace(
            self.plan, requested=requested, status=self.status, shares=self.shares, warning=warning
        )

    def meant_for(self, invoice_id: str) -> int:
        return sum(share.amount.amount_minor for share in self.shares if share.invoice_id == invoice_id)


@dataclass(slots=True)
class PaymentSchedule:
    KIND: ClassVar[str] = "ps"

    version: int = 0
    payment_schedule_id: str = ""
    number: str = ""
    account_id: str = ""
    currency: str = ""
    status: str = ""
    """Empty, DRAFT, OPEN, COMPLETED, CANCELED."""
    total_requested: int = 0
    reference_type: str = ""
    reference_id: str | None = None
    invoice_ids: tuple[str, ...] = ()
    default_method_id: str | None = None
    origin: str = ""
    custom_fields: CustomFields = field(default_factory=CustomFields)
    items: dict[str, Item] = field(default_factory=dict[str, Item])

    @property
    def open(self) -> bool:
        return self.status in ("DRAFT", "OPEN")

    @property
    def planned(self) -> int:
        """What its items ask for, less what was canceled of them: at most `total_requested`."""
        return sum(item.requested - item.canceled for item in self.items.values())

    def total(self, what: str) -> Money:
        return Money(sum(getattr(item, what) for item in self.items.values()), self.currency)

    def live_for(self, invoice_id: str) -> int:
        """What of an invoice its items are still to collect."""
        return sum(item.meant_for(invoice_id) for item in self.items.values() if item.live)


def evolve(schedule: PaymentSchedule, event: PaymentScheduleEvent | RetryingEvent) -> None:
    match event:
        case PaymentScheduleCreated():
            _create(schedule, event)
        case PaymentScheduleOpened():
            schedule.status = "OPEN"
        case PaymentScheduleItemAdded():
            plan = event.item
            schedule.items[plan.item_id] = Item(plan, plan.status, plan.requested.amount_minor, plan.shares)
        case PaymentScheduleCanceled():
            schedule.status = "CANCELED"
        case PaymentScheduleCompleted():
            schedule.status = "COMPLETED"
        case PaymentScheduleCustomFieldsSet():
            schedule.custom_fields = event.custom_fields
        case PaymentScheduleItemCustomFieldsSet():
            schedule.items[event.item_id].custom_fields = event.custom_fields
        case PaymentScheduleItemChanged():
            _evolve_plan(schedule.items[event.item.item_id], event)
        case PaymentScheduleItemResized() | PaymentScheduleItemSkipped() | PaymentScheduleItemReleased():
            _evolve_plan(schedule.items[event.item_id], event)
        case _:
            item = schedule.items[event.item_id]
            item.retry = cycles.evolve(item.retry, event, item.requested)
            if not isinstance(event, RetryingEvent):
                _evolve_attempt(item, event)


def _create(schedule: PaymentSchedule, event: PaymentScheduleCreated) -> None:
    schedule.payment_schedule_id, schedule.number = event.payment_schedule_id, event.number
    schedule.account_id, schedule.status = event.account_id, event.status
    schedule.currency = event.total_requested.currency
    schedule.total_requested = event.total_requested.amount_minor
    schedule.reference_type, schedule.reference_id = event.reference_type, event.reference_id
    schedule.invoice_ids, schedule.origin = event.invoice_ids, event.origin
    schedule.default_method_id = event.default_method_id


def _evolve_plan(item: Item, event: PaymentScheduleEvent) -> None:
    match event:
        case PaymentScheduleItemChanged():
            item.plan, item.status, item.shares = event.item, event.item.status, event.item.shares
            item.requested = event.item.requested.amount_minor
        case PaymentScheduleItemResized():
            item.requested, item.shares = event.requested.amount_minor, event.shares
        case PaymentScheduleItemSkipped():
            item.skipped_until = event.until
        case PaymentScheduleItemReleased():
            item.status = "READY"
        case _:
            raise AssertionError(event)


def _evolve_attempt(item: Item, event: PaymentScheduleEvent) -> None:
    match event:
        case PaymentScheduleItemClaimed():
            item.status, item.payment_id, item.attempts = "PROCESSING", event.payment_id, event.attempt_no
            item.tried = event.payment_id
            item.queued = item.passed_over = None
            if event.run_id and event.run_page:
                errand = Errand(event.run_id, event.run_page, event.attempt_no)
                item.errands = (*item.errands, (event.payment_id, errand))
        case PaymentScheduleItemQueued():
            item.queued = Errand(event.run_id, event.run_page, event.attempt_no)
        case PaymentScheduleItemPassedOver():
            item.queued, item.passed_over = None, event.code
        case PaymentScheduleItemOutcomeUnknown():
            item.unknown = True
        case PaymentScheduleItemProcessed():
            item.status, item.processed, item.unknown = "PROCESSED", event.amount.amount_minor, False
            item.payment_id = event.payment_id
        case PaymentScheduleItemApplied():
            item.status, item.applied = "APPLIED", event.applied.amount_minor
        case PaymentScheduleItemApplyFailed():
            item.status = "APPLY_FAILED"
        case PaymentScheduleItemPaymentFailed():
            item.status, item.unknown, item.payment_id = "FAILED", False, None
            item.processed = item.applied = 0
        case PaymentScheduleItemCanceled():
            item.status, item.canceled, item.queued = "CANCELED", event.canceled.amount_minor, None
        case PaymentScheduleItemPaymentCanceled():
            item.status, item.canceled, item.payment_id = "CANCELED", event.canceled.amount_minor, None
            item.processed = item.applied = 0
        case _:
            raise AssertionError(event)


def of(states: States, payment_schedule_id: str, context: Context) -> PaymentSchedule:
    """Raises `SCHEDULE_NOT_FOUND`, `ACCOUNT_MISMATCH`."""
    schedule = states.get(PaymentSchedule, payment_schedule_id)
    if not schedule.status:
        raise not_found("SCHEDULE", payment_schedule_id)
    if schedule.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the schedule {payment_schedule_id} belongs to another account")
    return schedule


def item_of(schedule: PaymentSchedule, item_id: str) -> Item:
    """Raises `ITEM_NOT_FOUND`."""
    if item_id not in schedule.items:
        raise not_found("ITEM", item_id)
    return schedule.items[item_id]


def fitted(shares: Iterable[InvoiceShare], amount: int, currency: str) -> tuple[InvoiceShare, ...]:
    """The shares cut to an amount: the earlier ones keep theirs."""
    kept: list[InvoiceShare] = []
    for share in shares:
        part = min(share.amount.amount_minor, amount)
        amount -= part
        if part:
            kept.append(InvoiceShare(share.invoice_id, Money(part, currency)))
    return tuple(kept)
