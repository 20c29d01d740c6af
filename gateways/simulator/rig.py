"""The simulator before the conformance kit: its own words, spoken by the kit's bank."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from events.money import Money
from gateways.codes import MAPS
from gateways.conformance.bank import Bank, Deed, Order, Seen, SeenLine
from gateways.conformance.rig import Rig
from gateways.conformance.wire import Answer, Asked
from gateways.simulator.adapter import SECRET, SIGNATURE, TOLERANCE_SECONDS, SimulatorAdapter
from gateways.simulator.core import DATA_MISMATCH, result_of

RULES = {"NO_SUCH": "no_such_charge"}
RESULTS = {
    "EXECUTED": "Success",
    "PENDING": "Pending",
    "ACTION": "ActionRequired",
    "REVIEW": "RequiresReview",
}
CODES = {"ACTION": "authentication_required", "REVIEW": "manual_review"}


class SimulatorRig(Rig):
    name = "simulator"
    adapter = SimulatorAdapter
    codes = MAPS["stripe"]
    secrets = {"signs_news": SECRET.decode()}
    stale_seconds = TOLERANCE_SECONDS
    charge_fates = ("ACTION", "REVIEW", "PENDING")
    not_processed = (429, 503)

    def settings(self, url: str) -> dict[str, str]:
        return {"base_url": url}

    def serve(self, asked: Asked, bank: Bank) -> Answer:
        if asked.method == "GET":
            known = bank.of_key(unquote(asked.path.rpartition("/")[2]))
            return Answer(200, _answer(known)) if known else Answer(404, {})
        told = json.loads(asked.body)
        order = Order(
            operation=told["operation"],
            key=told["idempotency_key"],
            amount=Money(told["amount_minor"], told["currency"]),
            token=told["token"],
            of=told["of"],
            enhanced=_seen(told.get("enhanced")),
        )
        return Answer(200, _answer(bank.execute(order, asked)))

    def again(self, asked: Asked, deed: Deed, same: bool, first: Answer | None) -> Answer:
        if same:
            return Answer(200, _answer(deed))
        return Answer(200, {"result": "ValidationError", "code": "idempotency_key_in_use"})

    def data_refused(self) -> Answer:
        return Answer(200, {"result": result_of(DATA_MISMATCH), "code": DATA_MISMATCH})

    def deliver(
        self, deeds: Sequence[Deed], secrets: Mapping[str, str], at: datetime
    ) -> tuple[dict[str, str], bytes]:
        (deed,) = deeds
        order = deed.order
        news = {"event_id": f"evt-{deed.ref}-{deed.status}", "operation": order.operation, "key": order.key}
        return _signed(news | {"answer": _answer(deed)}, secrets, at)

    def deliver_unknown(self, secrets: Mapping[str, str], at: datetime) -> tuple[dict[str, str], bytes]:
        return _signed({"event_id": "evt-0", "operation": "PAYOUT", "key": "none", "answer": {}}, secrets, at)


def _answer(deed: Deed) -> dict[str, Any]:
    told: dict[str, Any] = {"ref": deed.ref, "at": deed.at.isoformat()}
    if deed.amount is not None:
        told |= {"amount_minor": deed.amount.amount_minor, "currency": deed.amount.currency}
    if seen := deed.order.enhanced:
        told["level"] = 3 if seen.lines else 2
    code = deed.code or RULES.get(deed.rule, "amount_too_large" if deed.rule else CODES.get(deed.status))
    result = RESULTS.get(deed.status) or result_of(code or "")
    return {"result": result, **told, **({"code": code} if code else {})}


def _seen(told: Mapping[str, Any] | None) -> Seen | None:
    if told is None:
        return None
    lines = (
        SeenLine(line["product_code"], line["quantity"], line["unit_price_minor"]) for line in told["lines"]
    )
    return Seen(told["tax_minor"], tuple(lines))


def _signed(
    news: Mapping[str, Any], secrets: Mapping[str, str], at: datetime
) -> tuple[dict[str, str], bytes]:
    body, seconds = json.dumps(news).encode(), int(at.timestamp())
    signed = hmac.new(secrets["signs_news"].encode(), f"{seconds}.".encode() + body, hashlib.sha256)
    return {SIGNATURE: f"t={seconds},v1={signed.hexdigest()}"}, body
