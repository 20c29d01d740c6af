"""Authorizations: what is held, captured and let go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from events import authorization as auth
from events.authorization import AuthorizationRecorded, AuthorizationRequested, PaymentAuthorized
from projections.payments import Own, asked_of, display, nothing_asked
from projections.rates import CORPORATE, corporate
from projections.table import INSTANT, JSON, TENANT, TEXT, Column, Place, Row, Table, money, text

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


@authorizations.on(AuthorizationRequested, AuthorizationRecorded)
def begun(fact: Any, at: Place, own: Own) -> Iterable[Row]:
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
            **nothing_asked(own),
        },
    )


@authorizations.on(auth.AuthorizationEnhancedDataRejected)
def sent_again(fact: auth.AuthorizationEnhancedDataRejected, at: Place, own: Own) -> Iterable[Row]:
    yield Row((at.tenant, at.id), {**nothing_asked(own), "status": "REQUESTED"})


_STATUS = {
    auth.AuthorizationPending: "PENDING",
    auth.AuthorizationActionRequired: "REQUIRES_ACTION",
    auth.AuthorizationHeldForReview: "REQUIRES_REVIEW",
    auth.AuthorizationOutcomeUnknown: "INDETERMINATE",
    auth.AuthorizationDeclined: "FAILED",
    auth.AuthorizationExpired: "EXPIRED",
    auth.AuthorizationCanceled: "CANCELED",
}


@authorizations.on(*_STATUS)
def waiting(fact: Any, at: Place, own: Own) -> Iterable[Row]:
    status = _STATUS[type(fact)]
    gone = {"balance": 0} if status in ("FAILED", "EXPIRED", "CANCELED") else {}
    why = {name: getattr(fact, name) for name in ("category", "raw_code")} if status == "FAILED" else {}
    asked = asked_of(fact.action) if isinstance(fact, auth.AuthorizationActionRequired) else {}
    over = nothing_asked(own) if gone else {}
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


TABLES = (authorizations,)
