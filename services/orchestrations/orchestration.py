"""A refund orchestration: how far a credit memo has come on its way to being refunds.

Invariant: every leg's money is reserved, under exactly one refund, until the leg has
succeeded or all of it was placed otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from events.orchestration import (
    ManualActionRequested,
    ManualActionResolved,
    OrchestrationEvent,
    RefundLegFailed,
    RefundLegFellBack,
    RefundLegPending,
    RefundLegRequested,
    RefundLegSucceeded,
    RefundOrchestrationCanceled,
    RefundOrchestrationCompleted,
    RefundOrchestrationFailed,
    RefundOrchestrationReopened,
    RefundOrchestrationRequested,
    RefundOrchestrationWaitingForPayment,
    RefundPlanExecuted,
    RefundPlanMade,
)

ENDED = frozenset({"COMPLETED", "COMPLETED_WITH_OPEN_CREDIT", "NO_REFUND_DUE", "CANCELED"})
OURS = frozenset({"REQUESTED", "FAILED"})
"""States of a leg in which the next step is ours."""
PLANNABLE = frozenset({"REQUESTED", "WAITING_FOR_PAYMENT", "FAILED"})


def holder(orchestration_id: str) -> str:
    """Who holds the locks of an orchestration."""
    return f"refunding:{orchestration_id}"


@dataclass(slots=True)
class Leg:
    no: int
    amount: int
    """What is still to be placed by this leg."""
    source_kind: str
    source_id: str
    refund_id: str
    attempt_no: int
    status: str = "REQUESTED"
    """REQUESTED, PENDING, SUCCEEDED, FAILED, MANUAL, FELL_BACK."""
    retry_at: datetime | None = None
    first_failed_at: datetime | None = None
    tried: tuple[str, ...] = ()
    """Fallbacks that were tried."""

    @property
    def settled(self) -> bool:
        return self.status in ("SUCCEEDED", "FELL_BACK")


@dataclass(slots=True)
class RefundOrchestration:
    KIND: ClassVar[str] = "ro"

    version: int = 0
    orchestration_id: str = ""
    credit_memo_id: str = ""
    original_invoice_id: str = ""
    account_id: str = ""
    status: str = ""
    """Empty, REQUESTED, WAITING_FOR_PAYMENT, FAILED, PLANNED, REFUNDING, AWAITING_GATEWAY, MANUAL_ACTION,
    or one of `ENDED`."""
    attempt: int = 0
    """Plans tried so far."""
    failures: int = 0
    """Of them, those that could not be made."""
    requested_at: datetime | None = None
    amount: int = 0
    currency: str = ""
    refunded: int = 0
    open_credit: int = 0
    legs: dict[int, Leg] = field(default_factory=dict[int, Leg])

    @property
    def open(self) -> bool:
        return bool(self.status) and self.status not in ENDED


def evolve(ro: RefundOrchestration, event: OrchestrationEvent) -> None:
    match event:
        case RefundOrchestrationRequested():
            _begin(ro, event)
        case RefundOrchestrationWaitingForPayment():
            ro.status, ro.attempt = "WAITING_FOR_PAYMENT", event.attempt
        case RefundPlanMade():
            ro.status, ro.attempt, ro.open_credit = "PLANNED", event.attempt, event.leftover.amount_minor
        case RefundPlanExecuted():
            ro.status = "REFUNDING"
        case RefundLegRequested():
            _request(ro, event)
        case RefundLegSucceeded():
            ro.legs[event.leg_no].status = "SUCCEEDED"
            ro.refunded += event.amount.amount_minor
            ro.status = _underway(ro)
        case RefundLegPending():
            ro.legs[event.leg_no].status = "PENDING"
            ro.status = _underway(ro)
        case RefundLegFailed():
            _fail(ro, event)
        case RefundLegFellBack():
            _fall_back(ro, event)
        case ManualActionRequested():
            ro.legs[event.leg_no].status = "MANUAL"
            ro.status = _underway(ro)
        case ManualActionResolved():
            ro.status = _underway(ro)
        case RefundOrchestrationCompleted():
            ro.status = event.status
        case RefundOrchestrationReopened():
            ro.status = "REFUNDING"
            ro.refunded -= event.amount.amount_minor
        case RefundOrchestrationFailed():
            ro.status, ro.attempt, ro.failures = "FAILED", event.attempt, ro.failures + 1
        case RefundOrchestrationCanceled():
            ro.status = "CANCELED"


def _underway(ro: RefundOrchestration) -> str:
    """What the legs wait for: a person, us, or the gateway."""
    waiting = {leg.status for leg in ro.legs.values()}
    if "MANUAL" in waiting:
        return "MANUAL_ACTION"
    return "AWAITING_GATEWAY" if "PENDING" in waiting and not waiting & OURS else "REFUNDING"


def _begin(ro: RefundOrchestration, event: RefundOrchestrationRequested) -> None:
    ro.orchestration_id, ro.credit_memo_id = event.orchestration_id, event.credit_memo_id
    ro.original_invoice_id, ro.account_id = event.original_invoice_id, event.account_id
    ro.status, ro.requested_at = "REQUESTED", event.requested_at
    ro.amount, ro.currency = event.amount.amount_minor, event.amount.currency


def _request(ro: RefundOrchestration, event: RefundLegRequested) -> None:
    known = ro.legs.get(event.leg_no)
    if known is None:
        amount = event.amount.amount_minor
        source = event.source_kind, event.source_id
        ro.legs[event.leg_no] = Leg(event.leg_no, amount, *source, event.refund_id, event.attempt_no)
    else:
        known.refund_id, known.attempt_no, known.status, known.retry_at = (
            event.refund_id,
            event.attempt_no,
            "REQUESTED",
            None,
        )
    ro.status = _underway(ro)


def _fail(ro: RefundOrchestration, event: RefundLegFailed) -> None:
    leg = ro.legs[event.leg_no]
    leg.status, leg.retry_at = "FAILED", event.retry_at
    leg.first_failed_at = leg.first_failed_at or event.failed_at
    ro.status = _underway(ro)


def _fall_back(ro: RefundOrchestration, event: RefundLegFellBack) -> None:
    leg = ro.legs[event.leg_no]
    leg.amount = event.remaining.amount_minor
    leg.tried = (*leg.tried, event.to_option)
    if leg.amount == 0:
        leg.status = "FELL_BACK"
        ro.status = _underway(ro)
    if event.to_option == "OPEN_CREDIT":
        ro.open_credit += event.amount.amount_minor
