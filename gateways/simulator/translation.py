"""Between Tender's words and the simulator's: used by the adapter, and by simulations without a network."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from events.enhanced import EnhancedData
from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned, MicroDeposits
from events.money import Money
from events.shapes import ActionRequired, Outcome
from gateways import codes
from gateways.outcomes import not_sent, unknown
from gateways.protocol import Notification
from gateways.simulator.core import Reply

CAPABILITIES = Capabilities(
    operations=(
        "AUTHORIZE",
        "CAPTURE",
        "SALE",
        "REVERSE",
        "VOID",
        "REFUND",
        "UNREFERENCED_REFUND",
        "TOKENIZE",
        "VERIFY",
    ),
    idempotency=True,
    idempotency_key_hours=720,
    query_by_reference=True,
    read_your_writes_seconds=2,
    multi_capture=True,
    level2=True,
    level3=True,
    level3_max_lines=100,
    notifications=True,
)
PRODUCT_CODE_MAX, DESCRIPTION_MAX = 12, 80


def to_request(planned: GatewayCallPlanned) -> dict[str, Any]:
    """The simulator's request: the same for every send of a key."""
    is_kept = planned.operation == "SALE" and planned.is_first_in_series
    return (
        {
            **({"is_first_in_series": True} if is_kept else {}),
            "idempotency_key": planned.idempotency_key,
            "operation": planned.operation,
            "amount_minor": planned.amount.amount_minor,
            "currency": planned.amount.currency,
            "token": planned.method.token_ref if planned.method else None,
            "of": planned.payment_ref or planned.authorization_ref,
            "merchant_reference": planned.merchant_reference,
        }
        | (_deposits(planned.micro_deposits) if planned.micro_deposits else {})
        | _detail(planned.enhanced)
    )


def _deposits(seen: MicroDeposits) -> dict[str, Any]:
    """What the holder of a bank account saw on his statement."""
    return {"amounts": list(seen.amounts_minor), "descriptor_code": seen.descriptor_code}


def _detail(told: EnhancedData | None) -> dict[str, Any]:
    """Level 2 and 3 data, cut to what the simulator takes."""
    if told is None:
        return {}
    lines = [
        {
            "product_code": line.product_code[:PRODUCT_CODE_MAX],
            "description": line.description[:DESCRIPTION_MAX],
            "commodity_code": line.commodity_code,
            "quantity": line.quantity,
            "unit_of_measure": line.unit_of_measure,
            "unit_price_minor": line.unit_price_minor,
            "discount_minor": line.discount_minor,
            "tax_minor": line.tax_minor,
        }
        for line in told.lines
    ]
    return {
        "enhanced": {
            "reference": told.invoice_number or told.reference_id,
            "customer_code": told.customer_code,
            "tax_minor": told.total_tax_minor,
            "besides_minor": told.shipping_minor + told.duty_minor,
            "ship_from": told.ship_from_postal_code,
            "ship_to": told.ship_to_postal_code,
            "lines": lines,
        }
    }


def to_outcome(answer: dict[str, Any]) -> Outcome:
    """What an answer means."""
    code = answer.get("code") or None
    meaning = codes.classify("stripe", code) if code else None
    failed = answer["result"] in ("Decline", "PermanentFail", "ValidationError", "EnhancedDataRejected")
    return Outcome(
        result_code=answer["result"],
        category=meaning.category if meaning and failed else None,
        hard=bool(meaning and meaning.hard and failed),
        never_retry=bool(meaning and meaning.never_retry and failed),
        raw_code=code,
        raw_message=code.replace("_", " ") if code else None,
        gateway_ref=answer.get("ref"),
        processed_amount=Money(answer["amount_minor"], answer["currency"])
        if "amount_minor" in answer
        else None,
        gateway_date=datetime.fromisoformat(answer["at"]) if "at" in answer else None,
        expires_at=datetime.fromisoformat(answer["expires_at"]) if "expires_at" in answer else None,
        code_map_version=codes.VERSION if meaning else None,
        network_transaction_id=answer.get("network_transaction_id"),
        level_sent=answer.get("level"),
        network_advice=answer.get("network_advice"),
        action=ActionRequired("challenge") if answer["result"] == "ActionRequired" else None,
    )


def to_notification(news: dict[str, Any]) -> Notification:
    """What news means; our key and our number are not in all of it."""
    outcome = to_outcome(news["answer"])
    return Notification(
        news["event_id"],
        news["operation"],
        news.get("key"),
        outcome.gateway_ref,
        outcome,
        news.get("merchant_reference"),
    )


def of_reply(reply: Reply) -> Outcome:
    """The same, where there may be no answer."""
    if reply.kind == "LOST":
        return unknown("no answer came")
    if reply.kind == "BUSY":
        return not_sent("busy", reply.body.get("retry_after") or None)
    return to_outcome(reply.body)
