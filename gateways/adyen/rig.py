"""Adyen before the conformance kit.

Shapes: https://docs.adyen.com/api-explorer/Checkout/72/post/payments and …/payments/_paymentPspReference_/…,
Checkout API v72.  Notifications: https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from Adyen.util import generate_notification_sig

from events.money import Money
from gateways.adyen.adapter import AdyenAdapter
from gateways.adyen.news import REASONS
from gateways.adyen.translation import KEY, PROVED
from gateways.codes import MAPS
from gateways.conformance.bank import Bank, Deed, Order, Seen, SeenLine
from gateways.conformance.rig import Rig
from gateways.conformance.wire import Answer, Asked

DECIMALS = {"CLP": (0, 2), "ISK": (0, 2), "CVE": (2, 0), "IDR": (2, 0)}
"""Where Adyen counts in other minor units than ISO 4217: the decimals of each
(https://docs.adyen.com/development-resources/currency-codes)."""
MODIFICATIONS = {"captures": "CAPTURE", "cancels": "REVERSE", "refunds": "REFUND"}
EVENTS = {"CAPTURE": "CAPTURE", "REVERSE": "CANCELLATION", "VOID": "CANCELLATION", "REFUND": "REFUND"}
WORDS = {code: words for words, code in REASONS.items()}


class AdyenRig(Rig):
    name = "adyen"
    adapter = AdyenAdapter
    codes = MAPS["adyen"]
    secrets = {
        "api_key": "AQE_topsecret",
        "hmac_key": "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
    }
    charge_fates = ("ACTION", "PENDING")
    reads_initiator = True
    steps = {"CVE": 100, "IDR": 100}
    batches = True

    def settings(self, url: str) -> dict[str, str]:
        return {"base_url": url, "merchant_account": "TestMerchant"}

    def serve(self, asked: Asked, bank: Bank) -> Answer:
        told = json.loads(asked.body)
        if asked.path == "/v72/payments":
            return self._pay(told, asked, bank)
        modified = re.fullmatch(r"/v72/payments/([^/]+)/(captures|cancels|refunds)", asked.path)
        if modified is None:
            return _error(404, "000", "no such resource")
        return self._modify(modified[1], MODIFICATIONS[modified[2]], told, asked, bank)

    def again(self, asked: Asked, deed: Deed, same: bool, first: Answer | None) -> Answer:
        return first if same and first else _error(422, "704", "request already processed or in progress")

    def error(self, status: int, said: str) -> Answer:
        return _error(status, "905_1", said)

    def data_refused(self) -> Answer:
        return _error(422, "702", "Field 'additionalData.enhancedSchemeData.totalTaxAmount' is not valid.")

    def deliver(
        self, deeds: Sequence[Deed], secrets: Mapping[str, str], at: datetime
    ) -> tuple[dict[str, str], bytes]:
        return _signed([_item(deed) for deed in deeds], secrets)

    def deliver_unknown(self, secrets: Mapping[str, str], at: datetime) -> tuple[dict[str, str], bytes]:
        report = {"eventCode": "REPORT_AVAILABLE", "pspReference": "R1", "success": "true"}
        more = {
            "merchantAccountCode": "TestMerchant",
            "merchantReference": "",
            "amount": _wire(Money(0, "EUR")),
        }
        return _signed([report | more], secrets)

    def _pay(self, told: dict[str, Any], asked: Asked, bank: Bank) -> Answer:
        order = Order(
            operation=_charge(told),
            key=asked.headers["idempotency-key"],
            amount=_money(told["amount"]),
            token=told["paymentMethod"]["storedPaymentMethodId"],
            initiator="MERCHANT" if told["shopperInteraction"] == "ContAuth" else "CUSTOMER",
            enhanced=_seen(told["additionalData"]),
        )
        deed = bank.execute(order, asked)
        answer = {"pspReference": deed.ref, "merchantReference": told["reference"]}
        match deed.status:
            case "DECLINED":
                refusal = {"refusalReason": WORDS.get(deed.code, "Refused"), "refusalReasonCode": deed.code}
                return Answer(200, answer | {"resultCode": "Refused"} | refusal)
            case "ACTION":
                return Answer(200, answer | {"resultCode": "RedirectShopper", "action": {"type": "redirect"}})
            case "PENDING":
                return Answer(200, answer | {"resultCode": "Pending"})
            case _:
                assert deed.amount is not None, "a payment has an amount"
                return Answer(200, answer | {"resultCode": "Authorised", "amount": _wire(deed.amount)})

    def _modify(self, of: str, operation: str, told: dict[str, Any], asked: Asked, bank: Bank) -> Answer:
        base = bank.of_ref(of)
        if base is not None and base.order.operation == "SALE" and operation == "REVERSE":
            operation = "VOID"
        amount = _money(told["amount"]) if "amount" in told else None
        order = Order(operation, asked.headers["idempotency-key"], amount, of=of)
        deed = bank.execute(order, asked)
        if deed.rule == "NO_SUCH":
            return _error(422, "167", "Original pspReference required for this operation")
        acknowledged = {"paymentPspReference": of, "pspReference": deed.ref, "reference": told["reference"]}
        return Answer(201, acknowledged | {"merchantAccount": told["merchantAccount"], "status": "received"})


def _item(deed: Deed) -> dict[str, Any]:
    order = deed.order
    charge = order.operation in ("AUTHORIZE", "SALE", "TOKENIZE")
    proved = {f"metadata.{PROVED}": order.token} if order.operation == "TOKENIZE" else {}
    good = deed.status == "EXECUTED"
    item = {
        "amount": _wire(deed.amount or Money(0, "USD")),
        "eventCode": "AUTHORISATION" if charge else EVENTS[order.operation],
        "eventDate": deed.at.isoformat(),
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "PAY-1" if charge else order.key,
        "originalReference": order.of or "",
        "pspReference": deed.ref,
        "reason": "" if good else WORDS.get(deed.code, "Insufficient balance on payment"),
        "success": "true" if good else "false",
    }
    return item | ({"additionalData": {f"metadata.{KEY}": order.key, **proved}} if charge else {})


def _charge(told: Mapping[str, Any]) -> str:
    """What Adyen is asked for: nothing may be charged to prove a card."""
    if told["amount"]["value"] == 0:
        return "TOKENIZE"
    return "AUTHORIZE" if told["additionalData"]["manualCapture"] == "true" else "SALE"


def _signed(items: Sequence[dict[str, Any]], secrets: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """Each item is signed by itself, within itself."""
    signed = []
    for item in items:
        signature = generate_notification_sig(dict(item), secrets["hmac_key"]).decode()
        more = {**item.get("additionalData", {}), "hmacSignature": signature}
        signed.append({"NotificationRequestItem": item | {"additionalData": more}})
    return {}, json.dumps({"live": "false", "notificationItems": signed}).encode()


def _error(status: int, code: str, message: str) -> Answer:
    told = {"status": status, "errorCode": code, "message": message, "errorType": "validation"}
    return Answer(status, told)


def _money(told: Mapping[str, Any]) -> Money:
    ours, theirs = DECIMALS.get(told["currency"], (0, 0))
    return Money(told["value"] * 10**ours // 10**theirs, told["currency"])


def _wire(money: Money) -> dict[str, Any]:
    ours, theirs = DECIMALS.get(money.currency, (0, 0))
    return {"value": money.amount_minor * 10**theirs // 10**ours, "currency": money.currency}


def _seen(told: Mapping[str, str]) -> Seen | None:
    field = "enhancedSchemeData."
    if not any(name.startswith(field) for name in told):
        return None
    lines: list[SeenLine] = []
    while (item := f"{field}itemDetailLine{len(lines) + 1}") + ".productCode" in told:
        line = told[f"{item}.productCode"], told[f"{item}.quantity"], int(told[f"{item}.unitPrice"])
        lines.append(SeenLine(*line))
    tax = told.get(f"{field}totalTaxAmount")
    return Seen(int(tax) if tax else None, tuple(lines))
