"""Between Tender's words and Adyen's.

An authorization or a sale carries our key in its metadata; a modification (capture, cancel, refund)
carries it as its reference, which its notification gives back as `merchantReference`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

import orjson

from events.enhanced import EnhancedData
from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.money import Money
from events.shapes import ActionRequired, FraudContext, Outcome
from gateways.outcomes import data_rejected, refused, unknown
from gateways.units import Units

KEY = "tender_key"
PROVED = "tender_proves"
"""In the metadata of what only proves a stored method: which one, so that its notification says it, too."""
LINES_MAX = 9
DATA = "enhancedSchemeData"
"""How the fields of Level 2 and 3 data are called."""

UNITS = Units({"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2})
"""https://docs.adyen.com/development-resources/currency-codes: those that "differ from standard"."""

CAPABILITIES = Capabilities(
    operations=("AUTHORIZE", "CAPTURE", "SALE", "REVERSE", "VOID", "REFUND", "TOKENIZE"),
    idempotency=True,
    idempotency_key_hours=168,
    query_by_reference=False,
    read_your_writes_seconds=None,
    multi_capture=True,
    partial_capture=True,
    partial_reversal=False,
    level2=True,
    level3=True,
    level3_max_lines=LINES_MAX,
    notifications=True,
    asynchronous=("CAPTURE", "REVERSE", "VOID", "REFUND"),
)
"""Adyen has no inquiry: what was lost is told by its notification.  It keeps keys for at least a week
(https://docs.adyen.com/development-resources/api-idempotency)."""

PROCESSING_MODELS = {
    "RECURRING": "Subscription",
    "INSTALLMENT": "Subscription",
    "UNSCHEDULED": "UnscheduledCardOnFile",
}

WAITING = {
    "Received": "Pending",
    "Pending": "Pending",
    "RedirectShopper": "ActionRequired",
    "IdentifyShopper": "ActionRequired",
    "ChallengeShopper": "ActionRequired",
    "PresentToShopper": "ActionRequired",
    "AuthenticationNotRequired": "Pending",
    "AuthenticationFinished": "Pending",
}


def amount(money: Money) -> dict[str, Any]:
    return {"value": UNITS.count(money), "currency": money.currency}


def payment(planned: GatewayCallPlanned, merchant_account: str, return_url: str) -> dict[str, Any]:
    assert planned.method is not None, "an authorization or a sale names its instrument"
    merchant = planned.initiator == "MERCHANT"
    more: dict[str, Any] = {"manualCapture": "true" if planned.operation == "AUTHORIZE" else "false"}
    if planned.method.network_transaction_id:
        more["networkTxReference"] = planned.method.network_transaction_id
    if planned.enhanced:
        more |= enhanced(planned.enhanced, planned.amount.currency)
    proved = {PROVED: planned.method.token_ref} if planned.operation == "TOKENIZE" else {}
    told: dict[str, Any] = {
        "merchantAccount": merchant_account,
        "amount": amount(planned.amount),
        "reference": planned.merchant_reference,
        "paymentMethod": {
            "type": METHOD_TYPES.get(planned.method.type, "scheme"),
            "storedPaymentMethodId": planned.method.token_ref,
        },
        "shopperReference": planned.method.gateway_reference or planned.account_id,
        "shopperInteraction": "ContAuth" if merchant else "Ecommerce",
        "recurringProcessingModel": PROCESSING_MODELS.get(planned.reason, "UnscheduledCardOnFile")
        if merchant
        else "CardOnFile",
        "metadata": {**_noted(planned), **proved, KEY: planned.idempotency_key},
        "additionalData": more,
        "returnUrl": return_url,
        **_payer(planned.fraud_context),
    }
    return told | ({"captureDelayHours": 0} if planned.operation == "SALE" else {})


def _noted(planned: GatewayCallPlanned) -> dict[str, str]:
    """The client's own words and what it is begun for, as metadata: at most 20 pairs with ours, of 20 and
    80 characters."""
    told = {
        "client_context": planned.client_context,
        "comments": planned.comments,
        "initiationSourceId": planned.initiation_source_id,
    }
    told |= planned.additional_data or {}
    fits = [(name, text[:80]) for name, text in told.items() if text and len(name) <= 20]
    return dict(fits[:19])


def _payer(known: FraudContext | None) -> dict[str, str]:
    if known is None:
        return {}
    told = {
        "shopperEmail": known.email,
        "shopperIP": known.ip_address,
        "telephoneNumber": known.phone,
        "deviceFingerprint": known.device_fingerprint,
    }
    return {name: text for name, text in told.items() if text}


METHOD_TYPES = {
    "sepa_debit": "sepadirectdebit",
    "us_bank_account": "ach",
    "bacs_debit": "directdebit_GB",
    "ideal": "sepadirectdebit",
}
"""How what is stored is charged; all else is `scheme`.  iDEAL recurs as a SEPA direct debit
(https://docs.adyen.com/payment-methods/ideal/api-only#recurring-payments)."""


def modification(planned: GatewayCallPlanned, merchant_account: str) -> dict[str, Any]:
    told: dict[str, Any] = {"merchantAccount": merchant_account, "reference": planned.idempotency_key}
    if planned.operation in ("CAPTURE", "REFUND"):
        told["amount"] = amount(planned.amount)
    if planned.operation == "CAPTURE" and planned.enhanced:
        told["additionalData"] = enhanced(planned.enhanced, planned.amount.currency)
    return told


def enhanced(told: EnhancedData, currency: str) -> dict[str, str]:
    """Level 2 and 3, every value a text (https://docs.adyen.com/payment-methods/cards/enhanced-scheme-data/l2-l3).

    What Adyen cannot read it drops, a field or all of them: each is cut to its length, in ASCII.
    """
    fields: dict[str, Any] = {
        "customerReference": _plain(told.customer_code or told.reference_id, 25),
        "totalTaxAmount": UNITS.scaled(told.total_tax_minor, currency),
        "freightAmount": UNITS.scaled(told.shipping_minor, currency) or None,
        "dutyAmount": UNITS.scaled(told.duty_minor, currency) or None,
        "destinationPostalCode": _plain(told.ship_to_postal_code, 10),
        "shipFromPostalCode": _plain(told.ship_from_postal_code, 10),
    }
    for number, line in enumerate(told.lines, 1):
        item = f"itemDetailLine{number}"
        fields |= {
            f"{item}.productCode": _plain(line.product_code, 12),
            f"{item}.description": _plain(line.description, 26),
            f"{item}.commodityCode": _plain(line.commodity_code, 12),
            f"{item}.quantity": line.quantity,
            f"{item}.unitOfMeasure": _plain(line.unit_of_measure, 3),
            f"{item}.unitPrice": UNITS.scaled(line.unit_price_minor, currency),
            f"{item}.discountAmount": UNITS.scaled(line.discount_minor, currency) or None,
            f"{item}.totalAmount": UNITS.scaled(line.line_item_total_minor, currency),
        }
    return {f"{DATA}.{name}": str(value) for name, value in fields.items() if value is not None}


def _plain(text: str | None, characters_max: int) -> str | None:
    """A text in ASCII, as much of it as is taken; None where nothing is left."""
    ascii_only = unicodedata.normalize("NFKD", text or "").encode("ascii", "ignore").decode()
    return ascii_only.strip()[:characters_max] or None


# -- answers


def of_payment(answer: Mapping[str, Any], asked: GatewayCallPlanned) -> Outcome:
    result = answer.get("resultCode")
    if result == "Authorised" and asked.operation == "TOKENIZE":
        assert asked.method is not None, "what is proved is an instrument"
        return Outcome(
            "Success", gateway_ref=asked.method.token_ref, network_transaction_id=_scheme_id(answer)
        )
    if result == "Authorised":
        more = answer.get("additionalData") or {}
        return Outcome(
            "Success",
            gateway_ref=answer["pspReference"],
            auth_code=more.get("authCode"),
            avs_code=more.get("avsResultRaw"),
            cvc_code=more.get("cvcResultRaw"),
            network_transaction_id=_scheme_id(answer),
            processed_amount=money(answer["amount"]) if "amount" in answer else asked.amount,
            level_sent=1 if asked.enhanced is None else 3 if asked.enhanced.lines else 2,
        )
    if result in WAITING:
        waits = WAITING[result]
        return Outcome(
            waits,
            category="Security" if waits == "ActionRequired" else None,
            raw_code=result,
            gateway_ref=answer.get("pspReference"),
            action=_action(answer["action"]) if "action" in answer else None,
        )
    if result in ("Refused", "Error", "Cancelled"):
        return of_refusal(answer)
    return unknown(f"no result that is known: {result}")


def _scheme_id(answer: Mapping[str, Any]) -> str | None:
    return (answer.get("additionalData") or {}).get("networkTxReference")


def _action(asked: Mapping[str, Any]) -> ActionRequired:
    """As Adyen's component in the browser takes it."""
    whole = orjson.dumps(asked).decode()
    return ActionRequired(asked.get("type") or "redirect", asked.get("url"), {"action": whole})


def of_refusal(answer: Mapping[str, Any]) -> Outcome:
    code = str(answer.get("refusalReasonCode") or answer.get("resultCode") or "0")
    more = answer.get("additionalData") or {}
    return refused(
        "adyen",
        code,
        answer.get("refusalReason"),
        gateway_ref=answer.get("pspReference"),
        network_code=_leading(more.get("refusalReasonRaw")),
        network_advice=_leading(more.get("merchantAdviceCode")),
    )


def _leading(text: str | None) -> str | None:
    """`51` of `51 : Not sufficient funds`."""
    return text.partition(":")[0].strip() or None if text else None


def of_modification(answer: Mapping[str, Any], asked: GatewayCallPlanned) -> Outcome:
    """Acknowledged; the word on it comes by notification.  A captured payment keeps its own reference."""
    if answer.get("status") != "received":
        return unknown(f"no acknowledgement: {answer.get('status')}")
    own = asked.operation != "CAPTURE"
    return Outcome("Pending", gateway_ref=answer["pspReference" if own else "paymentPspReference"])


def of_error(body: Mapping[str, Any]) -> Outcome:
    """A request that Adyen's validation refused: its error code, which is no refusal reason."""
    ref = body.get("pspReference")
    told = refused("adyen", f"error {body.get('errorCode')}", body.get("message"), gateway_ref=ref)
    return data_rejected(told) if _is_of_data(body) else told


def _is_of_data(body: Mapping[str, Any]) -> bool:
    """Whether the field that was refused is one of the Level 2 and 3 data.

    Adyen leaves out what networks would not take, and goes on; only what it cannot read at all is refused,
    and then named (https://docs.adyen.com/development-resources/error-codes).
    """
    fields = [str(field.get("name") or "") for field in body.get("invalidFields") or ()]
    return any(DATA in said for said in (str(body.get("message") or ""), *fields))


def money(told: Mapping[str, Any]) -> Money:
    return UNITS.money(told["value"], told["currency"])
