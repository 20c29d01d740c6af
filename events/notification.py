"""What can happen to a gateway's notification (stream `inbox-{gateway}-{event id or digest}`).

The first version wins: however often a gateway tells something, it is one stream with one beginning.
The bytes that it came in are kept elsewhere, for a while, under `raw_ref`; facts hold none of them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from events.catalog import fact, upcasts
from events.shapes import Outcome


@fact("notification.received.v3")
class NotificationReceived:
    """What a gateway told of its own, verified and kept before it was answered."""

    gateway_id: str
    provider_event_id: str
    """The gateway's own id of it, or the digest of what it says."""
    type: str
    """The operation that it is about (SALE, REFUND, …), or DISPUTE, MANDATE, PAYOUT, …"""
    outcome: Outcome
    digest: str
    raw_ref: str
    received_at: datetime
    gateway_ref: str | None = None
    merchant_reference: str | None = None
    """The number that we had told it, as far as it names one."""
    operation_key: str | None = None
    """The gateway idempotency key, as far as it names one."""


@fact("notification.deferred.v1")
class NotificationDeferred:
    """It names nothing that is known yet: it may have overtaken our own response."""

    tries: int
    """How often a match was looked for."""
    next_match_at: datetime
    """When it is looked for again."""


@fact("notification.matched.v2")
class NotificationMatched:
    """It is about one of our operations, and became its outcome."""

    target_kind: str
    target_id: str
    account_id: str
    operation: str
    """SALE, CAPTURE, AUTHORIZE, REFUND, …"""
    operation_key: str
    by: str
    """GATEWAY_REFERENCE, MERCHANT_REFERENCE or OPERATION_KEY."""


@fact("notification.unmatched.v1")
class NotificationUnmatched:
    """Nothing that it could be about has turned up in time: a person must look."""

    reason: str


@fact("notification.replayed.v1")
class NotificationReplayed:
    """A person had it looked at again; what has taken effect already does not so again."""

    replay_no: int
    """How often it was looked at again."""


@fact("notification.rejected.v1")
class NotificationRejected:
    """It was not taken for the gateway's word."""

    gateway_id: str
    reason: str
    """SIGNATURE, STALE or UNREADABLE."""
    detail: str
    digest: str
    raw_ref: str
    received_at: datetime


NotificationEvent = (
    NotificationReceived
    | NotificationDeferred
    | NotificationMatched
    | NotificationUnmatched
    | NotificationReplayed
    | NotificationRejected
)


@upcasts("notification.received.v1", "notification.received.v2")
def _received(data: dict[str, Any]) -> dict[str, Any]:
    """The first version did not keep what was told."""
    return {**data, "outcome": {"result_code": "Indeterminate"}, "digest": "", "raw_ref": ""}


@upcasts("notification.received.v2", "notification.received.v3")
def _received_with_less(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 kept less of what the networks said."""
    return data


@upcasts("notification.matched.v1", "notification.matched.v2")
def _matched(data: dict[str, Any]) -> dict[str, Any]:
    """The first version named only the target."""
    return {**data, "account_id": "", "operation": "", "operation_key": "", "by": "OPERATION_KEY"}
