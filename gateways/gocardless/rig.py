"""GoCardless before the conformance kit.

Shapes: https://developer.gocardless.com/api-reference/#core-endpoints-payments, …-refunds, …-mandates,
…#api-usage-errors, …#appendix-webhooks, GoCardless-Version 2015-07-06.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from events.money import Money
from gateways.codes import MAPS
from gateways.conformance.bank import Bank, Deed, Order
from gateways.conformance.rig import Rig
from gateways.conformance.wire import Answer, Asked
from gateways.gocardless.adapter import GoCardlessAdapter
from gateways.gocardless.translation import KEY

KINDS = {"SALE": "payments", "REFUND": "refunds", "TOKENIZE": "mandates"}
STATUSES = {
    "payments": {"EXECUTED": "confirmed", "PENDING": "pending_submission", "DECLINED": "failed"},
    "refunds": {"EXECUTED": "paid", "PENDING": "submitted", "DECLINED": "failed"},
    "mandates": {"EXECUTED": "active", "PENDING": "pending_submission", "DECLINED": "failed"},
}
LINKS = {"payments": "mandate", "refunds": "payment", "mandates": "customer_bank_account"}
ACTIONS = {"EXECUTED": {"payments": "confirmed", "refunds": "paid", "mandates": "active"}, "DECLINED": {}}


class GoCardlessRig(Rig):
    name = "gocardless"
    adapter = GoCardlessAdapter
    codes = MAPS["gocardless"]
    secrets = {"api_key": "sandbox_topsecret", "webhook_secret": "ELNKK8_topsecret"}
    method_type = "sepa_debit"
    token = "MD0001"  # noqa: S105  # a mandate
    charge_fates = ("ACTION",)
    batches = True

    def settings(self, url: str) -> dict[str, str]:
        return {"base_url": url}

    def serve(self, asked: Asked, bank: Bank) -> Answer:
        place = urlsplit(asked.path)
        kind, _, rest = place.path.lstrip("/").partition("/")
        if asked.method == "GET":
            return _look(kind, rest, parse_qs(place.query), bank)
        key = asked.headers.get("idempotency-key")
        canceled = re.fullmatch(r"([^/]+)/actions/cancel", rest)
        if canceled:
            return _cancel(canceled[1], bank, asked)
        told = json.loads(asked.body)[kind]
        order = Order(
            operation={name: operation for operation, name in KINDS.items()}[kind],
            key=key,
            amount=Money(told["amount"], told.get("currency", "USD")) if "amount" in told else None,
            token=None if kind == "refunds" else told["links"][LINKS[kind]],
            of=told["links"]["payment"] if kind == "refunds" else None,
        )
        deed = bank.execute(order, asked)
        if deed.rule:
            return _error(422, "invalid_state", "available_refund_amount_insufficient")
        return Answer(201, {kind: _made(deed)})

    def again(self, asked: Asked, deed: Deed, same: bool, first: Answer | None) -> Answer:
        """A key that made something is a conflict, which names what it made."""
        if first is not None and first.status not in (200, 201):
            return first
        links = {"conflicting_resource_id": deed.order.of if deed.order.operation == "VOID" else deed.ref}
        return _error(409, "invalid_state", "idempotent_creation_conflict", links=links)

    def error(self, status: int, said: str) -> Answer:
        kind = "gocardless" if status >= 500 else "invalid_api_usage"
        return Answer(status, {"error": {"type": kind, "code": status, "message": said, "errors": []}})

    def deliver(
        self, deeds: Sequence[Deed], secrets: Mapping[str, str], at: datetime
    ) -> tuple[dict[str, str], bytes]:
        return _signed([_event(deed) for deed in deeds], secrets)

    def deliver_unknown(self, secrets: Mapping[str, str], at: datetime) -> tuple[dict[str, str], bytes]:
        event = {"id": "EV0", "resource_type": "payouts", "action": "paid", "links": {"payout": "PO1"}}
        return _signed([event], secrets)


def _look(kind: str, ref: str, wanted: Mapping[str, list[str]], bank: Bank) -> Answer:
    if ref:
        deed = bank.of_ref(ref)
        return (
            Answer(200, {kind: _made(deed, bank)}) if deed else _error(404, "invalid_api_usage", "not_found")
        )
    operation = {name: operation for operation, name in KINDS.items()}[kind]
    made = [deed for deed in bank.deeds if deed.order.operation == operation and not deed.rule]
    link = LINKS[kind]
    found = [each for each in map(_made, made) if each["links"][link] in wanted[link]]
    return Answer(200, {kind: found, "meta": {"cursors": {"before": None, "after": None}, "limit": 500}})


def _cancel(ref: str, bank: Bank, asked: Asked) -> Answer:
    paid = bank.of_ref(ref)
    if paid is None or paid.status != "PENDING":
        return _error(422, "invalid_state", "cancellation_failed")
    bank.execute(Order("VOID", asked.headers.get("idempotency-key"), of=ref), asked)
    return Answer(200, {"payments": _made(paid, bank)})


def _made(deed: Deed, bank: Bank | None = None) -> dict[str, Any]:
    kind, order = KINDS[deed.order.operation], deed.order
    canceled = bank is not None and bank.on(deed.ref, "VOID")
    status = "pending_customer_approval" if deed.status == "ACTION" else STATUSES[kind][deed.status]
    made: dict[str, Any] = {
        "id": deed.ref,
        "created_at": "2026-11-24T12:00:00.000Z",
        "status": "cancelled" if canceled else status,
        "metadata": {KEY: order.key},
        "links": {LINKS[kind]: order.of if kind == "refunds" else order.token},
    }
    if deed.amount is not None:
        made |= {"amount": deed.amount.amount_minor, "currency": deed.amount.currency}
    return made


def _event(deed: Deed) -> dict[str, Any]:
    kind = KINDS[deed.order.operation]
    event: dict[str, Any] = {
        "id": f"EV{deed.ref}{deed.status}",
        "created_at": "2026-11-24T12:00:00.000Z",
        "resource_type": kind,
        "action": ACTIONS["EXECUTED"][kind] if deed.status == "EXECUTED" else "failed",
        "links": {kind.removesuffix("s"): deed.ref},
        "resource_metadata": {KEY: deed.order.key},
        "details": {"origin": "bank", "cause": deed.code or "payment_confirmed"},
    }
    return event


def _signed(events: Sequence[Mapping[str, Any]], secrets: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    body = json.dumps({"events": events}).encode()
    signature = hmac.new(secrets["webhook_secret"].encode(), body, hashlib.sha256).hexdigest()
    return {"Webhook-Signature": signature}, body


def _error(status: int, kind: str, reason: str, links: dict[str, str | None] | None = None) -> Answer:
    one: dict[str, Any] = {"reason": reason, "message": reason.replace("_", " ")}
    if links:
        one["links"] = links
    told = {"type": kind, "code": status, "message": one["message"], "errors": [one]}
    return Answer(status, {"error": told})
