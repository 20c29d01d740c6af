"""Adyen's standard webhooks, read: which operation each item is about, and what it says of it.

An item has no id of its own: its payment reference, its event and its success make one
(https://docs.adyen.com/development-resources/webhooks/handle-webhook-events).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from events.shapes import Outcome
from gateways.adyen.translation import KEY, money
from gateways.outcomes import refused
from gateways.protocol import Notification

OPERATIONS = {
    "AUTHORISATION": "AUTHORIZE",
    "CAPTURE": "CAPTURE",
    "CAPTURE_FAILED": "CAPTURE",
    "CANCELLATION": "REVERSE",
    "TECHNICAL_CANCEL": "REVERSE",
    "REFUND": "REFUND",
    "REFUND_FAILED": "REFUND",
    "REFUNDED_REVERSED": "REFUND",
    "NOTIFICATION_OF_CHARGEBACK": "DISPUTE",
    "CHARGEBACK": "DISPUTE",
    "CHARGEBACK_REVERSED": "DISPUTE",
}
FAILURES = ("CAPTURE_FAILED", "REFUND_FAILED")


def read(item: Mapping[str, Any]) -> Notification | None:
    """None of an event that says nothing about an operation."""
    event = item["eventCode"]
    if event not in OPERATIONS:
        return None
    succeeded = str(item.get("success")).lower() == "true"
    operation = OPERATIONS[event]
    ref = item.get("originalReference") if operation in ("CAPTURE", "DISPUTE") else item["pspReference"]
    event_id = f"{item['pspReference']}:{event}:{str(succeeded).lower()}"
    return Notification(
        event_id, operation, _key(item, operation), ref, _outcome(item, event, succeeded, ref)
    )


def _key(item: Mapping[str, Any], operation: str) -> str | None:
    if operation == "AUTHORIZE":
        return (item.get("additionalData") or {}).get(f"metadata.{KEY}")
    return None if operation == "DISPUTE" else item.get("merchantReference")


def _outcome(item: Mapping[str, Any], event: str, succeeded: bool, ref: str | None) -> Outcome:
    at = datetime.fromisoformat(item["eventDate"]) if "eventDate" in item else None
    if event == "REFUNDED_REVERSED":
        return Outcome("Reversed", raw_code="refunded_reversed", gateway_ref=ref, gateway_date=at)
    if event in FAILURES or not succeeded:
        more = item.get("additionalData") or {}
        code = more.get("refusalReasonCode") or event.lower()
        return refused("adyen", str(code), item.get("reason"), gateway_ref=ref)
    code = event.lower() if OPERATIONS[event] == "DISPUTE" else None
    amount = money(item["amount"])
    return Outcome("Success", raw_code=code, gateway_ref=ref, processed_amount=amount, gateway_date=at)
