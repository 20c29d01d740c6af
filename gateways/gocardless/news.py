"""GoCardless's webhooks, read: one delivery holds many events, each about one object.

An event names its object and carries that object's metadata, so our key comes with it; amounts do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from events.shapes import Outcome
from gateways.gocardless.translation import KEY
from gateways.outcomes import refused
from gateways.protocol import Notification

RESULTS: dict[tuple[str, str], tuple[str, str]] = {
    ("payments", "submitted"): ("SALE", "Pending"),
    ("payments", "confirmed"): ("SALE", "Success"),
    ("payments", "paid_out"): ("SALE", "Success"),
    ("payments", "failed"): ("SALE", "Decline"),
    ("payments", "customer_approval_denied"): ("SALE", "Decline"),
    ("payments", "cancelled"): ("SALE", "Decline"),
    ("payments", "charged_back"): ("DISPUTE", "Success"),
    ("payments", "chargeback_cancelled"): ("DISPUTE_WON", "Success"),
    ("refunds", "paid"): ("REFUND", "Success"),
    ("refunds", "failed"): ("REFUND", "Decline"),
    ("refunds", "bounced"): ("REFUND", "Decline"),
    ("refunds", "funds_returned"): ("REFUND", "Reversed"),
    ("mandates", "active"): ("TOKENIZE", "Success"),
    ("mandates", "failed"): ("TOKENIZE", "Decline"),
    ("mandates", "cancelled"): ("MANDATE", "Decline"),
    ("mandates", "expired"): ("MANDATE", "Decline"),
    ("mandates", "reinstated"): ("MANDATE", "Success"),
}
LINKS = {"payments": "payment", "refunds": "refund", "mandates": "mandate"}


def read(event: Mapping[str, Any]) -> Notification | None:
    """None of an event that says nothing about an operation."""
    kind, action = event["resource_type"], event["action"]
    if (kind, action) not in RESULTS:
        return None
    operation, result = RESULTS[kind, action]
    ref = (event.get("links") or {}).get(LINKS[kind])
    told = event.get("details") or {}
    if action == "cancelled" and kind == "payments" and told.get("origin") == "api":
        operation, result = "VOID", "Success"
    key = (event.get("resource_metadata") or {}).get(KEY)
    ours = None if operation in ("DISPUTE", "DISPUTE_WON", "MANDATE", "VOID") else key
    return Notification(event["id"], operation, ours, ref, _outcome(event, told, result, ref))


def _outcome(event: Mapping[str, Any], told: Mapping[str, Any], result: str, ref: str | None) -> Outcome:
    cause = told.get("cause")
    if result == "Decline":
        message = " ".join(filter(None, (told.get("reason_code"), told.get("description"))))
        return refused("gocardless", cause or event["action"], message or None, gateway_ref=ref)
    at = datetime.fromisoformat(event["created_at"]) if "created_at" in event else None
    return Outcome(result, raw_code=cause, gateway_ref=ref, gateway_date=at)
