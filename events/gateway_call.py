"""What can happen to one logical operation at a gateway (stream `gwcall-{idempotency key}`).

The key is minted once, when the call is planned; every send, re-send and inquiry reads it here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from events.catalog import fact, upcasts
from events.enhanced import EnhancedData
from events.frozen import frozen
from events.money import Money
from events.shapes import FraudContext, Method, Outcome


@frozen
class MicroDeposits:
    """What the holder of a bank account saw on his statement."""

    amounts_minor: tuple[int, ...] = ()
    """The two amounts that arrived, in minor units."""
    descriptor_code: str | None = None


@fact("gateway_call.planned.v4")
class GatewayCallPlanned:
    """A request that a gateway worker will send, under a key that this event alone mints."""

    operation: str
    """AUTHORIZE, CAPTURE, SALE, REVERSE, VOID, REFUND, UNREFERENCED_REFUND, TOKENIZE or VERIFY."""
    idempotency_key: str
    """`{tenant}:{operation}:{origin}:{attempt_no}`, or its SHA-256 in hex beyond 64 characters."""
    attempt_no: int
    target_kind: str
    """The aggregate that waits for the outcome: payment, auth or refund."""
    target_id: str
    account_id: str
    gateway_id: str
    amount: Money
    request_digest: str
    """SHA-256 in hex of everything that the gateway will be told: one key, one digest."""
    merchant_reference: str
    method: Method | None = None
    """The instrument."""
    authorization_ref: str | None = None
    """The gateway's reference of the authorization that a capture or a reversal builds on."""
    payment_ref: str | None = None
    """The gateway's reference of the payment that a refund or a void gives back, or of what is verified."""
    original_amount: Money | None = None
    """Of a refund: how much the payment was."""
    already_refunded: Money | None = None
    """Of a refund: how much of the payment was given back before."""
    final_capture: bool = False
    """The gateway lets go of what is left of the authorization."""
    initiator: str = "MERCHANT"
    """CUSTOMER or MERCHANT."""
    reason: str = "UNSCHEDULED"
    """Why the merchant charges a stored credential: RECURRING, INSTALLMENT, RESUBMISSION or UNSCHEDULED."""
    is_first_in_series: bool = False
    """It is the payment with which the instrument begins to be kept."""
    enhanced: EnhancedData | None = None
    """Level 2 and Level 3 data, already checked against what the gateway takes."""
    micro_deposits: MicroDeposits | None = None
    """Of a verification: what the gateway has to compare."""
    fraud_context: FraudContext | None = None
    client_context: str | None = None
    comments: str | None = None
    additional_data: dict[str, str] | None = None
    """The client's own, for the gateway to keep with it: at most 20 pairs."""
    initiation_source_id: str | None = None
    """What the payment was begun for."""
    duplicate_suspected: bool = False
    """Only on its way, never in the log: the key may have been seen, by a gateway that honours keys."""


@upcasts("gateway_call.planned.v3", to="gateway_call.planned.v4")
def begun_for_something(fact: dict[str, object]) -> dict[str, object]:
    """Version 3 did not say what a payment was begun for."""
    return fact


@upcasts("gateway_call.planned.v1", to="gateway_call.planned.v2")
def nothing_was_verified(fact: dict[str, object]) -> dict[str, object]:
    """Version 1 knew no verification of bank accounts."""
    return fact


@upcasts("gateway_call.planned.v2", to="gateway_call.planned.v3")
@upcasts("gateway_call.succeeded.v1", to="gateway_call.succeeded.v2")
@upcasts("gateway_call.rejected.v1", to="gateway_call.rejected.v2")
@upcasts("gateway_call.pending.v1", to="gateway_call.pending.v2")
@upcasts("gateway_call.not_sent.v1", to="gateway_call.not_sent.v2")
@upcasts("gateway_call.outcome_resolved.v1", to="gateway_call.outcome_resolved.v2")
def with_less_told(fact: dict[str, Any]) -> dict[str, Any]:
    """It was kept less of what was told to the gateway, and of what it and its networks answered."""
    return fact


@fact("gateway_call.succeeded.v2")
class GatewayCallSucceeded:
    """The gateway has done it."""

    source: str
    """GATEWAY, NOTIFICATION, RECONCILER or OPERATOR."""
    outcome: Outcome
    sent_at: datetime | None = None


@fact("gateway_call.rejected.v2")
class GatewayCallRejected:
    """The gateway has not done it, and will not."""

    source: str
    outcome: Outcome
    sent_at: datetime | None = None


@fact("gateway_call.pending.v2")
class GatewayCallPending:
    """The gateway acknowledged it; its final word comes by notification or inquiry."""

    source: str
    outcome: Outcome
    next_query_at: datetime
    sent_at: datetime | None = None


@fact("gateway_call.timed_out.v1")
class GatewayCallTimedOut:
    """It was, or may have been, sent, and no answer came: the money may have moved."""

    sent_at: datetime | None
    reason: str
    next_query_at: datetime
    unknown_since: datetime | None = None
    """From here the delays of its inquiries count."""


@fact("gateway_call.not_sent.v2")
class GatewayCallNotSent:
    """The call ended before it reached the gateway: no money can have moved."""

    outcome: Outcome
    sends: int
    """How often it was tried to send it."""
    retry_at: datetime | None
    """When it is sent again under the same key; nothing once the budget is used up."""


@fact("gateway_call.status_queried.v1")
class GatewayStatusQueried:
    """An inquiry that settled nothing."""

    queries: int
    found: str
    """NOT_FOUND, PENDING or UNREACHABLE."""
    next_query_at: datetime | None
    """Nothing once the list of delays is used up: a person must look (REQUIRES_REVIEW)."""


@fact("gateway_call.replay_planned.v1")
class GatewayReplayPlanned:
    """Its gateway answers no inquiries, but honours keys: the same request under the same key, once.

    It brings back the first answer, or carries out once what never arrived.
    """

    queries: int
    at: datetime
    """When it is sent again."""


@fact("gateway_call.outcome_resolved.v2")
class GatewayOutcomeResolved:
    """An unknown or pending outcome became known, or a known one was contradicted later."""

    source: str
    outcome: Outcome
    evidence: str | None = None
    contradicts: bool = False
    """It is not what was taken for its outcome before."""


@fact("gateway_call.resolution_proposed.v1")
class GatewayResolutionProposed:
    """Somebody said what became of it; above the tenant's threshold a second person must say the same."""

    outcome: str
    """PROCESSED or FAILED."""
    evidence: str
    proposed_by: str
    """Who said it: the id of the actor."""


GatewayCallEvent = (
    GatewayCallPlanned
    | GatewayCallSucceeded
    | GatewayCallRejected
    | GatewayCallPending
    | GatewayCallTimedOut
    | GatewayCallNotSent
    | GatewayStatusQueried
    | GatewayReplayPlanned
    | GatewayOutcomeResolved
    | GatewayResolutionProposed
)
