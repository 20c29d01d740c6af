"""What a payment gateway must do, and every way it may answer.

An adapter is a pure translator: it keeps nothing, tries nothing twice, and reads no clock.  It takes
the recorded intent and says what the gateway said; "I do not know" is an answer, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.shapes import Outcome

RESULT_CODES = (
    "Success",
    "Decline",
    "PermanentFail",
    "ValidationError",
    "RequiresReview",
    "SystemError",
    "Indeterminate",
    "ActionRequired",
    "Pending",
    "EnhancedDataRejected",
)
"""What an answer comes to.  SystemError: it ended before the gateway had it, so no money can have moved.
Indeterminate: it was, or may have been, sent, and no answer came.  EnhancedDataRejected: refused for its
Level 2 and 3 data alone, and nothing was executed; it is sent once more, without them."""

CATEGORIES = (
    "CardLimit",
    "PaymentProcessing",
    "PaymentInformation",
    "Security",
    "GatewayConnection",
    "ValidationFailure",
    "Unknown",
)


class Notification(NamedTuple):
    """A gateway's own news about an operation."""

    event_id: str
    """The gateway's own id of it; empty where it has none."""
    type: str
    """The operation that it is about, or what else it is: DISPUTE, DISPUTE_WON,
    DISPUTE_LOST, MANDATE, …"""
    operation_key: str | None
    gateway_ref: str | None
    outcome: Outcome
    merchant_reference: str | None = None
    """Our own number of it (PAY-000042), where the gateway gives that back."""


class InvalidSignature(Exception):
    """The notification is not the gateway's, or not of now."""


class StaleNotification(InvalidSignature):
    """It was signed by the gateway, but too long ago: it may be an old one that somebody sends again."""


class Gateway(Protocol):
    """One configured connection: bring your own by an entry point of the group `tender.gateways`.

    The entry point is called with the gateway's settings (`Mapping[str, str]`), its timeouts in
    milliseconds, and the credential, and returns this.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        """Carry out one operation under its idempotency key.  Never raises for what a network does."""
        ...

    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        """What became of the operation with this key; None when the gateway knows no such key."""
        ...

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> list[Notification]:
        """Raises `InvalidSignature`, or `StaleNotification` for one of more than five minutes ago."""
        ...

    async def close(self) -> None: ...
