"""A refund: money on its way back, reserved on its source from the moment it was asked for.

Invariant: a refund in flight or unknown holds exactly one reservation; once
processed it is lined in full; once failed it holds none of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from events.payout import RefundSettledByGateway
from events.refund import (
    ExternalRefundRecorded,
    RefundApplied,
    RefundApprovalRequested,
    RefundApproved,
    RefundCanceled,
    RefundEvent,
    RefundFailed,
    RefundHeldForReview,
    RefundOutcomeUnknown,
    RefundPending,
    RefundProcessed,
    RefundRejected,
    RefundRequested,
    RefundReversed,
)
from events.shapes import Method

IN_FLIGHT = frozenset({"REQUESTED", "PENDING", "REQUIRES_REVIEW", "INDETERMINATE"})


@dataclass(slots=True)
class Refund:
    KIND: ClassVar[str] = "refund"

    version: int = 0
    refund_id: str = ""
    number: str = ""
    account_id: str = ""
    type: str = ""
    """REFERENCED, UNREFERENCED or EXTERNAL."""
    status: str = ""
    """Empty, AWAITING_APPROVAL, REQUESTED, PENDING, INDETERMINATE, REQUIRES_REVIEW, PROCESSED, FAILED,
    CANCELED, REVERSED."""
    currency: str = ""
    amount: int = 0
    applied: int = 0
    reason_code: str = ""
    payment_id: str | None = None
    credit_memo_id: str | None = None
    orchestration_id: str | None = None
    leg_no: int | None = None
    attempt_no: int = 1
    operation_key: str = ""
    gateway_id: str | None = None
    gateway_ref: str | None = None
    method: Method | None = None
    source: str = ""
    """Of one that awaits its approval: UNAPPLIED, REOPEN_INVOICES or CREDIT_MEMO."""
    payment_method_id: str | None = None
    """The method that was asked for, where it is paid out of a memo."""
    payment_group_id: str | None = None
    requested_by: str = ""
    notes: str | None = None
    requested_at: datetime | None = None
    settled: int = 0
    """What its gateway has taken out of payouts for it."""
    settled_by: set[str] = field(default_factory=set[str])

    @property
    def in_flight(self) -> bool:
        return self.status in IN_FLIGHT

    @property
    def awaits_approval(self) -> bool:
        return self.status == "AWAITING_APPROVAL"

    @property
    def balance(self) -> int:
        """What was given back but not yet lined against what it gave back."""
        return self.amount - self.applied if self.status == "PROCESSED" else 0

    @property
    def open(self) -> bool:
        return self.in_flight or self.awaits_approval or self.balance != 0


_STATUS_AFTER = {
    RefundPending: "PENDING",
    RefundHeldForReview: "REQUIRES_REVIEW",
    RefundOutcomeUnknown: "INDETERMINATE",
    RefundFailed: "FAILED",
    RefundReversed: "REVERSED",
    RefundCanceled: "CANCELED",
    RefundRejected: "CANCELED",
}


def evolve(refund: Refund, event: RefundEvent | RefundSettledByGateway) -> None:
    match event:
        case RefundRequested():
            _request(refund, event)
        case RefundApprovalRequested():
            _ask(refund, event)
        case RefundApproved():
            pass  # it is requested in the same decision
        case RefundProcessed():
            refund.status, refund.gateway_ref = "PROCESSED", event.gateway_ref
            refund.amount = event.amount.amount_minor
        case RefundApplied():
            refund.applied += event.amount.amount_minor
        case ExternalRefundRecorded():
            _record(refund, event)
        case RefundSettledByGateway():
            refund.settled_by.add(event.line_id)
            refund.settled += event.amount.amount_minor - event.excess.amount_minor
        case _:
            refund.status = _STATUS_AFTER[type(event)]


def _request(refund: Refund, event: RefundRequested) -> None:
    refund.refund_id, refund.number, refund.type = event.refund_id, event.number, event.type
    refund.account_id, refund.status, refund.reason_code = event.account_id, "REQUESTED", event.reason_code
    refund.amount, refund.currency = event.amount.amount_minor, event.amount.currency
    refund.payment_id, refund.credit_memo_id = event.payment_id, event.credit_memo_id
    refund.orchestration_id, refund.leg_no, refund.attempt_no = (
        event.orchestration_id,
        event.leg_no,
        event.attempt_no,
    )
    refund.operation_key, refund.gateway_id = event.gateway_idempotency_key, event.gateway_id
    refund.method, refund.requested_at = event.method, event.requested_at


def _ask(refund: Refund, event: RefundApprovalRequested) -> None:
    refund.refund_id, refund.number, refund.type = event.refund_id, event.number, event.type
    refund.account_id, refund.status, refund.reason_code = (
        event.account_id,
        "AWAITING_APPROVAL",
        event.reason_code,
    )
    refund.amount, refund.currency = event.amount.amount_minor, event.amount.currency
    refund.payment_id, refund.credit_memo_id = event.payment_id, event.credit_memo_id
    refund.payment_method_id, refund.source = event.payment_method_id, event.source
    refund.payment_group_id = event.payment_group_id
    refund.requested_by, refund.notes, refund.requested_at = (
        event.requested_by,
        event.notes,
        event.requested_at,
    )


def _record(refund: Refund, event: ExternalRefundRecorded) -> None:
    refund.refund_id, refund.number, refund.type = event.refund_id, event.number, "EXTERNAL"
    refund.account_id, refund.status, refund.reason_code = event.account_id, "PROCESSED", event.reason_code
    refund.amount, refund.currency = event.amount.amount_minor, event.amount.currency
    refund.payment_id, refund.credit_memo_id = event.payment_id, event.credit_memo_id
    refund.orchestration_id, refund.leg_no = event.orchestration_id, event.leg_no
