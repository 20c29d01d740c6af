"""Refunds, and the orchestrations that make them: how far each is, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

import events.orchestration as orch
from events.orchestration import RefundOrchestrationRequested, RefundPlanMade
from events.payout import RefundSettledByGateway
from events.refund import (
    ExternalRefundRecorded,
    RefundApplied,
    RefundApprovalRequested,
    RefundApproved,
    RefundCanceled,
    RefundFailed,
    RefundHeldForReview,
    RefundOutcomeUnknown,
    RefundPending,
    RefundProcessed,
    RefundRejected,
    RefundRequested,
    RefundReversed,
)
from projections.payments import display
from projections.rates import CORPORATE, corporate, loss
from projections.table import INSTANT, JSON, TENANT, TEXT, Add, Column, Place, Row, Table, money, text

Own = Mapping[str, Any]

refunds = Table(
    "refunds",
    key=(TENANT, Column("refund_id", TEXT)),
    columns=(
        *text(
            "number",
            "account_id",
            "type",
            "status",
            "currency",
            "reason_code",
            "payment_id",
            "credit_memo_id",
        ),
        *money("amount", "lined"),
        *text("gateway_id", "gateway_ref", "method_display", "orchestration_id", "instrument", "reference"),
        *text("requested_by", "approved_by", "method_type", "payout_id", "settlement_currency"),
        *text("method_id", "notes", "payment_group_id"),
        Column("lines", JSON),
        *money("settled", "settled_excess"),
        *money("gateway_fee", currency="settlement_currency"),
        Column("leg_no", "int"),
        Column("attempt_no", "int"),
        *text("result_code", "category", "raw_code", "raw_message", "operation_key"),
        Column("requested_at", INSTANT),
        Column("processed_at", INSTANT),
        *CORPORATE,
        Column("came_back", JSON),
        Column("version", "int", 0),
    ),
    kind="refund",
    indexes=(("tenant_id", "account_id"), ("tenant_id", "status")),
)

orchestrations = Table(
    "refund_orchestrations",
    key=(TENANT, Column("orchestration_id", TEXT)),
    columns=(
        *text(
            "account_id", "credit_memo_id", "original_invoice_id", "negative_invoice_id", "trigger", "status"
        ),
        *text("currency", "reason"),
        *money("amount", "refund_target", "settled_open_balance", "refunded", "open_credit"),
        Column("plan", JSON),
        Column("legs", JSON),
        Column("steps", JSON),
        Column("requested_at", INSTANT),
        Column("version", "int", 0),
    ),
    kind="ro",
    indexes=(("tenant_id", "account_id"),),
)


@refunds.on(RefundRequested)
def requested(fact: RefundRequested, at: Place, own: Own) -> Iterable[Row]:
    names = ("number", "account_id", "type", "reason_code", "payment_id", "credit_memo_id", "gateway_id")
    more = ("orchestration_id", "leg_no", "attempt_no", "requested_at", "requested_by", "payment_group_id")
    yield Row(
        (at.tenant, at.id),
        {
            **{name: getattr(fact, name) for name in (*names, *more)},
            "status": "REQUESTED",
            "currency": fact.amount.currency,
            "amount": fact.amount.amount_minor,
            "method_display": display(fact.method),
            "method_type": fact.method.type,
            "method_id": fact.method.method_id,
            "notes": fact.notes,
            "operation_key": fact.gateway_idempotency_key,
        },
    )


@refunds.on(RefundApprovalRequested)
def approval_requested(fact: RefundApprovalRequested, at: Place, own: Own) -> Iterable[Row]:
    names = ("number", "account_id", "type", "reason_code", "payment_id", "credit_memo_id", "requested_at")
    yield Row(
        (at.tenant, at.id),
        {
            **{name: getattr(fact, name) for name in (*names, "requested_by", "notes", "payment_group_id")},
            "method_id": fact.payment_method_id,
            "status": "AWAITING_APPROVAL",
            "currency": fact.amount.currency,
            "amount": fact.amount.amount_minor,
        },
    )


@refunds.on(RefundSettledByGateway)
def settled(fact: RefundSettledByGateway, at: Place, own: Own) -> Iterable[Row]:
    amount, excess = fact.amount.amount_minor, fact.excess.amount_minor
    paid = {
        "settled": Add(amount - excess),
        "settled_excess": Add(excess),
        "gateway_fee": Add(fact.fee.amount_minor),
    }
    told = {"payout_id": fact.payout_id, "settlement_currency": fact.settled.currency}
    yield Row((at.tenant, at.id), {**told, **paid})


@refunds.on(RefundApproved)
def approved(fact: RefundApproved, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"approved_by": fact.by})


@refunds.on(ExternalRefundRecorded)
def recorded(fact: ExternalRefundRecorded, at: Place, own: Own) -> Iterable[Row]:
    names = (
        "number",
        "account_id",
        "reason_code",
        "payment_id",
        "credit_memo_id",
        "orchestration_id",
        "leg_no",
        "payment_group_id",
    )
    yield Row(
        (at.tenant, at.id),
        {
            **{name: getattr(fact, name) for name in (*names, "instrument", "reference")},
            "type": "EXTERNAL",
            "status": "PROCESSED",
            "currency": fact.amount.currency,
            "amount": fact.amount.amount_minor,
            "method_display": fact.instrument.lower(),
            "requested_at": at.time,
            "processed_at": at.time,
            **corporate(fact.corporate),
        },
    )


@refunds.on(RefundProcessed)
def processed(fact: RefundProcessed, at: Place, own: Own) -> Iterable[Row]:
    known = {
        "status": "PROCESSED",
        "result_code": "Success",
        "gateway_ref": fact.gateway_ref,
        "processed_at": at.time,
    }
    yield Row((at.tenant, at.id), {**known, **corporate(fact.corporate), "category": None, "raw_code": None})


@refunds.on(RefundFailed)
def failed(fact: RefundFailed, at: Place, own: Own) -> Iterable[Row]:
    kept = {name: getattr(fact, name) for name in ("result_code", "category", "raw_code", "raw_message")}
    yield Row((at.tenant, at.id), {**kept, "status": "FAILED"})


_STATUS = {
    RefundPending: "PENDING",
    RefundHeldForReview: "REQUIRES_REVIEW",
    RefundOutcomeUnknown: "INDETERMINATE",
    RefundCanceled: "CANCELED",
    RefundRejected: "CANCELED",
}


@refunds.on(*_STATUS)
def status(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"status": _STATUS[type(fact)]})


@refunds.on(RefundReversed)
def came_back(fact: RefundReversed, at: Place, own: Own) -> Iterable[Row]:
    gained = loss("REVERSED", fact.amount, fact.corporate)
    yield Row((at.tenant, at.id), {"status": "REVERSED", "came_back": gained})


@refunds.on(RefundApplied)
def lined(fact: RefundApplied, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    one = {"target_kind": fact.target_kind, "target_id": fact.target_id, "amount_minor": amount}
    known: list[dict[str, Any]] = own.get("lines") or []
    yield Row((at.tenant, at.id), {"lined": Add(amount), "lines": [*known, one]})


def _step(own: Own, at: Place, name: str, **more: Any) -> list[Any]:
    return [*(own.get("steps") or []), {"step": name, "at": at.time.isoformat(), **more}]


@orchestrations.on(RefundOrchestrationRequested)
def orchestration_requested(fact: RefundOrchestrationRequested, at: Place, own: Own) -> Iterable[Row]:
    names = (
        "account_id",
        "credit_memo_id",
        "original_invoice_id",
        "negative_invoice_id",
        "trigger",
        "requested_at",
    )
    yield Row(
        (at.tenant, at.id),
        {
            **{name: getattr(fact, name) for name in names},
            "status": "REQUESTED",
            "currency": fact.amount.currency,
            "amount": fact.amount.amount_minor,
            "legs": [],
            "steps": _step({}, at, "REQUESTED"),
        },
    )


@orchestrations.on(RefundPlanMade)
def planned(fact: RefundPlanMade, at: Place, own: Own) -> Iterable[Row]:
    candidates = [
        {
            "payment_id": c.payment_id,
            "applied_minor": c.applied.amount_minor,
            "refundable_minor": c.refundable.amount_minor,
            "eligible_minor": c.eligible.amount_minor,
            "reason_if_not": c.reason_if_not,
        }
        for c in fact.candidates
    ]
    selected = [
        {
            "payment_id": s.payment_id,
            "unapply_minor": s.unapply.amount_minor,
            "reapply_minor": s.reapply.amount_minor,
            "refund_minor": s.refund.amount_minor,
            "leg_no": s.leg_no,
        }
        for s in fact.selected
    ]
    yield Row(
        (at.tenant, at.id),
        {
            "status": "PLANNED",
            "refund_target": fact.refund_target.amount_minor,
            "settled_open_balance": fact.settled_open_balance.amount_minor,
            "plan": {
                "candidates": candidates,
                "selected": selected,
                "leftover_minor": fact.leftover.amount_minor,
            },
            "steps": _step(own, at, "PLANNED"),
        },
    )


@orchestrations.on(orch.RefundPlanExecuted)
def executed(fact: orch.RefundPlanExecuted, at: Place, own: Own) -> Iterable[Row]:
    yield Row(
        (at.tenant, at.id),
        {"status": "REFUNDING", "steps": _step(own, at, "REFUNDING")},
    )


@orchestrations.on(orch.RefundOrchestrationWaitingForPayment)
def waiting(fact: orch.RefundOrchestrationWaitingForPayment, at: Place, own: Own) -> Iterable[Row]:
    steps = _step(own, at, "WAITING_FOR_PAYMENT", payments=list(fact.payment_ids), behind=fact.behind)
    changes = {"status": "WAITING_FOR_PAYMENT", "steps": steps}
    yield Row((at.tenant, at.id), changes)


@orchestrations.on(orch.RefundLegRequested)
def leg_requested(fact: orch.RefundLegRequested, at: Place, own: Own) -> Iterable[Row]:
    leg = {
        "leg_no": fact.leg_no,
        "refund_id": fact.refund_id,
        "amount_minor": fact.amount.amount_minor,
        "source": f"{fact.source_kind}-{fact.source_id}",
        "attempt_no": fact.attempt_no,
        "option": fact.option,
        "status": "REQUESTED",
    }
    others = [known for known in _legs(own) if known["leg_no"] != fact.leg_no]
    legs = sorted([*others, leg], key=itemgetter("leg_no"))
    yield Row((at.tenant, at.id), _moved(legs))


def _with_leg(own: Own, leg_no: int, **changes: Any) -> list[Any]:
    return [known | changes if known["leg_no"] == leg_no else known for known in _legs(own)]


def _legs(own: Own) -> list[dict[str, Any]]:
    return own["legs"] or []


@orchestrations.on(orch.RefundLegSucceeded)
def leg_succeeded(fact: orch.RefundLegSucceeded, at: Place, own: Own) -> Iterable[Row]:
    changes = {
        "refunded": Add(fact.amount.amount_minor),
        **_moved(_with_leg(own, fact.leg_no, status="SUCCEEDED")),
    }
    yield Row((at.tenant, at.id), changes)


def _moved(legs: list[dict[str, Any]]) -> dict[str, Any]:
    """The legs, and what they wait for: a person, us, or the gateway."""
    waiting = {leg["status"] for leg in legs}
    if "MANUAL" in waiting:
        return {"legs": legs, "status": "MANUAL_ACTION"}
    gateways = "PENDING" in waiting and not waiting & {"REQUESTED", "FAILED"}
    return {"legs": legs, "status": "AWAITING_GATEWAY" if gateways else "REFUNDING"}


@orchestrations.on(orch.RefundLegPending)
def leg_pending(fact: orch.RefundLegPending, at: Place, own: Own) -> Iterable[Row]:
    legs = _with_leg(own, fact.leg_no, status="PENDING", pending=fact.reason)
    steps = _step(own, at, "AWAITING_GATEWAY", leg_no=fact.leg_no, pending=fact.reason)
    yield Row((at.tenant, at.id), {**_moved(legs), "steps": steps})


@orchestrations.on(orch.RefundLegFailed)
def leg_failed(fact: orch.RefundLegFailed, at: Place, own: Own) -> Iterable[Row]:
    retry_at = fact.retry_at.isoformat() if fact.retry_at else None
    legs = _with_leg(
        own, fact.leg_no, status="FAILED", error=fact.raw_code, category=fact.category, retry_at=retry_at
    )
    yield Row((at.tenant, at.id), _moved(legs))


@orchestrations.on(orch.RefundLegFellBack)
def leg_fell_back(fact: orch.RefundLegFellBack, at: Place, own: Own) -> Iterable[Row]:
    left = fact.remaining.amount_minor
    placed = {"status": "FELL_BACK"} if left == 0 else {}
    legs = _with_leg(own, fact.leg_no, remaining_minor=left, fallback=fact.to_option, **placed)
    steps = _step(
        own, at, f"FALLBACK {fact.to_option}", leg_no=fact.leg_no, amount_minor=fact.amount.amount_minor
    )
    yield Row((at.tenant, at.id), {**_moved(legs), "steps": steps})


@orchestrations.on(orch.ManualActionRequested, orch.ManualActionResolved)
def manual(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    asked = isinstance(fact, orch.ManualActionRequested)
    status = "MANUAL_ACTION" if asked else "REFUNDING"
    legs = _with_leg(own, fact.leg_no, status="MANUAL") if asked else own["legs"]
    yield Row(
        (at.tenant, at.id),
        {"status": status, "legs": legs, "steps": _step(own, at, status)},
    )


@orchestrations.on(orch.RefundOrchestrationCompleted)
def completed(fact: orch.RefundOrchestrationCompleted, at: Place, own: Own) -> Iterable[Row]:
    yield Row(
        (at.tenant, at.id),
        {
            "status": fact.status,
            "open_credit": fact.open_credit.amount_minor,
            "reason": fact.reason,
            "steps": _step(own, at, fact.status),
        },
    )


@orchestrations.on(orch.RefundOrchestrationReopened)
def orchestration_reopened(fact: orch.RefundOrchestrationReopened, at: Place, own: Own) -> Iterable[Row]:
    changes = {
        "status": "REFUNDING",
        "refunded": Add(-fact.amount.amount_minor),
        "steps": _step(own, at, "REOPENED"),
    }
    yield Row((at.tenant, at.id), changes)


@orchestrations.on(orch.RefundOrchestrationFailed, orch.RefundOrchestrationCanceled)
def orchestration_ended(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    status = "FAILED" if isinstance(fact, orch.RefundOrchestrationFailed) else "CANCELED"
    changes = {"status": status, "reason": fact.reason, "steps": _step(own, at, status)}
    yield Row((at.tenant, at.id), changes)


TABLES = (refunds, orchestrations)
