"""The CLI as a person and a program use it: what it prints, what it refuses, and what it ends with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.fixtures.tender import Tender


class Cli:
    def __init__(self, tender: Tender) -> None:
        self.tender, self.tenant = tender, f"cli-{uuid4().hex[:8]}"

    def __call__(self, *arguments: str, ends: int = 0, input: str | None = None) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            capture_output=True,
            text=True,
            input=input,
            env={**self.tender.environment(), "COLUMNS": "250"},
            timeout=90,
            check=False,
        )
        assert done.returncode == ends, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if ends == 0 or "json" in arguments else done.stdout + done.stderr

    def json(self, *arguments: str, ends: int = 0) -> Any:
        return json.loads(self(*arguments, "--output", "json", ends=ends))

    def send(self, type: str, data: dict[str, Any], *more: str, account: str = "A-1", ends: int = 0) -> Any:
        scope = ("--tenant", self.tenant, "--account", account)
        return self.json("send", type, json.dumps(data), *scope, *more, ends=ends)


@pytest.fixture
def cli(tender: Tender) -> Cli:
    return Cli(tender)


def usd(amount: int) -> dict[str, Any]:
    return {"amount_minor": amount, "currency": "USD"}


def invoice(external_id: str, amount: int = 5_000, of: str | None = None, **more: Any) -> dict[str, Any]:
    line: dict[str, Any] = {"line_id": "1", "charge": usd(amount)}
    if of:
        line["reference"] = {"external_id": of, "line_id": "1"}
    return {"external_id": external_id, "currency": "USD", "lines": [line], **more}


def test_a_command_that_is_nearly_right_is_told_what_is_right(cli: Cli) -> None:
    told = cli("send", "invoice.pots", "{}", "--account", "A-1", ends=1)
    assert "did you mean invoice.post" in " ".join(told.split())
    assert "no JSON" in cli("send", "invoice.post", "nonsense", "--account", "A-1", ends=1)
    refused = cli.send("account.register", {"name": "x", "nmae": 1}, ends=1)
    assert refused["code"] == "UNKNOWN_FIELD"


def test_what_can_be_sent_is_listed_and_described(cli: Cli) -> None:
    rows = {row["command"]: row["what it does"] for row in cli.json("commands", "refund.")}
    assert rows["refund.approve"] == "Agree to a refund that somebody else has asked for."
    told = cli("commands", "invoice.post")
    assert "\n  charge  " in told.partition("\nlines[]")[2]
    assert "The number that customers read on it" in told, "what it builds on says what its fields are"
    assert cli.json("commands", "invoice.post")["properties"]["data"]
    assert "did you mean payment.process" in cli("commands", "payment.porcess", ends=1)


def test_what_belongs_to_no_account_is_sent_without_one(cli: Cli) -> None:
    preset = cli.json("send", "tenant_settings.apply_preset", '{"name": "bare"}', "--tenant", cli.tenant)
    assert preset["status"] == "ACCEPTED"
    refused = cli("send", "tenant_settings.apply_preset", '{"name": 1}', "--tenant", cli.tenant, ends=1)
    assert "data.name" in refused
    homeless = cli("send", "account.register", '{"name": "Ada"}', "--tenant", cli.tenant, ends=1)
    assert "a command needs a tenant_id and an account_id" in homeless


def test_a_gateway_is_added_with_all_that_its_adapter_can_do(cli: Cli) -> None:
    how = ("--merchant-account", "m1", "--tenant", cli.tenant)
    (added,) = cli.json("gateways", "add", "gw", "--adapter", "simulator", *how)
    assert (added["gateway"], added["mode"]) == ("gw", "TEST")
    assert "VERIFY" in added["operations"]
    assert "GATEWAY_EXISTS" in cli("gateways", "add", "gw", "--adapter", "simulator", *how, ends=1)
    assert "no installed package" in cli("gateways", "add", "gw2", "--adapter", "none", *how, ends=1)
    assert "name=value" in cli("gateways", "add", "g", "--adapter", "stripe", "--setting", "x", *how, ends=1)
    cli.json("gateways", "add", "st", "--adapter", "stripe", "--setting", "stripe_account=acct_1", *how)


def test_sent_dry_then_really_then_again(cli: Cli) -> None:
    plan = cli.send("account.register", {"name": "Ada"}, "--dry-run")
    assert [event["type"] for event in plan["events"]] == ["payments.account.registered.v2"]
    first = cli.send("account.register", {"name": "Ada"}, "--key", "once")
    assert first["status"] == "ACCEPTED"
    assert cli.send("account.register", {"name": "Ada"}, "--key", "once")["replayed"]
    scope = ("--tenant", cli.tenant, "--account", "A-2")
    assert "ACCEPTED" in cli("send", "account.register", "-", *scope, input='{"name": "Bob"}')
    assert "ACCOUNT_EXISTS" in cli("send", "account.register", '{"name": "Bob"}', *scope, ends=1)


def test_an_invoice_is_explained_in_words_by_the_id_that_its_sender_knows(cli: Cli) -> None:
    cli.send("account.register", {"name": "Ada"})
    cli.send("invoice.post", invoice("INV-1"))
    paid = {"payment_id": "P-1", "amount": usd(2_000), "instrument": "WIRE", "reference": "wire 4711"}
    posted = cli.json("explain", "INV-1", "--tenant", cli.tenant)
    assert [fact["left"] for fact in posted] == [usd(5_000)]
    invoice_id = posted[0]["data"]["invoice_id"]
    apply_to = [{"invoice_id": invoice_id, "amount": usd(2_000)}]
    cli.send("payment.record_external", {**paid, "received_on": "2026-03-02", "apply_to": apply_to})
    told = cli("explain", "INV-1", "--tenant", cli.tenant, "--related")
    assert "Invoice INV-1 posted: 50.00 USD in 1 line" in told
    assert "Payment P-1 applied: 20.00 USD to this invoice, 30.00 USD open" in told
    assert "received by wire on 2026-03-02: wire 4711" in told
    assert "nothing of" in cli("explain", "INV-7", "--tenant", cli.tenant, ends=1)


def test_an_import_has_a_verdict_for_each_and_goes_on_where_it_was(cli: Cli, tmp_path: Path) -> None:
    cli.send("account.register", {"name": "Ada"})
    file = tmp_path / "invoices.jsonl"
    lines: list[bytes] = [
        json.dumps({"account_id": "A-1", **each}).encode()
        for each in (
            invoice("NEG-1", -1_000, of="INV-1"),
            invoice("INV-1"),
            invoice("INV-2", colour="red"),
            invoice("INV-3"),
            invoice("INV-4") | {"currency": "EUR"},
        )
    ]
    file.write_bytes(b"\n".join([*lines, b"{", b'"\xff"', b'{"external_id": "INV-5"}', b"[]"]) + b"\n")
    asked = ("import", str(file), "--tenant", cli.tenant)
    told = cli.json(*asked, ends=1)
    assert told == {
        "accepted": 3,
        "rejected": 1,
        "parked": 0,
        "unreadable": 5,
        "decided_before": 0,
        "verdicts": f"{file}.verdicts.jsonl",
    }
    verdicts = [json.loads(line) for line in Path(told["verdicts"]).read_text().splitlines()]
    by_invoice = {each["invoice"]: each for each in verdicts if "invoice" in each}
    assert {name: each["status"] for name, each in by_invoice.items()} == {
        "INV-1": "ACCEPTED",
        "INV-3": "ACCEPTED",
        "INV-4": "REJECTED",
        "NEG-1": "ACCEPTED",
    }
    assert by_invoice["INV-4"]["code"] == "CURRENCY_MISMATCH"
    assert [each["line"] for each in verdicts if each["status"] == "UNREADABLE"] == [3, 6, 7, 8, 9]
    changed = json.dumps({"account_id": "A-1", **invoice("INV-1", 7_000)}).encode()
    file.write_bytes(b"\n".join([*lines[:1], changed, *lines[3:4]]))
    assert cli.json(*asked, ends=1)["decided_before"] == 3
    again = [json.loads(line) for line in Path(told["verdicts"]).read_text().splitlines()]
    assert {each["invoice"]: each.get("code") for each in again} == {
        "INV-1": "IDEMPOTENCY_KEY_REUSED",
        "INV-3": None,
        "NEG-1": None,
    }


def test_a_retail_file_is_imported_row_by_row(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "shop.csv"
    file.write_bytes(
        b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        b"1,A,mug,2,12/1/10 8:26,2.55,17,UK\n"
        b"1,A,m\xffg,2,12/1/10 8:26,2.55,17,UK\n"
        b"2,A,mug,one,12/1/10 8:26,2.55,17,UK\n"
        b"C3,A,mug,-1,12/1/10 9:26,2.55,17,UK\n"
        b"4,A\n"
    )
    cli.send("account.register", {"name": "Ada"}, account="17")
    assert cli("import", str(file), "--tenant", cli.tenant, ends=1).startswith("2 accepted, 3 unreadable")
    assert "lacks the columns" in cli("import", str(_csv(tmp_path, "a,b\n1,2\n")), ends=1)
    assert "No such file" in cli("import", str(tmp_path / "none.jsonl"), ends=1)


def _csv(folder: Path, text: str) -> Path:
    file = folder / "other.csv"
    file.write_text(text)
    return file


def test_what_looks_after_it_prints_for_people_and_for_programs(cli: Cli) -> None:
    (stand,) = cli.json("projections", "status")
    assert stand["schema"] in ("read_a", "read_b")
    assert all(check["ok"] for check in cli.json("verify"))
    assert all(finding["ok"] for finding in cli.json("doctor"))
    assert cli.json("parked", "list") == []
    assert cli.json("parked", "release", "acme/nobody") == [{"decided": 0, "still_parked": 0}]
    assert isinstance(cli.json("dead-letters", "list"), list)
    for asked in (["projections", "status"], ["verify"], ["doctor"], ["dead-letters", "list"]):
        assert cli(*asked)


def test_the_same_folder_or_port_is_not_taken_twice(cli: Cli, tmp_path: Path) -> None:
    folder = cli.tender.data_dir
    assert "is in use by process" in cli("up", "--data-dir", str(folder), "--http-port", "0", ends=1)
    port = cli.tender.url.rpartition(":")[2]
    told = cli("up", "--data-dir", str(tmp_path / "other"), "--http-port", port, ends=1)
    assert f"port {port} is taken" in told


def test_without_a_running_tender_it_says_how_to_start_one(cli: Cli, tmp_path: Path) -> None:
    for asked in (["verify"], ["explain", "x"], ["listen"], ["doctor"]):
        told = cli(*asked, "--data-dir", str(tmp_path), ends=1)
        assert "tender up" in told
