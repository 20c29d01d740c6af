"""Tokenizing, sharing, mandates and details of saved methods: every state and what leads to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from events.account import DefaultPaymentMethodCleared, DefaultPaymentMethodSet
from events.gateway_call import GatewayCallPlanned
from events.payment_method import (
    MandateRecorded,
    MandateRevoked,
    PaymentMethodActivated,
    PaymentMethodDetailsUpdated,
    PaymentMethodErrored,
    PaymentMethodSaved,
    PaymentMethodShared,
    PaymentMethodTokenizationFailed,
    PaymentMethodTokenizationRequested,
    PaymentMethodTokenized,
)
from events.shapes import Outcome
from gateways.simulator.core import Simulator
from gateways.simulator.translation import of_reply, to_request
from services.accounts.account import Account
from services.accounts.method_choice import (
    ClearDefaultPaymentMethod,
    DeletePaymentMethod,
    SetDefaultPaymentMethod,
)
from services.accounts.method_details import (
    RecordMandate,
    RevokeMandate,
    SharePaymentMethod,
    UpdatePaymentMethodDetails,
)
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.accounts.tokenizing import Bank, Card, RecordTokenizationOutcome, TokenizePaymentMethod
from services.authorizations.authorizing import AuthorizePayment
from services.calls.calling import GatewayCall
from services.calls.gateway import DeactivateGateway, RegisterGateway, SwitchGateway
from services.calls.provider import MapMethodTypes
from services.payments.paying import ProcessPayment
from services.payments.payment import Payment
from services.refunds.refunding import IssueRefund
from tests.journey import EVERYTHING, Journey, money

CAN = replace(EVERYTHING, operations=(*EVERYTHING.operations, "TOKENIZE"))
CARD = TokenizePaymentMethod(
    "gw", "Ada L", card=Card("hdl_ok", "Visa", "CreditCard", 12, 2029, "4242"), nickname="blue"
)
BANK = TokenizePaymentMethod("gw", "Ada L", bank=Bank("hdl_ok", "us_bank_account", "110000000", last4="6789"))
DEBIT = SavePaymentMethod("gw", "ba_1", "us_bank_account", sec_code="WEB")


def journey(**more: Any) -> Journey:
    return Journey(capabilities=replace(CAN, **more))


def tokenizing(command: TokenizePaymentMethod = CARD) -> tuple[Journey, str]:
    j = journey().when(command)
    j.then_types(PaymentMethodTokenizationRequested, GatewayCallPlanned)
    return j, j.last_id(SavedMethod)


def told(j: Journey, outcome: Outcome, source: str = "GATEWAY") -> Journey:
    key = j.ids(GatewayCall)[-1]
    return j.when(RecordTokenizationOutcome(key, source, outcome))  # type: ignore[arg-type]


def facts(j: Journey) -> list[Any]:
    """What the last command recorded of the method and its account."""
    return [fact for kind, _, fact in j.facts() if kind != "gwcall"]


def status(j: Journey, id: str) -> tuple[str, str]:
    method = j.state(SavedMethod, id)
    return method.status, method.token_ref


# -- tokenizing


def test_a_handle_is_sent_to_the_gateway_and_its_token_is_usable() -> None:
    j, id = tokenizing()
    planned = j.state(GatewayCall, j.ids(GatewayCall)[-1]).planned
    assert planned is not None
    assert (planned.operation, planned.target_kind, planned.target_id) == ("TOKENIZE", "spm", id)
    assert planned.amount == money(0)
    assert planned.method is not None
    assert planned.method.token_ref == "hdl_ok"
    assert status(j, id) == ("AWAITING", "hdl_ok")
    j.when(ProcessPayment(money(1), "P1", id)).then_rejected("METHOD_NOT_ACTIVE")
    told(j, Outcome("Success", gateway_ref="pm_1", network_transaction_id="nti"))
    assert facts(j) == [PaymentMethodTokenized("pm_1", "GATEWAY", None, "nti")]
    assert status(j, id) == ("ACTIVE", "pm_1")
    j.when(ProcessPayment(money(1), "P1", id)).then_accepted()
    method = j.state(Payment, "P1").method
    assert method is not None
    assert (method.token_ref, method.network_transaction_id, method.last4) == ("pm_1", "nti", "4242")


def test_exactly_one_of_card_and_bank() -> None:
    journey().when(replace(CARD, card=None)).then_rejected("MALFORMED_REQUEST")
    journey().when(replace(CARD, bank=BANK.bank)).then_rejected("MALFORMED_REQUEST")


def test_a_card_number_is_no_handle() -> None:
    assert CARD.card is not None
    numbered = replace(CARD, card=replace(CARD.card, handle="4111 1111 1111 1111"))
    j = journey().when(numbered).then_rejected("CARD_DATA_FORBIDDEN")
    assert j.outcome["field"] == "data.card.handle"


def test_its_gateway_must_be_there_active_and_able() -> None:
    journey().when(replace(CARD, gateway_id="gw-9")).then_rejected("GATEWAY_NOT_FOUND")
    Journey().when(CARD).then_rejected("GATEWAY_CAPABILITY_MISSING", operation="TOKENIZE")
    journey(method_types=("card",)).when(BANK).then_rejected("METHOD_TYPE_UNSUPPORTED")
    journey().when(DeactivateGateway("gw")).when(CARD).then_rejected("GATEWAY_INACTIVE")


def test_while_it_is_on_its_way_there_is_no_second() -> None:
    j, id = tokenizing()
    j.when(CARD).then_rejected("OPERATION_IN_FLIGHT", id=id)


def test_what_is_usable_is_only_updated() -> None:
    j, id = tokenizing()
    told(j, Outcome("Success", gateway_ref="pm_1"))
    j.when(CARD).then_nothing()
    j.when(replace(CARD, nickname="red")).then(
        (SavedMethod, id, PaymentMethodDetailsUpdated("USER", nickname="red"))
    )


def test_a_refusal_is_told_and_may_be_tried_again_under_a_new_key() -> None:
    j, id = tokenizing()
    told(j, Outcome("ValidationError", "PaymentInformation", raw_code="incorrect_number"))
    failed = PaymentMethodTokenizationFailed(
        "ValidationError", "PaymentInformation", "incorrect_number", None, False
    )
    assert facts(j) == [failed]
    assert status(j, id)[0] == "ERRORED"
    j.when(CARD).then_types(PaymentMethodTokenizationRequested, GatewayCallPlanned)
    assert j.state(SavedMethod, id).attempt_no == 2
    assert len(j.ids(GatewayCall)) == 2
    told(j, Outcome("Success", gateway_ref="pm_2"))
    assert status(j, id) == ("ACTIVE", "pm_2")


def test_an_unknown_outcome_waits_until_it_is_known() -> None:
    j, id = tokenizing()
    told(j, Outcome("Indeterminate"))
    assert facts(j) == []
    assert status(j, id)[0] == "AWAITING"
    told(j, Outcome("Success", gateway_ref="pm_1"), "RECONCILER")
    assert facts(j) == [PaymentMethodTokenized("pm_1", "RECONCILER")]


@pytest.mark.parametrize(
    ("command", "code", "awaits"),
    [
        (CARD, "Pending", "NOTIFICATION"),
        (CARD, "ActionRequired", "NOTIFICATION"),
        (BANK, "ActionRequired", "MICRO_DEPOSITS"),
        (BANK, "RequiresReview", "REVIEW"),
    ],
)
def test_a_gateway_that_waits_is_waited_for(command: TokenizePaymentMethod, code: str, awaits: str) -> None:
    j, id = tokenizing(command)
    told(j, Outcome(code, gateway_ref="seti_1"))
    assert facts(j) == [PaymentMethodTokenized("seti_1", "GATEWAY", awaits)]
    assert status(j, id) == ("AWAITING", "seti_1")
    told(j, Outcome(code, gateway_ref="seti_1"), "NOTIFICATION")
    assert facts(j) == []
    told(j, Outcome("Success", gateway_ref="pm_1"), "NOTIFICATION")
    assert facts(j) == [PaymentMethodActivated("NOTIFICATION", "pm_1")]
    assert status(j, id) == ("ACTIVE", "pm_1")


def test_what_was_waited_for_may_fail_and_what_was_good_may_turn_out_bad() -> None:
    j, id = tokenizing()
    told(j, Outcome("Pending", gateway_ref="seti_1"))
    told(j, Outcome("Decline", "Security", raw_code="authentication_required"), "NOTIFICATION")
    assert facts(j) == [PaymentMethodErrored("NOTIFICATION", "Security", "authentication_required")]
    told(j, Outcome("Success", gateway_ref="pm_1"), "NOTIFICATION")
    assert facts(j) == [PaymentMethodActivated("NOTIFICATION", "pm_1")]
    j, id = tokenizing()
    told(j, Outcome("Success", gateway_ref="pm_1"))
    j.when(SetDefaultPaymentMethod(id)).then_accepted()
    told(j, Outcome("Decline", "PaymentProcessing", raw_code="mandate_failed"), "NOTIFICATION")
    assert facts(j) == [
        PaymentMethodErrored("NOTIFICATION", "PaymentProcessing", "mandate_failed"),
        DefaultPaymentMethodCleared(id, "METHOD_ERRORED"),
    ]


def test_news_of_what_was_deleted_changes_nothing_more() -> None:
    j, id = tokenizing()
    j.when(DeletePaymentMethod(id)).then_accepted()
    told(j, Outcome("Success", gateway_ref="pm_1"))
    assert facts(j) == []
    assert status(j, id)[0] == "DELETED"


@pytest.mark.parametrize(
    ("handle", "codes", "ends"),
    [
        ("hdl_ok", ["Success"], "ACTIVE"),
        ("hdl_decline_incorrect_number", ["PermanentFail"], "ERRORED"),
        ("hdl_async_ok", ["Pending", "Success"], "ACTIVE"),
        ("hdl_async_fail", ["Pending", "Decline"], "ERRORED"),
        ("hdl_timeout_after", ["Indeterminate", "Success"], "ACTIVE"),
    ],
)
def test_the_simulator_tokenizes_as_the_handle_says(handle: str, codes: list[str], ends: str) -> None:
    assert CARD.card is not None
    j, id = tokenizing(replace(CARD, card=replace(CARD.card, handle=handle)))
    planned = j.state(GatewayCall, j.ids(GatewayCall)[-1]).planned
    assert planned is not None
    simulator, heard = Simulator(), list[str]()
    for source in ("GATEWAY", "RECONCILER")[: len(codes)]:
        outcome = of_reply(simulator.request(to_request(planned), j.time))
        heard.append(outcome.result_code)
        told(j, outcome, source)
        j.at(timedelta(minutes=1))
    assert heard == codes
    assert status(j, id)[0] == ends


# -- who owns it, who agreed


def test_a_contacts_method_is_the_default_only_where_it_is_shared() -> None:
    j = Journey()
    j.when(SavePaymentMethod("gw", "tok_c", "card", owner_type="CONTACT")).then_rejected("MALFORMED_REQUEST")
    j.when(SavePaymentMethod("gw", "tok_c", "card", contact_id="C1")).then_rejected("MALFORMED_REQUEST")
    j.when(SavePaymentMethod("gw", "tok_c", "card", owner_type="CONTACT", contact_id="C1")).then_accepted()
    id = j.last_id(SavedMethod)
    j.when(SetDefaultPaymentMethod(id)).then_rejected("METHOD_NOT_USABLE")
    j.when(SharePaymentMethod(id)).then((SavedMethod, id, PaymentMethodShared(True)))
    j.when(SharePaymentMethod(id)).then_nothing()
    j.when(SetDefaultPaymentMethod(id)).then_accepted()
    j.when(SharePaymentMethod(id, False)).then(
        (SavedMethod, id, PaymentMethodShared(False)),
        (Account, "A", DefaultPaymentMethodCleared(id, "METHOD_NOT_SHARED")),
    )


def test_who_saves_for_the_payer_needs_his_consent() -> None:
    given = SavePaymentMethod("gw", "tok_m", "card", merchant_created=True)
    j = Journey().when(given).then_rejected("MANDATE_REQUIRED")
    j.when(replace(given, mandate_accepted_at=j.time)).then_types(PaymentMethodSaved)


def test_only_native_gateways_keep_what_came_by_telephone() -> None:
    j = Journey()
    j.when(SavePaymentMethod("gw", "tok_m", "card", moto=True)).then_types(PaymentMethodSaved)
    from services.calls.provider import RegisterGatewayProvider

    j.when(RegisterGatewayProvider("own", "Own", "own-adapter", EVERYTHING)).then_accepted()
    j.when(RegisterGateway("gw-own", "Own", "own", "env:NONE", "m2", "TEST")).then_accepted()
    third = SavePaymentMethod("gw-own", "tok_m", "card", moto=True)
    j.when(third).then_rejected("GATEWAY_CAPABILITY_MISSING", operation="MOTO")


def test_a_bank_debit_is_charged_only_with_a_mandate() -> None:
    j = Journey().when(DEBIT).then_accepted()
    id = j.last_id(SavedMethod)
    j.when(ProcessPayment(money(1), "P1", id)).then_rejected("MANDATE_REQUIRED")
    at = datetime(2026, 3, 3, tzinfo=UTC)
    j.when(AuthorizePayment(money(1), "gw", at, id)).then_rejected("MANDATE_REQUIRED")
    j.when(SetDefaultPaymentMethod(id)).then_rejected("METHOD_NOT_USABLE", cause="MANDATE_REQUIRED")
    given = RecordMandate(id, "M-1", j.time, "ACH", "192.0.2.7", "ab12", "nti")
    j.when(given).then((SavedMethod, id, MandateRecorded("M-1", j.time, "ACH", "192.0.2.7", "ab12", "nti")))
    j.when(given).then_nothing()
    j.when(ProcessPayment(money(1), "P1", id)).then_accepted()
    method = j.state(Payment, "P1").method
    assert method is not None
    assert (method.mandate_reference, method.network_transaction_id, method.sec_code) == ("M-1", "nti", "WEB")
    j.when(SetDefaultPaymentMethod(id)).then_accepted()
    j.when(RevokeMandate(id, "by letter")).then(
        (SavedMethod, id, MandateRevoked("M-1", "by letter")),
        (Account, "A", DefaultPaymentMethodCleared(id, "MANDATE_REVOKED")),
    )
    j.when(RevokeMandate(id)).then_nothing()
    j.when(ProcessPayment(money(1), "P2", id)).then_rejected("MANDATE_REQUIRED")


def test_nobody_agrees_in_the_future() -> None:
    j = Journey().when(DEBIT)
    later = RecordMandate(j.last_id(SavedMethod), "M-1", j.time + timedelta(seconds=1))
    j.when(later).then_rejected("DATE_INVALID")


# -- details


def test_an_expired_card_is_good_again_with_a_new_date() -> None:
    j = Journey()
    j.when(SavePaymentMethod("gw", "tok_e", "card", expiry_month=3, expiry_year=2026)).then_accepted()
    id = j.last_id(SavedMethod)
    j.at(datetime(2026, 4, 1, tzinfo=UTC)).when(ProcessPayment(money(1), "P1", id))
    j.then_rejected("METHOD_EXPIRED")
    new = UpdatePaymentMethodDetails(
        id, "ACCOUNT_UPDATER", token_ref="tok_f", expiry_month=3, expiry_year=2030
    )
    updated = PaymentMethodDetailsUpdated("ACCOUNT_UPDATER", "tok_f", expiry_year=2030)
    j.when(new).then((SavedMethod, id, updated))
    j.when(new).then_nothing()
    j.when(ProcessPayment(money(1), "P1", id)).then_accepted()


def test_what_failed_needs_a_token_that_works() -> None:
    j, id = tokenizing()
    told(j, Outcome("Decline", "Security"))
    j.when(UpdatePaymentMethodDetails(id, nickname="x")).then_rejected("METHOD_NOT_ACTIVE")
    j.when(UpdatePaymentMethodDetails(id, token_ref="pm_9")).then_types(PaymentMethodDetailsUpdated)
    assert status(j, id) == ("ACTIVE", "pm_9")


@pytest.mark.parametrize(
    "command",
    [
        lambda id: UpdatePaymentMethodDetails(id, nickname="x"),
        lambda id: SharePaymentMethod(id),
        lambda id: RecordMandate(id, "M", datetime(2026, 3, 1, tzinfo=UTC)),
        lambda id: RevokeMandate(id),
    ],
)
def test_only_a_live_method_of_ones_own_changes(command: Any) -> None:
    from services.accounts.account import RegisterAccount

    j = Journey().when(RegisterAccount("Bob"), account="B")
    j.when(command("nobody")).then_rejected("METHOD_NOT_FOUND")
    j.when(command(j.card_a), account="B").then_rejected("METHOD_NOT_OWNED_BY_ACCOUNT")
    j.when(DeletePaymentMethod(j.card_a)).when(command(j.card_a)).then_rejected("METHOD_NOT_FOUND")


def test_only_a_portable_token_is_charged_elsewhere() -> None:
    j = Journey().when(RegisterGateway("gw-2", "Second", "sim", "env:NONE", "m2", "TEST"))
    j.when(ProcessPayment(money(1), "P1", j.card_a, gateway_id="gw-2")).then_rejected(
        "METHOD_GATEWAY_MISMATCH"
    )
    j.when(SavePaymentMethod("gw", "ntk_1", "card", portable=True)).then_accepted()
    id = j.last_id(SavedMethod)
    j.when(ProcessPayment(money(1), "P1", id, gateway_id="gw-2")).then_accepted()
    assert j.state(Payment, "P1").gateway_id == "gw-2"
    planned = j.state(GatewayCall, j.ids(GatewayCall)[-1]).planned
    assert planned is not None
    assert (planned.gateway_id, planned.method and planned.method.gateway_id) == ("gw-2", "gw-2")
    at = datetime(2026, 3, 3, tzinfo=UTC)
    j.when(AuthorizePayment(money(1), "gw-2", at, j.card_a)).then_rejected("METHOD_GATEWAY_MISMATCH")
    j.when(AuthorizePayment(money(1), "gw-2", at, id)).then_accepted()


# -- the default, in one go


def test_what_is_saved_as_the_default_is_paid_with_from_now_on() -> None:
    j = journey()
    save = SavePaymentMethod("gw", "tok_new", "card", is_default=True)
    j.when(save).then_types(PaymentMethodSaved, DefaultPaymentMethodSet)
    new = j.last_id(SavedMethod)
    assert j.state(Account, "A").default_method_id == new
    j.when(save).then_nothing()
    j.when(replace(save, is_default=False)).then_nothing()
    j.when(ClearDefaultPaymentMethod()).when(save).then((Account, "A", DefaultPaymentMethodSet(new, None)))


@pytest.mark.parametrize(
    "unusable",
    [
        {"usage": "ON_SESSION"},
        {"owner_type": "CONTACT", "contact_id": "C1"},
        {"expiry_month": 1, "expiry_year": 2020},
        {"type": "us_bank_account", "sec_code": "WEB"},
    ],
)
def test_what_cannot_be_the_default_is_not_saved_as_it(unusable: dict[str, Any]) -> None:
    save = replace(SavePaymentMethod("gw", "tok_new", "card", is_default=True), **unusable)
    journey().when(save).then_rejected("METHOD_NOT_USABLE")
    journey().when(replace(save, is_default=False)).then_types(PaymentMethodSaved)


def test_an_instrument_is_saved_by_its_gateways_own_name_of_it() -> None:
    j = journey()
    types = {"Visa Credit": "card", "Alipay": "extd_wallet"}
    j.when(MapMethodTypes("sim", types)).then_accepted()  # type: ignore[arg-type]
    named = SavePaymentMethod("gw", "tok_named", external_type="VISA credit ")
    j.when(named).then_types(PaymentMethodSaved)
    assert (j.facts()[0][2].type, j.facts()[0][2].extended_type) == ("card", None)
    j.when(SavePaymentMethod("gw", "tok_wallet", external_type="Alipay")).then_types(PaymentMethodSaved)
    assert (j.facts()[0][2].type, j.facts()[0][2].extended_type) == ("extd_wallet", "Alipay")
    j.when(replace(named, external_type="Diners")).then_rejected("METHOD_TYPE_UNSUPPORTED")
    j.when(replace(named, type="card")).then_rejected("MALFORMED_REQUEST")
    j.when(replace(named, external_type=None)).then_rejected("MALFORMED_REQUEST")
    j.when(replace(named, gateway_id="none")).then_rejected("GATEWAY_NOT_FOUND")


def test_a_gateway_that_takes_no_payments_saves_and_charges_nothing_new() -> None:
    j = journey()
    j.pay("P", 100)
    j.when(SwitchGateway("gw", payments_enabled=False)).then_accepted()
    j.when(ProcessPayment(money(10), method_id=j.card_a)).then_rejected("GATEWAY_INACTIVE")
    j.when(SavePaymentMethod("gw", "tok_new", "card")).then_rejected("GATEWAY_INACTIVE")
    j.when(IssueRefund("P", money(10), "asked")).then_accepted()
