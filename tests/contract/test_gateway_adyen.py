"""The Adyen adapter against an Adyen with a ledger: operations, refusals, and news with signatures."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from Adyen.util import generate_notification_sig

from events.money import Money
from gateways.adyen import translation as words
from gateways.adyen.adapter import AdyenAdapter
from gateways.conformance.checks.detail import LEVEL3
from gateways.credentials import Credential
from gateways.protocol import InvalidSignature
from tests.fixtures.gateways.adyen import FakeAdyen, error, notice
from tests.fixtures.gateways.asking import planned
from tests.fixtures.gateways.ledger import Answer, serving

RECORDED = Path(__file__).parent / "recorded"
HMAC_KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
SECRETS = json.dumps({"api_key": "AQE_topsecret", "hmac_key": HMAC_KEY})


@pytest.fixture
def adyen() -> Iterator[FakeAdyen]:
    with serving(FakeAdyen()) as fake:
        assert isinstance(fake, FakeAdyen)
        yield fake


@pytest.fixture
async def adapter(adyen: FakeAdyen, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AdyenAdapter]:
    monkeypatch.setenv("ADYEN_TEST", SECRETS)
    settings = {"base_url": adyen.url, "merchant_account": "TestMerchant"}
    made = AdyenAdapter(settings, 5000, 5000, Credential("env:ADYEN_TEST"))
    yield made
    await made.close()


def signed(*items: dict[str, Any]) -> bytes:
    told: list[dict[str, Any]] = []
    for item in items:
        signature = generate_notification_sig(item, HMAC_KEY).decode()
        more = item.get("additionalData", {}) | {"hmacSignature": signature}
        told.append({"NotificationRequestItem": item | {"additionalData": more}})
    return orjson.dumps({"live": "false", "notificationItems": told})


async def test_a_capture_is_acknowledged_and_its_word_comes_later(
    adapter: AdyenAdapter, adyen: FakeAdyen
) -> None:
    held = await adapter.call(planned("AUTHORIZE"))
    assert (held.result_code, held.processed_amount) == ("Success", Money(2000, "USD"))
    assert (held.auth_code, held.network_transaction_id) == ("012345", "MCC000000000355")
    capture = planned("CAPTURE", 1500, authorization_ref=held.gateway_ref)
    acknowledged = await adapter.call(capture)
    assert (acknowledged.result_code, acknowledged.gateway_ref) == ("Pending", held.gateway_ref)
    (news,) = adapter.parse_notification({}, signed(adyen.notices[-1]))
    assert (news.type, news.operation_key, news.gateway_ref) == (
        "CAPTURE",
        capture.idempotency_key,
        held.gateway_ref,
    )
    assert (news.outcome.result_code, news.outcome.processed_amount) == ("Success", Money(1500, "USD"))


async def test_an_over_capture_is_refused_by_its_notification(
    adapter: AdyenAdapter, adyen: FakeAdyen
) -> None:
    held = await adapter.call(planned("AUTHORIZE"))
    await adapter.call(planned("CAPTURE", 2001, authorization_ref=held.gateway_ref))
    (news,) = adapter.parse_notification({}, signed(adyen.notices[-1]))
    assert (news.outcome.result_code, news.outcome.category) == ("Decline", "Unknown")


@pytest.mark.parametrize("operation", ["REVERSE", "VOID", "REFUND"])
async def test_modifications_are_acknowledged(
    adapter: AdyenAdapter, adyen: FakeAdyen, operation: str
) -> None:
    held = await adapter.call(planned("SALE"))
    told = planned(operation, payment_ref=held.gateway_ref)
    acknowledged = await adapter.call(told)
    assert acknowledged.result_code == "Pending"
    (news,) = adapter.parse_notification({}, signed(adyen.notices[-1]))
    assert (news.operation_key, news.gateway_ref) == (told.idempotency_key, acknowledged.gateway_ref)


async def test_the_same_key_charges_once(adapter: AdyenAdapter, adyen: FakeAdyen) -> None:
    first = await adapter.call(planned("SALE"))
    assert await adapter.call(planned("SALE")) == first
    assert len(adyen.payments) == 1
    assert (await adapter.call(planned("SALE", 2001))).result_code == "Indeterminate"


@pytest.mark.parametrize(
    ("code", "result", "category", "hard", "never"),
    [
        ("12", "Decline", "CardLimit", False, False),
        ("2", "Decline", "PaymentProcessing", False, False),
        ("5", "Decline", "PaymentProcessing", True, False),
        ("6", "ValidationError", "PaymentInformation", True, False),
        ("24", "ValidationError", "PaymentInformation", False, False),
        ("20", "PermanentFail", "Security", True, True),
        ("26", "PermanentFail", "PaymentProcessing", True, True),
        ("38", "Decline", "Security", False, False),
        ("9", "Decline", "GatewayConnection", False, False),
        ("999", "Decline", "Unknown", False, False),
    ],
)
async def test_a_refusal_keeps_its_own_code(
    adapter: AdyenAdapter, code: str, result: str, category: str, hard: bool, never: bool
) -> None:
    told = await adapter.call(planned("SALE", token=f"refused_{code}"))
    assert (told.result_code, told.category, told.hard, told.never_retry) == (result, category, hard, never)
    assert told.raw_code == code


@pytest.mark.parametrize("initiator", ["MERCHANT", "CUSTOMER"])
async def test_a_stored_card_is_proved_by_an_authorization_of_nothing(
    adapter: AdyenAdapter, adyen: FakeAdyen, initiator: str
) -> None:
    told = await adapter.call(planned("TOKENIZE", 0, token="8415718415172204", initiator=initiator))
    assert (told.result_code, told.gateway_ref) == ("Success", "8415718415172204")
    assert told.network_transaction_id == "MCC000000000355"
    sent = json.loads(adyen.asked[-1].body)
    assert (sent["amount"], sent["paymentMethod"]["type"]) == ({"value": 0, "currency": "USD"}, "scheme")
    assert "captureDelayHours" not in sent, "there is nothing to capture"


async def test_a_stored_card_that_is_dead_is_refused(adapter: AdyenAdapter) -> None:
    told = await adapter.call(planned("TOKENIZE", 0, token="refused_5"))
    assert (told.result_code, told.raw_code, told.hard) == ("Decline", "5", True)


@pytest.mark.parametrize("succeeded", [True, False])
def test_the_word_on_a_proof_names_the_method_that_it_proves(adapter: AdyenAdapter, succeeded: bool) -> None:
    about = {"metadata.tender_key": "acme:tokenize:x:1", "metadata.tender_proves": "8415718415172204"}
    nothing = {"value": 0, "currency": "USD"}
    item = notice("AUTHORISATION", "PSP1", None, "x", nothing, succeeded) | {"additionalData": about}
    (news,) = adapter.parse_notification({}, signed(item))
    assert (news.type, news.operation_key, news.gateway_ref) == ("TOKENIZE", "acme:tokenize:x:1", None)
    assert news.outcome.gateway_ref == "8415718415172204"
    assert (news.outcome.result_code == "Success") is succeeded


@pytest.mark.parametrize(
    ("type", "theirs"),
    [
        ("card", "scheme"),
        ("sepa_debit", "sepadirectdebit"),
        ("us_bank_account", "ach"),
        ("bacs_debit", "directdebit_GB"),
        ("ideal", "sepadirectdebit"),
    ],
)
async def test_a_stored_method_is_charged_as_what_it_is(
    adapter: AdyenAdapter, adyen: FakeAdyen, type: str, theirs: str
) -> None:
    await adapter.call(planned("SALE", type=type))
    assert json.loads(adyen.asked[-1].body)["paymentMethod"]["type"] == theirs


async def test_what_is_not_over_yet(adapter: AdyenAdapter) -> None:
    challenged = await adapter.call(planned("SALE", token="challenges", initiator="CUSTOMER"))
    assert challenged.result_code == "ActionRequired"
    assert (await adapter.call(planned("SALE", token="waits", idempotency_key="k"))).result_code == "Pending"


async def test_a_lost_answer_is_unknown_and_sent_once(adapter: AdyenAdapter, adyen: FakeAdyen) -> None:
    adyen.lose = 1
    assert (await adapter.call(planned("SALE"))).result_code == "Indeterminate"
    assert len(adyen.asked) == 1
    asked = await adapter.query(planned("SALE"))
    assert asked is not None
    assert asked.result_code == "Indeterminate"
    assert len(adyen.asked) == 1


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (error(401, "000", "Unauthorized"), "SystemError"),
        (error(403, "010", "Not allowed"), "SystemError"),
        (Answer(429, {}), "SystemError"),
        (error(422, "704", "in progress"), "Indeterminate"),
        (error(422, "130", "Reference missing"), "Decline"),
        (error(500, "905", "Payment details are not supported"), "Indeterminate"),
        (Answer(503, {}), "Indeterminate"),
        (Answer(200, {}), "Indeterminate"),
    ],
)
async def test_statuses_tell_whether_it_was_executed(
    adapter: AdyenAdapter, adyen: FakeAdyen, answer: Answer, result: str
) -> None:
    adyen.refuse = [answer]
    assert (await adapter.call(planned("SALE"))).result_code == result
    assert len(adyen.asked) == 1


async def test_what_was_never_reached_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADYEN_TEST", SECRETS)
    settings = {"base_url": "http://127.0.0.1:9", "merchant_account": "TestMerchant"}
    adapter = AdyenAdapter(settings, 5000, 5000, Credential("env:ADYEN_TEST"))
    assert (await adapter.call(planned("SALE"))).result_code == "SystemError"
    await adapter.close()


async def test_calls_do_not_wait_for_each_other_nor_hold_the_loop(
    adapter: AdyenAdapter, adyen: FakeAdyen, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_air = threading.Barrier(20)

    def together(asked: object) -> Answer:
        """Nobody is answered before all have asked: one after the other, they would wait for ever."""
        in_the_air.wait(30)
        return Answer(200, {"pspReference": "P", "resultCode": "Authorised"})

    monkeypatch.setattr(adyen, "handle", together)
    calls = [adapter.call(planned("SALE", idempotency_key=str(n))) for n in range(20)]
    assert {each.result_code for each in await asyncio.gather(*calls)} == {"Success"}


async def test_level_3_goes_with_its_lines(adapter: AdyenAdapter, adyen: FakeAdyen) -> None:
    told = await adapter.call(planned("SALE", 4000, enhanced=LEVEL3))
    assert told.level_sent == 3
    sent = json.loads(adyen.asked[0].body)["additionalData"]
    prefix = "enhancedSchemeData."
    assert {name.removeprefix(prefix): sent[name] for name in sent if name.startswith(prefix)} == {
        "customerReference": "CUST-7",
        "totalTaxAmount": "300",
        "freightAmount": "500",
        "destinationPostalCode": "10001",
        "shipFromPostalCode": "94107",
        "itemDetailLine1.productCode": "SKU-1",
        "itemDetailLine1.description": "Desk lamp",
        "itemDetailLine1.commodityCode": "39111500",
        "itemDetailLine1.quantity": "2",
        "itemDetailLine1.unitOfMeasure": "EA",
        "itemDetailLine1.unitPrice": "1600",
        "itemDetailLine1.totalAmount": "3500",
    }


def test_texts_of_the_purchase_detail_are_as_adyen_reads_them() -> None:
    line = replace(LEVEL3.lines[0], description="  Ärmelschoner für Büros aller Art", unit_of_measure="PIECE")
    told = words.enhanced(replace(LEVEL3, ship_to_postal_code="1017 AB 12345", lines=(line,)), "EUR")
    prefix = "enhancedSchemeData."
    assert told[f"{prefix}itemDetailLine1.description"] == "Armelschoner fur Buros all"
    assert told[f"{prefix}itemDetailLine1.unitOfMeasure"] == "PIE"
    assert told[f"{prefix}destinationPostalCode"] == "1017 AB 12"
    nothing = words.enhanced(replace(LEVEL3, lines=(replace(line, unit_of_measure="個"),)), "EUR")
    assert f"{prefix}itemDetailLine1.unitOfMeasure" not in nothing


async def test_a_field_of_the_purchase_detail_that_is_not_read_is_told_apart(adapter: AdyenAdapter) -> None:
    token = "reads_no_detail"  # no secret
    told = await adapter.call(planned("SALE", 4000, token=token, enhanced=LEVEL3))
    assert (told.result_code, told.raw_code, told.hard) == ("EnhancedDataRejected", "error 702", False)
    again = await adapter.call(planned("SALE", 4000, token=token, idempotency_key="k2"))
    assert again.result_code == "Success"


@pytest.mark.parametrize("currency", ["JPY", "KWD"])
async def test_minor_units_go_as_they_are(adapter: AdyenAdapter, adyen: FakeAdyen, currency: str) -> None:
    await adapter.call(planned("SALE", 1230, currency))
    assert json.loads(adyen.asked[0].body)["amount"] == {"value": 1230, "currency": currency}
    assert adyen.asked[0].headers["idempotency-key"] == planned("SALE").idempotency_key


async def test_secrets_are_in_no_representation_and_no_log(
    adapter: AdyenAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    told = await adapter.call(planned("SALE", token="refused_20"))
    for text in (repr(adapter), repr(told), caplog.text):
        assert "topsecret" not in text
        assert HMAC_KEY not in text


@pytest.mark.parametrize("path", sorted(RECORDED.glob("adyen-webhook-*.json")), ids=lambda path: path.stem)
def test_recorded_webhooks_say_what_they_say(adapter: AdyenAdapter, path: Path) -> None:
    recorded = orjson.loads(path.read_bytes())
    assert recorded["documentation"].startswith("https://docs.adyen.com/")
    (news,) = adapter.parse_notification({}, signed(recorded["body"]))
    amount = news.outcome.processed_amount
    assert recorded["means"] == {
        "event_id": news.event_id,
        "type": news.type,
        "operation_key": news.operation_key,
        "gateway_ref": news.gateway_ref,
        "result_code": news.outcome.result_code,
        "raw_code": news.outcome.raw_code,
        "amount_minor": amount.amount_minor if amount else None,
    }


def test_deliveries_that_are_not_adyens_are_refused(adapter: AdyenAdapter) -> None:
    item = orjson.loads((RECORDED / "adyen-webhook-capture.json").read_bytes())["body"]
    forged = orjson.loads(signed(item))
    forged["notificationItems"][0]["NotificationRequestItem"]["amount"]["value"] = 1
    unsigned = {"notificationItems": [{"NotificationRequestItem": item}]}
    for body in (orjson.dumps(forged), orjson.dumps(unsigned), b"{}", b"[]", b"no JSON"):
        with pytest.raises(InvalidSignature):
            adapter.parse_notification({}, body)
