"""An authorization: money held, captured in parts or whole, reversed, or let go when its time is over.

Invariant (domain 2.5, A1): 0 <= captured + reversed + in flight <= amount.
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
    captures: dict[str, int] = field(default_factory=dict)
    """Captures in flight, by payment."""
    reversals: dict[str, AuthorizationReversalRequested] = field(default_factory=dict)
    """Reversals in flight, by adjustment."""
    attempts: int = 0
    """Captures and reversals so far: the next one's attempt number is one more."""
    final: bool = False
    gateway_id: str = ""
    gateway_ref: str | None = None
    method: Method | None = None
    operation_key: str = ""
    expires_at: datetime | None = None

    @property
    def in_flight(self) -> bool:
        return self.status in IN_FLIGHT or bool(self.captures) or bool(self.reversals)

    @property
    def moving(self) -> int:
        return sum(self.captures.values()) + sum(r.amount.amount_minor for r in self.reversals.values())

    @property
    def balance(self) -> int:
        """What can still be captured or reversed."""
        return self.amount - self.captured - self.reversed - self.moving if self.status == "PROCESSED" else 0

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
        case AuthorizationCaptureRequested():
            auth.captures[event.payment_id] = event.amount.amount_minor
            auth.attempts, auth.final = auth.attempts + 1, auth.final or event.final
        case AuthorizationCaptureSucceeded():
            auth.captures.pop(event.payment_id, None)
            auth.captured += event.amount.amount_minor
            if auth.captured + auth.reversed >= auth.amount:
                auth.status = "FULLY_CAPTURED"
        case AuthorizationCaptureFailed():
            auth.captures.pop(event.payment_id, None)
        case AuthorizationReversalRequested():
            auth.reversals[event.adjustment_id] = event
            auth.attempts += 1
        case AuthorizationReversed():
            auth.reversals.pop(event.adjustment_id, None)
            auth.reversed += event.amount.amount_minor
            if auth.captured + auth.reversed >= auth.amount:
                auth.status = "FULLY_REVERSED"
        case AuthorizationReversalFailed():
            auth.reversals.pop(event.adjustment_id, None)
        case AuthorizationReversalPending():
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
    if isinstance(event, AuthorizationRequested):
        auth.status, auth.operation_key = "REQUESTED", event.gateway_idempotency_key
    else:
        auth.status, auth.gateway_ref, auth.expires_at = "PROCESSED", event.gateway_ref, event.expires_at
