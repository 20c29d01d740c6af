"""An invoice that collects itself, over HTTP: scheduled as it is posted, collected, and told."""

from __future__ import annotations

import time
from typing import Any

from tests.e2e.test_http_journey import Shop, shop, usd  # noqa: F401 - `shop` is the fixture


def _item_when(shop: Shop, status: str) -> dict[str, Any]:  # noqa: F811
    """The one item of the shop, once it has a status."""
    deadline = time.monotonic() + 20
    while True:
        items = shop.get("schedule-items")["items"]
        if items and items[0]["status"] == status:
            return items[0]
        assert time.monotonic() < deadline, items
        time.sleep(0.05)


def test_an_invoice_collects_itself(shop: Shop) -> None:  # noqa: F811
    invoice = shop.invoice_id(shop.post("INV-1", 24_000))
    waiting = _item_when(shop, "DRAFT")
    assert (waiting["requested"], waiting["warning"]) == (usd(24_000), "NO_PAYMENT_METHOD")
    shop.accepted("account.set_default_payment_method", {"method_id": shop.card("tok_ok")})
    ready = _item_when(shop, "READY")
    collect = {"payment_schedule_id": ready["payment_schedule_id"], "item_id": ready["item_id"]}
    shop.accepted("payment_schedule.collect_item", collect)
    applied = _item_when(shop, "APPLIED")
    assert (applied["applied"], applied["attempts"]) == (usd(24_000), 1)
    schedule = shop.get(f"payment-schedules/{ready['payment_schedule_id']}")
    assert (schedule["status"], schedule["total_applied"]) == ("COMPLETED", usd(24_000))
    assert schedule["remaining_to_process"] == usd(0)
    assert shop.get(f"invoices/{invoice}")["settlement_status"] == "SETTLED"
    told = shop.get(f"timeline?account_id=A-1&stream={shop.tenant}/ps-{schedule['payment_schedule_id']}")
    assert any("to be collected on" in event["sentence"] for event in told["items"])
