"""The Stripe adapter against a Stripe with a ledger: each operation, each way to fail, and inquiries."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from events.gateway_call import GatewayCallPlanned, MicroDeposits
from events.money import Money
from gateways.conformance.checks.detail import LEVEL3
from gateways.credentials import Credential
from gateways.protocol import InvalidSignature
from gateways.stripe import translation as words
from gateways.stripe.adapter import StripeAdapter
from tests.fixtures.gateways.asking import planned
from tests.fixtures.gateways.ledger import Answer, serving
from tests.fixtures.gateways.stripe import FakeStripe, error, form

RECORDED = Path(__file__).parent / "recorded"
SECRETS = '{"api_key": "sk_test_topsecret", "webhook_secret": "whsec_topsecret"}'


@pytest.fixture
def stripe_() -> Iterator[FakeStripe]:
    with serving(FakeStripe()) as fake:
        assert isinstance(fake, FakeStripe)
        yield fake


@pytest.fixture
async def adapter(stripe_: FakeStripe, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StripeAdapter]:
    monkeypatch.setenv("STRIPE_TEST", SECRETS)
    made = StripeAdapter({"base_url": stripe_.url}, 5000, 5000, Credential("env:STRIPE_TEST"))
    yield made
    await made.close()


async def test_an_authorization_is_captured_in_part_and_refunded_in_part(
    adapter: StripeAdapter, stripe_: FakeStripe
) -> None:
    held = await adapter.call(planned("AUTHORIZE"))
    assert (held.result_code, held.processed_amount) == ("Success", Money(2000, "USD"))
    assert held.expires_at == datetime(2025, 10, 16, 8, 53, 20, tzinfo=UTC)
    assert (held.auth_code, held.network_transaction_id) == ("123456", "976910110049114")
    captured = await adapter.call(planned("CAPTURE", 1500, authorization_ref=held.gateway_ref))
    assert (captured.result_code, captured.processed_amount) == ("Success", Money(1500, "USD"))
    refunded = await adapter.call(planned("REFUND", 500, payment_ref=captured.gateway_ref))
    assert (refunded.result_code, refunded.processed_amount) == ("Success", Money(500, "USD"))
    over = await adapter.call(
        planned("REFUND", 1001, payment_ref=captured.gateway_ref, idempotency_key="another")
    )
    assert (over.result_code, over.category) == ("Decline", "Unknown")


async def test_a_hold_is_given_back(adapter: StripeAdapter) -> None:
    held = await adapter.call(planned("AUTHORIZE"))
    reversal = planned("REVERSE", authorization_ref=held.gateway_ref)
    assert await adapter.query(reversal) is None
    assert (await adapter.call(reversal)).result_code == "Success"
    found = await adapter.query(reversal)
    assert found is not None
    assert found.result_code == "Success"


async def test_the_same_key_charges_once_and_another_body_is_unknown(
    adapter: StripeAdapter, stripe_: FakeStripe
) -> None:
    first = await adapter.call(planned("SALE"))
    assert await adapter.call(planned("SALE")) == first
    assert len(stripe_.intents) == 1
    assert (await adapter.call(planned("SALE", 2001))).result_code == "Indeterminate"


async def test_a_saved_method_is_charged_without_its_owner_and_says_so(
    adapter: StripeAdapter, stripe_: FakeStripe
) -> None:
    await adapter.call(planned("SALE"))
    await adapter.call(planned("SALE", initiator="CUSTOMER", is_first_in_series=True, idempotency_key="k2"))
    without, present = (form(each.body.decode()) for each in stripe_.asked)
    assert (without["off_session"], without["customer"]) == ("true", "cus_1")
    assert "off_session" not in present
    assert present["setup_future_usage"] == "off_session"


@pytest.mark.parametrize(
    ("code", "result", "category", "hard", "never"),
    [
        ("insufficient_funds", "Decline", "CardLimit", False, False),
        ("generic_decline", "Decline", "PaymentProcessing", False, False),
        ("invalid_account", "Decline", "PaymentProcessing", True, False),
        ("expired_card", "ValidationError", "PaymentInformation", True, False),
        ("incorrect_cvc", "ValidationError", "PaymentInformation", False, False),
        ("lost_card", "PermanentFail", "Security", True, True),
        ("authentication_required", "Decline", "Security", False, False),
        ("revocation_of_authorization", "PermanentFail", "PaymentProcessing", True, True),
        ("a_code_of_tomorrow", "Decline", "Unknown", False, False),
    ],
)
async def test_a_decline_keeps_its_own_code(
    adapter: StripeAdapter, code: str, result: str, category: str, hard: bool, never: bool
) -> None:
    told = await adapter.call(planned("SALE", token=f"pm_declines_{code}"))
    assert (told.result_code, told.category, told.hard, told.never_retry) == (result, category, hard, never)
    assert told.raw_code == code
    assert told.gateway_ref is not None


async def test_a_challenge_and_a_debit_are_not_over_yet(adapter: StripeAdapter) -> None:
    challenged = await adapter.call(planned("SALE", token="pm_challenges", initiator="CUSTOMER"))
    assert (challenged.result_code, challenged.category) == ("ActionRequired", "Security")
    debit = await adapter.call(planned("SALE", token="pm_debits", idempotency_key="k2"))
    assert debit.result_code == "Pending"


async def test_an_instrument_is_saved(adapter: StripeAdapter) -> None:
    saved = await adapter.call(planned("TOKENIZE", 0))
    assert (saved.result_code, saved.gateway_ref) == ("Success", "pm_good")


async def test_a_bank_account_is_proved_by_what_was_sent_to_it(
    adapter: StripeAdapter, stripe_: FakeStripe
) -> None:
    waiting = await adapter.call(planned("TOKENIZE", 0, token="pm_bank"))
    assert waiting.result_code == "ActionRequired"

    def told(key: str, *amounts: int, code: str | None = None) -> GatewayCallPlanned:
        seen = MicroDeposits(amounts, code)
        return planned("VERIFY", 0, idempotency_key=key, payment_ref=waiting.gateway_ref, micro_deposits=seen)

    wrong = await adapter.call(told("v1", 1, 2))
    assert (wrong.result_code, wrong.raw_code) == (
        "ValidationError",
        "payment_method_microdeposit_verification_amounts_mismatch",
    )
    assert await adapter.query(told("v1", 1, 2)) is None
    stripe_.lose = 1
    assert (await adapter.call(told("v2", code="SM11AA"))).result_code == "Indeterminate"
    found = await adapter.query(told("v2", code="SM11AA"))
    assert found is not None
    assert (found.result_code, found.gateway_ref) == ("Success", "pm_bank")


async def test_a_lost_answer_is_unknown_sent_once_and_found(
    adapter: StripeAdapter, stripe_: FakeStripe
) -> None:
    stripe_.lose = 1
    assert (await adapter.call(planned("SALE"))).result_code == "Indeterminate"
    assert len(stripe_.asked) == 1
    found = await adapter.query(planned("SALE"))
    assert found is not None
    assert (found.result_code, found.processed_amount) == ("Success", Money(2000, "USD"))
    assert await adapter.query(planned("SALE", idempotency_key="never sent")) is None


async def test_lost_captures_and_refunds_are_found(adapter: StripeAdapter, stripe_: FakeStripe) -> None:
    held = await adapter.call(planned("AUTHORIZE"))
    capture = planned("CAPTURE", authorization_ref=held.gateway_ref)
    assert await adapter.query(capture) is None
    stripe_.lose = 1
    assert (await adapter.call(capture)).result_code == "Indeterminate"
    assert (await adapter.query(capture) or held).processed_amount == Money(2000, "USD")
    refund = planned("REFUND", 700, payment_ref=held.gateway_ref)
    assert await adapter.query(refund) is None
    stripe_.lose = 1
    assert (await adapter.call(refund)).result_code == "Indeterminate"
    assert (await adapter.query(refund) or held).processed_amount == Money(700, "USD")


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (error(401, "invalid_request_error", None), "SystemError"),
        (error(429, "invalid_request_error", "rate_limit"), "SystemError"),
        (error(409, "invalid_request_error", "idempotency_key_in_use"), "Indeterminate"),
        (error(500, "api_error", None), "Indeterminate"),
        (Answer(503, {}), "Indeterminate"),
        (Answer(400, {}), "Indeterminate"),
    ],
)
async def test_statuses_tell_whether_it_was_executed(
    adapter: StripeAdapter, stripe_: FakeStripe, answer: Answer, result: str
) -> None:
    stripe_.refuse = [answer]
    assert (await adapter.call(planned("SALE"))).result_code == result
    assert len(stripe_.asked) == 1


async def test_too_many_requests_say_when_to_come_back(adapter: StripeAdapter, stripe_: FakeStripe) -> None:
    busy = error(429, "invalid_request_error", "rate_limit")
    stripe_.refuse = [busy._replace(headers={"retry-after": "7"})]
    assert (await adapter.call(planned("SALE"))).retry_after_seconds == 7


async def test_what_was_never_reached_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_TEST", SECRETS)
    adapter = StripeAdapter({"base_url": "http://127.0.0.1:9"}, 5000, 5000, Credential("env:STRIPE_TEST"))
    told = await adapter.call(planned("SALE"))
    assert told.result_code == "SystemError"
    await adapter.close()


@pytest.mark.parametrize("currency", ["JPY", "KWD"])
async def test_minor_units_go_as_they_are(adapter: StripeAdapter, stripe_: FakeStripe, currency: str) -> None:
    told = await adapter.call(planned("SALE", 1230, currency))
    assert told.processed_amount == Money(1230, currency)
    assert form(stripe_.asked[0].body.decode())["amount"] == "1230"


async def test_level_3_goes_with_its_lines(adapter: StripeAdapter, stripe_: FakeStripe) -> None:
    told = await adapter.call(planned("SALE", 4000, enhanced=LEVEL3))
    sent = form(stripe_.asked[0].body.decode())
    assert told.level_sent == 3
    assert sent["payment_details"] == {"order_reference": "INV-1001", "customer_reference": "CUST-7"}
    assert sent["amount_details"] == {
        "shipping": {"amount": "500", "from_postal_code": "94107", "to_postal_code": "10001"},
        "line_items": {
            "0": {
                "product_code": "SKU-1",
                "product_name": "Desk lamp",
                "quantity": "2",
                "unit_cost": "1600",
                "tax": {"total_tax_amount": "300"},
                "unit_of_measure": "EA",
                "payment_method_options": {"card": {"commodity_code": "39111500"}},
            }
        },
    }


DATA_REJECTED = "EnhancedDataRejected"


@pytest.mark.parametrize(
    ("error", "result"),
    [
        ({"code": "amount_details_amount_mismatch"}, DATA_REJECTED),
        ({"code": "parameter_invalid_integer", "param": "amount_details[tax]"}, DATA_REJECTED),
        ({"code": "parameter_unknown", "param": "payment_details[customer_reference]"}, DATA_REJECTED),
        ({"code": "parameter_invalid_integer", "param": "amount"}, "Decline"),
    ],
)  # fmt: skip
def test_an_error_about_the_purchase_detail_is_told_apart(error: dict[str, str], result: str) -> None:
    told = words.of_error({"type": "invalid_request_error", "message": "no", **error})
    assert (told.result_code, told.raw_code, told.hard) == (result, error["code"], False)


async def test_secrets_are_in_no_representation_and_no_log(
    adapter: StripeAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    told = await adapter.call(planned("SALE", token="pm_declines_lost_card"))
    for text in (repr(adapter), repr(told), caplog.text):
        assert "topsecret" not in text


# -- webhooks


def signed(body: bytes, secret: str = "whsec_topsecret", at: int | None = None) -> dict[str, str]:
    at = at or int(time.time())
    signature = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={at},v1={signature}"}


@pytest.mark.parametrize("path", sorted(RECORDED.glob("stripe-webhook-*.json")), ids=lambda path: path.stem)
def test_recorded_webhooks_say_what_they_say(adapter: StripeAdapter, path: Path) -> None:
    recorded = orjson.loads(path.read_bytes())
    assert recorded["documentation"].startswith("https://docs.stripe.com/")
    body = orjson.dumps(recorded["body"])
    (news,) = adapter.parse_notification(signed(body), body)
    told = {
        "event_id": news.event_id,
        "type": news.type,
        "operation_key": news.operation_key,
        "gateway_ref": news.gateway_ref,
        "result_code": news.outcome.result_code,
        "raw_code": news.outcome.raw_code,
        "amount_minor": news.outcome.processed_amount.amount_minor if news.outcome.processed_amount else None,
    }
    assert told == recorded["means"]


def test_webhooks_that_are_not_stripes_or_not_of_now_are_refused(adapter: StripeAdapter) -> None:
    body = b'{"id": "evt_1", "type": "payment_intent.succeeded"}'
    for headers in ({}, signed(body, "whsec_other"), signed(body, at=int(time.time()) - 301)):
        with pytest.raises(InvalidSignature):
            adapter.parse_notification(headers, body)


def test_webhooks_about_nothing_of_ours_are_no_news(adapter: StripeAdapter) -> None:
    body = orjson.dumps({"id": "evt_1", "type": "customer.created", "data": {"object": {}}})
    assert adapter.parse_notification(signed(body), body) == []
