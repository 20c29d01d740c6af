"""What can happen to a refund (stream `refund-{id}`): money on its way back to the customer."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from events.catalog import fact, upcasts
from events.money import Money
from events.shapes import Corporate, Method


@fact("refund.requested.v2")
class RefundRequested:
    """So much is to be given back: its money is reserved, and a gateway will be asked, or has to be
    approved first.
    """

    refund_id: str
    number: str
    type: str
    """REFERENCED (to the payment's own instrument) or UNREFERENCED (from a credit memo)."""
    account_id: str
    amount: Money
    reason_code: str
    gateway_id: str
    method: Method
    attempt_no: int
    gateway_idempotency_key: str
    requested_at: datetime
    payment_id: str | None = None
    credit_memo_id: str | None = None
    orchestration_id: str | None = None
    leg_no: int | None = None
    requested_by: str | None = None
    notes: str | None = None
    payment_group_id: str | None = None
    """The group that it is of: its payment's, or the one that was named."""


@fact("refund.approval_requested.v2")
class RefundApprovalRequested:
    """A refund above the tenant's threshold: a second person must agree before anything is sent."""

    refund_id: str
    number: str
    type: str
    """REFERENCED (to the payment's own instrument) or UNREFERENCED (from a credit memo)."""
    account_id: str
    amount: Money
    reason_code: str
    source: str
    """UNAPPLIED and CREDIT_MEMO are reserved meanwhile; REOPEN_INVOICES stays applied until the approval."""
    threshold: Money
    """The amount of the tenant's setting that it exceeds."""
    requested_by: str
    requested_at: datetime
    payment_id: str | None = None
    credit_memo_id: str | None = None
    payment_method_id: str | None = None
    notes: str | None = None
    payment_group_id: str | None = None


@fact("refund.approved.v1")
class RefundApproved:
    """Somebody other than who asked for it agrees: the gateway is asked now."""

    by: str


@fact("refund.rejected.v1")
class RefundRejected:
    """The second person said no: the money is free again."""

    by: str
    reason: str


@fact("refund.pending.v1")
class RefundPending:
    """The gateway has it, and will say later what becomes of it."""

    gateway_ref: str | None
    source: str


@fact("refund.held_for_review.v1")
class RefundHeldForReview:
    """The gateway wants a person to look at it; nothing has gone back."""

    reason: str
    source: str
    gateway_ref: str | None = None


@fact("refund.outcome_unknown.v1")
class RefundOutcomeUnknown:
    """No answer came: it is inquired about, and never simply sent again."""

    sent_at: datetime | None
    reason: str
    next_query_at: datetime


@fact("refund.processed.v2")
class RefundProcessed:
    """The money went back."""

    amount: Money
    type: str
    """REFERENCED or UNREFERENCED."""
    gateway_ref: str | None
    gateway_date: datetime | None
    source: str
    late: bool = False
    corporate: Corporate | None = None


@fact("refund.failed.v1")
class RefundFailed:
    """No money went back: what was reserved for it is free again."""

    result_code: str
    category: str
    raw_code: str | None
    raw_message: str | None
    hard: bool
    source: str


@fact("refund.recorded_externally.v3")
class ExternalRefundRecorded:
    """Money given back outside any gateway: cash, cheque, transfer."""

    refund_id: str
    number: str
    account_id: str
    amount: Money
    instrument: str
    reference: str
    paid_on: date
    reason_code: str
    payment_id: str | None = None
    credit_memo_id: str | None = None
    orchestration_id: str | None = None
    leg_no: int | None = None
    corporate: Corporate | None = None
    payment_group_id: str | None = None


@upcasts("refund.requested.v1", to="refund.requested.v2")
@upcasts("refund.approval_requested.v1", to="refund.approval_requested.v2")
@upcasts("refund.recorded_externally.v2", to="refund.recorded_externally.v3")
def in_no_group(fact: dict[str, Any]) -> dict[str, Any]:
    """Before, a refund was in no payment group, even if its payment was."""
    return fact


@upcasts("refund.processed.v1", to="refund.processed.v2")
@upcasts("refund.recorded_externally.v1", to="refund.recorded_externally.v2")
def in_its_own_currency(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew no reporting currency."""
    return fact


@fact("refund.applied.v1")
class RefundApplied:
    """The refund was lined against what it gave back: a payment or a credit memo."""

    target_kind: str
    """`payment`, or `cm`: a credit memo."""
    target_id: str
    amount: Money


@fact("refund.reversed.v2")
class RefundReversed:
    """The money came back from the customer's bank."""

    amount: Money
    type: str
    """REFERENCED or UNREFERENCED."""
    target_kind: str
    """`payment`, or `cm`: a credit memo."""
    target_id: str
    raw_code: str | None = None
    corporate: Corporate | None = None


@upcasts("refund.reversed.v1", to="refund.reversed.v2")
def came_back_in_its_own_currency(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 did not say what came back in the reporting currency."""
    return fact


@fact("refund.canceled.v1")
class RefundCanceled:
    """It was given up before the gateway was asked."""

    reason: str | None = None


RefundEvent = (
    RefundRequested
    | RefundApprovalRequested
    | RefundApproved
    | RefundRejected
    | RefundPending
    | RefundHeldForReview
    | RefundOutcomeUnknown
    | RefundProcessed
    | RefundFailed
    | ExternalRefundRecorded
    | RefundApplied
    | RefundReversed
    | RefundCanceled
)
