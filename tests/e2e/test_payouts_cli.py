"""`tender payouts`: what the simulator pays out is imported, and matched with payments and the bank."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_http_journey import Shop, usd
from tests.fixtures.tender import Tender


@pytest.fixture
def shop(tender: Tender) -> Shop:
    return Shop(tender)


def cli(shop: Shop, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cli", "payouts", *arguments, f"--tenant={shop.tenant}"]
    return subprocess.run(command, env=shop.tender.environment(), capture_output=True, text=True, timeout=90)


def told(shop: Shop, *arguments: str, code: int = 0) -> Any:
    answer = cli(shop, *arguments, "--output=json")
    assert answer.returncode == code, answer.stdout + answer.stderr
    return json.loads(answer.stdout)


def report_of(shop: Shop, folder: Path, only: set[str]) -> Path:
    """The simulator's report, of this shop's operations: other tests' are in its ledger, too."""
    answer = subprocess.run(
        [sys.executable, "-m", "services.cli", "payouts", "simulated"],
        env=shop.tender.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode == 0, answer.stderr
    rows = list(csv.DictReader(answer.stdout.splitlines()))
    mine = [row for row in rows if row["reference"] in only]
    amount = sum(int(row["net_minor"]) for row in mine)
    path = folder / "report.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "payout_minor": amount} for row in mine)
    return path


def until(shop: Shop, model: str, **asked: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 30
    while not (found := shop.get(model, **asked)["items"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def test_a_report_of_the_simulator_is_settled_and_met_by_the_bank(shop: Shop, tmp_path: Path) -> None:
    card = shop.card("tok_ok")
    for name in ("P1", "P2"):
        sale = {"payment_id": name, "amount": usd(10_000), "method_id": card}
        shop.accepted("payment.process", sale, headers={"Prefer": "wait=20"})
    deadline = time.monotonic() + 30
    while len(refs := {row["gateway_ref"] for row in until(shop, "payments", status="PROCESSED")}) < 2:
        assert time.monotonic() < deadline
    file = report_of(shop, tmp_path, refs)
    with file.open("a") as more:  # and a line of something that nobody here knows
        last = file.read_text().splitlines()[-1].split(",")
        last[3], last[5], last[7] = "stranger", "sim_stranger", ""
        more.write(",".join(last) + "\n")
    imported = told(shop, "import", str(file), "--gateway=gw", code=1)
    assert (imported["accepted"], imported["rejected"], imported["missing"]) == (3, 0, 0)
    assert [problem["shown"] for problem in imported["problems"]] == ["PAYOUT_LINE_UNMATCHED"]
    (payout,) = told(shop, "list")
    assert (payout["status"], payout["lines"], payout["lines_unmatched"]) == ("COMPLETE", 3, 1)
    (stranger,) = told(shop, "unmatched", "--gateway=gw")
    assert stranger["gateway_ref"] == "sim_stranger"
    for payment in until(shop, "payments", payout_id=payout["payout_id"]):
        assert (payment["settled"], payment["gateway_fee"]) == (usd(10_000), usd(160))
        assert payment["settled_excess"] == usd(0)
    again = told(shop, "import", str(file), "--gateway=gw", code=1)
    assert (again["accepted"], again["decided_before"] >= 3) == (3, True)
    assert told(shop, "list") == [payout]

    amount = f"{payout['amount']['amount_minor'] / 100:.2f}"
    statement = tmp_path / "bank.csv"
    statement.write_text(
        "Date,Description,Amount,Currency,ID\n"
        f"2026-03-04,SIMULATOR {payout['payout_ref']},{amount},USD,1\n"
        "2026-03-04,RENT,-900.00,USD,2\n"
    )
    banked = told(shop, "bank", str(statement), "--gateway=gw")
    assert (banked["accepted"], banked["of_others"]) == (1, 1)
    (paid,) = until(shop, "payouts", status="PAID")
    assert paid["bank_difference"] == usd(0)
    shown = told(shop, "show", payout["payout_ref"])
    assert [line["type"] for line in shown["lines"]].count("PAYMENT") == 3
    assert any("The bank has it" in fact["sentence"] for fact in shown["facts"])
    assert any("paid" in fact["sentence"] for fact in shop.get("explain/P1")["facts"])
    (open_case,) = shop.get("exceptions", type="PAYOUT_LINE_UNMATCHED")["items"]
    resolve = {
        "gateway_id": "gw",
        "exception_id": open_case["exception_id"],
        "resolution": "ASKED",
        "note": "x",
    }
    shop.tender.accepted("payout.resolve_case", resolve, shop.tenant, "~payout/gw")


def test_what_cannot_be_read_is_told_in_a_sentence(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "no.csv"
    file.write_text("a,b\n1,2\n")
    for arguments in (("import", str(file), "--gateway=gw"), ("bank", str(file), "--gateway=gw")):
        answer = cli(shop, *arguments)
        assert answer.returncode == 1
        assert "it has no column" in answer.stderr
    assert "has no gateway other" in cli(shop, "import", str(file), "--gateway=other").stderr
    assert "it is no payout" in cli(shop, "show", "po_x").stderr or cli(shop, "show", "po_x").returncode == 1
