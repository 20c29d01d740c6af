"""Time that is moved ahead on a whole Tender: all follow, and each due thing happens at its own time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.test_http_journey import Shop, usd
from tests.fixtures.tender import Tender, running

SECONDS_MAX = 60.0
DUE_WITHIN = timedelta(minutes=1)


@pytest.fixture(scope="module")
def tender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tender]:
    """One of its own: nobody else wants its time moved."""
    with running(tmp_path_factory.mktemp("clock") / "tender") as started:
        yield started


@pytest.fixture
def shop(tender: Tender) -> Shop:
    return Shop(tender)


def post(tender: Tender, path: str, body: Any) -> httpx.Response:
    return httpx.post(f"{tender.url}/v1/clock/{path}", json=body, timeout=30)


def now(tender: Tender) -> datetime:
    return datetime.fromisoformat(tender.get("/v1/clock")["now"])


def advance(tender: Tender, **asked: str) -> datetime:
    """Until it is there, and all that followed is done."""
    answer = post(tender, "advance", asked)
    assert answer.status_code == 202, answer.text
    target, deadline = datetime.fromisoformat(answer.json()["moving_to"]), time.monotonic() + SECONDS_MAX
    while (told := tender.get("/v1/clock"))["moving_to"]:
        assert time.monotonic() < deadline, told
        time.sleep(0.02)
    assert datetime.fromisoformat(told["now"]) >= target
    return target


def at(shop: Shop, type: str) -> list[datetime]:
    """When something happened to the shop's account, in order."""
    events = shop.get("timeline", account_id="A-1", limit=200)["items"]
    return [datetime.fromisoformat(event["at"]) for event in events if event["type"] == type]


def cli(tender: Tender, *arguments: str, ends: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        capture_output=True,
        text=True,
        env={**tender.environment(), "COLUMNS": "200"},
        timeout=90,
        check=False,
    )
    assert done.returncode == ends, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_each_due_thing_happens_at_its_own_time_and_all_follows_before_the_next(shop: Shop) -> None:
    card = shop.card("tok_ok")
    begun = now(shop.tender)
    hold = {"authorization_id": "H", "amount": usd(500), "gateway_id": "gw", "method_id": card}
    shop.accepted("authorization.authorize", hold | {"effective_at": begun.isoformat()})
    lost = shop.card("tok_timeout_after")
    sale = {"payment_id": "L", "amount": usd(700), "method_id": lost}
    shop.accepted("payment.process", sale)
    advance(shop.tender, by="30d")
    held, paid = shop.get("authorizations/H"), shop.get("payments/L")
    assert (held["status"], paid["status"]) == ("EXPIRED", "PROCESSED")
    (expired,) = at(shop, "authorization.expired.v1")
    assert timedelta(0) <= expired - datetime.fromisoformat(held["expires_at"]) < DUE_WITHIN
    assert timedelta(days=6) < expired - begun < timedelta(days=8)
    (found,) = at(shop, "payment.processed.v2")
    assert found - begun < timedelta(hours=1)  # it was asked about soon, not when the month was over
    assert now(shop.tender) - begun >= timedelta(days=30)


def test_a_scheduler_fires_on_each_of_its_days_and_collects_what_is_due(shop: Shop) -> None:
    shop.accepted("account.set_default_payment_method", {"method_id": shop.card("tok_ok")})
    posted = {"external_id": "INV-S", "currency": "USD", "payment_term": {"period_days": 2}}
    posted |= {"lines": [{"line_id": "1", "charge": usd(24_000)}]}
    invoice = shop.invoice_id(shop.accepted("invoice.post", posted))
    first = (now(shop.tender) + timedelta(hours=1)).replace(second=0, microsecond=0)
    daily = {"scheduler_id": "daily", "name": "Daily", "cadence": "DAILY", "status": "ACTIVE"}
    daily |= {"start_date": str(first.date()), "preferred_time": f"{first:%H:%M}", "time_zone": "UTC"}
    shop.tender.accepted("payment_scheduler.create", daily, shop.tenant, "~scheduler/daily")
    advance(shop.tender, by="5d")
    runs = shop.get("payment-batch-runs", scheduler_id="daily")["items"]
    planned = sorted(datetime.fromisoformat(run["planned_at"]) for run in runs)
    assert planned == [first + timedelta(days=day) for day in range(5)]
    assert {run["status"] for run in runs} == {"COMPLETED"}
    assert sum(run["processed"] for run in runs) == 1, "its item, in one of them"
    assert shop.get(f"invoices/{invoice}")["settlement_status"] == "SETTLED"
    told = shop.get("payment-schedulers/daily")
    assert (told["runs"], told["missed"], told["last_late"]) == (5, 0, False)
    assert told["last_run_status"] == "COMPLETED"
    assert datetime.fromisoformat(told["next_run_at"]) == first + timedelta(days=5)


def test_what_was_recorded_on_the_way_is_read_as_of_its_day(shop: Shop) -> None:
    first = shop.invoice_id(shop.post("INV-1", 1_000))
    between = advance(shop.tender, by="10d")
    shop.accepted("invoice.write_off", {"invoice_id": first, "reason_code": "SMALL_BALANCE"})
    day = (between - timedelta(days=1)).isoformat()
    assert shop.get(f"invoices/{first}", as_of=day)["balance"] == usd(1_000)
    assert shop.get(f"invoices/{first}")["balance"] == usd(0)


def test_it_never_goes_back_and_says_what_it_takes(tender: Tender) -> None:
    before = now(tender)
    for asked, code in (
        ({"to": "2020-01-01"}, "CLOCK_BACKWARDS"),
        ({"by": "0d"}, "CLOCK_BACKWARDS"),
        ({"by": "90000d"}, "DATE_INVALID"),
        ({"by": "soon"}, "MALFORMED_REQUEST"),
        ({"until": "3d"}, "UNKNOWN_FIELD"),
        ([], "MALFORMED_REQUEST"),
    ):
        assert post(tender, "advance", asked).json()["code"] == code
    assert before <= now(tender) < before + DUE_WITHIN


def test_it_stays_where_it_is_told_to(tender: Tender) -> None:
    assert post(tender, "stop", {}).json()["moving_to"] is None


def test_people_see_it_and_move_it(tender: Tender) -> None:
    day = (now(tender) + timedelta(days=2)).date()
    assert f"{day}T00:00" in cli(tender, "clock", "advance", "--to", str(day))
    shown = json.loads(cli(tender, "clock", "show", "--output", "json"))
    assert shown["movable"]
    assert shown["ahead_seconds"] > 86_400
    assert tender.get("/health")["clock"]["ahead_seconds"] == shown["ahead_seconds"]
    assert "days ahead" in httpx.get(f"{tender.url}/").text
    assert f"days ahead of this machine: {day}" in cli(tender, "doctor")
    assert "CLOCK_BACKWARDS" in cli(tender, "clock", "advance", "--to", "2020-01-01", ends=1)


def test_it_survives_a_restart_and_stays_where_it_is_beside_a_real_gateway(tmp_path: Path) -> None:
    with running(tmp_path / "own") as first:
        advance(first, by="40d")
        there = now(first)
        post(first, "advance", {"by": "300d"})
    with running(tmp_path / "own") as again:
        assert now(again) >= there
        shop = Shop(again)
        registered = datetime.fromisoformat(shop.get("timeline", account_id="A-1")["items"][0]["at"])
        assert registered >= there > datetime.now(UTC) + timedelta(days=39)
        advance(again, by="1d")
        register_stripe(shop)
        refused = post(again, "advance", {"by": "1d"}).json()
        assert (refused["code"], refused["details"]["gateways"]) == (
            "CLOCK_NOT_MOVABLE",
            [f"{shop.tenant}/real"],
        )


def register_stripe(shop: Shop) -> None:
    provider = {"provider_id": "stripe", "name": "Stripe", "adapter_key": "stripe"}
    shop.tender.accepted(
        "gateway_provider.register",
        {**provider, "capabilities": {"operations": ["SALE"]}},
        shop.tenant,
        "~gateway_provider/stripe",
    )
    gateway = {"gateway_id": "real", "name": "Stripe", "provider_id": "stripe", "mode": "TEST"}
    told = shop.tender.accepted(
        "gateway.register",
        {**gateway, "credential_ref": "env:NONE", "merchant_account_id": "m1"},
        shop.tenant,
        "~gateway/real",
    )
    shop.get("gateways/real", min_position=told["position"])
