"""An authorization: money held, captured in parts or whole, reversed, or let go when its time is over.

Invariant: 0 <= captured + reversed + in flight <= amount; only a gateway's late
truth may exceed it, and is shown to a person.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from events.authorization import (
    AuthorizationActionRequired,
    AuthorizationCanceled,
    AuthorizationCaptureFailed,
    AuthorizationCaptureRequested,
    AuthorizationCaptureSucceeded,
    AuthorizationDeclined,
    AuthorizationEnhancedDataReduced,
    AuthorizationEnhancedDataRejected,
    AuthorizationEvent,
    AuthorizationExpired,
    AuthorizationHeldForReview,
    AuthorizationOutcomeUnknown,
    AuthorizationPending,
    AuthorizationRecorded,
    AuthorizationRequested,
    AuthorizationReversalFailed,
    AuthorizationReversalPending,
    AuthorizationReversalRequested,
    AuthorizationReversed,
    PaymentAuthorized,
)
from events.ids import part_id
from events.money import Money
from events.shapes import Method

IN_FLIGHT = frozenset({"REQUESTED", "PENDING", "REQUIRES_ACTION", "REQUIRES_REVIEW", "INDETERMINATE"})


@dataclass(slots=True)
class Authorization:
    KIND: ClassVar[str] = "auth"

    version: int = 0
    authorization_id: str = ""
    number: str = ""
    account_id: str = ""
    status: str = ""
    """Empty, REQUESTED, PENDING, REQUIRES_ACTION, REQUIRES_REVIEW, INDETERMINATE, PROCESSED, FAILED,
    FULLY_CAPTURED, FULLY_REVERSED, EXPIRED, CANCELED."""
    currency: str = ""
    amount: int = 0
    captured: int = 0
    reversed: int = 0
    captures: dict[str, AuthorizationCaptureRequested] = field(
        default_factory=dict[str, AuthorizationCaptureRequested]
    )
    """Captures in flight, by payment."""
    reversals: dict[str, AuthorizationReversalRequested] = field(
        default_factory=dict[str, AuthorizationReversalRequested]
    )
    """Reversals in flight, by adjustment."""
    failed_reversals: dict[str, AuthorizationReversalRequested] = field(
        default_factory=dict[str, AuthorizationReversalRequested]
    )
    """They may turn out to have succeeded after all."""
    reversal_attempts: int = 0
    payment_group_id: str | None = None
    initiation: str | None = None
    """AD_HOC, PORTAL or CHECKOUT, where that is known."""
    initiation_source_id: str | None = None
    gateway_id: str = ""
    gateway_ref: str | None = None
    method: Method | None = None
    invoice_ids: tuple[str, ...] = ()
    """What it is held for."""
    operation_key: str = ""
    data_refused: bool = False
    """Its gateway refused the Level 2 and 3 data of the hold, and was asked without them."""
    expires_at: datetime | None = None

    @property
    def in_flight(self) -> bool:
        return self.status in IN_FLIGHT or bool(self.captures) or bool(self.reversals)

    @property
    def was_held(self) -> bool:
        """Whether its money was held, whatever has become of it since."""
        return self.status not in IN_FLIGHT and self.status not in ("", "FAILED")

    @property
    def moving(self) -> int:
        """What captures and reversals in flight hold."""
        requests = (*self.captures.values(), *self.reversals.values())
        return sum(request.amount.amount_minor for request in requests)

    @property
    def balance(self) -> int:
        """What can still be captured or reversed; what the gateway did beyond that is no debt of it."""
        left = self.amount - self.captured - self.reversed - self.moving
        return max(left, 0) if self.status == "PROCESSED" else 0

    @property
    def open(self) -> bool:
        return self.in_flight or self.balance > 0


_STATUS_AFTER = {
    AuthorizationPending: "PENDING",
    AuthorizationActionRequired: "REQUIRES_ACTION",
    AuthorizationHeldForReview: "REQUIRES_REVIEW",
    AuthorizationOutcomeUnknown: "INDETERMINATE",
    AuthorizationDeclined: "FAILED",
    AuthorizationExpired: "EXPIRED",
    AuthorizationCanceled: "CANCELED",
}


def evolve(auth: Authorization, event: AuthorizationEvent) -> None:
    match event:
        case AuthorizationRequested() | AuthorizationRecorded():
            _begin(auth, event)
        case PaymentAuthorized():
            auth.status, auth.gateway_ref, auth.expires_at = "PROCESSED", event.gateway_ref, event.expires_at
        case AuthorizationEnhancedDataRejected():
            auth.status, auth.operation_key = "REQUESTED", event.gateway_idempotency_key
            auth.data_refused = True
        case AuthorizationCaptureRequested():
            auth.captures[event.payment_id] = event
        case AuthorizationCaptureSucceeded():
            auth.captures.pop(event.payment_id, None)
            auth.captured += event.amount.amount_minor
            if auth.captured + auth.reversed >= auth.amount:
                auth.status = "FULLY_CAPTURED"
        case AuthorizationCaptureFailed():
            auth.captures.pop(event.payment_id, None)
        case AuthorizationReversalRequested():
            auth.reversals[event.adjustment_id] = event
            auth.reversal_attempts = event.attempt_no
        case AuthorizationReversed():
            auth.reversals.pop(event.adjustment_id, None)
            auth.failed_reversals.pop(event.adjustment_id, None)
            auth.reversed += event.amount.amount_minor
            if auth.captured + auth.reversed >= auth.amount:
                auth.status = "FULLY_REVERSED"
        case AuthorizationReversalFailed():
            auth.failed_reversals[event.adjustment_id] = auth.reversals.pop(event.adjustment_id)
        case AuthorizationReversalPending() | AuthorizationEnhancedDataReduced():
            pass
        case _:
            auth.status = _STATUS_AFTER[type(event)]


def _begin(auth: Authorization, event: AuthorizationRequested | AuthorizationRecorded) -> None:
    auth.authorization_id, auth.number, auth.account_id = (
        event.authorization_id,
        event.number,
        event.account_id,
    )
    auth.amount, auth.currency = event.amount.amount_minor, event.amount.currency
    auth.gateway_id, auth.method = event.gateway_id, event.method
    auth.payment_group_id = event.payment_group_id
    if isinstance(event, AuthorizationRequested):
        auth.initiation, auth.initiation_source_id = event.initiation, event.initiation_source_id
        auth.status, auth.operation_key = "REQUESTED", event.gateway_idempotency_key
        auth.invoice_ids = event.invoice_ids
    else:
        auth.status, auth.gateway_ref, auth.expires_at = "PROCESSED", event.gateway_ref, event.expires_at


def captured(auth: Authorization, payment_id: str, amount: Money) -> list[AuthorizationEvent]:
    """A capture succeeded: taken; and after a final one the gateway holds the rest no longer."""
    request, nothing = auth.captures.get(payment_id), Money(0, auth.currency)
    if request is None:
        return [AuthorizationCaptureSucceeded(payment_id, amount, held=nothing)]
    taken = AuthorizationCaptureSucceeded(
        payment_id, amount, request.amount if request.amount != amount else None
    )
    elsewhere = auth.moving - request.amount.amount_minor
    rest = auth.amount - auth.captured - auth.reversed - elsewhere - amount.amount_minor
    if not request.final or rest <= 0:
        return [taken]
    let_go = part_id(auth.authorization_id, f"final/{payment_id}")
    return [AuthorizationReversed(let_go, Money(rest, auth.currency), held=nothing), taken]
