"""The GoCardless adapter against a GoCardless with a ledger: debits that take days, and news of them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest

from events.money import Money
from gateways.credentials import Credential
from gateways.gocardless.adapter import GoCardlessAdapter
from gateways.protocol import InvalidSignature
from tests.fixtures.gateways.asking import planned
from tests.fixtures.gateways.gocardless import FakeGoCardless, error
from tests.fixtures.gateways.ledger import Answer, serving

RECORDED = Path(__file__).parent / "recorded"
SECRETS = '{"api_key": "sandbox_topsecret", "webhook_secret": "hook_topsecret"}'


@pytest.fixture
def gocardless() -> Iterator[FakeGoCardless]:
    with serving(FakeGoCardless()) as fake:
        assert isinstance(fake, FakeGoCardless)
        yield fake


@pytest.fixture
async def adapter(
    gocardless: FakeGoCardless, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[GoCardlessAdapter]:
    monkeypatch.setenv("GOCARDLESS_TEST", SECRETS)
    made = GoCardlessAdapter({"base_url": gocardless.url}, 5000, 5000, Credential("env:GOCARDLESS_TEST"))
    yield made
    await made.close()


DEBIT = planned("SALE", currency="GBP", token="MD1")


async def test_a_debit_is_pending_until_the_bank_has_paid(
    adapter: GoCardlessAdapter, gocardless: FakeGoCardless
) -> None:
    asked = await adapter.call(DEBIT)
    assert (asked.result_code, asked.raw_code) == ("Pending", "pending_submission")
    sent = orjson.loads(gocardless.asked[0].body)["payments"]
    assert (sent["links"], sent["retry_if_possible"]) == ({"mandate": "MD1"}, False)
    gocardless.payments[asked.gateway_ref or ""]["status"] = "confirmed"
    found = await adapter.query(DEBIT)
    assert found is not None
    assert (found.result_code, found.processed_amount) == ("Success", Money(2000, "GBP"))


async def test_the_same_key_debits_once_and_for_one_amount(
    adapter: GoCardlessAdapter, gocardless: FakeGoCardless
) -> None:
    assert await adapter.call(DEBIT) == await adapter.call(DEBIT)
    assert len(gocardless.payments) == 1
    other = planned("SALE", 2001, "GBP", token="MD1")
    assert (await adapter.call(other)).result_code == "Indeterminate"


async def test_partial_refunds_confirm_their_total(
    adapter: GoCardlessAdapter, gocardless: FakeGoCardless
) -> None:
    ref = (await adapter.call(DEBIT)).gateway_ref
    first = await adapter.call(planned("REFUND", 500, "GBP", payment_ref=ref))
    assert first.result_code == "Pending"
    second = planned(
        "REFUND", 700, "GBP", payment_ref=ref, already_refunded=Money(500, "GBP"), idempotency_key="k2"
    )
    assert (await adapter.call(second)).result_code == "Pending"
    found = await adapter.query(second)
    assert found is not None
    gocardless.refunds[found.gateway_ref or ""]["status"] = "paid"
    assert (await adapter.query(second) or found).processed_amount == Money(700, "GBP")
    over = planned(
        "REFUND", 900, "GBP", payment_ref=ref, already_refunded=Money(1200, "GBP"), idempotency_key="k3"
    )
    assert (await adapter.call(over)).raw_code == "available_refund_amount_insufficient"
    blind = planned("REFUND", 100, "GBP", payment_ref=ref, idempotency_key="k4")
    assert (await adapter.call(blind)).raw_code == "total_amount_confirmation_invalid"


async def test_a_debit_is_voided_before_it_is_submitted(
    adapter: GoCardlessAdapter, gocardless: FakeGoCardless
) -> None:
    ref = (await adapter.call(DEBIT)).gateway_ref
    void = planned("VOID", currency="GBP", payment_ref=ref)
    assert await adapter.query(void) is None
    assert (await adapter.call(void)).result_code == "Success"
    assert (await adapter.query(void) or DEBIT) != DEBIT
    late = (
        await adapter.call(planned("SALE", currency="GBP", token="MD1", idempotency_key="k2"))
    ).gateway_ref
    gocardless.payments[late or ""]["status"] = "submitted"
    refused = await adapter.call(planned("VOID", currency="GBP", payment_ref=late, idempotency_key="k3"))
    assert (refused.result_code, refused.raw_code) == ("Decline", "cancellation_failed")


async def test_a_mandate_is_set_up(adapter: GoCardlessAdapter) -> None:
    made = await adapter.call(planned("TOKENIZE", 0, "GBP", token="BA1"))
    assert (made.result_code, (made.gateway_ref or "")[:2]) == ("Pending", "MD")


async def test_a_dead_mandate_is_a_hard_decline(adapter: GoCardlessAdapter) -> None:
    told = await adapter.call(planned("SALE", currency="GBP", token="MD_inactive"))
    assert (told.result_code, told.category, told.hard) == ("Decline", "PaymentProcessing", True)


async def test_cards_are_not_its_business(adapter: GoCardlessAdapter, gocardless: FakeGoCardless) -> None:
    assert (await adapter.call(planned("AUTHORIZE"))).raw_code == "unsupported"
    assert gocardless.asked == []


async def test_a_lost_answer_is_unknown_sent_once_and_found(
    adapter: GoCardlessAdapter, gocardless: FakeGoCardless
) -> None:
    gocardless.lose = 1
    assert (await adapter.call(DEBIT)).result_code == "Indeterminate"
    assert len(gocardless.asked) == 1
    assert (await adapter.query(DEBIT)) is not None
    assert await adapter.query(planned("SALE", token="MD1", idempotency_key="never sent")) is None


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (error(401, "invalid_api_usage", "access_token_not_found"), "SystemError"),
        (error(429, "invalid_api_usage", "rate_limit_exceeded"), "SystemError"),
        (error(422, "validation_failed", "is_invalid"), "Decline"),
        (error(500, "gocardless", "internal_error"), "Indeterminate"),
        (error(418, "a_type_of_tomorrow", "x"), "Indeterminate"),
        (Answer(503, {}), "Indeterminate"),
    ],
)
async def test_statuses_tell_whether_it_was_executed(
    adapter: GoCardlessAdapter, gocardless: FakeGoCardless, answer: Answer, result: str
) -> None:
    gocardless.refuse = [answer]
    assert (await adapter.call(DEBIT)).result_code == result
    assert len(gocardless.asked) == 1


async def test_what_was_never_reached_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOCARDLESS_TEST", SECRETS)
    settings = {"base_url": "http://127.0.0.1:9"}
    adapter = GoCardlessAdapter(settings, 5000, 5000, Credential("env:GOCARDLESS_TEST"))
    assert (await adapter.call(DEBIT)).result_code == "SystemError"
    await adapter.close()


async def test_secrets_are_in_no_representation_and_no_log(
    adapter: GoCardlessAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    told = await adapter.call(DEBIT)
    for text in (repr(adapter), repr(told), caplog.text):
        assert "topsecret" not in text


def signed(body: bytes) -> dict[str, str]:
    return {"Webhook-Signature": hmac.new(b"hook_topsecret", body, hashlib.sha256).hexdigest()}


@pytest.mark.parametrize(
    "path", sorted(RECORDED.glob("gocardless-webhook-*.json")), ids=lambda path: path.stem
)
def test_recorded_webhooks_say_what_they_say(adapter: GoCardlessAdapter, path: Path) -> None:
    recorded = orjson.loads(path.read_bytes())
    assert recorded["documentation"].startswith("https://developer.gocardless.com/")
    body = orjson.dumps({"events": [recorded["body"]], "meta": {"webhook_id": "WB1"}})
    (news,) = adapter.parse_notification(signed(body), body)
    assert recorded["means"] == {
        "event_id": news.event_id,
        "type": news.type,
        "operation_key": news.operation_key,
        "gateway_ref": news.gateway_ref,
        "result_code": news.outcome.result_code,
        "raw_code": news.outcome.raw_code,
        "category": news.outcome.category,
    }


def test_deliveries_that_are_not_gocardlesss_are_refused(adapter: GoCardlessAdapter) -> None:
    body = b'{"events": []}'
    assert adapter.parse_notification(signed(body), body) == []
    for headers in ({}, signed(b"another")):
        with pytest.raises(InvalidSignature):
            adapter.parse_notification(headers, body)
