"""A batch run over HTTP: what was due a second ago is collected, counted, and told item by item."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import httpx

from tests.e2e.test_http_journey import Shop, shop, usd  # noqa: F401 - `shop` is the fixture


def until(shop: Shop, run_id: str, status: str) -> dict[str, Any]:  # noqa: F811
    """The run, once it has a status."""
    deadline = time.monotonic() + 30
    while True:
        runs = shop.get("payment-batch-runs")["items"]
        found = [run for run in runs if (run["run_id"], run["status"]) == (run_id, status)]
        if found:
            return found[0]
        assert time.monotonic() < deadline, runs
        time.sleep(0.05)


def start(shop: Shop, run_id: str, **more: Any) -> None:  # noqa: F811
    """Of all that will ever be due."""
    data = {"run_id": run_id, "run_date": "2099-01-01", **more}
    shop.tender.accepted("payment_batch_run.start", data, shop.tenant, f"~run/{run_id}")


def test_what_is_due_is_collected_by_a_run(shop: Shop) -> None:  # noqa: F811
    """Its default method and its last item are of the moment before."""
    invoices = [shop.invoice_id(shop.post("INV-1", 10_000))]
    shop.accepted("account.set_default_payment_method", {"method_id": shop.card("tok_ok")})
    invoices.append(shop.invoice_id(shop.post("INV-2", 2_500)))
    dollars = {"field": "CURRENCY", "op": "EQUALS", "values": ["USD"]}
    start(shop, "R", criteria={"match_type": "MATCH_ALL", "criteria": [dollars]})
    run = until(shop, "R", "COMPLETED")
    told = {name: run[name] for name in ("filtered", "processed", "applied", "unclaimed", "success_percent")}
    assert told == {"filtered": 2, "processed": 2, "applied": 2, "unclaimed": 0, "success_percent": 100}
    assert run["money"] == [{"requested": usd(12_500), "collected": usd(12_500), "applied": usd(12_500)}]
    items = shop.get("payment-batch-run-items?run_id=R&sort=place")["items"]
    assert [(item["place"], item["outcome"], item["applied"]) for item in items] == [
        (1, "APPLIED", usd(10_000)),
        (2, "APPLIED", usd(2_500)),
    ]
    slowest = shop.get("payment-batch-run-items?run_id=R&sort=-milliseconds&limit=1")["items"]
    assert slowest[0]["milliseconds"] > 0
    statuses = {shop.get(f"invoices/{invoice}")["settlement_status"] for invoice in invoices}
    assert statuses == {"SETTLED"}
    assert shop.get("payment-batch-runs/R", as_of=run["started_at"])["status"] == "NEW"
    assert shop.get("payment-batch-runs/R", as_of=run["ended_at"])["filtered"] == 2
    listed = f"{shop.tender.url}/v1/{shop.tenant}/payment-batch-runs"
    refused = httpx.get(listed, params={"as_of": run["ended_at"]}, timeout=30).json()
    assert (refused["code"], refused["field"]) == ("AS_OF_SCOPE_REQUIRED", "as_of")


def test_a_run_of_nothing_is_over_at_once_and_an_unknown_one_is_not_found(shop: Shop) -> None:  # noqa: F811
    start(shop, "R", is_retry=False, max_items=3, comments="nothing yet")
    assert until(shop, "R", "COMPLETED")["filtered"] == 0
    stop = shop.tender.send("payment_batch_run.stop", {"run_id": "none"}, shop.tenant, "~run/none")
    assert (stop.status_code, stop.json()["code"]) == (404, "RUN_NOT_FOUND")


def cli(shop: Shop, *arguments: str) -> subprocess.CompletedProcess[str]:  # noqa: F811
    command = [sys.executable, "-m", "services.cli", "runs", *arguments, f"--tenant={shop.tenant}"]
    return subprocess.run(command, env=shop.tender.environment(), capture_output=True, text=True, timeout=90)


def told(shop: Shop, *arguments: str, code: int = 0) -> Any:  # noqa: F811
    answer = cli(shop, *arguments, "--output=json")
    assert answer.returncode == code, answer.stdout + answer.stderr
    return json.loads(answer.stdout)


def test_a_run_from_the_command_line(shop: Shop) -> None:  # noqa: F811
    """Previewed with no effect, begun and watched, shown, listed; one that is over is not resumed."""
    shop.accepted("account.set_default_payment_method", {"method_id": shop.card("tok_ok")})
    shop.post("INV-1", 10_000)
    shop.post("INV-2", 2_500)
    _until_scheduled(shop, 2)
    due = "--date=2099-01-01"
    plan = told(shop, "preview", due, "--currency=USD")
    counted = {name: plan[name] for name in ("selected", "charge", "skip", "cancel")}
    assert counted == {"selected": 2, "charge": 2, "skip": 0, "cancel": 0}
    assert (plan["charged"], plan["criteria"]) == ([usd(12_500)], "currency is one of USD")
    assert (plan["undecided"], plan["next_after"]) == (0, None)
    rest = told(shop, "preview", due, "--after=1")
    assert [(item["place"], item["amount"]) for item in rest["items"]] == [(2, usd(2_500))]
    assert "1 were not decided here" in cli(shop, "preview", due, "--after=1").stdout
    assert told(shop, "preview", due, "--label=none")["selected"] == 0
    assert shop.get("payments")["items"] == []
    assert told(shop, "start", "R", due, "--comments=by hand")["status"] == "ACCEPTED"
    watched = told(shop, "watch", "R")
    assert (watched["status"], watched["applied"]) == ("COMPLETED", 2)
    shown = told(shop, "show", "R", "--outcome=APPLIED")
    assert [item["amount"] for item in shown["items"]] == [usd(10_000), usd(2_500)]
    assert [each["run_id"] for each in told(shop, "list")] == ["R"]
    assert told(shop, "resume", "R", code=1)["code"] == "INVALID_STATE"
    assert told(shop, "stop", "R", "--reason=late", code=1)["code"] == "INVALID_STATE"
    assert told(shop, "cancel", "none", code=1)["code"] == "RUN_NOT_FOUND"
    assert "has no run none" in cli(shop, "show", "none").stderr
    assert "COMPLETED, 2 filtered, 2 processed" in cli(shop, "show", "R").stdout


def _until_scheduled(shop: Shop, count: int) -> None:  # noqa: F811
    deadline = time.monotonic() + 20
    while len(shop.get("schedule-items?status=READY")["items"]) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
