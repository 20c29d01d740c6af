"""Stripe's webhooks, read: which operation each is about, and what it says of it.

An event about an object that Tender did not make has no key of ours; it is passed on by its reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from events.shapes import Outcome
from gateways.protocol import Notification
from gateways.stripe import translation as words

Told = tuple[str, str | None, str | None, Outcome]
"""Operation, our key, the gateway's reference, outcome."""


def read(event: Mapping[str, Any]) -> list[Notification]:
    """At most one notification; none of a type that says nothing about an operation."""
    reader = READERS.get(event["type"])
    if reader is None:
        return []
    operation, key, ref, outcome = reader(event["data"]["object"])
    return [Notification(event["id"], operation, key, ref, outcome)]


def _intent(intent: Mapping[str, Any]) -> Told:
    metadata = intent.get("metadata") or {}
    capturing = words.CAPTURE_KEY in metadata and intent["status"] == "succeeded"
    key = metadata.get(words.CAPTURE_KEY if capturing else words.KEY)
    held = intent.get("capture_method") == "manual"
    operation = "CAPTURE" if capturing else "AUTHORIZE" if held else "SALE"
    return operation, key, intent["id"], words.of_intent(intent)


def _canceled(intent: Mapping[str, Any]) -> Told:
    """The hold is gone: news for the reversal, which has no key in the intent, not for the authorization."""
    gone = words.of_cancellation(intent, words.UNITS.money(intent["amount"], intent["currency"].upper()))
    return "REVERSE", None, intent["id"], gone or words.of_intent(intent)


def _setup(intent: Mapping[str, Any]) -> Told:
    return "TOKENIZE", (intent.get("metadata") or {}).get(words.KEY), intent["id"], words.of_setup(intent)


def _refund(refund: Mapping[str, Any]) -> Told:
    return "REFUND", (refund.get("metadata") or {}).get(words.KEY), refund["id"], words.of_refund(refund)


def _dispute(dispute: Mapping[str, Any]) -> Told:
    amount = words.UNITS.money(dispute["amount"], dispute["currency"].upper())
    outcome = Outcome(
        "Success", raw_code=dispute["reason"], gateway_ref=dispute["id"], processed_amount=amount
    )
    return "DISPUTE", None, dispute.get("payment_intent"), outcome


def _closed(dispute: Mapping[str, Any]) -> Told:
    """`warning_closed` is the end of an inquiry that never took any money."""
    _, key, ref, outcome = _dispute(dispute)
    return "DISPUTE_LOST" if dispute["status"] == "lost" else "DISPUTE_WON", key, ref, outcome


READERS: dict[str, Callable[[Mapping[str, Any]], Told]] = {
    "payment_intent.succeeded": _intent,
    "payment_intent.payment_failed": _intent,
    "payment_intent.processing": _intent,
    "payment_intent.requires_action": _intent,
    "payment_intent.amount_capturable_updated": _intent,
    "payment_intent.canceled": _canceled,
    "setup_intent.succeeded": _setup,
    "setup_intent.setup_failed": _setup,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.dispute.created": _dispute,
    "charge.dispute.closed": _closed,
}
