"""Between Tender's words and Stripe's.

Our key travels twice: as Stripe's idempotency key, and in the metadata of what it made (`tender_key`;
`tender_capture` for a capture, whose payment intent belongs to the authorization), so that inquiries
and webhooks find their way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from events.enhanced import EnhancedData, EnhancedLine
from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.money import Money
from events.shapes import ActionRequired, Outcome
from gateways.outcomes import data_rejected, refused
from gateways.units import Units

KEY, CAPTURE_KEY = "tender_key", "tender_capture"
LINES_MAX = 200
DATA = ("amount_details", "payment_details")
"""The parameters that hold Level 2 and 3 data."""

UNITS = Units(
    {"ISK": 2, "UGX": 2, "MGA": 0},
    steps=dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 10),
)
"""ISK and UGX are told with two decimals that are always 0, MGA without any; of three decimals the last
must be 0 (https://docs.stripe.com/currencies#special-cases)."""

CAPABILITIES = Capabilities(
    operations=("AUTHORIZE", "CAPTURE", "SALE", "REVERSE", "REFUND", "TOKENIZE", "VERIFY"),
    idempotency=True,
    idempotency_key_hours=24,
    query_by_reference=True,
    read_your_writes_seconds=3600,
    multi_capture=False,
    partial_capture=True,
    partial_reversal=False,
    level2=True,
    level3=True,
    level3_max_lines=LINES_MAX,
    notifications=True,
    asynchronous=("REFUND",),
)
"""Inquiries search by metadata: the index is up to an hour behind, so only then does "not found" mean
"not executed" (https://docs.stripe.com/api/payment_intents/search).  A captured charge cannot be voided,
and several captures of one authorization need an agreement with Stripe."""


def creation(planned: GatewayCallPlanned) -> dict[str, Any]:
    """Parameters of a payment intent that is confirmed at once."""
    assert planned.method is not None, "an authorization or a sale names its instrument"
    parameters: dict[str, Any] = {
        "amount": UNITS.count(planned.amount),
        "currency": planned.amount.currency.lower(),
        "confirm": True,
        "capture_method": "manual" if planned.operation == "AUTHORIZE" else "automatic",
        "payment_method": planned.method.token_ref,
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "description": planned.merchant_reference,
        "metadata": {
            **_noted(planned),
            KEY: planned.idempotency_key,
            "tender_reference": planned.merchant_reference,
        },
        "expand": ["latest_charge"],
    }
    if planned.fraud_context and planned.fraud_context.device_fingerprint:
        parameters["radar_options"] = {"session": planned.fraud_context.device_fingerprint}
    if planned.method.gateway_reference:
        parameters["customer"] = planned.method.gateway_reference
    if planned.initiator == "MERCHANT":
        parameters["off_session"] = True
        if planned.method.mandate_reference:
            parameters["mandate"] = planned.method.mandate_reference
    elif planned.is_first_in_series:
        parameters["setup_future_usage"] = "off_session"
    return parameters | (enhanced(planned.enhanced, planned.amount.currency) if planned.enhanced else {})


def _noted(planned: GatewayCallPlanned) -> dict[str, str]:
    """The client's own words and what it is begun for, as metadata: values of at most 500 characters."""
    told = {
        "comments": planned.comments,
        "client_context": planned.client_context,
        "initiation_source_id": planned.initiation_source_id,
    }
    noted = {name: text[:500] for name, text in told.items() if text}
    return {**(planned.additional_data or {}), **noted}


def setup(planned: GatewayCallPlanned) -> dict[str, Any]:
    """Parameters of a setup intent: the instrument is proved, and kept for charges without its owner."""
    assert planned.method is not None, "what is saved is an instrument"
    parameters: dict[str, Any] = {
        "confirm": True,
        "payment_method": planned.method.token_ref,
        "usage": "off_session",
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "metadata": {KEY: planned.idempotency_key},
    }
    if planned.method.gateway_reference:
        parameters["customer"] = planned.method.gateway_reference
    return parameters


def capture(planned: GatewayCallPlanned) -> dict[str, Any]:
    return {
        "amount_to_capture": UNITS.count(planned.amount),
        "metadata": {CAPTURE_KEY: planned.idempotency_key},
        "expand": ["latest_charge"],
    } | (enhanced(planned.enhanced, planned.amount.currency) if planned.enhanced else {})


def refund(planned: GatewayCallPlanned) -> dict[str, Any]:
    return {
        "payment_intent": planned.payment_ref,
        "amount": UNITS.count(planned.amount),
        "metadata": {KEY: planned.idempotency_key},
    }


def enhanced(told: EnhancedData, currency: str) -> dict[str, Any]:
    """Level 2 and 3.  Tax and discount stand on the lines or on the whole, never on both."""
    details: dict[str, Any] = {"shipping": _shipping(told, currency)}
    if told.lines:
        details["line_items"] = [_line(line, currency) for line in told.lines]
    else:
        details["tax"] = {"total_tax_amount": UNITS.scaled(told.total_tax_minor, currency)}
        if told.discount_minor:
            details["discount_amount"] = UNITS.scaled(told.discount_minor, currency)
    payment: dict[str, Any] = {"order_reference": (told.invoice_number or told.reference_id)[:25]}
    if told.customer_code:
        payment["customer_reference"] = told.customer_code[:25]
    return {"amount_details": details, "payment_details": payment}


def _shipping(told: EnhancedData, currency: str) -> dict[str, Any]:
    shipping: dict[str, Any] = {"amount": UNITS.scaled(told.shipping_minor, currency)}
    if told.ship_from_postal_code:
        shipping["from_postal_code"] = told.ship_from_postal_code[:10]
    if told.ship_to_postal_code:
        shipping["to_postal_code"] = told.ship_to_postal_code[:10]
    return shipping


def _line(line: EnhancedLine, currency: str) -> dict[str, Any]:
    item: dict[str, Any] = {
        "product_code": line.product_code[:12],
        "product_name": line.description[:1024],
        "quantity": int(line.quantity),
        "unit_cost": UNITS.scaled(line.unit_price_minor, currency),
        "tax": {"total_tax_amount": UNITS.scaled(line.tax_minor, currency)},
    }
    if line.unit_of_measure:
        item["unit_of_measure"] = line.unit_of_measure
    if line.discount_minor:
        item["discount_amount"] = UNITS.scaled(line.discount_minor, currency)
    if line.commodity_code:
        item["payment_method_options"] = {"card": {"commodity_code": line.commodity_code}}
    return item


# -- answers


def of_intent(intent: Mapping[str, Any], level: int | None = None) -> Outcome:
    """What a payment intent says of the operation that made it, or that captured it."""
    status, ref = intent["status"], intent["id"]
    if status == "requires_payment_method":
        return of_error(intent.get("last_payment_error") or {"code": "requires_payment_method"}, ref)
    if status == "canceled":
        return refused("stripe", "canceled", intent.get("cancellation_reason"), gateway_ref=ref)
    charge = intent.get("latest_charge")
    charge = charge if isinstance(charge, Mapping) else {}
    card = (charge.get("payment_method_details") or {}).get("card") or {}
    checks = card.get("checks") or {}
    held = status == "requires_capture"
    amount = intent.get("amount_capturable") if held else intent.get("amount_received")
    done = held or status == "succeeded"
    return Outcome(
        "Success" if done else WAITING.get(status, "Pending"),
        category=None if done or status == "processing" else "Security",
        raw_code=None if done else status,
        gateway_ref=ref,
        auth_code=charge.get("authorization_code") or card.get("authorization_code"),
        avs_code=checks.get("address_postal_code_check"),
        cvc_code=checks.get("cvc_check"),
        processed_amount=_money(amount, intent["currency"]) if done and amount is not None else None,
        gateway_date=_at(charge.get("created") or intent.get("created")),
        expires_at=_at(card.get("capture_before")) if held else None,
        network_transaction_id=card.get("network_transaction_id"),
        level_sent=level,
        action=_action(intent) if status == "requires_action" else None,
    )


def _action(intent: Mapping[str, Any]) -> ActionRequired:
    """What Stripe's component in the browser, or a page of the customer's bank, goes on with."""
    asked = intent.get("next_action") or {}
    redirect = asked.get("redirect_to_url") or {}
    secret = intent.get("client_secret")
    return ActionRequired(
        asked.get("type") or "use_stripe_sdk",
        redirect.get("url"),
        {"client_secret": secret} if secret else None,
    )


WAITING = {"processing": "Pending", "requires_action": "ActionRequired", "requires_confirmation": "Pending"}


def of_cancellation(intent: Mapping[str, Any], amount: Money) -> Outcome | None:
    """A reversal's own view of its payment intent; nothing while the hold still stands."""
    if intent["status"] == "canceled":
        at = _at(intent.get("canceled_at"))
        return Outcome("Success", gateway_ref=intent["id"], processed_amount=amount, gateway_date=at)
    if intent["status"] == "succeeded":
        return refused("stripe", "payment_intent_unexpected_state", "captured", gateway_ref=intent["id"])
    return None


def of_setup(intent: Mapping[str, Any]) -> Outcome:
    status = intent["status"]
    if status == "requires_payment_method":
        return of_error(intent.get("last_setup_error") or {"code": status}, intent["id"])
    if status == "canceled":
        return refused("stripe", "canceled", gateway_ref=intent["id"])
    done = status == "succeeded"
    return Outcome(
        "Success" if done else WAITING.get(status, "Pending"),
        category="Security" if status == "requires_action" else None,
        raw_code=None if done else status,
        gateway_ref=intent.get("payment_method") if done else intent["id"],
        gateway_date=_at(intent.get("created")),
    )


def verification(planned: GatewayCallPlanned) -> dict[str, Any]:
    """https://docs.stripe.com/api/setup_intents/verify_microdeposits."""
    told = planned.micro_deposits
    assert told is not None, "what is verified was told"
    if told.descriptor_code:
        return {"descriptor_code": told.descriptor_code}
    return {"amounts": list(told.amounts_minor)}


def of_verification(intent: Mapping[str, Any]) -> Outcome | None:
    """What an intent says of a guess whose answer was lost: only that it was right is seen there."""
    if intent["status"] == "requires_action":
        return None
    return of_setup(intent)


def of_refund(refund: Mapping[str, Any]) -> Outcome:
    status, ref = refund["status"], refund["id"]
    if status in ("failed", "canceled"):
        return refused("stripe", refund.get("failure_reason") or status, gateway_ref=ref)
    done = status == "succeeded"
    return Outcome(
        "Success" if done else "ActionRequired" if status == "requires_action" else "Pending",
        raw_code=None if done else status,
        gateway_ref=ref,
        processed_amount=_money(refund["amount"], refund["currency"]) if done else None,
        gateway_date=_at(refund.get("created")),
    )


def of_error(error: Mapping[str, Any], gateway_ref: str | None = None) -> Outcome:
    """An error object: its decline code says more than its code, and that more than its type."""
    code = error.get("decline_code") or error.get("code") or error.get("type") or "unknown"
    ref = gateway_ref or (error.get("payment_intent") or error.get("setup_intent") or {}).get("id")
    never = error.get("advice_code") == "do_not_try_again"
    told = refused(
        "stripe",
        code,
        error.get("message"),
        gateway_ref=ref,
        never_retry=never,
        raw_sub_code=error.get("code") if error.get("decline_code") else None,
        network_code=error.get("network_decline_code"),
        network_advice=error.get("network_advice_code"),
    )
    return data_rejected(told) if _is_of_data(error) else told


def _is_of_data(error: Mapping[str, Any]) -> bool:
    """Whether a request was refused for a parameter of its Level 2 and 3 data, such as
    `amount_details[line_items][0][quantity]` (https://docs.stripe.com/api/errors#errors-param)."""
    about = str(error.get("param") or "")
    return error.get("type") == "invalid_request_error" and about.startswith(DATA)


def _money(count: int, currency: str) -> Money:
    return UNITS.money(count, currency.upper())


def _at(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
