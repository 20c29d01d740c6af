"""Stripe before the conformance kit.

Shapes: https://docs.stripe.com/api/payment_intents/object, …/refunds/object, …/setup_intents/object,
…/errors, API version 2026-10-28.endive.  Signatures: https://docs.stripe.com/webhooks#verify-manually.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from events.money import Money
from gateways.codes import MAPS
from gateways.conformance.bank import Bank, Deed, Order, Seen, SeenLine
from gateways.conformance.rig import Rig
from gateways.conformance.wire import Answer, Asked
from gateways.stripe.adapter import TOLERANCE_SECONDS, StripeAdapter
from gateways.stripe.translation import CAPTURE_KEY, KEY

DECIMALS = {"ISK": (0, 2), "UGX": (0, 2), "MGA": (2, 0)}
"""Where Stripe counts in other minor units than ISO 4217 (https://docs.stripe.com/currencies#special-cases):
the decimals of each."""
RULES = {"NO_SUCH": "resource_missing", "NOT_HELD": "payment_intent_unexpected_state"}
STATUSES = {"PENDING": "processing", "ACTION": "requires_action", "DECLINED": "requires_payment_method"}
EVENTS = {"EXECUTED": "succeeded", "DECLINED": "payment_failed", "PENDING": "processing"}


class StripeRig(Rig):
    name = "stripe"
    adapter = StripeAdapter
    codes = MAPS["stripe"]
    secrets = {"api_key": "sk_test_topsecret", "webhook_secret": "whsec_topsecret"}
    charge_fates = ("ACTION", "PENDING")
    reads_initiator = True
    steps = {"MGA": 100, "KWD": 10}
    stale_seconds = TOLERANCE_SECONDS

    def settings(self, url: str) -> dict[str, str]:
        return {"base_url": url}

    def serve(self, asked: Asked, bank: Bank) -> Answer:
        place = urlsplit(asked.path)
        told = _form(asked.body.decode() if asked.method == "POST" else place.query)
        for method, pattern, act in ROUTES:
            match = re.fullmatch(pattern, place.path)
            if method == asked.method and match:
                return getattr(self, act)(told, asked, bank, *match.groups())
        return _error(404, "invalid_request_error", "resource_missing")

    def again(self, asked: Asked, deed: Deed, same: bool, first: Answer | None) -> Answer:
        return first if same and first else _error(400, "idempotency_error", None)

    def error(self, status: int, said: str) -> Answer:
        kind = "invalid_request_error" if status < 500 else "api_error"
        return _error(status, kind, None, message=said)

    def data_refused(self) -> Answer:
        return _error(
            400,
            "invalid_request_error",
            "parameter_invalid_integer",
            param="amount_details[line_items][0][quantity]",
        )

    def deliver(
        self, deeds: Sequence[Deed], secrets: Mapping[str, str], at: datetime
    ) -> tuple[dict[str, str], bytes]:
        (deed,) = deeds
        if deed.order.operation == "REFUND":
            kind, thing = "refund.updated", _refund(deed)
        else:
            kind, thing = f"payment_intent.{EVENTS[deed.status]}", _intent(deed, None)
        event = {"id": f"evt_{deed.ref}_{deed.status}", "type": kind, "data": {"object": thing}}
        return _signed(event, secrets, at)

    def deliver_unknown(self, secrets: Mapping[str, str], at: datetime) -> tuple[dict[str, str], bytes]:
        return _signed({"id": "evt_0", "type": "customer.created", "data": {"object": {}}}, secrets, at)

    # -- requests

    def pay(self, told: dict[str, Any], asked: Asked, bank: Bank) -> Answer:
        order = Order(
            operation="AUTHORIZE" if told["capture_method"] == "manual" else "SALE",
            key=asked.headers["idempotency-key"],
            amount=_money(told["amount"], told["currency"]),
            token=told["payment_method"],
            initiator="MERCHANT" if told.get("off_session") == "true" else "CUSTOMER",
            enhanced=_seen(told),
        )
        deed = bank.execute(order, asked)
        if deed.status == "DECLINED":
            more = {"decline_code": deed.code, "payment_intent": {"id": deed.ref}}
            return _error(402, "card_error", "card_declined", **more)
        return Answer(200, _intent(deed, bank))

    def capture(self, told: dict[str, Any], asked: Asked, bank: Bank, ref: str) -> Answer:
        held = bank.of_ref(ref)
        currency = held.amount.currency if held and held.amount else "USD"
        order = Order(
            operation="CAPTURE",
            key=asked.headers["idempotency-key"],
            amount=_money(told["amount_to_capture"], currency),
            of=ref,
            enhanced=_seen(told),
        )
        return self._on(bank.execute(order, asked), bank)

    def cancel(self, told: dict[str, Any], asked: Asked, bank: Bank, ref: str) -> Answer:
        order = Order("REVERSE", asked.headers["idempotency-key"], of=ref)
        return self._on(bank.execute(order, asked), bank)

    def _on(self, deed: Deed, bank: Bank) -> Answer:
        if deed.rule:
            return _error(400, "invalid_request_error", RULES.get(deed.rule, "amount_too_large"))
        held = bank.of_ref(deed.order.of)
        assert held is not None, "the bank knows what it captured"
        return Answer(200, _intent(held, bank))

    def refund(self, told: dict[str, Any], asked: Asked, bank: Bank) -> Answer:
        paid = bank.of_ref(told["payment_intent"])
        currency = paid.amount.currency if paid and paid.amount else "USD"
        order = Order(
            operation="REFUND",
            key=asked.headers["idempotency-key"],
            amount=_money(told["amount"], currency),
            of=told["payment_intent"],
        )
        deed = bank.execute(order, asked)
        if deed.rule:
            return _error(400, "invalid_request_error", RULES.get(deed.rule, "amount_too_large"))
        return Answer(200, _refund(deed))

    def set_up(self, told: dict[str, Any], asked: Asked, bank: Bank) -> Answer:
        order = Order("TOKENIZE", asked.headers["idempotency-key"], token=told["payment_method"])
        deed = bank.execute(order, asked)
        made = {"id": deed.ref, "payment_method": order.token, "status": "succeeded"}
        return Answer(200, made | {"object": "setup_intent", "metadata": told.get("metadata", {})})

    # -- inquiries

    def search(self, told: dict[str, Any], asked: Asked, bank: Bank) -> Answer:
        wanted = re.fullmatch(rf"metadata\['{KEY}'\]:'(.+)'", told["query"])
        deed = bank.of_key(wanted[1]) if wanted else None
        found = [_intent(deed, bank)] if deed else []
        return Answer(200, {"object": "search_result", "data": found, "has_more": False})

    def intent(self, told: dict[str, Any], asked: Asked, bank: Bank, ref: str) -> Answer:
        deed = bank.of_ref(ref)
        return Answer(200, _intent(deed, bank)) if deed else self.error(404, "no such payment_intent")

    def refunds_of(self, told: dict[str, Any], asked: Asked, bank: Bank) -> Answer:
        found = [_refund(deed) for deed in bank.on(told["payment_intent"], "REFUND")]
        return Answer(200, {"object": "list", "data": found, "has_more": False, "url": "/v1/refunds"})


ROUTES = (
    ("POST", "/v1/payment_intents", "pay"),
    ("POST", "/v1/payment_intents/([^/]+)/capture", "capture"),
    ("POST", "/v1/payment_intents/([^/]+)/cancel", "cancel"),
    ("GET", "/v1/payment_intents/search", "search"),
    ("GET", "/v1/payment_intents/([^/]+)", "intent"),
    ("POST", "/v1/refunds", "refund"),
    ("GET", "/v1/refunds", "refunds_of"),
    ("POST", "/v1/setup_intents", "set_up"),
)


def _intent(deed: Deed, bank: Bank | None) -> dict[str, Any]:
    """A payment intent as it is now: what was captured or let go is seen in the hold's own."""
    amount = deed.amount
    assert amount is not None, "an intent has an amount"
    captures = bank.on(deed.ref, "CAPTURE") if bank else []
    held = deed.order.operation == "AUTHORIZE" and deed.status == "EXECUTED"
    status = STATUSES.get(deed.status, "requires_capture" if held else "succeeded")
    intent: dict[str, Any] = {
        "id": deed.ref,
        "object": "payment_intent",
        "amount": _wire(deed.order.amount or amount),
        "amount_capturable": _wire(amount) if held else 0,
        "amount_received": 0 if held else _wire(amount),
        "capture_method": "manual" if deed.order.operation == "AUTHORIZE" else "automatic",
        "currency": amount.currency.lower(),
        "created": int(deed.at.timestamp()),
        "metadata": {KEY: deed.order.key},
        "status": status,
        "latest_charge": None,
    }
    if deed.status == "DECLINED":
        intent["last_payment_error"] = {"code": "card_declined", "decline_code": deed.code}
    if captures and captures[0].amount:
        intent |= {
            "status": "succeeded",
            "amount_received": _wire(captures[0].amount),
            "amount_capturable": 0,
        }
        intent["metadata"] |= {CAPTURE_KEY: captures[0].order.key}
    if bank and bank.on(deed.ref, "REVERSE"):
        intent |= {"status": "canceled", "amount_capturable": 0}
    return intent


def _refund(deed: Deed) -> dict[str, Any]:
    assert deed.amount is not None, "a refund has an amount"
    return {
        "id": deed.ref,
        "object": "refund",
        "amount": _wire(deed.amount),
        "created": int(deed.at.timestamp()),
        "currency": deed.amount.currency.lower(),
        "metadata": {KEY: deed.order.key},
        "payment_intent": deed.order.of,
        "status": {"EXECUTED": "succeeded", "PENDING": "pending"}.get(deed.status, "failed"),
        **({"failure_reason": deed.code} if deed.code else {}),
    }


def _error(status: int, kind: str, code: str | None, **more: Any) -> Answer:
    told = {"type": kind, "message": f"{code or kind} happened", **more}
    return Answer(status, {"error": told | ({"code": code} if code else {})})


def _money(count: str, currency: str) -> Money:
    ours, theirs = DECIMALS.get(currency.upper(), (0, 0))
    return Money(int(count) * 10**ours // 10**theirs, currency.upper())


def _wire(money: Money) -> int:
    ours, theirs = DECIMALS.get(money.currency, (0, 0))
    return money.amount_minor * 10**theirs // 10**ours


def _seen(told: Mapping[str, Any]) -> Seen | None:
    details = told.get("amount_details")
    if details is None:
        return None
    lines = tuple(
        SeenLine(line["product_code"], line["quantity"], int(line["unit_cost"]))
        for line in details.get("line_items", {}).values()
    )
    tax = details.get("tax", {}).get("total_tax_amount")
    return Seen(int(tax) if tax else None, lines)


def _signed(
    event: Mapping[str, Any], secrets: Mapping[str, str], at: datetime
) -> tuple[dict[str, str], bytes]:
    body, when = json.dumps(event).encode(), int(at.timestamp())
    signature = hmac.new(secrets["webhook_secret"].encode(), f"{when}.".encode() + body, hashlib.sha256)
    return {"Stripe-Signature": f"t={when},v1={signature.hexdigest()}"}, body


def _form(text: str) -> dict[str, Any]:
    """`a[b][0]=c` as nested dictionaries."""
    told: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        first, *rest = re.findall(r"[^\[\]]+", name)
        place = told
        for part in rest:
            place, first = place.setdefault(first, {}), part
        place[first] = value
    return told
