"""Between Tender's words and GoCardless's.

A payment is collected from the bank days after it was asked for: its first answer is always pending, and
one that was confirmed may still fail late or be charged back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.money import Money
from events.shapes import Outcome
from gateways.outcomes import refused, unknown

KEY = "tender_key"

CAPABILITIES = Capabilities(
    operations=("SALE", "VOID", "REFUND", "TOKENIZE"),
    idempotency=True,
    idempotency_key_hours=24,
    query_by_reference=True,
    read_your_writes_seconds=None,
    partial_capture=False,
    partial_reversal=False,
    currencies=("AUD", "CAD", "DKK", "EUR", "GBP", "NZD", "SEK", "USD"),
    notifications=True,
    asynchronous=("SALE", "REFUND", "TOKENIZE"),
)
"""Inquiries list what stands under the mandate or the payment.  How long keys are kept, and how soon a list
shows what was made, is not documented: a day is taken for the first, and nothing for the second."""

PAYMENTS = {
    "pending_customer_approval": "ActionRequired",
    "pending_submission": "Pending",
    "submitted": "Pending",
    "confirmed": "Success",
    "paid_out": "Success",
}
REFUNDS = {
    "created": "Pending",
    "pending_submission": "Pending",
    "submitted": "Pending",
    "paid": "Success",
    "funds_returned": "Reversed",
}
MANDATES = {
    "pending_customer_approval": "ActionRequired",
    "pending_submission": "Pending",
    "submitted": "Pending",
    "active": "Success",
}


def payment(planned: GatewayCallPlanned) -> dict[str, Any]:
    """Never tried again by GoCardless itself: retries are Tender's."""
    assert planned.method is not None, "a debit names its mandate"
    return {
        "amount": planned.amount.amount_minor,
        "currency": planned.amount.currency,
        "description": planned.merchant_reference[:100],
        "metadata": {KEY: planned.idempotency_key},
        "retry_if_possible": False,
        "links": {"mandate": planned.method.token_ref},
    }


def refund(planned: GatewayCallPlanned) -> dict[str, Any]:
    """What was refunded before is confirmed with it, so that no refund is made twice."""
    before = planned.already_refunded.amount_minor if planned.already_refunded else 0
    return {
        "amount": planned.amount.amount_minor,
        "total_amount_confirmation": before + planned.amount.amount_minor,
        "metadata": {KEY: planned.idempotency_key},
        "links": {"payment": planned.payment_ref},
    }


def mandate(planned: GatewayCallPlanned) -> dict[str, Any]:
    """A mandate on a customer's bank account (`token_ref`); the scheme follows the currency."""
    assert planned.method is not None, "a mandate names its bank account"
    return {
        "metadata": {KEY: planned.idempotency_key},
        "links": {"customer_bank_account": planned.method.token_ref},
    }


# -- answers


def of_payment(made: Mapping[str, Any]) -> Outcome:
    return _of(made, PAYMENTS)


def of_refund(made: Mapping[str, Any]) -> Outcome:
    return _of(made, REFUNDS)


def of_mandate(made: Mapping[str, Any]) -> Outcome:
    return _of(made, MANDATES)


def of_cancellation(made: Mapping[str, Any], amount: Money) -> Outcome | None:
    """A void's own view of its payment; nothing while it may still be collected."""
    if made["status"] == "cancelled":
        return Outcome("Success", gateway_ref=made["id"], processed_amount=amount)
    if made["status"] == "pending_submission":
        return None
    return refused("gocardless", "cancellation_failed", made["status"], gateway_ref=made["id"])


def matching(outcome: Outcome, made: Mapping[str, Any], asked: Money) -> Outcome:
    """What an earlier request with the same key made must be what is asked for now."""
    if "amount" in made and Money(made["amount"], made["currency"]) != asked:
        return unknown("the key was used for another amount")
    return outcome


def of_error(error: Mapping[str, Any]) -> Outcome:
    """The reason of the first single error says more than the type of all."""
    first = next(iter(error.get("errors") or ()), {})
    code = first.get("reason") or error.get("type") or "unknown"
    outcome = refused("gocardless", code, first.get("message") or error.get("message"))
    return outcome


def _of(made: Mapping[str, Any], results: Mapping[str, str]) -> Outcome:
    status, ref = made["status"], made["id"]
    if status not in results:
        return refused("gocardless", status, gateway_ref=ref)
    result = results[status]
    done = result == "Success"
    return Outcome(
        result,
        category="Security" if result == "ActionRequired" else None,
        raw_code=None if done else status,
        gateway_ref=ref,
        processed_amount=Money(made["amount"], made["currency"]) if done and "amount" in made else None,
        gateway_date=datetime.fromisoformat(made["created_at"]) if "created_at" in made else None,
    )
