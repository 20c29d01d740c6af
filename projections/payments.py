"""Payments and authorizations: what was asked for, what arrived, and where it is now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from events import authorization as auth
from events.authorization import AuthorizationRecorded, AuthorizationRequested, PaymentAuthorized
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
from projections.rates import CORPORATE, corporate
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

authorizations = Table(
    "authorizations",
    key=(TENANT, Column("authorization_id", TEXT)),
    columns=(
        *text("number", "account_id", "status", "currency", "gateway_id", "gateway_ref", "method_display"),
        *text("initiation", "initiation_source_id"),
        *text("payment_group_id", "method_id", "processing_mode", "auth_code", "network_transaction_id"),
        Column("effective_at", INSTANT),
        *money("amount", "captured", "reversed", "in_flight", "balance"),
        Column("expires_at", INSTANT),
        Column("requested_at", INSTANT),
        *text("category", "raw_code", "avs_code", "cvc_code", "gateway_ref_details"),
        *CORPORATE,
        *text("action_type", "action_url", "client_context"),
        Column("parameters", JSON),
        Column("adjustments", JSON),
        Column("version", "int", 0),
    ),
    kind="auth",
    indexes=(("tenant_id", "account_id"),),
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
            **_done(own),
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
    yield Row((at.tenant, at.id), {**kept, **_done(own), "status": "FAILED", "in_flight": False})


_STATUS = {
    PaymentPending: "PENDING",
    PaymentActionRequired: "REQUIRES_ACTION",
    PaymentHeldForReview: "REQUIRES_REVIEW",
    PaymentOutcomeUnknown: "INDETERMINATE",
}


@payments.on(*_STATUS)
def waiting(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    asked = _action(fact.action) if isinstance(fact, PaymentActionRequired) else {}
    yield Row((at.tenant, at.id), {**asked, "status": _STATUS[type(fact)]})


@payments.on(PaymentEnhancedDataRejected)
@authorizations.on(auth.AuthorizationEnhancedDataRejected)
def sent_again(
    fact: PaymentEnhancedDataRejected | auth.AuthorizationEnhancedDataRejected, at: Place, own: Own
) -> Iterable[Row]:
    under = (
        {"operation_key": fact.gateway_idempotency_key}
        if isinstance(fact, PaymentEnhancedDataRejected)
        else {}
    )
    yield Row((at.tenant, at.id), {**under, **_done(own), "status": "REQUESTED"})


def _done(own: Own) -> dict[str, Any]:
    """What the customer was asked to do is of no use to anybody any more."""
    return {"action_type": None, "action_url": None, "parameters": None} if own.get("action_type") else {}


def _action(asked: ActionRequired | None) -> dict[str, Any]:
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
    yield Row((at.tenant, at.id), {**moved, **why, **owed})


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
    yield Row((at.tenant, at.id), {**moved, **owed})


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
    yield Row((at.tenant, at.id), {**nothing, "status": "CANCELED"})


@authorizations.on(AuthorizationRequested, AuthorizationRecorded)
def authorization_begun(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    known = isinstance(fact, AuthorizationRecorded)
    yield Row(
        (at.tenant, at.id),
        {
            "number": fact.number,
            "account_id": fact.account_id,
            "status": "PROCESSED" if known else "REQUESTED",
            "currency": fact.amount.currency,
            "gateway_id": fact.gateway_id,
            "gateway_ref": fact.gateway_ref if known else None,
            "method_display": display(fact.method),
            "amount": fact.amount.amount_minor,
            "balance": fact.amount.amount_minor if known else 0,
            "expires_at": fact.expires_at if known else None,
            "requested_at": at.time,
            "client_context": None if known else fact.client_context,
            "payment_group_id": fact.payment_group_id,
            "initiation": None if known else fact.initiation,
            "initiation_source_id": None if known else fact.initiation_source_id,
            "method_id": fact.method.method_id,
            "processing_mode": fact.processing_mode if known else "PLATFORM",
            "auth_code": fact.gateway_auth_code if known else None,
            "effective_at": fact.effective_at,
            "adjustments": [],
            **(corporate(fact.corporate) if known else {}),
        },
    )


@authorizations.on(PaymentAuthorized)
def authorized(fact: PaymentAuthorized, at: Place, own: Own) -> Iterable[Row]:
    yield Row(
        (at.tenant, at.id),
        {
            "status": "PROCESSED",
            "balance": own["amount"],
            "gateway_ref": fact.gateway_ref,
            "expires_at": fact.expires_at,
            "avs_code": fact.avs_code,
            "cvc_code": fact.cvc_code,
            "gateway_ref_details": fact.gateway_ref_details,
            "auth_code": fact.gateway_auth_code,
            "network_transaction_id": fact.network_transaction_id,
            **corporate(fact.corporate),
            **_done(own),
        },
    )


_AUTH_STATUS = {
    auth.AuthorizationPending: "PENDING",
    auth.AuthorizationActionRequired: "REQUIRES_ACTION",
    auth.AuthorizationHeldForReview: "REQUIRES_REVIEW",
    auth.AuthorizationOutcomeUnknown: "INDETERMINATE",
    auth.AuthorizationDeclined: "FAILED",
    auth.AuthorizationExpired: "EXPIRED",
    auth.AuthorizationCanceled: "CANCELED",
}


@authorizations.on(*_AUTH_STATUS)
def authorization_status(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    status = _AUTH_STATUS[type(fact)]
    gone = {"balance": 0} if status in ("FAILED", "EXPIRED", "CANCELED") else {}
    why = {name: getattr(fact, name) for name in ("category", "raw_code")} if status == "FAILED" else {}
    asked = _action(fact.action) if isinstance(fact, auth.AuthorizationActionRequired) else {}
    over = _done(own) if gone else {}
    yield Row((at.tenant, at.id), {**gone, **why, **asked, **over, "status": status})


def _moved(
    at: Place, own: Own, *, captured: int = 0, reversed: int = 0, in_flight: int = 0, **more: Any
) -> Row:
    """The amounts after a change of each, and the balance that follows from them."""
    amounts = {
        "captured": own["captured"] + captured,
        "reversed": own["reversed"] + reversed,
        "in_flight": own["in_flight"] + in_flight,
    }
    is_held = more.get("status", own["status"]) == "PROCESSED"
    balance = max(own["amount"] - sum(amounts.values()), 0) if is_held else 0
    return Row((at.tenant, at.id), {**amounts, **more, "balance": balance})


def _if_full(own: Own, amount: int, status: str) -> dict[str, Any]:
    full = own["captured"] + own["reversed"] + amount >= own["amount"]
    return {"status": status} if full else {}


@authorizations.on(auth.AuthorizationCaptureRequested)
def capture_requested(fact: auth.AuthorizationCaptureRequested, at: Place, own: Own) -> Iterable[Row]:
    yield _moved(at, own, in_flight=fact.amount.amount_minor)


@authorizations.on(auth.AuthorizationCaptureSucceeded)
def capture_succeeded(fact: auth.AuthorizationCaptureSucceeded, at: Place, own: Own) -> Iterable[Row]:
    amount, held = fact.amount.amount_minor, (fact.held or fact.amount).amount_minor
    status = _if_full(own, amount, "FULLY_CAPTURED")
    yield _moved(at, own, captured=amount, in_flight=-held, **status)


@authorizations.on(auth.AuthorizationCaptureFailed)
def capture_failed(fact: auth.AuthorizationCaptureFailed, at: Place, own: Own) -> Iterable[Row]:
    yield _moved(at, own, in_flight=-fact.amount.amount_minor)


@authorizations.on(auth.AuthorizationReversalRequested)
def reversal_requested(fact: auth.AuthorizationReversalRequested, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    adjustments = _adjusted(own, fact.adjustment_id, amount, "PENDING", fact.number)
    yield _moved(at, own, in_flight=amount, adjustments=adjustments)


@authorizations.on(auth.AuthorizationReversed)
def reversed_(fact: auth.AuthorizationReversed, at: Place, own: Own) -> Iterable[Row]:
    amount, held = fact.amount.amount_minor, (fact.held or fact.amount).amount_minor
    adjustments = _adjusted(own, fact.adjustment_id, amount, "PROCESSED")
    status = _if_full(own, amount, "FULLY_REVERSED")
    yield _moved(at, own, reversed=amount, in_flight=-held, adjustments=adjustments, **status)


@authorizations.on(auth.AuthorizationReversalFailed)
def reversal_failed(fact: auth.AuthorizationReversalFailed, at: Place, own: Own) -> Iterable[Row]:
    amount = fact.amount.amount_minor
    adjustments = _adjusted(own, fact.adjustment_id, amount, "CANCELED")
    yield _moved(at, own, in_flight=-amount, adjustments=adjustments)


def _adjusted(
    own: Own, id: str, amount_minor: int, status: str, number: str | None = None
) -> list[dict[str, Any]]:
    """The adjustments with this one in its status; one that nobody asked for comes last."""
    known: list[dict[str, Any]] = own["adjustments"] or []
    if any(adjustment["id"] == id for adjustment in known):
        return [a | {"status": status} if a["id"] == id else a for a in known]
    return [*known, {"id": id, "number": number, "amount_minor": amount_minor, "status": status}]


TABLES = (payments, authorizations)
