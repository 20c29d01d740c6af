"""One invoice's money over HTTP: posted, paid by card, reduced, refunded; and every way to be refused."""

from __future__ import annotations

import html
import json
import re
import time
from typing import Any
from uuid import uuid4

import httpx
import pytest

from gateways.simulator.translation import CAPABILITIES
from tests.fixtures.tender import Tender

USD = {"currency": "USD"}


def usd(amount: int) -> dict[str, Any]:
    return {"amount_minor": amount, **USD}


class Shop:
    """A tenant of its own with a gateway, an account, and a card on file."""

    def __init__(self, tender: Tender) -> None:
        self.tender, self.tenant, self.account = tender, f"shop-{uuid4().hex[:8]}", "A-1"
        settings = {"account": f"~settings/{self.tenant}"}
        tender.accepted(
            "tenant_settings.apply_preset", {"name": "recommended"}, self.tenant, settings["account"]
        )
        provider = {
            "provider_id": "sim",
            "name": "Simulator",
            "adapter_key": "simulator",
            "capabilities": {**vars(CAPABILITIES), "operations": list(CAPABILITIES.operations)},
        }
        tender.accepted("gateway_provider.register", provider, self.tenant, "~gateway_provider/sim")
        gateway = {
            "gateway_id": "gw",
            "name": "Main",
            "provider_id": "sim",
            "credential_ref": "env:NONE",
            "merchant_account_id": "m1",
            "mode": "TEST",
        }
        tender.accepted("gateway.register", gateway, self.tenant, "~gateway/gw")
        self.accepted("account.register", {"name": "Ada"})

    def send(self, type: str, data: dict[str, Any], **more: Any) -> httpx.Response:
        return self.tender.send(type, data, self.tenant, self.account, **more)

    def accepted(self, type: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
        return self.tender.accepted(type, data, self.tenant, self.account, **more)

    def card(self, token: str) -> str:
        saved = self.accepted("payment_method.save", {"gateway_id": "gw", "token_ref": token, "type": "card"})
        return next(iter(saved["streams"])).partition("spm-")[2]

    def post(self, external_id: str, amount: int, of: str | None = None) -> dict[str, Any]:
        line: dict[str, Any] = {"line_id": "1", "charge": usd(amount)}
        if of:
            line["reference"] = {"external_id": of, "line_id": "1"}
        return self.accepted("invoice.post", {"external_id": external_id, "currency": "USD", "lines": [line]})

    def invoice_id(self, posted: dict[str, Any]) -> str:
        return next(stream for stream in posted["streams"] if "/invoice-" in stream).partition("invoice-")[2]

    def get(self, path: str, **parameters: Any) -> Any:
        return self.tender.get(f"/v1/{self.tenant}/{path}", **parameters)


@pytest.fixture
def shop(tender: Tender) -> Shop:
    return Shop(tender)


def test_the_whole_journey(shop: Shop) -> None:
    invoice = shop.invoice_id(shop.post("INV-1", 300_000))
    sale = {"payment_id": "P1", "amount": usd(300_000), "method_id": shop.card("tok_ok")}
    paid = shop.accepted(
        "payment.process", {**sale, "apply_to": [{"invoice_id": invoice}]}, headers={"Prefer": "wait=10"}
    )
    assert paid["gateway"][0]["result_code"] == "Success"
    position = shop.post("NEG-1", -82_500, of="INV-1")["position"]
    assert shop.get("credit-memos", min_position=position)["items"][0]["total"] == usd(82_500)
    _until(lambda: shop.get("refund-orchestrations")["items"][0]["status"] == "COMPLETED")
    payment = shop.get("payments/P1")
    assert (payment["applied"], payment["refunded"], payment["unapplied"]) == (
        usd(217_500),
        usd(82_500),
        usd(0),
    )
    assert shop.get(f"invoices/{invoice}")["settlement_status"] == "SETTLED"
    (balance,) = shop.get("account-balances", account_id="A-1")["items"]
    assert balance["net_balance"] == usd(0)
    why = shop.get(f"invoices/{invoice}/why-balance")
    assert [step["change_minor"] for step in why["steps"]] == [300_000, -300_000, 300_000, -217_500, -82_500]
    (orchestration,) = shop.get("refund-orchestrations")["items"]
    chosen = shop.get(f"refund-orchestrations/{orchestration['orchestration_id']}/why-this-payment")
    assert chosen["plans"][0]["selected"][0]["payment_id"] == "P1"


def test_who_waits_hears_of_the_call_that_went_without_the_data_that_were_refused(shop: Shop) -> None:
    """Not of the refusal before it: the money has been taken."""
    line = {"line_id": "1", "charge": usd(5_000), "taxes": [{"amount": usd(400)}]}
    bought = {
        "amount": usd(5_400),
        "invoice": {"external_id": "CO-1", "currency": "USD", "lines": [line]},
        "payment_id": "P-CO-1",
        "method_id": shop.card("tok_data_rejected"),
        "enhanced_data": {"customer_code": "PO-77"},
    }
    paid = shop.accepted("invoice.checkout", bought, headers={"Prefer": "wait=20"})
    (call,) = paid["gateway"]
    assert call["result_code"] == "Success"
    assert call["stream"] == f"{shop.tenant}/gwcall-{shop.tenant}:sale:P-CO-1:2"
    _until(lambda: shop.get("payments/P-CO-1", min_position=paid["position"])["status"] == "PROCESSED")
    log = shop.get("gateway-log", target_id="P-CO-1")["items"]
    told = {entry["attempt_no"]: entry["enhanced"] for entry in log}
    assert (told[1]["customer_code"], told[2]) == ("PO-77", None)


def test_an_invoice_s_life_besides_its_payments(shop: Shop) -> None:
    """Drafted, revised, posted, due later, written off, owed again, voided; a month is closed behind it."""
    line: dict[str, Any] = {"line_id": "1", "charge": usd(9_000), "taxes": [{"amount": usd(1_000)}]}
    drafted = shop.accepted("invoice.draft", {"external_id": "D", "currency": "USD", "lines": [line]})
    id = shop.invoice_id(drafted)
    told = shop.get(f"invoices/{id}", min_position=drafted["position"])
    assert (told["status"], told["total"], told["balance"]) == ("DRAFT", usd(10_000), usd(0))
    assert told["days_open"] is None
    shop.accepted(
        "invoice.revise_draft",
        {"external_id": "D", "currency": "USD", "lines": [line, {**line, "line_id": "2"}]},
    )
    shop.accepted("invoice.post_draft", {"invoice_id": id})
    shop.accepted("invoice.extend_due_date", {"invoice_id": id, "due_date": "2099-01-01"})
    shop.accepted("invoice.write_off", {"invoice_id": id, "reason_code": "GONE"})
    back = shop.accepted("invoice.reverse_write_off", {"invoice_id": id})
    told = shop.get(f"invoices/{id}", min_position=back["position"])
    assert (told["balance"], told["written_off"], told["due_date"]) == (usd(20_000), usd(0), "2099-01-01")
    voided = shop.accepted("invoice.void", {"invoice_id": id, "reason": "posted twice"})
    told = shop.get(f"invoices/{id}", min_position=voided["position"])
    assert (told["status"], told["balance"]) == ("VOIDED", usd(0))
    memo = shop.get(f"credit-memos/{told['voided_by']}")
    assert memo["source_action"] == "VOID_POSTED_INVOICE"
    sentences = [fact["sentence"] for fact in shop.get(f"explain/{id}")["facts"]]
    assert sentences[-1] == f"Invoice voided by credit memo {memo['number']}: posted twice"
    fee = {"line_id": "1", "charge": usd(500), "product": {"name": "late fee"}}
    debit = {"debit_memo_id": "F", "currency": "USD", "lines": [fee], "reason_code": "LATE"}
    position = shop.accepted("debit_memo.create", debit)["position"]
    (memo,) = shop.get("debit-memos", kind="STANDALONE", min_position=position)["items"]
    assert memo["invoicing"] == "INVOICED"
    assert shop.get(f"invoices/{memo['invoice_id']}")["balance"] == usd(500)
    shop.tender.accepted("accounting_period.close", {"month": "2020-01"}, shop.tenant, "~period/default")
    late = {"external_id": "L", "currency": "USD", "lines": [line], "posted_at": "2020-01-31T10:00:00Z"}
    answer = shop.send("invoice.post", late)
    assert (answer.status_code, answer.json()["code"]) == (422, "ACCOUNTING_PERIOD_CLOSED")
    _until(lambda: shop.get("accounting-periods", status="CLOSED")["items"])


def _until(done: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_decline_is_402_and_the_payment_exists(shop: Shop) -> None:
    sale = {"payment_id": "P1", "amount": usd(500), "method_id": shop.card("tok_soft_funds")}
    answer = shop.send("payment.process", sale, headers={"Prefer": "wait=10"})
    assert answer.status_code == 402
    assert answer.json()["code"] == "PAYMENT_DECLINED"
    assert answer.json()["details"]["raw_code"] == "insufficient_funds"
    _until(lambda: shop.get("payments/P1")["status"] == "FAILED")


def test_the_same_key_is_answered_again_and_another_content_refused(shop: Shop) -> None:
    sale = {"payment_id": "P1", "amount": usd(4_000), "method_id": shop.card("tok_ok")}
    key = {"Idempotency-Key": "click"}
    first = shop.accepted("payment.process", sale, headers=key)
    again = shop.accepted("payment.process", sale, headers=key)
    assert again["replayed"]
    assert again["command_id"] == first["command_id"]
    other = shop.send("payment.process", {**sale, "amount": usd(4_100)}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert shop.get(f"timeline?account_id=A-1&stream={shop.tenant}/payment-P1")["items"]


def test_a_dry_run_tells_and_changes_nothing(shop: Shop) -> None:
    sale = {"payment_id": "P9", "amount": usd(700), "method_id": shop.card("tok_ok")}
    plan = shop.send("payment.process", sale, dry_run=True).json()
    types = [event["type"] for event in plan["events"]]
    assert types == ["payments.payment.requested.v3", "payments.gateway_call.planned.v4"]
    missing = httpx.get(f"{shop.tender.url}/v1/{shop.tenant}/payments/P9")
    assert (missing.status_code, missing.json()["code"]) == (404, "PAYMENT_NOT_FOUND")


def about(**data: object) -> bytes:
    """A command of account `a` with this data."""
    return json.dumps({"tenant_id": "t", "account_id": "a", "data": data}).encode()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"not json", 400, "MALFORMED_REQUEST"),
        (b"[1]", 400, "MALFORMED_REQUEST"),
        (about(name="\x00"), 400, "MALFORMED_REQUEST"),
        (about(name="\ud800"), 400, "MALFORMED_REQUEST"),
        (b'{"account_id": "a", "data": {"name": "x"}}', 400, "MALFORMED_REQUEST"),
        (about(name="x", zz=1), 400, "UNKNOWN_FIELD"),
        (
            b'{"tenant_id": "t", "account_id": "a", "data": {"name": "4111 1111 1111 1111"}}',
            400,
            "CARD_DATA_FORBIDDEN",
        ),
        (
            b'{"tenant_id": "t", "account_id": "a", "data": {"name": "x", "currencies": ["XQX"]}}',
            400,
            "CURRENCY_UNKNOWN",
        ),
        (b'"' + b"x" * (1024 * 1024) + b'"', 413, "BODY_TOO_LARGE"),
    ],
)
def test_bad_bodies_are_told_what_is_wrong(tender: Tender, body: bytes, status: int, code: str) -> None:
    answer = httpx.post(f"{tender.url}/v1/commands/payments.account.register.v1", content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("type", "code"),
    [("payments.account.register.v2", "UNSUPPORTED_VERSION"), ("payments.nothing.at_all.v1", "UNKNOWN_TYPE")],
)
def test_unknown_commands_are_told_so(tender: Tender, type: str, code: str) -> None:
    answer = httpx.post(
        f"{tender.url}/v1/commands/{type}", json={"tenant_id": "t", "account_id": "a", "data": {}}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_lists_are_paged_filtered_and_sorted(shop: Shop) -> None:
    for number in range(5):
        last = shop.post(f"INV-{number}", 1_000 + number)
    first = shop.get("invoices", account_id="A-1", sort="-balance", limit=2, min_position=last["position"])
    assert [item["external_id"] for item in first["items"]] == ["INV-4", "INV-3"]
    second = shop.get("invoices", account_id="A-1", sort="-balance", limit=2, cursor=first["next_cursor"])
    third = shop.get("invoices", account_id="A-1", sort="-balance", limit=2, cursor=second["next_cursor"])
    assert [item["external_id"] for item in (*second["items"], *third["items"])] == [
        "INV-2",
        "INV-1",
        "INV-0",
    ]
    assert not third["has_more"]
    assert len(shop.get("invoices", balance_from=1_003)["items"]) == 2


def test_a_position_that_is_not_reached_is_told_so(tender: Tender) -> None:
    answer = httpx.get(f"{tender.url}/v1/t/invoices", params={"min_position": 10**12}, timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (503, "READ_MODEL_BEHIND")


def test_only_some_fields_and_as_it_stood_before(shop: Shop) -> None:
    posted = shop.post("INV-1", 1_000)
    id, position = shop.invoice_id(posted), posted["position"]
    assert shop.get(f"invoices/{id}", fields="balance,overdue_bucket", min_position=position) == {
        "balance": usd(1_000),
        "overdue_bucket": "current",
    }
    paid = {"payment_id": "P1", "amount": usd(400), "instrument": "CASH", "reference": "r"}
    apply_to = [{"invoice_id": id, "amount": usd(400)}]
    more = {"received_on": "2026-03-02", "apply_to": apply_to}
    last = shop.accepted("payment.record_external", {**paid, **more})
    before = posted["recorded_at"]
    now = shop.get(f"invoices/{id}", min_position=last["position"])
    was = shop.get(f"invoices/{id}", as_of=before)
    assert (was["balance"], now["balance"]) == (usd(1_000), usd(600))
    (balance,) = shop.get("account-balances", account_id="A-1", as_of=before)["items"]
    assert balance["net_balance"] == usd(1_000)
    refused = httpx.get(f"{shop.tender.url}/v1/{shop.tenant}/invoices", params={"as_of": before})
    assert (refused.status_code, refused.json()["code"]) == (400, "AS_OF_SCOPE_REQUIRED")


def test_it_tells_how_it_is(shop: Shop) -> None:
    tender = shop.tender
    assert tender.get("/health")["status"] == "ok"
    assert tender.get("/openapi.json")["openapi"] == "3.1.0"
    ready = tender.get("/ready")
    assert (ready["status"], ready["checks"]) == ("ready", {"store": True, "broker": True})


def test_the_metrics_are_those_of_every_role(shop: Shop) -> None:
    sale = {"payment_id": "P1", "amount": usd(500), "method_id": shop.card("tok_ok")}
    shop.accepted("payment.process", sale, headers={"Prefer": "wait=10"})
    told = httpx.get(f"{shop.tender.url}/metrics").text
    for name in (
        'tender_http_requests_total{route="commands",status="200"}',
        "tender_worker_records_total",
        'tender_relay_messages_total{topic="payments.events.v1"}',
        'tender_gateway_calls_total{gateway="gw",operation="SALE",result="Success"}',
        'tender_follower_behind_events{follower="projector"}',
        "tender_parked_keys",
        "tender_dead_letters",
        "tender_log_position",
    ):
        assert f"\n{name} " in told, name


def test_the_page_shows_what_is_here_and_every_link_of_it_answers(shop: Shop) -> None:
    page = httpx.get(f"{shop.tender.url}/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "payments.invoice.post.v1" in page.text
    links = {html.unescape(link) for link in re.findall(r"href='([^']+)'", page.text)}
    assert len(links) > 20
    for link in links:
        assert httpx.get(f"{shop.tender.url}{link}").status_code == 200, link


def test_a_guest_pays_by_a_link(shop: Shop) -> None:
    invoice = shop.invoice_id(shop.post("INV-1", 9_000))
    made = shop.accepted("payment_link.create", {"invoice_id": invoice})
    link = next(iter(made["streams"])).partition("paylink-")[2]
    shop.accepted("payment_link.open", {"payment_link_id": link})
    method = {"type": "card", "token_ref": "tok_soft_funds+prompt", "last4": "0002"}
    pays = {"payment_link_id": link, "gateway_id": "gw", "method": method, "save_method": True}
    shop.accepted("payment_link.pay", pays)
    _until(lambda: shop.get(f"payment-links/{link}")["failures"] == 1)
    shop.accepted("payment_link.pay", pays | {"method": {**method, "token_ref": "tok_ok+prompt"}})
    _until(lambda: shop.get(f"payment-links/{link}")["status"] == "PAID")
    told = shop.get(f"payment-links/{link}")
    assert (told["paid"], told["amount"], told["payments"]) == (usd(9_000), None, 1)
    (paid,) = shop.get("payments", status="PROCESSED")["items"]
    assert (paid["payment_link_id"], paid["initiation"], paid["account_id"]) == (link, "PAY_LINK", "A-1")
    assert shop.get(f"invoices/{invoice}")["settlement_status"] == "SETTLED"
    _until(lambda: [m["last4"] for m in shop.get("payment-methods")["items"]] == ["0002"])
    refused = shop.send("payment_link.pay", pays)
    assert refused.json()["code"] == "INVALID_STATE"
