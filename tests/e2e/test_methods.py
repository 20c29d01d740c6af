"""Saved methods on a running Tender: tokenized, migrated by file, charged a second later; no number kept."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from tests.e2e.test_http_journey import Shop, usd
from tests.fixtures.tender import Tender

VISA = "4111111111111111"
HEADING = (
    "external_id,account_ref,merchant_account,gateway,method_type,token,holder,expiry,is_default,consent_at"
)

CARDS = ((1, "tok_ok_1"), (2, "tok_soft_funds"), (3, "tok_hard_lost"))


@pytest.fixture
def shop(tender: Tender) -> Shop:
    return Shop(tender)


def a_file(*rows: str) -> str:
    return "\n".join([HEADING, *rows, ""])


def five_rows(account: str) -> str:
    """Two new, one of them the default; one twice; one that is a card number; one of nobody."""
    return a_file(
        f"E1,{account},m1,gw,card,tok_ok_1,Ada L,12/29,,2025-11-01T10:00:00Z",
        f"E2,{account},m1,gw,card,tok_ok_2,Ada L,12/29,true,2025-11-01T10:00:00Z",
        f"E3,{account},m1,gw,card,tok_ok_1,Ada Lovelace,12/30,,2025-11-01T10:00:00Z",
        f"E4,{account},m1,gw,card,tok_ok_4,{VISA},12/29,,2025-11-01T10:00:00Z",
        "E5,nobody,m1,gw,card,tok_ok_5,Ada L,12/29,,2025-11-01T10:00:00Z",
    )


def upload(shop: Shop, text: str, **parameters: Any) -> httpx.Response:
    return httpx.post(
        f"{shop.tender.url}/v1/{shop.tenant}/token-migrations",
        params=parameters,
        content=text.encode(),
        headers={"content-type": "text/csv"},
        timeout=60,
    )


def ended(shop: Shop, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = httpx.get(f"{shop.tender.url}/v1/{shop.tenant}/token-migrations/{job_id}", timeout=30)
        if answer.status_code == 200 and answer.json()["status"].startswith("COMPLETED"):
            return answer.json()
        time.sleep(0.1)
    raise AssertionError(answer.text)


FIGURES = ("status", "rows", "decided", "imported", "updated", "skipped", "rejected")


def figures(job: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(job[name] for name in FIGURES)


EXPECTED = ("COMPLETED_WITH_ERRORS", 5, 5, 2, 1, 0, 2)


def test_a_file_is_uploaded_and_its_methods_are_chargeable_at_once(shop: Shop) -> None:
    answer = upload(shop, five_rows(shop.account), job_id="J")
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert (told["rows"], told["valid"], told["rejected_by_code"]) == (5, 4, {"CARD_DATA_FORBIDDEN": 1})
    assert figures(ended(shop, "J")) == EXPECTED
    rows = shop.tender.get(f"/v1/{shop.tenant}/token-migration-rows", job_id="J")["items"]
    assert [(row["row_no"], row["outcome"], row["code"]) for row in rows] == [
        (1, "IMPORTED", None),
        (2, "IMPORTED", None),
        (3, "UPDATED", None),
        (4, "REJECTED", "CARD_DATA_FORBIDDEN"),
        (5, "REJECTED", "ACCOUNT_NOT_FOUND"),
    ]
    paid = shop.accepted("payment.process", {"amount": usd(700)}, headers={"Prefer": "wait=20"})
    assert paid["gateway"][0]["result_code"] == "Success"
    again = upload(shop, five_rows(shop.account), job_id="J")
    assert (again.status_code, again.json()["replayed"]) == (202, True)
    assert figures(ended(shop, "J")) == EXPECTED
    other = upload(shop, a_file(), job_id="J")
    assert (other.status_code, other.json()["code"]) == (409, "TOKEN_MIGRATION_EXISTS")


def told_by_cli(shop: Shop, *words: str) -> list[dict[str, Any]]:
    command = ["tender", "migrations", *words, "--tenant", shop.tenant, "--output", "json"]
    done = subprocess.run(command, env=shop.tender.environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return orjson.loads(done.stdout)


def test_the_cli_imports_a_file_and_writes_each_verdict(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "methods.csv"
    file.write_text(five_rows(shop.account))
    command = ["tender", "import-methods", str(file), "--tenant", shop.tenant]
    for again in ("", " (handed in before)"):
        done = subprocess.run(
            command, env=shop.tender.environment(), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 1, done.stderr
        assert f"2 imported, 1 updated, 2 rejected{again}" in done.stdout.replace("\n", " ")
    (job,) = told_by_cli(shop, "list")
    assert [job[name] for name in ("rows", "imported", "updated", "rejected")] == [5, 2, 1, 2]
    rejected = told_by_cli(shop, "rows", job["job_id"], "--outcome", "REJECTED")
    assert [row["code"] for row in rejected] == ["CARD_DATA_FORBIDDEN", "ACCOUNT_NOT_FOUND"]
    (third,) = told_by_cli(shop, "rows", job["job_id"], "--row", "3")
    assert (third["external_id"], third["outcome"]) == ("E3", "UPDATED")
    lines = (tmp_path / "methods.csv.verdicts.jsonl").read_text().splitlines()
    assert len(lines) == 5
    assert VISA not in "".join(lines)


def test_what_cannot_be_an_upload_is_refused(shop: Shop) -> None:
    refused = upload(shop, a_file(), mode="REPLACE")
    assert (refused.status_code, refused.json()["code"]) == (400, "MALFORMED_REQUEST")
    refused = upload(shop, a_file(), colour="blue")
    assert (refused.status_code, refused.json()["code"]) == (400, "UNKNOWN_FIELD")
    url = f"{shop.tender.url}/v1/{shop.tenant}/token-migrations"
    refused = httpx.post(url, json={"rows": "none"}, timeout=30)
    assert (refused.status_code, refused.json()["code"]) == (400, "MALFORMED_REQUEST")


def test_rows_come_as_json_and_a_dry_run_takes_none(shop: Shop) -> None:
    row = {
        "external_id": "E1",
        "account_ref": shop.account,
        "gateway": "gw",
        "method_type": "card",
        "token": "tok_json",
    }
    url = f"{shop.tender.url}/v1/{shop.tenant}/token-migrations"
    for job_id, dry_run in (("DRY", True), ("REAL", False)):
        body = {"job_id": job_id, "dry_run": dry_run, "rows": [row]}
        assert httpx.post(url, json=body, timeout=30).status_code == 202
        assert figures(ended(shop, job_id))[:4] == ("COMPLETED", 1, 1, 1)
        kept = shop.tender.get(f"/v1/{shop.tenant}/payment-methods", job_id=job_id)["items"]
        assert len(kept) == (0 if dry_run else 1)


def proved(shop: Shop, job_id: str, count: int) -> dict[str, Any]:
    """The job, once as many of its cards are known to be good or not."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = ended(shop, job_id)
        if job["checks_passed"] + job["checks_failed"] + job["checks_unclear"] == count:
            return job
        time.sleep(0.1)
    raise AssertionError(job)


def test_the_cards_of_a_file_are_proved_by_their_gateway_where_that_is_asked_for(
    shop: Shop, tmp_path: Path
) -> None:
    """One is good, one without means, one lost; a bank account is proved by its first payment alone."""
    since, of = "2025-11-01T10:00:00Z", f"{shop.account},m1,gw"
    rows = [f"E{n},{of},card,{token},Ada L,12/29,,{since}" for n, token in CARDS]
    rows.append(f"E4,{of},us_bank_account,tok_bank,Ada L,,,{since},mandate-4,WEB")
    file = tmp_path / "cards.csv"
    file.write_text("\n".join([f"{HEADING},mandate_ref,sec_code", *rows, ""]))
    command = ["tender", "import-methods", str(file), "--tenant", shop.tenant, "--job", "P", "--verify"]
    done = subprocess.run(command, env=shop.tender.environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cards are being proved: tender migrations list tells how many have passed" in done.stdout
    job = proved(shop, "P", 3)
    assert (job["checks"], job["checks_passed"], job["checks_failed"]) == (3, 2, 1)
    (listed,) = told_by_cli(shop, "list")
    assert (listed["checks_passed"], listed["checks_failed"]) == (2, 1)
    kept = shop.tender.get(f"/v1/{shop.tenant}/payment-methods", job_id="P")["items"]
    told = {method["external_id"]: (method["check_result"], method["status"]) for method in kept}
    assert told == {
        "E1": ("PASSED", "ACTIVE"),
        "E2": ("PASSED", "ACTIVE"),
        "E3": ("FAILED", "ERRORED"),
        "E4": (None, "ACTIVE"),
    }
    (dead,) = (method for method in kept if method["external_id"] == "E3")
    assert (dead["check_code"], dead["check_category"]) == ("lost_card", "Security")
    log = shop.tender.get(f"/v1/{shop.tenant}/gateway-log", account_id=shop.account)["items"]
    assert {call["amount"]["amount_minor"] for call in log} == {0}, "no money moves"
    pays = {"amount": usd(700), "method_id": dead["method_id"]}
    assert shop.send("payment.process", pays).json()["code"] == "METHOD_NOT_ACTIVE"


def test_a_card_is_tokenized_through_its_gateway(shop: Shop) -> None:
    card = {
        "handle": "hdl_ok",
        "network": "Visa",
        "category": "CreditCard",
        "expiry_month": 12,
        "expiry_year": 2031,
    }
    asked = {"gateway_id": "gw", "holder_name": "Ada L", "card": card}
    told = shop.accepted("payment_method.tokenize", asked, headers={"Prefer": "wait=20"})
    assert told["gateway"][0]["result_code"] == "Success"
    method_id = next(stream for stream in told["streams"] if "/spm-" in stream).partition("spm-")[2]
    paid = shop.accepted(
        "payment.process", {"amount": usd(500), "method_id": method_id}, headers={"Prefer": "wait=20"}
    )
    assert paid["gateway"][0]["result_code"] == "Success"
    bad = {**asked, "card": {**card, "handle": "hdl_decline_incorrect_number"}}
    refused = shop.send("payment_method.tokenize", bad, headers={"Prefer": "wait=20"})
    assert (refused.status_code, refused.json()["code"]) == (422, "TOKENIZATION_DECLINED")


async def test_no_table_of_the_database_holds_a_card_number(shop: Shop) -> None:
    """Whatever was refused above and here: nothing that is kept holds it."""
    name = f"Ada {VISA}"
    refused = shop.send("account.register", {"name": name})
    assert (refused.status_code, refused.json()["code"]) == (400, "CARD_DATA_FORBIDDEN")
    assert VISA not in refused.text
    connection = await asyncpg.connect(shop.tender.settings.database_url)
    try:
        tables = await connection.fetch(
            "select schemaname, tablename from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema')"
        )
        assert len(tables) > 20
        for schema, table in tables:
            found = await connection.fetchval(
                f'select count(*) from "{schema}"."{table}" t'
                f" where t::text like '%{VISA}%' or t::text like '%{VISA.encode().hex()}%'"
            )
            assert found == 0, f"{schema}.{table}"
    finally:
        await connection.close()


async def test_nor_do_logs(tender: Tender) -> None:
    logs = list((tender.data_dir / "logs").rglob("*.log"))
    assert logs
    assert [file.name for file in logs if VISA in file.read_text(errors="replace")] == []


def test_a_bank_account_is_proved_and_a_basket_is_paid_with_it(shop: Shop) -> None:
    """Two small amounts are guessed wrong, told right, and the account's parent sees it on its statement."""
    bank = {"handle": "hdl_action", "type": "us_bank_account", "bank_code": "110000000"}
    mandate = {"mandate_reference": "m-1", "mandate_accepted_at": "2026-03-02T09:00:00Z"}
    asked = {"gateway_id": "gw", "holder_name": "Ada", "bank": bank, **mandate}
    sent = shop.send("payment_method.tokenize", asked, headers={"Prefer": "wait=10"}).json()
    method = next(iter(sent["streams"])).partition("spm-")[2]
    guess = shop.send(
        "payment_method.verify_micro_deposits",
        {"method_id": method, "amounts": [1, 2]},
        headers={"Prefer": "wait=10"},
    )
    assert (guess.status_code, guess.json()["code"]) == (422, "TOKENIZATION_DECLINED")
    told = {"method_id": method, "amounts": [45, 32]}
    shop.accepted("payment_method.verify_micro_deposits", told, headers={"Prefer": "wait=10"})
    line = {"line_id": "1", "charge": usd(5_000)}
    basket = {"external_id": "BASKET", "currency": "USD", "lines": [line]}
    bought = {"amount": usd(5_000), "invoice": basket, "method_id": method}
    planned = shop.send("invoice.checkout", bought, dry_run=True).json()
    assert planned["events"][0]["type"].startswith("payments.invoice.posted.")
    paid = shop.accepted("invoice.checkout", bought, headers={"Prefer": "wait=10"})
    assert paid["gateway"][0]["result_code"] == "Success"
    head = shop.tender.accepted(
        "account.register", {"name": "Group", "parent_account_id": "A-1"}, shop.tenant, "A-2"
    )
    at = f"/v1/{shop.tenant}/accounts/A-1/statement"
    both = shop.tender.get(at, related="true", min_position=head["position"])
    assert [part["account_id"] for part in both["accounts"]] == ["A-1", "A-2"]
    assert both["currencies"][0]["closing_balance_minor"] == 0
    sheet = httpx.get(f"{shop.tender.url}{at}", params={"format": "csv"}, timeout=30)
    assert sheet.headers["content-type"].startswith("text/csv")
    assert "opening balance" in sheet.text
    page = httpx.get(f"{shop.tender.url}{at}", headers={"accept": "application/pdf"}, timeout=30)
    assert page.headers["content-type"] == "application/pdf"
    assert page.content.startswith(b"%PDF-")
    assert httpx.get(f"{shop.tender.url}{at}", params={"format": "doc"}, timeout=30).status_code == 400
