"""What is planned to be collected, item by item, and what came of it; and promises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from events.money import Money
from events.schedule import (
    InvoiceShare,
    PaymentScheduleCanceled,
    PaymentScheduleCompleted,
    PaymentScheduleCreated,
    PaymentScheduleCustomFieldsSet,
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
    PaymentScheduleItemReleased,
    PaymentScheduleItemResized,
    PaymentScheduleItemSkipped,
    PaymentScheduleOpened,
    PromiseBroken,
    PromiseCanceled,
    PromiseKept,
    PromiseRecorded,
    ScheduleItem,
)
from projections.table import (
    DAY,
    FLAG,
    INSTANT,
    JSON,
    TENANT,
    TEXT,
    Add,
    Column,
    Place,
    Row,
    Table,
    money,
    text,
)

Own = Mapping[str, Any]

RETRY_COLUMNS = (
    Column("next_retry_at", INSTANT),
    *text("retry_method_id", "retry_cause", "retry_ended", "rule_set_id", "rule_number", "error_gateway_id"),
    *(Column(name, "int") for name in ("retry", "definition_version", "match_level")),
    Column("retries_max", "int", 0),
    Column("retry_is_alternate", FLAG),
    Column("retry_why", JSON),
    Column("first_failed_at", INSTANT),
)
"""What follows an item's failures: `retries` fills them."""

payment_schedules = Table(
    "payment_schedules",
    key=(TENANT, Column("payment_schedule_id", TEXT)),
    columns=(
        *text("number", "account_id", "currency", "status", "origin", "reference_type", "reference_id"),
        *text("default_method_id", "usage_type", "policy_id", "treatment_id", "comments"),
        Column("policy_version", "int"),
        Column("custom_fields", JSON),
        Column("invoice_ids", JSON),
        *money("total_requested", "total_item_amount", "total_processed", "total_applied", "total_canceled"),
        *money("remaining_to_process", "available_requested"),
        Column("created_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="ps",
    indexes=(("tenant_id", "account_id"), ("tenant_id", "status")),
)

schedule_items = Table(
    "schedule_items",
    key=(TENANT, Column("item_id", TEXT)),
    columns=(
        *text("payment_schedule_id", "number", "account_id", "currency", "status"),
        Column("target_processing_date", DAY),
        *money("requested", "processed", "applied", "canceled"),
        Column("shares", JSON),
        *text("method_id", "matching_value", "warning", "payment_id", "run_id"),
        Column("attempts", "int", 0),
        Column("outcome_unknown", FLAG, False),
        Column("skipped_until", DAY),
        Column("custom_fields", JSON),
        *text("error_category", "error_code", "processing_message", "reason"),
        *RETRY_COLUMNS,
    ),
    indexes=(
        ("tenant_id", "status", "target_processing_date", "(-requested)", "number"),
        ("tenant_id", "account_id"),
        ("tenant_id", "payment_schedule_id"),
    ),
)

promises = Table(
    "promises",
    key=(TENANT, Column("promise_id", TEXT)),
    columns=(
        *text("account_id", "invoice_id", "currency", "status", "reason"),
        *money("total", "collected"),
        Column("parts", "int", 0),
        Column("recorded_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="promise",
    indexes=(("tenant_id", "account_id"),),
)


# -- schedules


@payment_schedules.on(PaymentScheduleCreated)
def created(fact: PaymentScheduleCreated, at: Place, own: Own) -> Iterable[Row]:
    yield Row(
        (at.tenant, at.id),
        {
            "number": fact.number,
            "account_id": fact.account_id,
            "currency": fact.total_requested.currency,
            "status": fact.status,
            "origin": fact.origin,
            "reference_type": fact.reference_type,
            "reference_id": fact.reference_id,
            "default_method_id": fact.default_method_id,
            "usage_type": fact.usage_type,
            "policy_id": fact.policy_id,
            "policy_version": fact.policy_version,
            "treatment_id": fact.treatment_id,
            "comments": fact.comments,
            "invoice_ids": list(fact.invoice_ids),
            "total_requested": fact.total_requested.amount_minor,
            "available_requested": fact.total_requested.amount_minor,
            "created_at": fact.created_at,
        },
    )


_STATUS = {
    PaymentScheduleOpened: "OPEN",
    PaymentScheduleCanceled: "CANCELED",
    PaymentScheduleCompleted: "COMPLETED",
}


@payment_schedules.on(*_STATUS)
def went_on(
    fact: PaymentScheduleOpened | PaymentScheduleCanceled | PaymentScheduleCompleted, at: Place, own: Own
) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"status": _STATUS[type(fact)]})


@payment_schedules.on(PaymentScheduleCustomFieldsSet)
def described(fact: PaymentScheduleCustomFieldsSet, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"custom_fields": fact.custom_fields})


def _totals(at: Place, planned: int = 0, processed: int = 0, applied: int = 0, canceled: int = 0) -> Row:
    """What changes of a schedule's totals."""
    moved = {
        "total_item_amount": planned,
        "available_requested": -planned,
        "total_processed": processed,
        "remaining_to_process": planned - processed,
        "total_applied": applied,
        "total_canceled": canceled,
    }
    changes = {name: Add(amount) for name, amount in moved.items() if amount}
    return Row((at.tenant, at.id), changes)


@payment_schedules.on(PaymentScheduleItemAdded)
def item_counted(fact: PaymentScheduleItemAdded, at: Place, own: Own) -> Iterable[Row]:
    yield _totals(at, planned=fact.item.requested.amount_minor)


@payment_schedules.on(PaymentScheduleItemChanged)
def change_counted(fact: PaymentScheduleItemChanged, at: Place, own: Own) -> Iterable[Row]:
    yield _totals(at, planned=fact.item.requested.amount_minor - fact.previous.amount_minor)


@payment_schedules.on(PaymentScheduleItemResized)
def resize_counted(fact: PaymentScheduleItemResized, at: Place, own: Own) -> Iterable[Row]:
    yield _totals(at, planned=fact.requested.amount_minor - fact.previous.amount_minor)


@payment_schedules.on(PaymentScheduleItemProcessed)
def money_counted(fact: PaymentScheduleItemProcessed, at: Place, own: Own) -> Iterable[Row]:
    yield _totals(at, processed=fact.amount.amount_minor)


@payment_schedules.on(PaymentScheduleItemApplied)
def application_counted(fact: PaymentScheduleItemApplied, at: Place, own: Own) -> Iterable[Row]:
    yield _totals(at, applied=fact.applied.amount_minor)


@payment_schedules.on(PaymentScheduleItemPaymentFailed)
def loss_counted(fact: PaymentScheduleItemPaymentFailed, at: Place, own: Own) -> Iterable[Row]:
    yield _totals(at, processed=-_minor(fact.taken_back), applied=-_minor(fact.applied_before))


@payment_schedules.on(PaymentScheduleItemCanceled)
def cancellation_counted(fact: PaymentScheduleItemCanceled, at: Place, own: Own) -> Iterable[Row]:
    yield _totals(at, planned=-fact.canceled.amount_minor, canceled=fact.canceled.amount_minor)


@payment_schedules.on(PaymentScheduleItemPaymentCanceled)
def taking_back_counted(fact: PaymentScheduleItemPaymentCanceled, at: Place, own: Own) -> Iterable[Row]:
    canceled = fact.canceled.amount_minor
    yield _totals(at, -canceled, -fact.taken_back.amount_minor, -fact.applied_before.amount_minor, canceled)


def _minor(amount: Money | None) -> int:
    return amount.amount_minor if amount else 0


# -- items


@schedule_items.on(PaymentScheduleItemAdded)
def item_added(fact: PaymentScheduleItemAdded, at: Place, own: Own) -> Iterable[Row]:
    common = {"payment_schedule_id": at.id, "account_id": at.account_id}
    yield Row((at.tenant, fact.item.item_id), {**common, **_planned(fact.item)})


@schedule_items.on(PaymentScheduleItemChanged)
def item_changed(fact: PaymentScheduleItemChanged, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, fact.item.item_id), {**_planned(fact.item), "reason": fact.reason})


def _planned(item: ScheduleItem) -> dict[str, Any]:
    return {
        "number": item.number,
        "currency": item.requested.currency,
        "status": item.status,
        "requested": item.requested.amount_minor,
        "target_processing_date": item.target_processing_date,
        "shares": _shares(item.shares),
        "method_id": item.method_id,
        "matching_value": item.matching_value,
        "warning": item.warning,
    }


def _shares(shares: Sequence[InvoiceShare]) -> list[dict[str, Any]]:
    return [{"invoice_id": share.invoice_id, "amount_minor": share.amount.amount_minor} for share in shares]


@schedule_items.on(PaymentScheduleItemResized)
def item_resized(fact: PaymentScheduleItemResized, at: Place, own: Own) -> Iterable[Row]:
    changes = {"requested": fact.requested.amount_minor, "shares": _shares(fact.shares)}
    yield Row((at.tenant, fact.item_id), {**changes, "reason": fact.reason})


@schedule_items.on(PaymentScheduleItemCustomFieldsSet)
def item_described(fact: PaymentScheduleItemCustomFieldsSet, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, fact.item_id), {"custom_fields": fact.custom_fields})


@schedule_items.on(PaymentScheduleItemSkipped)
def item_skipped(fact: PaymentScheduleItemSkipped, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, fact.item_id), {"skipped_until": fact.until, "reason": fact.reason})


@schedule_items.on(PaymentScheduleItemReleased)
def item_released(fact: PaymentScheduleItemReleased, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, fact.item_id), {"status": "READY", "warning": None, "reason": fact.reason})


@schedule_items.on(PaymentScheduleItemClaimed)
def item_claimed(fact: PaymentScheduleItemClaimed, at: Place, own: Own) -> Iterable[Row]:
    changes = {"status": "PROCESSING", "payment_id": fact.payment_id, "attempts": fact.attempt_no}
    yield Row((at.tenant, fact.item_id), {**changes, "run_id": fact.run_id, "reason": None})


@schedule_items.on(PaymentScheduleItemPassedOver)
def item_passed_over(fact: PaymentScheduleItemPassedOver, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, fact.item_id), {"run_id": fact.run_id, "reason": fact.code})


@schedule_items.on(PaymentScheduleItemOutcomeUnknown)
def item_unknown(fact: PaymentScheduleItemOutcomeUnknown, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, fact.item_id), {"outcome_unknown": True, "reason": fact.reason})


@schedule_items.on(PaymentScheduleItemProcessed)
def item_processed(fact: PaymentScheduleItemProcessed, at: Place, own: Own) -> Iterable[Row]:
    yield Row(
        (at.tenant, fact.item_id),
        {
            "status": "PROCESSED",
            "payment_id": fact.payment_id,
            "processed": fact.amount.amount_minor,
            "outcome_unknown": False,
            "reason": None,
            "error_category": None,
            "error_code": None,
            "processing_message": None,
        },
    )


@schedule_items.on(PaymentScheduleItemApplied)
def item_applied(fact: PaymentScheduleItemApplied, at: Place, own: Own) -> Iterable[Row]:
    changes = {"status": "APPLIED", "applied": fact.applied.amount_minor, "reason": None}
    yield Row((at.tenant, fact.item_id), changes)


@schedule_items.on(PaymentScheduleItemApplyFailed)
def item_apply_failed(fact: PaymentScheduleItemApplyFailed, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, fact.item_id), {"status": "APPLY_FAILED", "reason": fact.code})


@schedule_items.on(PaymentScheduleItemPaymentFailed)
def item_failed(fact: PaymentScheduleItemPaymentFailed, at: Place, own: Own) -> Iterable[Row]:
    yield Row(
        (at.tenant, fact.item_id),
        {
            "status": "FAILED",
            "payment_id": None,
            "processed": 0,
            "applied": 0,
            "outcome_unknown": False,
            "error_category": fact.category,
            "error_code": fact.raw_code,
            "processing_message": fact.message,
        },
    )


@schedule_items.on(PaymentScheduleItemCanceled)
def item_canceled(fact: PaymentScheduleItemCanceled, at: Place, own: Own) -> Iterable[Row]:
    changes = {"status": "CANCELED", "canceled": fact.canceled.amount_minor, "reason": fact.reason}
    yield Row((at.tenant, fact.item_id), changes)


@schedule_items.on(PaymentScheduleItemPaymentCanceled)
def item_payment_canceled(fact: PaymentScheduleItemPaymentCanceled, at: Place, own: Own) -> Iterable[Row]:
    nothing = {"payment_id": None, "processed": 0, "applied": 0}
    changes = {"status": "CANCELED", "canceled": fact.canceled.amount_minor, "reason": "PAYMENT_CANCELED"}
    yield Row((at.tenant, fact.item_id), {**nothing, **changes})


# -- promises


@promises.on(PromiseRecorded)
def promised(fact: PromiseRecorded, at: Place, own: Own) -> Iterable[Row]:
    yield Row(
        (at.tenant, at.id),
        {
            "account_id": fact.account_id,
            "invoice_id": fact.invoice_id,
            "currency": fact.total.currency,
            "status": "RECORDED",
            "total": fact.total.amount_minor,
            "parts": fact.parts,
            "recorded_at": fact.recorded_at,
        },
    )


@promises.on(PromiseKept)
def kept(fact: PromiseKept, at: Place, own: Own) -> Iterable[Row]:
    changes = {"status": "KEPT", "collected": fact.collected.amount_minor}
    yield Row((at.tenant, at.id), changes)


@promises.on(PromiseBroken, PromiseCanceled)
def not_kept(fact: PromiseBroken | PromiseCanceled, at: Place, own: Own) -> Iterable[Row]:
    status = "BROKEN" if isinstance(fact, PromiseBroken) else "CANCELED"
    yield Row((at.tenant, at.id), {"status": status, "reason": fact.reason})


TABLES = (payment_schedules, schedule_items, promises)
