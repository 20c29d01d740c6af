"""Adyen's standard webhooks, read: which operation each item is about, and what it says of it.

An item has no id of its own: its payment reference, its event and its success make one
(https://docs.adyen.com/development-resources/webhooks/handle-webhook-events).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from events.shapes import Outcome
from gateways.adyen.translation import KEY, PROVED, money
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
    "CHARGEBACK_REVERSED": "DISPUTE_WON",
}
DISPUTES = ("DISPUTE", "DISPUTE_WON")
REASONS = {
    "refused": "2",
    "referral": "3",
    "acquirer error": "4",
    "blocked card": "5",
    "expired card": "6",
    "invalid amount": "7",
    "invalid card number": "8",
    "issuer unavailable": "9",
    "not supported": "10",
    "3d not authenticated": "11",
    "not enough balance": "12",
    "acquirer fraud": "14",
    "cancelled": "15",
    "shopper cancelled": "16",
    "invalid pin": "17",
    "pin tries exceeded": "18",
    "pin validation not possible": "19",
    "fraud": "20",
    "not submitted": "21",
    "fraud-cancelled": "22",
    "transaction not permitted": "23",
    "cvc declined": "24",
    "restricted card": "25",
    "revocation of auth": "26",
    "declined non generic": "27",
    "withdrawal amount exceeded": "28",
    "withdrawal count exceeded": "29",
    "issuer suspected fraud": "31",
    "avs declined": "32",
    "authentication required": "38",
}
"""A webhook gives the reason in words, an answer its number; the number is what the code map knows
(https://docs.adyen.com/development-resources/refusal-reasons)."""

FAILURES = ("CAPTURE_FAILED", "REFUND_FAILED")


def read(item: Mapping[str, Any]) -> Notification | None:
    """None of an event that says nothing about an operation."""
    event = item["eventCode"]
    if event not in OPERATIONS:
        return None
    succeeded = str(item.get("success")).lower() == "true"
    operation, proved = OPERATIONS[event], _told(item, PROVED) if event == "AUTHORISATION" else None
    ref = item.get("originalReference") if operation in ("CAPTURE", *DISPUTES) else item["pspReference"]
    event_id = f"{item['pspReference']}:{event}:{str(succeeded).lower()}"
    outcome, key = _outcome(item, event, succeeded, proved or ref), _key(item, operation)
    if proved:
        return Notification(event_id, "TOKENIZE", key, None, outcome)
    number = item.get("merchantReference") if operation in ("AUTHORIZE", *DISPUTES) else None
    return Notification(event_id, operation, key, ref, outcome, number)


def _key(item: Mapping[str, Any], operation: str) -> str | None:
    if operation == "AUTHORIZE":
        return _told(item, KEY)
    return None if operation in DISPUTES else item.get("merchantReference")


def _told(item: Mapping[str, Any], name: str) -> str | None:
    """What we told it as metadata."""
    return (item.get("additionalData") or {}).get(f"metadata.{name}")


def _outcome(item: Mapping[str, Any], event: str, succeeded: bool, ref: str | None) -> Outcome:
    at = datetime.fromisoformat(item["eventDate"]) if "eventDate" in item else None
    if event == "REFUNDED_REVERSED":
        return Outcome("Reversed", raw_code="refunded_reversed", gateway_ref=ref, gateway_date=at)
    if event in FAILURES or not succeeded:
        reason = str(item.get("reason") or "")
        code = REASONS.get(reason.strip().lower(), event.lower())
        return refused("adyen", code, reason or None, gateway_ref=ref)
    code = event.lower() if OPERATIONS[event] in DISPUTES else None
    amount = money(item["amount"])
    return Outcome("Success", raw_code=code, gateway_ref=ref, processed_amount=amount, gateway_date=at)
