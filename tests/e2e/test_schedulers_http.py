"""A scheduler over HTTP and from the CLI: made, told ahead, run, paused, resumed, ended."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import httpx

from tests.e2e.test_http_journey import Shop, shop  # noqa: F401 - `shop` is the fixture

MONTHLY = {
    "scheduler_id": "month-end",
    "name": "At the month's end",
    "cadence": "MONTHLY",
    "start_date": "2099-01-01",
    "end_date": "2099-12-31",
    "preferred_time": "02:30",
    "time_zone": "Europe/Berlin",
    "recurs_on": {"day_of_month": 31},
    "criteria": {"criteria": [{"field": "MATCHING_VALUE", "op": "EQUALS", "values": ["gold"]}]},
    "status": "ACTIVE",
}
NAMED = {"scheduler_id": "month-end"}


def _refused(shop: Shop, verb: str, data: dict[str, Any]) -> str:  # noqa: F811
    """The code, also where that takes longer than HTTP waits for it."""
    answer = shop.tender.send(f"payment_scheduler.{verb}", data, shop.tenant, "~scheduler/month-end")
    where, deadline = answer.headers.get("location"), time.monotonic() + 60
    while answer.status_code == 202 or (answer.status_code == 404 and time.monotonic() < deadline):
        answer = httpx.get(f"{shop.tender.url}{where}", timeout=30)
    return answer.json()["code"]


def _accepted(shop: Shop, verb: str, data: dict[str, Any]) -> dict[str, Any]:  # noqa: F811
    return shop.tender.accepted(f"payment_scheduler.{verb}", data, shop.tenant, "~scheduler/month-end")


def test_a_scheduler_is_made_told_ahead_run_and_ended(shop: Shop) -> None:  # noqa: F811
    made = _accepted(shop, "create", MONTHLY)
    scheduler = shop.get("payment-schedulers/month-end", min_position=made["position"])
    assert (scheduler["status"], scheduler["next_run_at"]) == ("ACTIVE", "2099-01-31T01:30:00+00:00")
    assert scheduler["cadence_in_words"] == (
        "Monthly on day 31 (a shorter month's last day) at 02:30 (Europe/Berlin), "
        "from 2099-01-01 to 2099-12-31"
    )
    ahead = shop.get("payment-schedulers/month-end/next-runs", count=4)["items"]
    assert [firing["local"] for firing in ahead] == [
        "2099-01-31T02:30:00+01:00",
        "2099-02-28T02:30:00+01:00",
        "2099-03-31T02:30:00+02:00",
        "2099-04-30T02:30:00+02:00",
    ]
    _accepted(shop, "run", NAMED)
    run = _run_of(shop)
    assert (run["planned_at"] is not None, run["criteria"]["criteria"][0]["values"]) == (True, ["gold"])
    told = shop.get("payment-schedulers/month-end")
    assert (told["last_run_id"], told["runs"]) == (run["run_id"], 1)
    assert told["last_run_status"] == "COMPLETED"
    ended = _accepted(shop, "cancel", {**NAMED, "reason": "replaced"})
    told = shop.get("payment-schedulers/month-end", min_position=ended["position"])
    assert (told["status"], told["next_run_at"], told["reason"]) == ("CANCELED", None, "replaced")
    assert shop.get("payment-schedulers/month-end/next-runs")["items"] == []
    assert _refused(shop, "activate", NAMED) == "SCHEDULER_TERMINAL"
    said = [fact["sentence"] for fact in shop.get("explain/month-end")["facts"]]
    assert said[1:2] + said[-1:] == ["Active: it fires at 2099-01-31 01:30 UTC", "Ended: replaced"]


def _run_of(shop: Shop) -> dict[str, Any]:  # noqa: F811
    deadline = time.monotonic() + 20
    asked = {"scheduler_id": "month-end", "status": "COMPLETED"}
    while not (found := shop.get("payment-batch-runs", **asked)["items"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found[0]


def test_what_cannot_be_asked(shop: Shop) -> None:  # noqa: F811
    path = f"/v1/{shop.tenant}/payment-schedulers/none"
    for asked, status, code in (
        ("", 404, "SCHEDULER_NOT_FOUND"),
        ("/next-runs", 404, "SCHEDULER_NOT_FOUND"),
        ("/next-runs?count=0", 400, "MALFORMED_REQUEST"),
        ("/next-runs?count=1&until=2099", 400, "UNKNOWN_FIELD"),
    ):
        answer = httpx.get(shop.tender.url + path + asked)
        assert (answer.status_code, answer.json()["code"]) == (status, code), asked
    assert _refused(shop, "create", {**MONTHLY, "end_date": "2098-12-31"}) == "END_BEFORE_START"


def _cli(shop: Shop, *arguments: str, code: int = 0) -> Any:  # noqa: F811
    command = [sys.executable, "-m", "services.cli", "schedulers", *arguments, f"--tenant={shop.tenant}"]
    answer = subprocess.run(
        [*command, "--output=json"], env=shop.tender.environment(), capture_output=True, text=True, timeout=90
    )
    assert answer.returncode == code, answer.stdout + answer.stderr
    return json.loads(answer.stdout)


def test_the_same_from_the_command_line(shop: Shop) -> None:  # noqa: F811
    nightly = ("nightly", "DAILY", "--at=09:00", "--start=2099-04-09", "--zone=Europe/Berlin")
    assert _cli(shop, "create", *nightly, "--calendar=DE", "--label=gold")["status"] == "ACCEPTED"
    ahead = _cli(shop, "next", "nightly", "--count=2")
    assert [firing["local"] for firing in ahead] == ["2099-04-09T09:00:00+02:00", "2099-04-14T09:00:00+02:00"]
    _cli(shop, "pause", "nightly", "--reason=a holiday")
    assert _listed(shop, "INACTIVE")["reason"] == "a holiday"
    assert _cli(shop, "run", "nightly", code=1)["code"] == "INVALID_STATE"
    _cli(shop, "resume", "nightly")
    _cli(shop, "run", "nightly")
    _cli(shop, "end", "nightly")
    assert _listed(shop, "CANCELED")["runs"] == 1


def _listed(shop: Shop, status: str) -> dict[str, Any]:  # noqa: F811
    return _cli(shop, "list", f"--status={status}")[0]
