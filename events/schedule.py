"""What can happen to a payment schedule and its items (stream `ps-{id}`).

An item is one chain of attempts to collect an amount; at most one of them succeeds.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from events.catalog import fact, upcasts
from events.custom import CustomFields
from events.frozen import frozen
from events.money import Money


@frozen
class InvoiceShare:
    """What of an amount is meant for an invoice."""

    invoice_id: str
    amount: Money


@frozen
class ScheduleItem:
    """An item as it is planned."""

    item_id: str
    number: str
    requested: Money
    target_processing_date: date
    """A civil date in the tenant's time zone."""
    status: str
    """DRAFT or READY."""
    shares: tuple[InvoiceShare, ...] = ()
    """In the order in which they are applied; nothing where it is collected for no invoice."""
    method_id: str | None = None
    matching_value: str | None = None
    warning: str | None = None
    """NO_PAYMENT_METHOD: it waits as a draft until its account has one."""


@fact("payment_schedule.created.v1")
class PaymentScheduleCreated:
    """What is to be collected, of which invoices or for which order; its items say when."""

    payment_schedule_id: str
    number: str
    account_id: str
    total_requested: Money
    reference_type: str
    """INVOICE, ORDER, QUOTE, CONTRACT, COLLECTION_PLAN, or GROUP: several invoices of the account."""
    reference_id: str | None
    invoice_ids: tuple[str, ...]
    origin: str
    """AUTOMATIC, MANUAL or PROMISE."""
    status: str
    """DRAFT or OPEN."""
    created_at: datetime
    default_method_id: str | None = None
    policy_id: str | None = None
    policy_version: int | None = None
    """The version of the policy that cut it: a later change rewrites nothing."""
    treatment_id: str | None = None
    usage_type: str | None = None
    """COLLECTION_PLAN, where it is for a promise."""
    comments: str | None = None


@fact("payment_schedule.opened.v1")
class PaymentScheduleOpened:
    """Its items are collected when their dates come."""


@fact("payment_schedule.item_added.v1")
class PaymentScheduleItemAdded:
    """One amount, to be collected on one date."""

    item: ScheduleItem


@fact("payment_schedule.item_changed.v1")
class PaymentScheduleItemChanged:
    """The whole item as it is now, and as it was."""

    item: ScheduleItem
    """As it is from now on."""
    previous: Money
    """What it asked for before."""
    reason: str | None = None


@fact("payment_schedule.item_resized.v1")
class PaymentScheduleItemResized:
    """Its invoices owe less than was planned: so much is still to be collected."""

    item_id: str
    requested: Money
    previous: Money
    shares: tuple[InvoiceShare, ...]
    reason: str
    """BALANCE_REDUCED."""


@fact("payment_schedule.item_skipped.v1")
class PaymentScheduleItemSkipped:
    """It is left alone until the date, or until it is released."""

    item_id: str
    until: date
    """No run before this date takes it."""
    reason: str


@fact("payment_schedule.item_released.v1")
class PaymentScheduleItemReleased:
    """It may be collected again."""

    item_id: str
    reason: str | None = None


@fact("payment_schedule.item_queued.v1")
class PaymentScheduleItemQueued:
    """A run's turn has come, but another item of its account is being collected: it is the next."""

    item_id: str
    run_id: str
    run_page: int
    attempt_no: int


@fact("payment_schedule.item_passed_over.v1")
class PaymentScheduleItemPassedOver:
    """A run came by, and did not charge it: it stays as it is, or was canceled."""

    item_id: str
    run_id: str
    run_page: int
    code: str
    """Why: ACCOUNT_ON_HOLD, NO_PAYMENT_METHOD, RUN_STOPPED, ATTEMPTED_MEANWHILE, NOT_DUE, …"""
    message: str | None = None
    canceled: bool = False
    """It was canceled."""


@fact("payment_schedule.item_claimed.v2")
class PaymentScheduleItemClaimed:
    """An attempt to collect it has begun; nobody else begins one before this one's outcome is known."""

    item_id: str
    payment_id: str
    attempt_no: int
    amount: Money
    method_id: str
    gateway_id: str
    cause: str
    """RUN, RETRY or NOW."""
    run_id: str | None = None
    run_page: int | None = None


@upcasts("payment_schedule.item_claimed.v1", to="payment_schedule.item_claimed.v2")
def _claimed_for_no_page(data: dict[str, Any]) -> dict[str, Any]:
    return data


@fact("payment_schedule.item_outcome_unknown.v1")
class PaymentScheduleItemOutcomeUnknown:
    """Nobody knows yet whether its money moved: it is not tried again before that is known."""

    item_id: str
    payment_id: str
    reason: str
    """UNKNOWN, PENDING, REQUIRES_ACTION or REQUIRES_REVIEW."""


@fact("payment_schedule.item_processed.v1")
class PaymentScheduleItemProcessed:
    """Its money arrived."""

    item_id: str
    payment_id: str
    amount: Money
    late: bool = False
    """It had been taken for failed."""


@fact("payment_schedule.item_applied.v1")
class PaymentScheduleItemApplied:
    """What of its money settles its invoices, and what is left unapplied."""

    item_id: str
    payment_id: str
    applied: Money
    unapplied: Money
    """What no invoice took: it stays on the payment."""


@fact("payment_schedule.item_apply_failed.v1")
class PaymentScheduleItemApplyFailed:
    """No invoice takes anything of the money that arrived: it stays on the payment."""

    item_id: str
    payment_id: str
    code: str


@upcasts("payment_schedule.item_payment_failed.v1", to="payment_schedule.item_payment_failed.v2")
def without_advice(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 did not keep how long a network says to wait."""
    return fact


@fact("payment_schedule.item_payment_failed.v2")
class PaymentScheduleItemPaymentFailed:
    """Its money did not arrive, or was taken back; a retry may follow."""

    item_id: str
    payment_id: str
    attempt_no: int
    result_code: str
    category: str
    raw_code: str | None
    hard: bool
    never_retry: bool
    method_id: str
    gateway_id: str
    failed_at: datetime
    message: str | None = None
    taken_back: Money | None = None
    """What the bank took back of what it had paid, and what of that had been applied."""
    applied_before: Money | None = None
    retry_after_seconds: int | None = None
    """So long its network says to wait before the method is tried again."""
    network_advice: str | None = None


@fact("payment_schedule.item_canceled.v1")
class PaymentScheduleItemCanceled:
    """Nothing more is collected for it."""

    item_id: str
    canceled: Money
    """Requested, less processed."""
    reason: str


@fact("payment_schedule.item_payment_canceled.v1")
class PaymentScheduleItemPaymentCanceled:
    """A person took its payment back: nothing of it was collected, and nothing more is unasked."""

    item_id: str
    payment_id: str
    taken_back: Money
    """What had arrived, and counts no more."""
    applied_before: Money
    canceled: Money
    """All that it asked for."""


@fact("payment_schedule.custom_fields_set.v1")
class PaymentScheduleCustomFieldsSet:
    """What the tenant keeps of its own about a schedule; its items are filtered by it."""

    custom_fields: CustomFields
    """All of them, from now on."""


@fact("payment_schedule.item_custom_fields_set.v1")
class PaymentScheduleItemCustomFieldsSet:
    """What the tenant keeps of its own about an item, which is filtered by it."""

    item_id: str
    custom_fields: CustomFields
    """All of them, from now on."""


@fact("payment_schedule.canceled.v1")
class PaymentScheduleCanceled:
    """Nothing more is collected by it."""

    reason: str


@fact("payment_schedule.completed.v1")
class PaymentScheduleCompleted:
    """Each of its items is at an end."""

    processed: Money
    """What was collected."""
    applied: Money
    canceled: Money
    """What was not, and will not be."""


@fact("promise.recorded.v1")
class PromiseRecorded:
    """A customer promised to pay an invoice in parts (stream `promise-{id}`; its schedule has its id)."""

    promise_id: str
    account_id: str
    invoice_id: str
    total: Money
    parts: int
    """In how many parts."""
    recorded_at: datetime


@fact("promise.kept.v1")
class PromiseKept:
    """What was promised has been paid."""

    collected: Money


@fact("promise.broken.v1")
class PromiseBroken:
    """A part of it did not come; one that comes later may still keep it."""

    item_id: str
    reason: str


@fact("promise.canceled.v1")
class PromiseCanceled:
    """It counts no more."""

    reason: str


PromiseEvent = PromiseRecorded | PromiseKept | PromiseBroken | PromiseCanceled

PaymentScheduleEvent = (
    PaymentScheduleCreated
    | PaymentScheduleOpened
    | PaymentScheduleItemAdded
    | PaymentScheduleItemChanged
    | PaymentScheduleItemResized
    | PaymentScheduleItemSkipped
    | PaymentScheduleItemReleased
    | PaymentScheduleItemQueued
    | PaymentScheduleItemPassedOver
    | PaymentScheduleItemClaimed
    | PaymentScheduleItemOutcomeUnknown
    | PaymentScheduleItemProcessed
    | PaymentScheduleItemApplied
    | PaymentScheduleItemApplyFailed
    | PaymentScheduleItemPaymentFailed
    | PaymentScheduleItemCanceled
    | PaymentScheduleItemPaymentCanceled
    | PaymentScheduleCustomFieldsSet
    | PaymentScheduleItemCustomFieldsSet
    | PaymentScheduleCanceled
    | PaymentScheduleCompleted
)
