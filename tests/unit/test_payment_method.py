"""Saved payment methods: one record per instrument, never a card number, and how well each is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from events.account import DefaultPaymentMethodCleared, DefaultPaymentMethodSet
from events.ids import method_id
from events.money import Money
from events.payment_method import (
    PaymentMethodDeleted,
    PaymentMethodDetailsUpdated,
    PaymentMethodExpired,
    PaymentMethodHealthChanged,
    PaymentMethodRevoked,
    PaymentMethodSaved,
)
from events.shapes import Address, Method, Outcome
from services.accounts.account import Account, RegisterAccount
from services.accounts.method_choice import (
    ClearDefaultPaymentMethod,
    DeletePaymentMethod,
    ExpirePaymentMethod,
    PromoteBackupPaymentMethod,
    ReorderPaymentMethods,
    SetDefaultPaymentMethod,
)
from services.accounts.payment_method import SavedMethod, SavePaymentMethod, snapshot
from services.calls.gateway import DeactivateGateway, RegisterGateway
from services.payments.paying import ProcessPayment
from services.payments.payment import Payment
from tests.journey import EVERYTHING, SOFT, SUCCESS, Journey, money
from tests.spec import NOW

VISA = SavePaymentMethod(
    "gw",
    "tok_visa",
    "card",
    fingerprint="fp-1",
    network="Visa",
    last4="4242",
    expiry_month=12,
    expiry_year=2029,
    holder_name="Ada L",
    billing_address=Address(city="Oslo"),
)
ID = method_id("t", "A", "m1", "fp-1")
SAVED = PaymentMethodSaved(
    ID,
    "A",
    "ACCOUNT",
    "m1",
    "gw",
    "tok_visa",
    "card",
    "fp-1",
    network="Visa",
    last4="4242",
    expiry_month=12,
    expiry_year=2029,
    holder_name="Ada L",
    billing_address=Address(city="Oslo"),
    saved_at=NOW,
)
STOLEN = Outcome("PermanentFail", "Security", hard=True, never_retry=True, raw_code="stolen_card")


def with_visa() -> Journey:
    j = Journey()
    j.when(VISA).then_accepted()
    return j


def charged(j: Journey, outcome: Outcome, payment_id: str = "P1") -> Journey:
    j.request(payment_id, 10, method=ID)
    return j.settle(payment_id, outcome)


# -- saving


def test_an_instrument_is_saved_under_an_id_that_follows_from_it() -> None:
    with_visa().then((SavedMethod, ID, SAVED))


def test_the_same_instrument_again_is_the_same_record() -> None:
    with_visa().when(VISA).then_nothing()


def test_saved_again_only_what_changed_is_updated() -> None:
    j = with_visa().when(replace(VISA, token_ref="tok_new", expiry_year=2031, nickname="blue"))
    updated = PaymentMethodDetailsUpdated("USER", "tok_new", expiry_year=2031, nickname="blue")
    j.then((SavedMethod, ID, updated))
    moved = replace(VISA, token_ref="tok_new", expiry_year=2031, billing_address=Address(city="Bergen"))
    j.when(moved).then(
        (SavedMethod, ID, PaymentMethodDetailsUpdated("USER", billing_address=Address(city="Bergen")))
    )


def test_another_gateway_of_the_same_merchant_takes_the_record_over() -> None:
    j = with_visa()
    j.when(RegisterGateway("gw-2", "Second", "sim", "env:NONE", "m1", "TEST")).then_accepted()
    j.when(replace(VISA, gateway_id="gw-2", token_ref="tok_2")).then_types(PaymentMethodSaved)
    method = j.state(SavedMethod, ID)
    assert (method.gateway_id, method.token_ref) == ("gw-2", "tok_2")


def test_the_same_instrument_is_another_record_for_another_account() -> None:
    j = with_visa().when(RegisterAccount("Bob"), account="B")
    j.when(VISA, account="B").then_types(PaymentMethodSaved)
    assert j.facts()[0][1] == method_id("t", "B", "m1", "fp-1") != ID


def test_without_a_fingerprint_the_token_stands_for_the_instrument() -> None:
    j = Journey()
    card = replace(VISA, fingerprint=None)
    j.when(card).then_types(PaymentMethodSaved)
    j.when(card).then_nothing()
    j.when(replace(card, token_ref="tok_other")).then_types(PaymentMethodSaved)


@pytest.mark.parametrize("number", ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111"])
@pytest.mark.parametrize(
    "field", ["token_ref", "gateway_reference", "holder_name", "holder_email", "nickname"]
)
def test_a_card_number_is_taken_nowhere(field: str, number: str) -> None:
    j = Journey().when(replace(VISA, **{field: number}))
    assert j.then_rejected("CARD_DATA_FORBIDDEN").outcome["field"] == f"data.{field}"
    assert number not in str(j.outcome)


def test_a_token_that_only_looks_long_is_taken() -> None:
    Journey().when(replace(VISA, token_ref="4111111111111112")).then_types(PaymentMethodSaved)


def test_a_wallet_says_which() -> None:
    j = Journey().when(replace(VISA, type="extd_wallet")).then_rejected("MALFORMED_REQUEST")
    j.when(replace(VISA, type="extd_wallet", extended_type="ApplePay")).then_accepted()


def test_its_gateway_exists_is_active_and_takes_its_type() -> None:
    j = Journey(capabilities=replace(EVERYTHING, method_types=("card",)))
    j.when(replace(VISA, gateway_id="gw-9")).then_rejected("GATEWAY_NOT_FOUND")
    j.when(replace(VISA, type="sepa_debit")).then_rejected("METHOD_TYPE_UNSUPPORTED")
    j.when(DeactivateGateway("gw")).when(VISA).then_rejected("GATEWAY_INACTIVE")


def test_an_account_that_does_not_exist_saves_nothing() -> None:
    Journey().when(VISA, account="B").then_rejected("ACCOUNT_NOT_FOUND")


# -- using


def test_what_goes_with_an_intent_is_the_instrument_as_it_is_now() -> None:
    j = with_visa()
    now = Method("card", "tok_visa", "gw", ID, None, "Visa", "4242", 12, 2029)
    assert snapshot(j.state(SavedMethod, ID)) == now
    j.when(ProcessPayment(money("10.00"), "P1", ID)).then_accepted()
    assert j.state(Payment, "P1").method == now


def pay(method: str, **more: Any) -> ProcessPayment:
    return ProcessPayment(Money(1000, "USD"), "P1", method, **more)


def test_a_method_that_cannot_be_used_is_refused_with_the_reason() -> None:
    j = with_visa()
    j.when(pay("nobody")).then_rejected("METHOD_NOT_FOUND")
    j.when(pay(ID, gateway_id="gw-2")).then_rejected("METHOD_GATEWAY_MISMATCH")
    j.when(RegisterAccount("Bob"), account="B")
    j.when(pay(ID), account="B").then_rejected("METHOD_NOT_OWNED_BY_ACCOUNT")
    j.at(datetime(2029, 12, 31, 23, 59, tzinfo=UTC)).when(pay(ID)).then_accepted()
    j.at(datetime(2030, 1, 1, tzinfo=UTC)).when(replace(pay(ID), payment_id="P2")).then_rejected(
        "METHOD_EXPIRED"
    )


def test_a_revoked_method_is_refused() -> None:
    charged(with_visa(), STOLEN).when(replace(pay(ID), payment_id="P2")).then_rejected("METHOD_NOT_ACTIVE")


# -- health


def health(j: Journey) -> list[Any]:
    return [fact for kind, _, fact in j.facts() if kind == "spm"]


def test_success_of_a_healthy_method_is_no_news() -> None:
    assert health(charged(with_visa(), SUCCESS)) == []


def test_failures_are_counted_until_it_is_well_again() -> None:
    j = with_visa()
    assert health(charged(j, SOFT, "P1")) == [PaymentMethodHealthChanged(1, last_category="CardLimit")]
    assert health(charged(j, SOFT, "P2")) == [PaymentMethodHealthChanged(2, last_category="CardLimit")]
    assert health(charged(j, SUCCESS, "P3")) == [PaymentMethodHealthChanged(0, last_success_at=j.time)]
    assert health(charged(j, SUCCESS, "P4")) == []


def test_a_hard_decline_says_why_it_is_blocked() -> None:
    expired = Outcome("PermanentFail", "PaymentInformation", hard=True, raw_code="expired_card")
    blocked = PaymentMethodHealthChanged(1, None, "PaymentInformation", "expired_card")
    assert health(charged(with_visa(), expired)) == [blocked]


@pytest.mark.parametrize(
    "raw_code", ["stolen_card", "lost_card", " Account_Closed ", "revocation_of_authorization"]
)
def test_closed_stolen_and_revoked_instruments_are_revoked(raw_code: str) -> None:
    outcome = Outcome("PermanentFail", "PaymentProcessing", hard=True, raw_code=raw_code)
    revoked = PaymentMethodRevoked(raw_code, "PaymentProcessing")
    assert health(charged(with_visa(), outcome)) == [revoked]


def test_a_soft_decline_never_revokes() -> None:
    outcome = Outcome("Decline", "PaymentProcessing", raw_code="account_closed")
    assert health(charged(with_visa(), outcome)) == [PaymentMethodHealthChanged(1, None, "PaymentProcessing")]


def test_a_gateway_that_cannot_be_reached_is_not_the_methods_fault() -> None:
    outcome = Outcome("Decline", "GatewayConnection", raw_code="rate_limit")
    assert health(charged(with_visa(), outcome)) == []


def test_a_revoked_default_is_the_default_no_more_in_the_same_decision() -> None:
    j = with_visa().when(SetDefaultPaymentMethod(ID))
    charged(j, STOLEN)
    cleared = [fact for kind, _, fact in j.facts() if kind == "account"]
    assert cleared == [DefaultPaymentMethodCleared(ID, "METHOD_REVOKED")]


# -- deleting


def test_a_method_is_deleted_once() -> None:
    j = with_visa().when(DeletePaymentMethod(ID, "old"))
    j.then((SavedMethod, ID, PaymentMethodDeleted("old")))
    j.when(DeletePaymentMethod(ID)).then_nothing()
    j.when(pay(ID)).then_rejected("METHOD_NOT_FOUND")


def test_a_deleted_method_can_be_saved_again() -> None:
    with_visa().when(DeletePaymentMethod(ID)).when(VISA).then((SavedMethod, ID, SAVED))


def test_deleting_the_default_clears_it_in_the_same_decision() -> None:
    j = with_visa().when(SetDefaultPaymentMethod(ID)).when(DeletePaymentMethod(ID))
    cleared = DefaultPaymentMethodCleared(ID, "METHOD_DELETED")
    j.then((SavedMethod, ID, PaymentMethodDeleted()), (Account, "A", cleared))


def test_a_method_with_money_on_its_way_is_in_use() -> None:
    j = with_visa()
    j.request("P1", 10, method=ID)
    j.when(DeletePaymentMethod(ID)).then_rejected("METHOD_IN_USE", kind="payment", id="P1")
    j.settle("P1", Outcome("Indeterminate"))
    j.when(DeletePaymentMethod(ID)).then_rejected("METHOD_IN_USE")
    j.settle("P1", SUCCESS, "NOTIFICATION").when(DeletePaymentMethod(ID)).then_types(PaymentMethodDeleted)


def test_only_the_owner_deletes_a_method() -> None:
    j = with_visa().when(DeletePaymentMethod("nobody")).then_rejected("METHOD_NOT_FOUND")
    j.when(DeletePaymentMethod(ID), account="B").then_rejected("METHOD_NOT_OWNED_BY_ACCOUNT")


# -- the next in the order


def lost(**settings: bool) -> Journey:
    """The default was deleted; the order behind it is card a, card b."""
    j = Journey(**settings)
    j.when(VISA).when(ReorderPaymentMethods((ID, j.card_a, j.card_b))).then_accepted()
    j.when(SetDefaultPaymentMethod(ID)).then_accepted()
    j.run_processes()
    j.when(DeletePaymentMethod(ID)).then_accepted()
    return j


def test_a_lost_default_is_followed_by_the_next_in_the_order_where_that_is_wanted() -> None:
    j = lost(auto_promote_backup=True)
    assert j.run_processes() == [PromoteBackupPaymentMethod()]
    j.then((Account, "A", DefaultPaymentMethodSet(j.card_a, None)))


def test_a_backup_that_cannot_be_used_is_passed_over() -> None:
    j = lost(auto_promote_backup=True)
    j.when(DeletePaymentMethod(j.card_a)).then_accepted()
    j.when(PromoteBackupPaymentMethod()).then((Account, "A", DefaultPaymentMethodSet(j.card_b, None)))


def test_otherwise_the_account_has_no_default() -> None:
    j = lost()
    assert j.run_processes() == [PromoteBackupPaymentMethod()]
    j.then_nothing()


def test_a_default_that_was_chosen_meanwhile_stays() -> None:
    j = lost(auto_promote_backup=True)
    j.when(SetDefaultPaymentMethod(j.card_b)).then_accepted()
    j.when(PromoteBackupPaymentMethod()).then_nothing()


def test_a_default_that_was_given_up_is_not_replaced() -> None:
    j = Journey(auto_promote_backup=True)
    j.when(ReorderPaymentMethods((j.card_a, j.card_b))).when(SetDefaultPaymentMethod(j.card_a))
    j.when(ClearDefaultPaymentMethod()).then_accepted()
    assert j.run_processes() == []


# -- the end of its last month


END = datetime(2030, 1, 1, tzinfo=UTC)
"""Of a card that is good through December 2029."""


def through_2029() -> Journey:
    j = with_visa().when(SetDefaultPaymentMethod(ID)).then_accepted()  # type: ignore[assignment]
    j.run_processes()
    return j


def test_a_card_expires_when_its_last_month_is_over_and_is_the_default_no_more() -> None:
    j = through_2029().at(END - timedelta(microseconds=1))
    assert j.run_due() == []
    assert j.at(END).run_due() == [ExpirePaymentMethod(ID)]
    cleared = DefaultPaymentMethodCleared(ID, "METHOD_EXPIRED")
    j.then((SavedMethod, ID, PaymentMethodExpired(12, 2029)), (Account, "A", cleared))
    j.when(pay(ID)).then_rejected("METHOD_EXPIRED")


def test_an_expired_default_is_followed_by_the_next_in_the_order() -> None:
    j = Journey(auto_promote_backup=True)
    j.when(VISA).when(ReorderPaymentMethods((ID, j.card_b, j.card_a))).then_accepted()
    j.when(SetDefaultPaymentMethod(ID)).then_accepted()
    j.run_processes()
    j.at(END).run_due()
    j.run_processes()
    assert j.state(Account, "A").default_method_id == j.card_b


def test_a_card_that_was_renewed_outlives_its_old_date() -> None:
    j = through_2029().when(replace(VISA, expiry_year=2033)).then_types(PaymentMethodDetailsUpdated)
    j.run_processes()
    j.at(END).run_due()
    j.then_nothing()
    assert j.state(SavedMethod, ID).status == "ACTIVE"
    j.at(datetime(2034, 1, 1, tzinfo=UTC)).run_due()
    j.then_types(PaymentMethodExpired, DefaultPaymentMethodCleared)


def test_a_card_that_was_expired_when_it_was_saved_is_expired_at_once() -> None:
    j = Journey()
    j.when(replace(VISA, expiry_month=2, expiry_year=2026)).then_accepted()
    assert j.run_processes() == [ExpirePaymentMethod(ID)]
    j.then((SavedMethod, ID, PaymentMethodExpired(2, 2026)))


def test_an_expired_card_that_is_renewed_is_active_again() -> None:
    j = through_2029()
    j.at(END).run_due()
    j.when(replace(VISA, expiry_year=2033)).then_types(PaymentMethodDetailsUpdated)
    assert j.state(SavedMethod, ID).status == "ACTIVE"


def test_what_was_deleted_or_is_somebody_elses_does_not_expire() -> None:
    j = through_2029().when(DeletePaymentMethod(ID)).then_accepted().at(END)
    j.when(ExpirePaymentMethod(ID)).then_nothing()
    j.when(ExpirePaymentMethod("none")).then_rejected("METHOD_NOT_FOUND")
    j.when(ExpirePaymentMethod(ID), account="B").then_rejected("METHOD_NOT_OWNED_BY_ACCOUNT")


def test_a_method_without_a_date_never_expires() -> None:
    j = Journey()
    assert j.run_processes() == []
    assert j.later == []
