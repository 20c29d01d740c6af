"""A Tender where everybody signs in: people by tokens, programs by keys, producers by their topics."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from aiokafka import AIOKafkaProducer
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from events.money import Money
from gateways.simulator.adapter import CAPABILITIES
from services.commands import Actor, encode
from services.invoices.posting import Line, PostInvoice
from tests.fixtures.tender import Tender, running

ISSUER, AUDIENCE = "https://login.example", "tender"
KEY = ec.generate_private_key(ec.SECP256R1())
TOPIC = "payments.commands.billing"
SEEN_SECONDS = 30.0


def token(id: str, *roles: str, **claims: Any) -> str:
    told = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": id,
        "exp": datetime.now(UTC) + timedelta(hours=12),
        "roles": roles,
        "tenants": ["acme"],
        **claims,
    }
    return jwt.encode(told, KEY, algorithm="ES256", headers={"kid": "k"})


ADMIN, OPS = token("ada", "PAYMENT_ADMIN"), token("olga", "PAYMENT_OPERATIONS")
BILLING = token("grace", "BILLING_ADMIN")
READER, CUSTOMER = token("rita", "READ_ONLY"), token("carl", "PORTAL", accounts=["A-1"])


class Signed:
    """The same Tender, asked by somebody."""

    def __init__(self, tender: Tender) -> None:
        self.tender = tender

    def send(self, who: str, type: str, data: dict[str, Any], account: str = "A-1") -> httpx.Response:
        return self.tender.send(type, data, "acme", account, headers={"authorization": f"Bearer {who}"})

    def accepted(self, who: str, type: str, data: dict[str, Any], account: str = "A-1") -> int:
        answer = self.send(who, type, data, account)
        assert answer.status_code == 200, answer.text
        return answer.json()["position"]

    def refused(self, who: str, type: str, data: dict[str, Any], account: str = "A-1") -> tuple[int, str]:
        answer = self.send(who, type, data, account)
        return answer.status_code, answer.json()["code"]

    def get(self, who: str, path: str, **parameters: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {who}"}
        return httpx.get(f"{self.tender.url}/v1/acme/{path}", params=parameters, headers=headers, timeout=30)

    def cli(self, *arguments: str, ends: int = 0, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            capture_output=True,
            text=True,
            env={**self.tender.environment(), "COLUMNS": "250", **environment},
            timeout=90,
            check=False,
        )
        assert done.returncode == ends, done.stdout + done.stderr
        return done.stdout if ends == 0 else done.stdout + done.stderr


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    folder = tmp_path_factory.mktemp("sign-in")
    keys, principals = folder / "keys.json", folder / "principals.json"
    keys.write_text(json.dumps({"keys": [{**json.loads(ECAlgorithm.to_jwk(KEY.public_key())), "kid": "k"}]}))
    principals.write_text(
        json.dumps({TOPIC: {"id": "billing", "roles": ["BILLING_OPERATIONS"], "tenants": ["acme"]}})
    )
    with running(
        folder / "data",
        sign_in="required",
        oidc_issuer=ISSUER,
        oidc_audience=AUDIENCE,
        oidc_jwks_file=str(keys),
        kafka_principals_file=str(principals),
    ) as tender:
        signed = Signed(tender)
        settings = {"changes": {"refund_approval_threshold": money(1_000)}}
        signed.accepted(ADMIN, "tenant_settings.change", settings, "~settings/acme")
        for account in ("A-1", "A-2"):
            signed.accepted(ADMIN, "account.register", {"name": "Ada"}, account)
        yield signed


def money(amount: int) -> dict[str, Any]:
    return {"amount_minor": amount, "currency": "USD"}


def test_who_shows_nothing_gets_nothing(signed: Signed) -> None:
    for path in ("/v1/acme/invoices", "/", "/v1/commands/0198c1c8-0000-7000-8000-000000000000"):
        answer = httpx.get(f"{signed.tender.url}{path}", timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED"), path
    answer = signed.tender.send("account.register", {"name": "Eve"}, "acme", "A-9")
    assert answer.status_code == 401
    claimed = signed.tender.send(
        "account.register", {"name": "Eve"}, "acme", "A-9", actor={"type": "SYSTEM", "id": "process:x"}
    )
    assert claimed.status_code == 401
    assert signed.get(READER, "accounts/A-9").status_code == 404


def test_the_cli_says_what_is_missing(signed: Signed, tmp_path: Path) -> None:
    send = ("send", "account.place_payment_hold", '{"reason": "a test"}', "--account", "A-2")
    told = signed.cli(*send, ends=1)
    assert "TENDER_API_KEY" in told
    key = signed.cli("keys", "create", "the terminal", "--role", "payment_operations").strip()
    assert key.startswith("tender.acme.")
    file = tmp_path / "key"
    file.write_text(f"{key}\n")
    assert "ACCEPTED" in signed.cli(*send, TENDER_API_KEY_FILE=str(file))
    assert "FORBIDDEN" in signed.cli(
        "send", "tenant_settings.change", '{"changes": {}}', "--account", "~settings/acme", ends=1,
        TENDER_API_KEY=key,
    )  # fmt: skip
    assert "the terminal" in signed.cli("keys", "list")
    signed.cli("keys", "revoke", key, "--reason", "a test")
    _until(lambda: signed.get(key, "accounts").status_code == 401)
    assert "not accepted" in signed.cli(*send, ends=1, TENDER_TOKEN=key)


def test_money_goes_back_only_when_a_second_person_agrees(signed: Signed) -> None:
    provider = {
        "provider_id": "sim", "name": "sim", "adapter_key": "simulator",
        "capabilities": {**vars(CAPABILITIES), "operations": list(CAPABILITIES.operations)},
    }  # fmt: skip
    assert signed.refused(OPS, "gateway_provider.register", provider, "~gateway_provider/sim") == (
        403,
        "FORBIDDEN",
    )
    signed.accepted(ADMIN, "gateway_provider.register", provider, "~gateway_provider/sim")
    gateway = {
        "gateway_id": "sim", "name": "sim", "provider_id": "sim", "credential_ref": "env:NONE",
        "merchant_account_id": "m", "mode": "TEST",
    }  # fmt: skip
    signed.accepted(ADMIN, "gateway.register", gateway, "~gateway/sim")
    card = {"gateway_id": "sim", "token_ref": "tok_ok", "type": "card"}
    saved = signed.send(OPS, "payment_method.save", card).json()
    method_id = next(iter(saved["streams"])).partition("spm-")[2]
    sale = {"payment_id": "P-1", "amount": money(5_000), "method_id": method_id}
    signed.accepted(OPS, "payment.process", sale)
    _until(lambda: signed.get(OPS, "payments/P-1").json().get("status") == "PROCESSED")

    refund = {"refund_id": "R-1", "payment_id": "P-1", "amount": money(4_000), "reason": "returned"}
    assert signed.refused(READER, "refund.issue", refund) == (403, "FORBIDDEN")
    signed.accepted(ADMIN, "refund.issue", refund | {"refund_id": "R-2"})
    assert signed.refused(OPS, "refund.approve", {"refund_id": "R-2"}) == (403, "FORBIDDEN")
    assert signed.refused(ADMIN, "refund.approve", {"refund_id": "R-2"}) == (403, "SELF_APPROVAL_FORBIDDEN")
    hers = signed.cli("keys", "create", "hers", "--role", "BILLING_ADMIN", "--actor", "ada").strip()
    assert signed.refused(hers, "refund.approve", {"refund_id": "R-2"}) == (403, "SELF_APPROVAL_FORBIDDEN")
    signed.accepted(BILLING, "refund.approve", {"refund_id": "R-2"})
    _until(lambda: signed.get(BILLING, "refunds/R-2").json().get("status") == "PROCESSED")

    assert "tok_ok" in signed.get(ADMIN, "explain/P-1").text
    read = signed.get(READER, "explain/P-1").text
    assert "tok_ok" not in read
    assert '"token_ref":null' in read

    operator = signed.cli("keys", "create", "root", "--role", "OPERATOR").strip()
    assert signed.get(ADMIN, "denials").status_code == 403
    kept = _until(lambda: _denials(signed, operator) >= {
        ("payments.refund.issue.v1", "rita", "FORBIDDEN"),
        ("payments.refund.approve.v1", "olga", "FORBIDDEN"),
        ("payments.refund.approve.v1", "ada", "SELF_APPROVAL_FORBIDDEN"),
        ("GET denials", "ada", "FORBIDDEN"),
    })  # fmt: skip
    assert kept
    assert "tender_denials_total" in httpx.get(f"{signed.tender.url}/metrics").text


def _denials(signed: Signed, operator: str) -> set[tuple[str, str, str]]:
    rows = signed.get(operator, "denials", limit=200).json()["items"]
    return {(row["action"], row["actor_id"], row["code"]) for row in rows}


def test_a_customer_sees_his_own(signed: Signed) -> None:
    for account in ("A-1", "A-2"):
        invoice = {
            "external_id": f"INV-{account}", "currency": "USD",
            "lines": [{"line_id": "1", "charge": money(700)}],
        }  # fmt: skip
        position = signed.accepted(BILLING, "invoice.post", invoice, account)
    seen = signed.get(CUSTOMER, "invoices", min_position=position).json()["items"]
    assert {row["account_id"] for row in seen} == {"A-1"}
    (theirs,) = signed.get(READER, "invoices", account_id="A-2").json()["items"]
    id = theirs["invoice_id"]
    for path in (f"invoices/{id}", f"explain/{id}", f"invoices/{id}/why-balance", "timeline", "invoices"):
        asked = {} if "/" in path else {"account_id": "A-2"}
        answer = signed.get(CUSTOMER, path, **asked)
        assert (answer.status_code, answer.json()["code"]) == (403, "ACCOUNT_NOT_VISIBLE"), path
    sale = {"payment_id": "P-9", "amount": money(700), "method_id": "M-1"}
    assert signed.refused(CUSTOMER, "payment.process", sale, "A-2") == (403, "ACCOUNT_NOT_VISIBLE")
    assert signed.get(CUSTOMER, "gateway-log").status_code == 403
    stranger = token("sid", "PAYMENT_ADMIN", tenants=["other"])
    assert signed.get(stranger, "invoices").status_code == 403


def test_a_producer_is_known_by_his_topic_and_nobody_by_the_common_one(signed: Signed) -> None:
    common, own = f"INV-{uuid4().hex[:8]}", f"INV-{uuid4().hex[:8]}"
    asyncio.run(_produce(signed.tender, {"payments.commands.v1": common, TOPIC: own}))
    _until(lambda: signed.get(BILLING, "invoices", external_id=own).json()["items"])
    assert signed.get(BILLING, "invoices", external_id=common).json()["items"] == []
    told = signed.cli("dead-letters", "list", "--output", "json")
    assert "UNAUTHENTICATED" in told
    explained = signed.get(BILLING, f"explain/{own}").json()["facts"][0]
    assert explained["actor"] == {"type": "SERVICE", "id": "billing", "roles": ["BILLING_OPERATIONS"]}


async def _produce(tender: Tender, invoices: dict[str, str]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=tender.settings.kafka_bootstrap_servers or "")
    await producer.start()
    try:
        for topic, external_id in invoices.items():
            command = PostInvoice(external_id, "USD", (Line("1", Money(100, "USD")),))
            actor = Actor("SYSTEM", "process:refunding", ("OPERATOR",))
            type, body = encode(
                command, tenant="acme", account_id="A-1", actor=actor, idempotency_key=external_id
            )
            headers = [("ce_type", type.encode())]
            await producer.send_and_wait(topic, body, key=b"acme/A-1", headers=headers)
    finally:
        await producer.stop()


def _until(true: Any) -> Any:
    deadline = time.monotonic() + SEEN_SECONDS
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.2)
    raise AssertionError("it never came to be")
