"""What goes to a gateway besides the money, what comes back of it, and how kept cards are told apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter, ValidationError

from events.authorization import AuthorizationRequested, PaymentAuthorized
from events.gateway_call import GatewayCallPlanned
from events.payment import PaymentRequested
from events.payment_method import StoredCredentialEstablished
from events.personal import KEY_BYTES, SubjectKey, sealed
from events.shapes import ActionRequired, FraudContext, Outcome
from gateways.adyen import translation as adyen
from gateways.outcomes import refused
from gateways.stripe import translation as stripe
from projections.authorizations import authorizations
from projections.folding import Folder
from projections.models import TABLES
from projections.operations import gateway_log
from projections.payments import payments
from services.accounts.account import ErasePersonalData
from services.accounts.payment_method import SavedMethod
from services.authorizations.authorization import Authorization
from services.authorizations.authorizing import AuthorizePayment
from services.authorizations.capturing import CapturePayment
from services.authorizations.outcomes import RecordAuthorizationOutcome
from services.calls.accompanying import AdditionalData, Payer
from services.calls.calling import GatewayCall
from services.payments.asking import ApplyTo, OneTimeMethod
from services.payments.linking import CreatePaymentLink, PayByLink
from services.payments.paying import ProcessPayment
from services.payments.payment import Payment
from services.schedules.collecting import CollectScheduleItem
from services.schedules.schedule import PaymentSchedule
from services.schedules.scheduling import CreatePaymentSchedule, NewItem
from tests.journey import SOFT, SUCCESS, Journey, line, money

ADA = Payer("ada@example.com", "2001:db8::1", "02:00:00:00:00:01", "+44 20 7946 0000", "session_1")
TOLD = {"fraud_context": ADA, "client_context": "basket 7", "comments": "gift", "additional_data": {"k": "v"}}
CHALLENGE = ActionRequired("redirect", "https://bank.example/3ds", {"client_secret": "pi_1_secret"})


def planned(j: Journey, payment_id: str) -> GatewayCallPlanned:
    call = j.state(GatewayCall, j.state(Payment, payment_id).operation_key)
    assert call.planned is not None
    return call.planned


def sale(j: Journey, **more: Any) -> ProcessPayment:
    return replace(ProcessPayment(money(10), "P", j.card_a), **more)


# -- what goes there


def test_who_pays_is_told_to_the_gateway_and_remembered() -> None:
    j = Journey()
    j.when(sale(j, **TOLD)).then_accepted()
    request = planned(j, "P")
    known = FraudContext(
        "ada@example.com", "2001:db8::1", "02:00:00:00:00:01", "+44 20 7946 0000", "session_1"
    )
    assert (request.fraud_context, request.client_context) == (known, "basket 7")
    assert (request.comments, request.additional_data) == ("gift", {"k": "v"})
    (asked,) = [fact for fact in j.all_facts() if isinstance(fact, PaymentRequested)]
    assert (asked.fraud_context, asked.client_context) == (known, "basket 7")
    assert Folder(TABLES).from_zero(j.events())[payments]["t", "P"]["client_context"] == "basket 7"


def test_an_authorization_is_told_of_the_same() -> None:
    j = Journey()
    held = AuthorizePayment(money(10), "gw", j.time, j.card_a, authorization_id="A", **TOLD)  # type: ignore[arg-type]
    j.when(held).then_accepted()
    (asked,) = [fact for fact in j.all_facts() if isinstance(fact, AuthorizationRequested)]
    assert asked.fraud_context is not None
    assert (asked.fraud_context.phone, asked.client_context) == ("+44 20 7946 0000", "basket 7")
    key = j.state(Authorization, "A").operation_key
    checked = replace(SUCCESS, avs_code="Y", cvc_code="M", reference_details="batch 12")
    j.when(RecordAuthorizationOutcome(key, "GATEWAY", checked)).then_accepted()
    (fact,) = [fact for fact in j.all_facts() if isinstance(fact, PaymentAuthorized)]
    assert (fact.avs_code, fact.cvc_code, fact.gateway_ref_details) == ("Y", "M", "batch 12")


def test_what_is_not_given_is_not_written() -> None:
    j = Journey()
    j.when(sale(j)).then_accepted()
    (asked,) = [fact for fact in j.all_facts() if isinstance(fact, PaymentRequested)]
    assert (
        not {"fraud_context", "client_context", "level_requested"} & orjson.loads(orjson.dumps(asked)).keys()
    )


def test_who_pays_is_sealed_and_none_is_taken_of_who_is_forgotten() -> None:
    j = Journey()
    j.when(sale(j, **TOLD)).then_accepted()
    written = sealed(planned(j, "P"), SubjectKey("t/A", bytes(KEY_BYTES)))
    assert b"ada@example.com" not in written
    assert b"7946" not in written
    j.when(ErasePersonalData()).then_accepted()
    j.when(sale(j, payment_id="Q", fraud_context=ADA)).then_rejected("PERSONAL_DATA_ERASED")
    j.when(sale(j, payment_id="Q", client_context="basket 8")).then_accepted()


@pytest.mark.parametrize(
    "wrong",
    [{"email": "ada"}, {"ip_address": "1.2.3"}, {"mac_address": "02:00"}, {"phone": "call me"}],
)
def test_what_is_no_address_of_its_kind_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Payer).validate_json(orjson.dumps(wrong))


@pytest.mark.parametrize("pairs", [{str(n): "x" for n in range(21)}, {"k": "x" * 256}, {"k" * 41: "x"}])
def test_additional_data_is_bounded(pairs: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AdditionalData).validate_json(orjson.dumps(pairs))


def test_real_gateways_are_told_in_their_own_words() -> None:
    j = Journey()
    j.when(sale(j, **TOLD)).then_accepted()
    intent = stripe.creation(planned(j, "P"))
    assert intent["metadata"] == {
        "k": "v",
        "comments": "gift",
        "client_context": "basket 7",
        "tender_key": planned(j, "P").idempotency_key,
        "tender_reference": planned(j, "P").merchant_reference,
    }
    assert intent["radar_options"] == {"session": "session_1"}
    payment = adyen.payment(planned(j, "P"), "M", "https://shop.example")
    told = (payment["shopperEmail"], payment["shopperIP"], payment["telephoneNumber"])
    assert told == ("ada@example.com", "2001:db8::1", "+44 20 7946 0000")
    assert payment["deviceFingerprint"] == "session_1"
    assert payment["metadata"]["k"] == "v"


# -- what comes back


def test_a_challenge_says_what_the_customer_has_to_do_until_it_is_over() -> None:
    j = Journey()
    j.when(sale(j)).then_accepted()
    j.settle("P", Outcome("ActionRequired", gateway_ref="pi_1", action=CHALLENGE)).then_accepted()
    row = Folder(TABLES).from_zero(j.events())[payments]["t", "P"]
    assert (row["status"], row["action_type"], row["action_url"]) == (
        "REQUIRES_ACTION",
        "redirect",
        "https://bank.example/3ds",
    )
    assert row["parameters"] == {"client_secret": "pi_1_secret"}
    j.settle("P", SUCCESS, source="NOTIFICATION").then_accepted()
    row = Folder(TABLES).from_zero(j.events())[payments]["t", "P"]
    assert (row["status"], row["action_type"], row["parameters"]) == ("PROCESSED", None, None)


def test_an_authorizations_challenge_does_as_well() -> None:
    j = Journey()
    j.when(AuthorizePayment(money(10), "gw", j.time, j.card_a, authorization_id="A")).then_accepted()
    key = j.state(Authorization, "A").operation_key
    asked = Outcome("ActionRequired", gateway_ref="pi_1", action=CHALLENGE)
    j.when(RecordAuthorizationOutcome(key, "GATEWAY", asked)).then_accepted()
    assert Folder(TABLES).from_zero(j.events())[authorizations]["t", "A"]["action_type"] == "redirect"
    j.when(RecordAuthorizationOutcome(key, "NOTIFICATION", SOFT)).then_accepted()
    row = Folder(TABLES).from_zero(j.events())[authorizations]["t", "A"]
    assert (row["status"], row["action_type"], row["action_url"]) == ("FAILED", None, None)


def test_real_gateways_challenges_are_understood() -> None:
    intent = {
        "id": "pi_1",
        "status": "requires_action",
        "currency": "usd",
        "client_secret": "pi_1_secret",
        "next_action": {"type": "redirect", "redirect_to_url": {"url": "https://bank.example/3ds"}},
    }
    assert stripe.of_intent(intent).action == CHALLENGE
    j = Journey()
    j.when(sale(j)).then_accepted()
    told = {"type": "threeDS2", "token": "abc"}
    answer = {"resultCode": "IdentifyShopper", "pspReference": "8", "action": told}
    action = adyen.of_payment(answer, planned(j, "P")).action
    assert action == ActionRequired("threeDS2", None, {"action": orjson.dumps(told).decode()})


@pytest.mark.parametrize(("advice", "never"), [("03", True), ("21", True), ("24", False), ("99", False)])
def test_a_networks_advice_can_forbid_to_try_again(advice: str, never: bool) -> None:
    error = {"decline_code": "do_not_honor", "code": "card_declined", "network_decline_code": "05"}
    told = stripe.of_error({**error, "network_advice_code": advice})
    assert (told.never_retry, told.network_code, told.network_advice) == (never, "05", advice)
    assert told.raw_sub_code == "card_declined"
    assert refused("adyen", "2", network_advice=advice).never_retry is never


# -- cards that are kept


def test_the_first_payment_of_a_kept_card_says_so_and_later_ones_name_it() -> None:
    j = Journey()
    j.when(sale(j, initiation="PORTAL")).then_accepted()
    assert (planned(j, "P").initiator, planned(j, "P").is_first_in_series) == ("CUSTOMER", True)
    j.settle("P", replace(SUCCESS, network_transaction_id="nti_1")).then_accepted()
    established = [fact for fact in j.all_facts() if isinstance(fact, StoredCredentialEstablished)]
    assert established == [StoredCredentialEstablished("nti_1")]
    j.when(sale(j, payment_id="Q", initiation="PORTAL")).then_accepted()
    assert not planned(j, "Q").is_first_in_series
    later = planned(j, "Q").method
    assert later is not None
    assert later.network_transaction_id == "nti_1"
    j.settle("Q", replace(SUCCESS, network_transaction_id="nti_2")).then_accepted()
    assert j.state(SavedMethod, j.card_a).network_transaction_id == "nti_1"


def test_a_merchants_own_charge_begins_no_series() -> None:
    j = Journey()
    j.when(sale(j)).then_accepted()
    request = planned(j, "P")
    assert (request.initiator, request.reason, request.is_first_in_series) == (
        "MERCHANT",
        "UNSCHEDULED",
        False,
    )


# -- what it was begun for


def test_a_gateway_is_told_what_a_payment_was_begun_for() -> None:
    j = Journey()
    owed = j.post("INV", line("1", 10))
    j.when(sale(j, initiation_source_id="order-7")).then_accepted()
    j.when(sale(j, payment_id="Q", apply_to=(ApplyTo(owed),))).then_accepted()
    j.when(sale(j, payment_id="R")).then_accepted()
    assert [planned(j, id).initiation_source_id for id in "PQR"] == ["order-7", owed, None]
    rows = Folder(TABLES).from_zero(j.events())
    assert [rows[payments]["t", id]["initiation_source_id"] for id in "PQR"] == ["order-7", owed, None]
    key = j.state(Payment, "P").operation_key
    assert rows[gateway_log]["t", key]["initiation_source_id"] == "order-7"
    assert stripe.creation(planned(j, "P"))["metadata"]["initiation_source_id"] == "order-7"
    told = adyen.payment(planned(j, "P"), "merchant", "https://shop.example")
    assert told["metadata"]["initiationSourceId"] == "order-7"


def test_an_item_and_a_link_are_what_their_payments_were_begun_for() -> None:
    j = Journey()
    owed = j.post("INV", line("1", 10))
    j.when(CreatePaymentLink(owed, "L")).then_accepted()
    j.when(PayByLink("L", OneTimeMethod("card", "tok_x"), "gw")).then_accepted()
    (linked,) = [fact for fact in j.all_facts() if isinstance(fact, PaymentRequested)]
    assert linked.initiation_source_id == "L"
    j = Journey()
    j.when(CreatePaymentSchedule("ORDER", "O", (NewItem(money(5), j.time.date(), j.card_a),), "S", money(5)))
    j.then_accepted()
    [item_id] = j.state(PaymentSchedule, "S").items
    j.when(CollectScheduleItem("S", item_id)).then_accepted()
    (asked,) = [fact for fact in j.all_facts() if isinstance(fact, PaymentRequested)]
    assert asked.initiation_source_id == item_id
    [row] = Folder(TABLES).from_zero(j.events())[payments].values()
    assert (row["payment_schedule_id"], row["item_id"]) == ("S", item_id)


def test_the_log_shows_all_that_a_gateway_and_its_network_said() -> None:
    j = Journey()
    j.when(sale(j)).then_accepted()
    said = replace(SOFT, avs_code="N", network_code="51", network_advice="24", code_map_version=3)
    j.settle("P", said).then_accepted()
    row = Folder(TABLES).from_zero(j.events())[gateway_log]["t", j.state(Payment, "P").operation_key]
    shown = ("avs_code", "network_code", "network_advice", "code_map_version", "never_retry")
    assert [row[name] for name in shown] == ["N", "51", "24", 3, False]


@pytest.mark.parametrize(("initiation", "initiator"), [("AD_HOC", "MERCHANT"), ("CHECKOUT", "CUSTOMER")])
def test_a_hold_says_whether_its_customer_is_there(initiation: Any, initiator: str) -> None:
    """Who is there can answer his bank; else the gateway is told that nobody is."""
    j = Journey()
    held = AuthorizePayment(
        money(10), "gw", j.time, j.card_a, authorization_id="A", initiation=initiation,
        initiation_source_id="order-7",
    )  # fmt: skip
    j.when(held).then_accepted()
    call = j.state(GatewayCall, j.state(Authorization, "A").operation_key).planned
    assert call is not None
    here = initiator == "CUSTOMER"
    assert (call.initiator, call.is_first_in_series, call.initiation_source_id) == (
        initiator,
        here,
        "order-7",
    )
    assert ("off_session" in stripe.creation(call)) is not here
    interaction = adyen.payment(call, "M", "https://shop.example")["shopperInteraction"]
    assert interaction == ("Ecommerce" if here else "ContAuth")
    row = Folder(TABLES).from_zero(j.events())[authorizations]["t", "A"]
    assert (row["initiation"], row["initiation_source_id"]) == (initiation, "order-7")
    j.when(RecordAuthorizationOutcome(call.idempotency_key, "GATEWAY", SUCCESS)).then_accepted()
    j.when(CapturePayment("A", money(5), "P")).then_accepted()
    captured = Folder(TABLES).from_zero(j.events())[payments]["t", "P"]
    assert (captured["initiation"], captured["initiation_source_id"]) == (initiation, "order-7")
