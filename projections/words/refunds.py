"""Money that goes back, in words: refunds and their orchestration."""

from __future__ import annotations

from typing import Any

from events import orchestration as ro
from events import refund as ref
from projections.words.plain import (
    Words,
    because,
    failed,
    held_for_review,
    plain,
    told_later,
    unknown,
)


def _asked_back(fact: ref.RefundRequested) -> str:
    source = fact.payment_id and f" of payment {fact.payment_id}"
    why = plain(fact.reason_code)
    return f"Refund {fact.number} of {fact.amount}{source or ''} asked of {fact.gateway_id}: {why}"


def _planned(fact: ro.RefundPlanMade) -> str:
    if not fact.selected:
        return f"No payment can give {fact.refund_target} back; {fact.leftover} stays open credit"
    parts = ", ".join(f"{one.refund} from payment {one.payment_id}" for one in fact.selected)
    settled = fact.settled_open_balance
    first = f"; {settled} settles what is open" if settled.amount_minor else ""
    return f"Planned to give {fact.refund_target} back: {parts}{first}; {fact.leftover} stays open credit"


def _fell_back(fact: ro.RefundLegFellBack) -> str:
    before, now = plain(fact.from_option), plain(fact.to_option)
    return f"{fact.amount} cannot go back by {before} ({fact.reason}): now {now}"


def _outside(fact: ref.ExternalRefundRecorded) -> str:
    source = fact.payment_id and f" of payment {fact.payment_id}"
    paid = f"paid by {plain(fact.instrument)} on {fact.paid_on}"
    return f"Refund {fact.number} of {fact.amount}{source or ''} {paid}: {fact.reference}"


def _kind(target_kind: str) -> str:
    """As a person calls what streams call `cm`."""
    return "credit memo" if target_kind == "cm" else plain(target_kind)


WORDS: dict[type[Any], Words] = {
    ref.RefundRequested: _asked_back,
    ref.RefundProcessed: lambda f: (
        f"{f.amount} refunded, told by {plain(f.source)}{', late' if f.late else ''}"
    ),
    ref.RefundFailed: failed("Refund"),
    ref.RefundOutcomeUnknown: unknown("refund"),
    ref.RefundReversed: lambda f: f"Refund of {f.amount} came back{because(f.raw_code)}",
    ro.RefundOrchestrationRequested: lambda f: (
        f"Credit memo {f.credit_memo_id} of {f.amount} shall go back to who paid "
        f"invoice {f.original_invoice_id}"
    ),
    ro.RefundPlanMade: _planned,
    ro.RefundPlanExecuted: lambda f: f"Plan carried out: {f.credit_applied} of credit applied to the invoice",
    ro.RefundLegRequested: lambda f: (
        f"Leg {f.leg_no}: {f.amount} from {plain(f.source_kind)} {f.source_id}, by {plain(f.option)}, "
        f"attempt {f.attempt_no}"
    ),
    ro.RefundLegSucceeded: lambda f: f"Leg {f.leg_no}: {f.amount} refunded",
    ro.RefundLegFailed: lambda f: f"Leg {f.leg_no}: {f.amount} not refunded, {plain(f.category)}",
    ro.RefundLegFellBack: _fell_back,
    ro.RefundOrchestrationCompleted: lambda f: (
        f"{plain(f.status).capitalize()}: {f.refunded} refunded, {f.open_credit} open credit"
    ),
    ref.RefundApprovalRequested: lambda f: (
        f"Refund {f.number} of {f.amount} wants approval: it is above {f.threshold}"
    ),
    ref.RefundApproved: lambda f: f"Approved by {f.by}",
    ref.RefundRejected: lambda f: f"Refused by {f.by}{because(f.reason)}",
    ref.RefundPending: told_later,
    ref.RefundHeldForReview: held_for_review,
    ref.ExternalRefundRecorded: _outside,
    ref.RefundApplied: lambda f: f"{f.amount} counted as given back of {_kind(f.target_kind)} {f.target_id}",
    ref.RefundCanceled: lambda f: f"Given up{because(f.reason)}",
    ro.RefundOrchestrationWaitingForPayment: lambda f: (
        f"It waits for what is on its way: {', '.join(f.payment_ids)}"
    ),
    ro.RefundLegPending: lambda f: f"Leg {f.leg_no}: refund {f.refund_id} is on its way, {plain(f.reason)}",
    ro.ManualActionRequested: lambda f: f"Leg {f.leg_no}: a person must place {f.amount}, {f.reason}",
    ro.ManualActionResolved: lambda f: f"Leg {f.leg_no}: {plain(f.resolution)}{because(f.note)}",
    ro.RefundOrchestrationReopened: lambda f: f"Leg {f.leg_no} came back: {f.amount} is to be placed again",
    ro.RefundOrchestrationFailed: lambda f: f"Not carried out: {f.reason}",
    ro.RefundOrchestrationCanceled: lambda f: f"Given up{because(f.reason)}",
}  # fmt: skip
