"""What can happen to an authorization (stream `auth-{id}`): a hold, its captures, its reversals."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from events.catalog import fact, upcasts
from events.money import Money
from events.shapes import ActionRequired, Corporate, FraudContext, Method


@fact("authorization.requested.v4")
class AuthorizationRequested:
    """An amount was asked to be held on an instrument; nothing is charged by that."""

    authorization_id: str
    number: str
    account_id: str
    amount: Money
    gateway_id: str
    method: Method
    attempt_no: int
    gateway_idempotency_key: str
    effective_at: datetime
    requested_at: datetime
    payment_group_id: str | None = None
    fraud_context: FraudContext | None = None
    client_context: str | None = None
    """What its client wants to hear again, in its own words."""
    invoice_ids: tuple[str, ...] = ()
    """What it is held for: what captures that name no invoices are for, in turn."""
    level_requested: int | None = None
    """2 or 3: how much enhanced data shall go with it."""
    initiation: str | None = None
    """AD_HOC, PORTAL or CHECKOUT: the last two by the customer himself."""
    initiation_source_id: str | None = None
    """What it was begun for, as its client names it."""


@fact("authorization.recorded.v2")
class AuthorizationRecorded:
    """An authorization obtained elsewhere: by a client-side component, or outside Tender."""

    authorization_id: str
    number: str
    account_id: str
    amount: Money
    gateway_id: str
    method: Method
    gateway_ref: str
    processing_mode: str
    """PLATFORM (client-side component) or EXTERNAL."""
    effective_at: datetime
    expires_at: datetime | None = None
    """Until when the gateway holds it, as far as was said."""
    gateway_auth_code: str | None = None
    payment_group_id: str | None = None
    corporate: Corporate | None = None


@fact("authorization.authorized.v3")
class PaymentAuthorized:
    """The gateway holds the amount until `expires_at`."""

    gateway_ref: str | None
    gateway_auth_code: str | None
    expires_at: datetime | None
    """Until when the gateway holds it, as far as it says."""
    source: str
    network_transaction_id: str | None = None
    """The card network's id of it: later payments by a card that is kept refer to it."""
    late: bool = False
    avs_code: str | None = None
    cvc_code: str | None = None
    gateway_ref_details: str | None = None
    """What else the gateway calls it by, at most 1,000 characters."""
    corporate: Corporate | None = None


@fact("authorization.pending.v1")
class AuthorizationPending:
    """The gateway has it, and will say later what becomes of it."""

    gateway_ref: str | None
    source: str


@fact("authorization.action_required.v2")
class AuthorizationActionRequired:
    """The customer must do something first, such as confirm it at his bank."""

    gateway_ref: str | None
    source: str
    action: ActionRequired | None = None


@upcasts("authorization.requested.v3", to="authorization.requested.v4")
def begun_by_nobody_known(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 3 did not say who began it: the gateway was told that the merchant did."""
    return fact


@upcasts("authorization.recorded.v1", to="authorization.recorded.v2")
@upcasts("authorization.authorized.v2", to="authorization.authorized.v3")
def without_worth(fact: dict[str, Any]) -> dict[str, Any]:
    """It did not say what it is worth in a reporting currency."""
    return fact


@upcasts("authorization.requested.v2", to="authorization.requested.v3")
def held_for_nothing(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 2 did not know what it was held for."""
    return fact


@upcasts("authorization.requested.v1", to="authorization.requested.v2")
@upcasts("authorization.authorized.v1", to="authorization.authorized.v2")
@upcasts("authorization.action_required.v1", to="authorization.action_required.v2")
def with_less_told(fact: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew neither who paid from where, nor what was checked, nor what a customer had to do."""
    return fact


@fact("authorization.held_for_review.v1")
class AuthorizationHeldForReview:
    """The gateway wants a person to look at it; nothing is held until then."""

    reason: str
    source: str
    gateway_ref: str | None = None


@fact("authorization.outcome_unknown.v1")
class AuthorizationOutcomeUnknown:
    """No answer came: it is inquired about, and never simply sent again."""

    sent_at: datetime | None
    reason: str
    next_query_at: datetime


@fact("authorization.declined.v1")
class AuthorizationDeclined:
    """Nothing is held."""

    result_code: str
    category: str
    raw_code: str | None
    raw_message: str | None
    hard: bool
    never_retry: bool
    source: str


@fact("authorization.enhanced_data_reduced.v1")
class AuthorizationEnhancedDataReduced:
    """Less purchase detail goes with the authorization than was wished; it proceeds all the same."""

    level: int
    """2: without its lines; 0: nothing at all."""
    reason: str
    """One of those of `payment.enhanced_data_reduced`."""


@fact("authorization.enhanced_data_rejected.v1")
class AuthorizationEnhancedDataRejected:
    """The gateway refused the purchase detail, and held no money: it is asked once more, without it."""

    level: int
    """2 or 3: how much had gone with it."""
    raw_code: str | None
    raw_message: str | None
    attempt_no: int
    """Of the call that goes without it."""
    gateway_idempotency_key: str


@fact("authorization.capture_requested.v1")
class AuthorizationCaptureRequested:
    """The amount is in flight: no other capture or reversal can take it."""

    payment_id: str
    amount: Money
    final: bool = False


@fact("authorization.capture_succeeded.v1")
class AuthorizationCaptureSucceeded:
    """So much of it was charged, by the payment that is named."""

    payment_id: str
    amount: Money
    held: Money | None = None
    """What was in flight for it until now, where that is not `amount`: nothing for one that came late."""


@fact("authorization.capture_failed.v1")
class AuthorizationCaptureFailed:
    """The capture was refused: its amount can be captured again."""

    payment_id: str
    amount: Money


@fact("authorization.reversal_requested.v1")
class AuthorizationReversalRequested:
    """The gateway was asked to let go of the amount, which can no longer be captured."""

    adjustment_id: str
    number: str
    amount: Money
    attempt_no: int
    gateway_idempotency_key: str
    cancels: bool = False
    """The reversal of all that is left, on the way to CANCELED."""


@fact("authorization.reversal_pending.v1")
class AuthorizationReversalPending:
    """The gateway has the reversal, and will say later what becomes of it."""

    adjustment_id: str


@fact("authorization.reversed.v1")
class AuthorizationReversed:
    """So much is no longer held."""

    adjustment_id: str
    amount: Money
    held: Money | None = None
    """Nothing for one that came late, or that a final capture brought with it; else as much as `amount`."""


@fact("authorization.reversal_failed.v1")
class AuthorizationReversalFailed:
    """The amount is still held, and can be captured again."""

    adjustment_id: str
    amount: Money
    raw_code: str | None
    raw_message: str | None


@fact("authorization.expired.v1")
class AuthorizationExpired:
    """Its time is over: what was not captured is no longer held."""

    released: Money
    """What is held no longer."""


@fact("authorization.canceled.v1")
class AuthorizationCanceled:
    """All of it was let go, and nothing was ever captured."""

    reason: str | None = None


AuthorizationEvent = (
    AuthorizationRequested
    | AuthorizationRecorded
    | PaymentAuthorized
    | AuthorizationPending
    | AuthorizationActionRequired
    | AuthorizationHeldForReview
    | AuthorizationOutcomeUnknown
    | AuthorizationDeclined
    | AuthorizationEnhancedDataReduced
    | AuthorizationEnhancedDataRejected
    | AuthorizationCaptureRequested
    | AuthorizationCaptureSucceeded
    | AuthorizationCaptureFailed
    | AuthorizationReversalRequested
    | AuthorizationReversalPending
    | AuthorizationReversed
    | AuthorizationReversalFailed
    | AuthorizationExpired
    | AuthorizationCanceled
)
