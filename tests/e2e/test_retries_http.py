"""Failed collections over HTTP and from the CLI: queued, explained, decided about, tried otherwise."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.test_http_journey import Shop, shop, usd  # noqa: F401 - `shop` is the fixture

DRAFT: dict[str, Any] = {
    "rule_set_id": "patient",
    "name": "Patient",
    "intervals": {"type": "FIXED", "unit": "DAYS", "values": [7], "max": 3},
    "rules": [
        {"category": "CardLimit", "gateway_id": "gw", "values": [2]},
        {"category": "CardLimit", "max": 1},
    ],
}


def _declined(shop: Shop, external_id: str = "INV-1") -> dict[str, Any]:  # noqa: F811
    """An invoice whose collection has failed, as it is in the retry queue."""
    shop.post(external_id, 24_000)
    ready = _row(shop, "schedule-items", status="READY")
    item = {"payment_schedule_id": ready["payment_schedule_id"], "item_id": ready["item_id"]}
    shop.accepted("payment_schedule.collect_item", item)
    return _row(shop, "retry-queue", payment_schedule_id=ready["payment_schedule_id"])


def _row(shop: Shop, model: str, **asked: Any) -> dict[str, Any]:  # noqa: F811
    deadline = time.monotonic() + 20
    while not (found := shop.get(model, **asked)["items"]):
        assert time.monotonic() < deadline, shop.get("schedule-items")
        time.sleep(0.05)
    return found[0]


def _poor(shop: Shop) -> str:  # noqa: F811
    method = shop.card("tok_soft_funds")
    shop.accepted("account.set_default_payment_method", {"method_id": method})
    return method


def test_a_failed_collection_is_queued_explained_and_recovered_by_hand(shop: Shop) -> None:  # noqa: F811
    poor = _poor(shop)
    shop.accepted("account.set_collection_preferences", {"account_group": "vip"})
    queued = _declined(shop)
    assert (queued["error_category"], queued["retry"], queued["retries_max"]) == ("CardLimit", 1, 5)
    assert queued["network_caps"] == [], "nobody has said of which network the card is"
    assert (queued["match_level"], queued["retry_method_id"], queued["requested"]) == (4, poor, usd(24_000))
    why = shop.get(f"schedule-items/{queued['item_id']}/why-next-attempt")
    assert (why["next"]["at"], why["next"]["attempt"]) == (queued["next_retry_at"], 1)
    assert [level["matched"] for level in why["precedence"]["levels"]] == [False, False, False, True, False]
    assert why["precedence"]["rule_number"] == queued["rule_number"]
    assert [step["type"].rpartition(".v")[0] for step in why["steps"]][-3:] == [
        "payments.payment_schedule.item_payment_failed",
        "payments.payment_schedule.item_retry_scheduled",
        "payments.dunning.noticed",
    ]
    item = {"payment_schedule_id": queued["payment_schedule_id"], "item_id": queued["item_id"]}
    good = {"reason": "he called", "method_id": shop.card("tok_ok")}
    shop.accepted("payment_schedule.retry_item_now", {**item, **good})
    recovered = _row(shop, "schedule-items", status="APPLIED")
    assert (recovered["retry_ended"], recovered["attempts"]) == ("RECOVERED", 2)
    assert shop.get("retry-queue")["items"] == []
    figures = shop.get("collection-performance", category="CardLimit")["items"]
    assert [row["account_group"] for row in figures] == ["vip"]
    assert [(row["attempt"], row["attempts"], row["recovered_by_hand"]) for row in figures] == [(0, 1, 1)]


def test_which_rule_which_caps_and_what_if(shop: Shop) -> None:  # noqa: F811
    shop.tender.accepted("retry_rule_set.create", DRAFT, shop.tenant, f"~settings/{shop.tenant}")
    asked = {"category": "CardLimit", "gateway_id": "gw", "raw_code": "insufficient_funds"}
    met = shop.get("retry-rule-sets/patient/match", **asked)
    assert (met["match_level"], met["intervals"]["values"], met["intervals"]["attempts"]) == (2, [2], 3)
    visa, *_ = shop.get("network-caps")["caps"]
    assert visa["words"] == "visa allows 15 attempts in 30 days"
    _poor(shop)
    _declined(shop)
    as_it_was = shop.get("retry-simulation")
    assert (as_it_was["decisions"], as_it_was["items_that_fare_differently"]) == (1, 0)
    assert as_it_was["simulated"] == as_it_was["history"]
    told = shop.get("retry-simulation", rule_set_id="patient")
    usd_then = told["simulated"]["by_currency"]["USD"]
    assert (told["items_that_fare_differently"], usd_then["attempts"]) == (1, 3)
    assert usd_then["undecided"] == {"count": 1, "amount_minor": 24_000}
    assert len(told["assumptions"]) == 6
    drafted = _asked_about(shop, {"rule_set": DRAFT})
    assert (drafted.status_code, drafted.json()) == (200, told)
    bad = _asked_about(shop, {"rule_set": {**DRAFT, "rules": [{"category": "Cards"}]}})
    assert bad.headers["content-type"] == "application/problem+json"
    assert (bad.status_code, bad.json()["field"]) == (400, "rule_set.rules.0.category")
    assert [set["rule_set_id"] for set in shop.get("retry-rule-sets")["items"]] == ["patient", "recommended"]
    for path, status, code in (
        ("retry-rule-sets/none/match?category=CardLimit", 404, "RULE_SET_NOT_FOUND"),
        ("retry-rule-sets/patient/match", 400, "MALFORMED_REQUEST"),
        ("retry-rule-sets/patient/match?category=Cards", 400, "MALFORMED_REQUEST"),
        ("retry-rule-sets/patient/match?category=CardLimit&version=9", 404, "RULE_SET_NOT_FOUND"),
        ("schedule-items/none/why-next-attempt", 404, "ITEM_NOT_FOUND"),
        ("retry-simulation?rule_set_id=none", 404, "RULE_SET_NOT_FOUND"),
        ("retry-simulation?version=1", 400, "MALFORMED_REQUEST"),
        ("network-caps?card=visa", 400, "UNKNOWN_FIELD"),
    ):
        answer = httpx.get(f"{shop.tender.url}/v1/{shop.tenant}/{path}", timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path


def _asked_about(shop: Shop, body: dict[str, Any]) -> httpx.Response:  # noqa: F811
    return httpx.post(f"{shop.tender.url}/v1/{shop.tenant}/retry-simulation", json=body, timeout=30)


def _cli(shop: Shop, *arguments: str, code: int = 0) -> Any:  # noqa: F811
    answer = _run(shop, *arguments)
    assert answer.returncode == code, answer.stdout + answer.stderr
    return json.loads(answer.stdout)


def _refused(shop: Shop, *arguments: str) -> str:  # noqa: F811
    answer = _run(shop, *arguments)
    assert answer.returncode == 1, answer.stdout
    return answer.stderr


def _run(shop: Shop, *arguments: str, output: str = "json") -> subprocess.CompletedProcess[str]:  # noqa: F811
    command = [sys.executable, "-m", "services.cli", *arguments, f"--tenant={shop.tenant}"]
    return subprocess.run(
        [*command, f"--output={output}"],
        env={**shop.tender.environment(), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_what_a_card_s_network_allows_is_in_the_queue(shop: Shop) -> None:  # noqa: F811
    """Two items of one card, and a payment that somebody asked for: three refusals, of whatever it was."""
    card = {"gateway_id": "gw", "token_ref": "tok_soft_funds", "type": "card", "network": "Visa"}
    saved = shop.accepted("payment_method.save", {**card, "fingerprint": "fp-1"})
    poor = next(iter(saved["streams"])).partition("spm-")[2]
    shop.accepted("account.set_default_payment_method", {"method_id": poor})
    _declined(shop, "INV-1")
    _declined(shop, "INV-2")
    shop.send("payment.process", {"payment_id": "P", "amount": usd(24_000), "method_id": poor})
    deadline = time.monotonic() + 20
    row = _row(shop, "retry-queue")
    while row["network_caps"][0]["made"] < 3:
        assert time.monotonic() < deadline, row
        time.sleep(0.05)
        row = _row(shop, "retry-queue")
    [left] = row["network_caps"]
    assert (left["words"], left["left"]) == ("visa allows 15 attempts in 30 days", 12)
    assert shop.get(f"retry-queue/{row['item_id']}")["network_caps"] == [left]
    assert shop.get(f"schedule-items/{row['item_id']}/why-next-attempt")["network_caps"] == [left]
    assert [queued["network_caps"] for queued in _cli(shop, "retries", "queue")] == [[left], [left]]
    table = _run(shop, "retries", "queue", output="table").stdout
    assert "3 made, visa allows 15 attempts in 30 days" in table
    assert "1 of 5" in table
    assert row["number"] in table
    why = _run(shop, "retries", "why", row["number"], output="table").stdout
    assert "a soft decline: the same instrument may do later" in " ".join(why.split())
    assert "network_caps" not in shop.get("retry-queue", fields="item_id")["items"][0]


def test_the_same_from_the_command_line(shop: Shop, tmp_path: Path) -> None:  # noqa: F811
    _poor(shop)
    item = _declined(shop)["item_id"]
    [queued] = _cli(shop, "retries", "queue")
    assert (queued["item_id"], queued["retry"]) == (item, 1)
    assert _cli(shop, "retries", "why", item)["next"]["attempt"] == 1
    assert _cli(shop, "retries", "extend", item, "1", "--reason=a good customer")["status"] == "ACCEPTED"
    _cli(shop, "retries", "skip", item, "--reason=holidays")
    told = _cli(shop, "retries", "why", item)
    assert (told["next"]["attempt"], told["next"]["max"], told["retries"]) == (2, 6, 1)
    assert _row(shop, "retry-queue")["retries_max"] == 6
    _cli(shop, "retries", "stop", item, "--reason=he is bankrupt")
    assert _row(shop, "failed-collections")["retry_ended"] == "STOPPED"
    [given_up] = _cli(shop, "retries", "queue", "--given-up")
    assert given_up["item_id"] == item
    assert _cli(shop, "retries", "stop", item, "--reason=again", code=1)["code"] == "INVALID_STATE"
    [none] = _cli(shop, "retries", "performance", "--by=account_group")
    assert none == shop.get("recovery", by="account_group")["items"][0]
    assert (none["account_group"], none["given_up"], none["given_up_amount"]) == ("", 1, usd(24_000))
    assert shop.get("recovery", by="account_group", category="Security")["items"] == []
    answer = httpx.get(f"{shop.tender.url}/v1/{shop.tenant}/recovery?by=colour", timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (400, "MALFORMED_REQUEST")
    [first] = _cli(shop, "retries", "performance", "--by=category")
    assert (first["category"], first["given_up"], first["recovered"]) == ("CardLimit", 1, 0)
    assert _cli(shop, "retry-policy", "match", "recommended", "Security")["match_level"] == 5
    assert len(_cli(shop, "retry-policy", "caps")) == 3
    told = _cli(shop, "retry-policy", "simulate")
    assert (told["decisions"], told["items_that_fare_differently"]) == (3, 0)
    assert told["simulated"] == told["history"]
    draft = tmp_path / "patient.json"
    draft.write_text(json.dumps(DRAFT))
    told = _cli(shop, "retry-policy", "simulate", f"--file={draft}")
    assert (told["items_that_fare_differently"], told["simulated"]["by_currency"]["USD"]["attempts"]) == (
        1,
        3,
    )
    for content, why in (
        ("name: Patient", f"{draft}: this is no JSON"),
        (json.dumps({**DRAFT, "intervals": {**DRAFT["intervals"], "max": 11}}), "rule_set.intervals.max"),
    ):
        draft.write_text(content)
        assert why in _refused(shop, "retry-policy", "simulate", f"--file={draft}")
    assert "not both" in _refused(shop, "retry-policy", "simulate", "recommended", f"--file={draft}")
