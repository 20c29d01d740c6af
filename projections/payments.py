"""Payments: what was asked for, what arrived, and where it is now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from events.payment import (
    ChargebackHoldRaised,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    DraftPaymentDeleted,
    DraftPaymentEdited,
    ExternalPaymentDrafted,
    ExternalPaymentRecorded,
    PaymentActionRequired,
    PaymentApplied,
    PaymentBegunByLink,
    PaymentCanceled,
    PaymentEnhancedDataRejected,
    PaymentFailed,
    PaymentHeldForReview,
    PaymentOutcomeUnknown,
    PaymentOverdraftReduced,
    PaymentOverdraftWrittenOff,
    PaymentPending,
    PaymentProcessed,
    PaymentRequested,
    PaymentReturned,
    PaymentUnapplied,
    RefundAppliedToPayment,
    RefundReservationReleased,
    RefundReservedOnPayment,
    RefundReversedOnPayment,
)
from events.payout import PaymentSettledByGateway, PaymentTakenBackByGateway
from events.shapes import ActionRequired
from projections.rates import CORPORATE, corporate, loss
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

payments = Table(
    "payments",
    key=(TENANT, Column("payment_id", TEXT)),
    columns=(
        *text("number", "account_id", "type", "status", "currency"),
        *money("amount", "received", "applied", "unapplied", "refunded", "refund_reserved", "refundable"),
        *money("dispute_held", "disputed_lost", "returned", "overdrawn", "transfer_reserved", "transferred"),
        *text("gateway_id", "gateway_ref", "method_id", "method_type", "method_display", "initiation"),
        *text(
            "result_code",
            "category",
            "raw_code",
            "raw_message",
            "authorization_id",
            "instrument",
            "reference",
        ),
        Column("hard", FLAG, False),
        Column("in_flight", FLAG, False),
        Column("has_dispute", FLAG, False),
        *text("from_account_id", "from_payment_id", "legal_entity_id", "payment_group_id"),
        *text("initiation_source_id", "payment_schedule_id", "item_id"),
        Column("transfers", JSON),
        Column("intended", JSON),
        Column("requested_at", INSTANT),
        Column("processed_at", INSTANT),
        *text("operation_key", "payout_id", "settlement_currency", "payment_link_id"),
        *money("settled", "settled_excess", "taken_back_by_gateway"),
        *money("settlement_amount", "gateway_fee", currency="settlement_currency"),
        *CORPORATE,
        Column("losses", JSON),
        *text("action_type", "action_url", "client_context"),
        Column("parameters", JSON),
        Column("level_sent", "int"),
        *text("network_advice", "auth_code", "network_transaction_id"),
        Column("attempt_no", "int"),
        Column("gateway_date", INSTANT),
        Column("received_on", DAY),
        Column("retry_not_before", INSTANT),
        Column("version", "int", 0),
    ),
    kind="payment",
    indexes=(("tenant_id", "account_id"), ("tenant_id", "status")),
)


def display(method: Any) -> str:
    """`visa •••• 4242`: what a person recognizes the instrument by."""
    return f"{method.network or method.type} •••• {method.last4}" if method.last4 else method.type


@payments.on(PaymentRequested)
def requested(fact: PaymentRequested, at: Place, own: Own) -> Iterable[Row]:
    intended = [
        {"invoice_id": i.invoice_id, "amount_minor": (i.amount or fact.amount).amount_minor}
        for i in fact.intended_applications
    ]
    yield Row(
        (at.tenant, at.id),
        {
            "number": fact.number,
            "account_id": fact.account_id,
            "type": fact.type,
            "status": "REQUESTED",
            "currency": fact.amount.currency,
            "amount": fact.amount.amount_minor,
            "gateway_id": fact.gateway_id,
            "method_id": fact.method.method_id,
            "method_type": fact.method.type,
            "method_display": display(fact.method),
            "initiation": fact.initiation,
            "authorization_id": fact.authorization_id,
            "in_flight": True,
            "intended": intended,
            "requested_at": fact.requested_at,
            "operation_key": fact.gateway_idempotency_key,
            "attempt_no": fact.attempt_no,
            "legal_entity_id": fact.legal_entity_id,
            "payment_group_id": fact.payment_group_id,
            "initiation_source_id": fact.initiation_source_id,
            "payment_schedule_id": fact.schedule_item.payment_schedule_id if fact.schedule_item else None,
            "item_id": fact.schedule_item.item_id if fact.schedule_item else None,
            **({"client_context": fact.client_context} if fact.client_context else {}),
        },
    )


@payments.on(PaymentBegunByLink)
def begun_by_link(fact: PaymentBegunByLink, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"payment_link_id": fact.payment_link_id})


@payments.on(ExternalPaymentRecorded)
def recorded(fact: ExternalPaymentRecorded, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    yield Row(
        (at.tenant, at.id),
        {
            "number": fact.number,
            "account_id": fact.account_id,
            "type": "EXTERNAL",
            "status": "PROCESSED",
            "currency": fact.amount.currency,
            "amount": amount,
            "received": amount,
            "unapplied": amount,
            "refundable": amount,
            "instrument": fact.instrument,
            "method_display": fact.instrument.lower(),
            "reference": fact.reference,
            "requested_at": fact.recorded_at,
            "processed_at": fact.recorded_at,
            "received_on": fact.received_on,
            "legal_entity_id": fact.legal_entity_id,
            "payment_group_id": fact.payment_group_id,
            **corporate(fact.corporate),
        },
    )


@payments.on(ExternalPaymentDrafted, DraftPaymentEdited)
def drafted(fact: ExternalPaymentDrafted | DraftPaymentEdited, at: Place, own: Own) -> Iterable[Row]:
    said = {
        "currency": fact.amount.currency,
        "amount": fact.amount.amount_minor,
        "instrument": fact.instrument,
        "method_display": fact.instrument.lower(),
        "reference": fact.reference,
        "received_on": fact.received_on,
    }
    if isinstance(fact, ExternalPaymentDrafted):
        said |= {"number": fact.number, "account_id": fact.account_id, "type": "EXTERNAL", "status": "DRAFT"}
        said |= {"legal_entity_id": fact.legal_entity_id, "payment_group_id": fact.payment_group_id}
    yield Row((at.tenant, at.id), said)


@payments.on(DraftPaymentDeleted)
def draft_deleted(fact: DraftPaymentDeleted, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {"status": "DELETED"})


@payments.on(PaymentProcessed)
def processed(fact: PaymentProcessed, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.processed_amount.amount_minor
    yield Row(
        (at.tenant, at.id),
        {
            "status": "PROCESSED",
            "amount": amount,
            "received": amount,
            "unapplied": amount,
            "refundable": amount,
            "gateway_ref": fact.gateway_ref,
            "gateway_date": fact.gateway_date,
            "auth_code": fact.auth_code,
            "network_transaction_id": fact.network_transaction_id,
            "result_code": "Success",
            "category": None,
            "raw_code": None,
            "in_flight": False,
            "processed_at": at.time,
            **nothing_asked(own),
            **corporate(fact.corporate),
            **({"level_sent": fact.level_sent} if fact.level_sent else {}),
        },
    )


@payments.on(PaymentFailed)
def failed(fact: PaymentFailed, at: Place, own: Own) -> Iterable[Row]:
    kept = {
        name: getattr(fact, name) for name in ("result_code", "category", "raw_code", "raw_message", "hard")
    }
    if fact.retry_after_seconds:
        until = at.time + timedelta(seconds=fact.retry_after_seconds)
        kept |= {"network_advice": fact.network_advice, "retry_not_before": until}
    yield Row((at.tenant, at.id), {**kept, **nothing_asked(own), "status": "FAILED", "in_flight": False})


_STATUS = {
    PaymentPending: "PENDING",
    PaymentActionRequired: "REQUIRES_ACTION",
    PaymentHeldForReview: "REQUIRES_REVIEW",
    PaymentOutcomeUnknown: "INDETERMINATE",
}


@payments.on(*_STATUS)
def waiting(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    asked = asked_of(fact.action) if isinstance(fact, PaymentActionRequired) else {}
    yield Row((at.tenant, at.id), {**asked, "status": _STATUS[type(fact)]})


@payments.on(PaymentEnhancedDataRejected)
def sent_again(fact: PaymentEnhancedDataRejected, at: Place, own: Own) -> Iterable[Row]:
    again = {"status": "REQUESTED", "operation_key": fact.gateway_idempotency_key}
    yield Row((at.tenant, at.id), {**nothing_asked(own), **again})


def nothing_asked(own: Own) -> dict[str, Any]:
    """What the customer was asked to do is of no use to anybody any more."""
    return {"action_type": None, "action_url": None, "parameters": None} if own.get("action_type") else {}


def asked_of(asked: ActionRequired | None) -> dict[str, Any]:
    """What the customer is asked to do; the parameters are of use to him alone."""
    if asked is None:
        return {}
    return {"action_type": asked.type, "action_url": asked.url, "parameters": asked.parameters}


@payments.on(PaymentApplied, PaymentUnapplied)
def applied(fact: PaymentApplied | PaymentUnapplied, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.total.amount_minor if isinstance(fact, PaymentApplied) else -fact.total.amount_minor
    changes = {"applied": Add(amount), "unapplied": fact.unapplied.amount_minor}
    yield Row((at.tenant, at.id), changes)


@payments.on(RefundReservedOnPayment, RefundReservationReleased)
def reserved(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    amount = (
        fact.amount.amount_minor if isinstance(fact, RefundReservedOnPayment) else -fact.amount.amount_minor
    )
    moved = {"refund_reserved": Add(amount), "unapplied": Add(-amount), "refundable": Add(-amount)}
    yield Row((at.tenant, at.id), moved)


@payments.on(RefundAppliedToPayment)
def refunded(fact: RefundAppliedToPayment, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    source = (
        {"refund_reserved": Add(-amount)}
        if fact.reserved
        else {"unapplied": Add(-amount), "refundable": Add(-amount)}
    )
    yield Row((at.tenant, at.id), {"refunded": Add(amount), **source})


@payments.on(RefundReversedOnPayment)
def refund_reversed(fact: RefundReversedOnPayment, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    moved = {"refunded": Add(-amount), "unapplied": Add(amount), "refundable": Add(amount)}
    yield Row((at.tenant, at.id), moved)


@payments.on(PaymentReturned)
def returned(fact: PaymentReturned, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.returned.amount_minor
    moved = {"returned": Add(amount), "unapplied": Add(-amount), "refundable": Add(-amount)}
    why = {"category": fact.category, "raw_code": fact.code, "hard": fact.hard}
    owed = {"status": "RETURNED", "overdrawn": Add(fact.overdrawn.amount_minor)}
    lost = loss("RETURNED", fact.returned + fact.overdrawn, fact.corporate)
    yield Row((at.tenant, at.id), {**moved, **why, **owed, "losses": _losses(own, lost)})


def _losses(own: Own, lost: dict[str, Any]) -> list[dict[str, Any]]:
    return [*(own.get("losses") or []), lost]


@payments.on(PaymentOverdraftReduced)
def overdraft_reduced(fact: PaymentOverdraftReduced, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    bucket = "returned" if own["status"] == "RETURNED" else "disputed_lost"
    moved = {bucket: Add(amount), "unapplied": Add(-amount), "refundable": Add(-amount)}
    yield Row((at.tenant, at.id), {**moved, "overdrawn": Add(-amount)})


@payments.on(PaymentOverdraftWrittenOff)
def written_off(fact: PaymentOverdraftWrittenOff, at: Place, own: Own) -> Iterable[Row]:
    changes = {"overdrawn": Add(-fact.amount.amount_minor)}
    yield Row((at.tenant, at.id), changes)


@payments.on(ChargebackOpened)
def disputed(fact: ChargebackOpened, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.held.amount_minor
    moved = {"dispute_held": Add(amount), "unapplied": Add(-amount), "refundable": Add(-amount)}
    yield Row((at.tenant, at.id), {**moved, "has_dispute": True})


@payments.on(ChargebackHoldRaised)
def more_is_disputed(fact: ChargebackHoldRaised, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.held.amount_minor
    moved = {"dispute_held": Add(amount), "unapplied": Add(-amount), "refundable": Add(-amount)}
    yield Row((at.tenant, at.id), moved)


@payments.on(ChargebackWon)
def dispute_won(fact: ChargebackWon, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.released.amount_minor
    moved = {"dispute_held": Add(-amount), "unapplied": Add(amount), "refundable": Add(amount)}
    left = own["dispute_held"] > amount
    yield Row((at.tenant, at.id), {**moved, "has_dispute": left})


@payments.on(ChargebackLost)
def dispute_lost(fact: ChargebackLost, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.lost.amount_minor
    moved = {"dispute_held": Add(-amount), "disputed_lost": Add(amount)}
    owed = {"overdrawn": Add(fact.overdrawn.amount_minor), "has_dispute": own["dispute_held"] > amount}
    lost = loss("CHARGED_BACK", fact.lost + fact.overdrawn, fact.corporate)
    yield Row((at.tenant, at.id), {**moved, **owed, "losses": _losses(own, lost)})


@payments.on(PaymentSettledByGateway)
def settled(fact: PaymentSettledByGateway, at: Place, own: Own) -> Iterable[Row]:
    amount, excess = fact.amount.amount_minor, fact.excess.amount_minor
    told = {"payout_id": fact.payout_id, "settlement_currency": fact.settled.currency}
    paid = {
        "settled": Add(amount - excess),
        "settled_excess": Add(excess),
        "settlement_amount": Add(fact.settled.amount_minor),
        "gateway_fee": Add(fact.fee.amount_minor),
    }
    yield Row((at.tenant, at.id), {**told, **paid})


@payments.on(PaymentTakenBackByGateway)
def taken_back(fact: PaymentTakenBackByGateway, at: Place, own: Own) -> Iterable[Row]:
    moved = {"taken_back_by_gateway": Add(fact.amount.amount_minor)}
    fee = {"gateway_fee": Add(fact.fee.amount_minor), "settlement_currency": fact.fee.currency}
    yield Row((at.tenant, at.id), {**moved, **fee})


@payments.on(PaymentCanceled)
def canceled(fact: PaymentCanceled, at: Place, own: Own) -> Iterable[Row]:
    nothing = {"received": 0, "unapplied": 0, "refundable": 0, "in_flight": False}
    lost = loss("CANCELED", fact.amount, fact.corporate)
    yield Row((at.tenant, at.id), {**nothing, "status": "CANCELED", "losses": _losses(own, lost)})


TABLES = (payments,)
