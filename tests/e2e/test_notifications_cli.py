"""`tender notifications`: what a gateway has told is listed, shown with its bytes, and replayed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.e2e.test_http_journey import Shop, usd
from tests.fixtures.tender import Tender


@pytest.fixture
def shop(tender: Tender) -> Shop:
    return Shop(tender)


def cli(shop: Shop, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", "notifications", *arguments, f"--tenant={shop.tenant}"]
    return subprocess.run(command, env=shop.tender.environment(), capture_output=True, text=True, timeout=60)


def listed(shop: Shop, *arguments: str) -> list[dict[str, Any]]:
    answer = cli(shop, "list", "--output=json", *arguments)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_what_a_gateway_has_told_is_listed_shown_and_replayed(shop: Shop) -> None:
    sale = {"payment_id": "P1", "amount": usd(10_000), "method_id": shop.card("tok_ok+repeat_3")}
    shop.accepted("payment.process", sale, headers={"Prefer": "wait=20"})
    deadline = time.monotonic() + 30
    while not (found := shop.get("notifications", status="MATCHED")["items"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (row,) = listed(shop, "--gateway=gw", "--status=MATCHED", "--since=2026-01-01T00:00:00Z")
    assert row == found[0]
    assert (row["type"], row["operation"], row["target_id"]) == ("SALE", "SALE", "P1")
    assert listed(shop, "--status=UNMATCHED") == []
    shown = cli(shop, "show", row["notification_id"], "--raw", "--output=json")
    assert shown.returncode == 0, shown.stderr
    received, matched, led_to, raw = json.loads(shown.stdout)
    assert (received["type"], matched["data"]["target_id"]) == ("payments.notification.received.v3", "P1")
    assert led_to["sentence"] == "payments.payment.record_outcome.v1: ACCEPTED"
    assert json.loads(raw["raw"])["event_id"] == row["provider_event_id"]
    before = shop.get("explain/P1")["facts"]
    replayed = cli(shop, "replay", "--gateway=gw")
    assert (replayed.returncode, replayed.stdout) == (0, "1 replayed, 0 refused\n"), replayed.stderr
    assert "1 replayed" in cli(shop, "replay", row["notification_id"]).stdout
    assert shop.get("explain/P1")["facts"] == before
    assert cli(shop, "show", "gw-unheard_of").returncode == 1
    assert cli(shop, "replay").returncode == 2
    (kept,) = shop.get("gateway-log", is_notification="true")["items"]
    assert (kept["operation"], kept["target_id"]) == ("NOTIFICATION", "P1")
