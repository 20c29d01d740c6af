"""What can happen to a refund orchestration (stream `ro-{id}`): a credit memo becomes refunds."""

from __future__ import annotations

from datetime import datetime

from events.catalog import fact
from events.frozen import frozen
from events.money import Money


@frozen
class Candidate:
    """A payment that was looked at for the plan, and why it could not serve, if it could not."""

    payment_id: str
    applied: Money
    """What of it settles the original invoice."""
    refundable: Money
    """What of it may still be refunded."""
    eligible: Money
    """How much the plan may take of it: the smaller of the two."""
    reason_if_not: str | None = None
    """Why it cannot serve; nothing, if it can."""


@frozen
class Selected:
    payment_id: str
    unapply: Money
    """What is taken off the original invoice."""
    reapply: Money
    """What of that was too much, and is applied to it again."""
    refund: Money
    """What is given back."""
    refund_id: str
    leg_no: int
    """The leg that refunds it, from 1 on."""


@frozen
class ReservedMoney:
    """Reserved money of a leg: on a payment, or on the credit memo itself."""

    kind: str
    """payment or cm."""
    id: str
    """The id of the payment, or of the credit memo."""
    amount: Money


@fact("refund_orchestration.requested.v1")
class RefundOrchestrationRequested:
    """A credit memo's money is to go back to how its original invoice was paid."""

    orchestration_id: str
    credit_memo_id: str
    original_invoice_id: str
    """The invoice whose payments are refunded."""
    account_id: str
    amount: Money
    trigger: str
    """AUTOMATIC or MANUAL."""
    requested_at: datetime
    negative_invoice_id: str | None = None
    """The negative invoice that the memo was converted from."""


@fact("refund_orchestration.waiting_for_payment.v1")
class RefundOrchestrationWaitingForPayment:
    """A payment aimed at the original invoice is still on its way, or another orchestration is live."""

    attempt: int
    """Which attempt at a plan, from 1 on."""
    payment_ids: tuple[str, ...]
    """The payments whose outcome is awaited."""
    behind: str | None = None
    """The orchestration of the same invoice that goes first."""


@fact("refund_orchestration.plan_made.v1")
class RefundPlanMade:
    """Which payments are refunded, how much of each, and what is left as open credit."""

    attempt: int
    """Which attempt at a plan, from 1 on."""
    refund_target: Money
    """What is left of the memo after it has settled what was open."""
    settled_open_balance: Money
    """What of the memo settled what the original invoice still owed."""
    candidates: tuple[Candidate, ...]
    """All payments that the original invoice was settled with."""
    selected: tuple[Selected, ...]
    """The payments that are refunded."""
    leftover: Money
    """What no payment can give back: it stays on the memo as open credit."""


@fact("refund_orchestration.plan_executed.v1")
class RefundPlanExecuted:
    """The plan's legs were begun; so much of the memo settled what was still owed first."""

    credit_applied: Money
    """What of the memo settles the original invoice in place of the payments."""


@fact("refund_orchestration.leg_requested.v1")
class RefundLegRequested:
    """One refund of the plan was issued."""

    leg_no: int
    attempt_no: int
    refund_id: str
    amount: Money
    source_kind: str
    """payment or cm."""
    source_id: str
    """The id of the payment, or of the credit memo, that the money is taken from."""
    option: str = "ORIGINAL"
    """ORIGINAL, RETRY, OTHER_PAYMENT or UNREFERENCED."""


@fact("refund_orchestration.leg_pending.v1")
class RefundLegPending:
    """The gateway has the refund, or may have it, and its final word is awaited; the money stays reserved."""

    leg_no: int
    refund_id: str
    reason: str
    """PENDING, INDETERMINATE or REQUIRES_REVIEW: the state of the refund."""


@fact("refund_orchestration.leg_succeeded.v1")
class RefundLegSucceeded:
    """Its money went back."""

    leg_no: int
    refund_id: str
    amount: Money


@fact("refund_orchestration.leg_failed.v1")
class RefundLegFailed:
    """The leg keeps its reservation until a retry or a fallback moves or releases it."""

    leg_no: int
    attempt_no: int
    refund_id: str
    amount: Money
    hard: bool
    category: str
    raw_code: str | None
    failed_at: datetime
    retry_at: datetime | None
    """When the same payment is tried again; nothing means: on to the fallbacks."""
    reversed: bool = False
    """The refund had succeeded, and came back from the bank."""


@fact("refund_orchestration.leg_fell_back.v1")
class RefundLegFellBack:
    """It failed: its money is placed otherwise, or in part."""

    leg_no: int
    from_option: str
    """What has failed: ORIGINAL, or the fallback before."""
    to_option: str
    """OTHER_PAYMENT, UNREFERENCED, MANUAL or OPEN_CREDIT."""
    reason: str
    amount: Money
    """How much of the leg went this way."""
    remaining: Money
    """How much of the leg is still to be placed."""
    new_leg_no: int | None = None
    """The leg that takes its place, where one does."""
    payment_id: str | None = None
    """The payment that it is refunded from instead."""


@fact("refund_orchestration.manual_action_requested.v1")
class ManualActionRequested:
    """Nothing automatic is left for a leg: a person must decide."""

    leg_no: int
    amount: Money
    reason: str


@fact("refund_orchestration.manual_action_resolved.v1")
class ManualActionResolved:
    """What a person did about a leg."""

    leg_no: int
    resolution: str
    """REFUNDED_EXTERNALLY or OPEN_CREDIT."""
    note: str
    refund_id: str | None = None
    """The external refund that was recorded for it."""


@fact("refund_orchestration.completed.v1")
class RefundOrchestrationCompleted:
    """Every leg is at an end: what was refunded, and what is left as open credit."""

    status: str
    """COMPLETED, COMPLETED_WITH_OPEN_CREDIT or NO_REFUND_DUE."""
    refunded: Money
    """What went back to the customer."""
    open_credit: Money
    """What is left of the memo, for later invoices."""
    reason: str | None = None


@fact("refund_orchestration.reopened.v1")
class RefundOrchestrationReopened:
    """A refund that had succeeded came back after the end: its leg is placed anew."""

    leg_no: int
    amount: Money


@fact("refund_orchestration.failed.v1")
class RefundOrchestrationFailed:
    """No plan could be made, and nothing moved: it is tried again, and can be canceled."""

    reason: str
    attempt: int
    """Which attempt at a plan, from 1 on."""


@fact("refund_orchestration.canceled.v1")
class RefundOrchestrationCanceled:
    """It was given up before money moved: the memo is open credit."""

    reason: str | None = None


OrchestrationEvent = (
    RefundOrchestrationRequested
    | RefundOrchestrationWaitingForPayment
    | RefundPlanMade
    | RefundPlanExecuted
    | RefundLegRequested
    | RefundLegPending
    | RefundLegSucceeded
    | RefundLegFailed
    | RefundLegFellBack
    | ManualActionRequested
    | ManualActionResolved
    | RefundOrchestrationCompleted
    | RefundOrchestrationReopened
    | RefundOrchestrationFailed
    | RefundOrchestrationCanceled
)
