"""An account's payment profile: registered once, with at most one default of each kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from events.account import (
    AccountClosed,
    AccountReactivated,
    AccountRegistered,
    AccountSuspended,
    AutoCollectSwitched,
    AutomaticPaymentsResumed,
    AutomaticPaymentsSkipped,
    BillingProfileDefined,
    BillingProfileUpdated,
    DefaultPaymentMethodCleared,
    DefaultPaymentMethodSet,
    PaymentHoldPlaced,
    PaymentHoldReleased,
    PaymentMethodsReordered,
    TaxExemption,
)
from events.shapes import Address
from projections.accounts import accounts
from projections.folding import Folder
from projections.models import TABLES
from services.accounts.account import (
    Account,
    CloseAccount,
    PlacePaymentHold,
    ReactivateAccount,
    RegisterAccount,
    ReleasePaymentHold,
    SetAutoCollect,
    SuspendAccount,
)
from services.accounts.billing_profile import (
    DefineBillingProfile,
    Exemption,
    SetAutomaticPayments,
    UpdateBillingProfile,
)
from services.accounts.method_choice import (
    ClearDefaultPaymentMethod,
    ReorderPaymentMethods,
    SetDefaultPaymentMethod,
)
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.authorizations.authorizing import AuthorizePayment, PostAuthorize
from services.authorizations.capturing import CapturePayment
from services.payments.external import RecordExternalPayment
from services.payments.paying import ApplyTo, ProcessPayment
from services.payments.payment import Payment
from services.payments.taking_back import CancelPayment
from services.refunds.refunding import IssueRefund
from tests.journey import SUCCESS, Journey, line, money
from tests.spec import NOW, Spec

HOME = DefineBillingProfile("home", "Home", 31, is_default=True, billing_address=Address(city="Oslo"))


def registered() -> Spec:
    return Spec().when(RegisterAccount("Ada", ("USD",))).then_accepted()


# -- registration and billing profiles


def test_an_account_is_registered_once() -> None:
    spec = registered().then((Account, "A", AccountRegistered("A", "Ada", ("USD",))))
    spec.when(RegisterAccount("Ada")).then_rejected("ACCOUNT_EXISTS")


def test_a_currency_that_does_not_exist_is_unknown() -> None:
    Spec().when(RegisterAccount("Ada", ("XYZ",))).then_rejected("CURRENCY_UNKNOWN")


def test_a_profile_is_defined_with_all_it_says() -> None:
    defined = BillingProfileDefined("home", "Home", True, 31, billing_address=Address(city="Oslo"))
    registered().when(HOME).then((Account, "A", defined))


def test_a_new_default_demotes_the_old_one_in_the_same_event() -> None:
    spec = registered().when(HOME).when(replace(HOME, profile_id="work", name="Work", billing_address=None))
    spec.then((Account, "A", BillingProfileDefined("work", "Work", True, 31, demoted_profile_id="home")))
    assert spec.state(Account, "A").default_profile_id == "work"
    spec.when(UpdateBillingProfile("home", "Home", 1, is_default=True))
    spec.then((Account, "A", BillingProfileUpdated("home", "Home", True, 1, demoted_profile_id="work")))


def test_a_default_profile_that_is_default_no_more_leaves_none() -> None:
    spec = registered().when(HOME).when(UpdateBillingProfile("home", "Home", 1)).then_accepted()
    assert spec.state(Account, "A").default_profile_id is None


def test_a_profile_is_defined_once_and_updated_only_when_it_exists() -> None:
    registered().when(HOME).when(HOME).then_rejected("INVALID_STATE", state="DEFINED")
    registered().when(UpdateBillingProfile("home", "Home", 1)).then_rejected("NOT_FOUND")


@pytest.mark.parametrize("day", [0, 32])
def test_a_bill_day_is_a_day_of_a_month(day: int) -> None:
    registered().when(replace(HOME, bill_day_of_month=day)).then_rejected("MALFORMED_REQUEST")


def test_no_card_number_hides_in_an_address() -> None:
    hidden = Address(line2="4111 1111 1111 1111")
    registered().when(replace(HOME, billing_address=hidden)).then_rejected("CARD_DATA_FORBIDDEN")
    registered().when(replace(HOME, shipping_address=hidden)).then_rejected("CARD_DATA_FORBIDDEN")


def test_automatic_payments_are_skipped_and_resumed_by_profile() -> None:
    spec = registered().when(HOME)
    spec.when(SetAutomaticPayments("home", False)).then_nothing()
    spec.when(SetAutomaticPayments("home", True)).then((Account, "A", AutomaticPaymentsSkipped("home")))
    spec.when(SetAutomaticPayments("home", True)).then_nothing()
    spec.when(SetAutomaticPayments("home", False)).then((Account, "A", AutomaticPaymentsResumed("home")))
    spec.when(SetAutomaticPayments("work", True)).then_rejected("NOT_FOUND")


# -- holds


def test_a_hold_is_placed_and_released_once() -> None:
    until = NOW + timedelta(days=7)
    spec = registered().when(PlacePaymentHold("moving", until))
    spec.then((Account, "A", PaymentHoldPlaced("moving", until)))
    spec.when(PlacePaymentHold("moving", until)).then_nothing()
    spec.when(PlacePaymentHold("moving")).then((Account, "A", PaymentHoldPlaced("moving")))
    spec.when(ReleasePaymentHold("moved")).then((Account, "A", PaymentHoldReleased("moved")))
    spec.when(ReleasePaymentHold("moved")).then_nothing()


# -- suspension, and what is collected by hand


def test_an_account_is_suspended_and_reactivated_once() -> None:
    spec = registered().when(SuspendAccount("a doubt")).then((Account, "A", AccountSuspended("a doubt")))
    spec.when(SuspendAccount("again")).then_rejected("INVALID_STATE", state="SUSPENDED", allowed=["ACTIVE"])
    spec.when(ReactivateAccount("told")).then((Account, "A", AccountReactivated("told")))
    spec.when(ReactivateAccount()).then_rejected("INVALID_STATE", state="ACTIVE", allowed=["SUSPENDED"])
    spec.when(SuspendAccount("gone")).then_accepted()
    spec.when(CloseAccount()).then_types(AccountClosed)


def test_a_suspended_account_is_charged_nothing_new() -> None:
    j = Journey()
    j.when(SuspendAccount("a doubt")).then_accepted()
    state: dict[str, Any] = {"state": "SUSPENDED", "allowed": ["ACTIVE"]}
    j.when(ProcessPayment(money(1), method_id=j.card_a)).then_rejected("INVALID_STATE", **state)
    j.when(AuthorizePayment(money(1), "gw", j.time, j.card_a)).then_rejected("INVALID_STATE", **state)
    j.when(SavePaymentMethod("gw", "tok_c", "card")).then_rejected("INVALID_STATE", **state)
    assert Folder(TABLES).from_zero(j.events())[accounts]["t", "A"]["suspended_reason"] == "a doubt"


def test_what_a_suspended_account_has_goes_on() -> None:
    j = Journey()
    j.when(PostAuthorize(money(10), "gw", "card", "tok_a", "x1", j.time, "H")).then_accepted()
    j.request("P1", 20)
    j.when(SuspendAccount("a doubt")).then_accepted()
    invoice = j.post("INV", line("1", 30))
    j.settle("P1", SUCCESS).then_accepted()
    j.apply("P1", invoice, 15).then_accepted()
    j.when(CapturePayment("H", money(10))).then_accepted()
    j.when(IssueRefund("P1", money(5), "asked")).then_accepted()
    external = RecordExternalPayment(money(15), "CASH", "till", j.time.date(), apply_to=(ApplyTo(invoice),))
    j.when(external).then_accepted()
    assert j.balances(invoice)["balance"] == "0.00"
    j.when(ReactivateAccount()).then_accepted()
    j.when(ProcessPayment(money(1), method_id=j.card_a)).then_accepted()
    row = Folder(TABLES).from_zero(j.events())[accounts]["t", "A"]
    assert (row["status"], row["suspended_reason"]) == ("ACTIVE", None)


def test_an_account_can_be_collected_by_hand_only() -> None:
    spec = Spec().when(RegisterAccount("Ada", auto_collect=False))
    spec.then((Account, "A", AccountRegistered("A", "Ada", auto_collect=False)))
    spec.when(SetAutoCollect(False)).then_nothing()
    spec.when(SetAutoCollect(True)).then((Account, "A", AutoCollectSwitched(True)))
    j = Journey()
    j.when(SetAutoCollect(False)).then_accepted()
    by_run = ProcessPayment(money(1), method_id=j.card_a, initiation="BATCH_RUN")
    j.when(by_run).then_rejected("ACCOUNT_ON_HOLD")
    j.when(replace(by_run, initiation="AD_HOC")).then_accepted()
    assert not Folder(TABLES).from_zero(j.events())[accounts]["t", "A"]["auto_collect"]


def test_a_profile_says_why_no_tax_is_charged() -> None:
    j, until = Journey(), date(2026, 12, 31)
    exempt = replace(HOME, tax_exemption=Exemption("EX-1", "a school", until))
    j.when(exempt).then_accepted()
    (fact,) = [fact for _, _, fact in j.facts() if isinstance(fact, BillingProfileDefined)]
    assert fact.tax_exemption == TaxExemption("EX-1", "a school", until)
    (profile,) = Folder(TABLES).from_zero(j.events())[accounts]["t", "A"]["billing_profiles"]
    told = {"certificate": "EX-1", "reason": "a school", "valid_until": "2026-12-31"}
    assert profile["tax_exemption"] == told


# -- closing


def test_an_account_with_nothing_open_is_closed_for_good() -> None:
    spec = registered().when(CloseAccount("left")).then((Account, "A", AccountClosed("left")))
    spec.when(PlacePaymentHold("late")).then_rejected(
        "INVALID_STATE", state="CLOSED", allowed=["ACTIVE", "SUSPENDED"]
    )
    spec.when(CloseAccount()).then_rejected("INVALID_STATE")
    spec.when(RegisterAccount("Ada")).then_rejected("ACCOUNT_EXISTS")


def test_saved_methods_do_not_keep_an_account_open() -> None:
    Journey().when(CloseAccount()).then_types(AccountClosed)


def test_what_is_owed_keeps_an_account_open() -> None:
    j = Journey()
    invoice = j.post("INV-1", line("L1", 10))
    j.when(CloseAccount()).then_rejected("ACCOUNT_HAS_BALANCE", open=[f"invoice-{invoice}"])
    j.pay("P1", 10, invoice)
    j.when(CloseAccount()).then_types(AccountClosed)


def test_money_that_is_not_applied_keeps_an_account_open() -> None:
    j = Journey()
    j.pay("P1", 10)
    j.when(CloseAccount()).then_rejected("ACCOUNT_HAS_BALANCE", open=["payment-P1"])


def test_money_in_flight_keeps_an_account_open() -> None:
    j = Journey()
    j.request("P1", 10)
    j.when(CloseAccount()).then_rejected("ACCOUNT_HAS_BALANCE", open=["payment-P1"])
    j.when(CancelPayment("P1")).then_rejected("INVALID_STATE", state="REQUESTED")


def test_an_unknown_account_is_not_found() -> None:
    for command in (
        HOME,
        UpdateBillingProfile("home", "Home", 1),
        SetAutomaticPayments("home", True),
        PlacePaymentHold("no"),
        ReleasePaymentHold(),
        CloseAccount(),
        SetDefaultPaymentMethod("m"),
        ClearDefaultPaymentMethod(),
        ReorderPaymentMethods(()),
    ):
        Spec().when(command).then_rejected("ACCOUNT_NOT_FOUND", id="A")


# -- the default method, and the order behind it


def test_a_default_method_is_set_changed_and_cleared() -> None:
    j = Journey()
    j.when(SetDefaultPaymentMethod(j.card_a)).then((Account, "A", DefaultPaymentMethodSet(j.card_a, None)))
    j.when(SetDefaultPaymentMethod(j.card_a)).then_nothing()
    j.when(SetDefaultPaymentMethod(j.card_b))
    j.then((Account, "A", DefaultPaymentMethodSet(j.card_b, j.card_a)))
    j.when(ClearDefaultPaymentMethod("no")).then((Account, "A", DefaultPaymentMethodCleared(j.card_b, "no")))
    j.when(ClearDefaultPaymentMethod("no")).then_nothing()


def test_a_method_that_does_not_exist_is_no_default() -> None:
    j = Journey()
    j.when(SetDefaultPaymentMethod("nobody")).then_rejected("METHOD_NOT_FOUND", id="nobody")


@pytest.mark.parametrize(
    ("details", "cause"),
    [({"usage": "ON_SESSION"}, None), ({"expiry_month": 2, "expiry_year": 2026}, "METHOD_EXPIRED")],
)
def test_a_method_that_cannot_be_charged_is_no_default(details: dict[str, object], cause: str | None) -> None:
    j = Journey()
    j.when(SavePaymentMethod("gw", "tok_c", "card", **details)).then_accepted()  # type: ignore[arg-type]
    j.when(SetDefaultPaymentMethod(j.last_id(SavedMethod))).then_rejected("METHOD_NOT_USABLE")
    assert j.outcome["details"].get("cause") == cause


def test_another_accounts_method_is_no_default() -> None:
    j = Journey()
    j.when(RegisterAccount("Bob"), account="B").then_accepted()
    j.when(SetDefaultPaymentMethod(j.card_a), account="B")
    j.then_rejected("METHOD_NOT_USABLE", cause="METHOD_NOT_OWNED_BY_ACCOUNT")


def test_the_order_names_each_active_method_once() -> None:
    j = Journey()
    j.when(ReorderPaymentMethods((j.card_b, j.card_a)))
    j.then((Account, "A", PaymentMethodsReordered((j.card_b, j.card_a))))
    j.when(ReorderPaymentMethods((j.card_b, j.card_a))).then_nothing()
    active = sorted((j.card_a, j.card_b))
    for ids in ((j.card_a,), (j.card_a, j.card_a), (j.card_a, j.card_b, "other"), ()):
        j.when(ReorderPaymentMethods(ids)).then_rejected("METHOD_NOT_USABLE", active=active)


# -- what a transaction without a method is paid with


def test_a_payment_without_a_method_takes_the_nearest_one() -> None:
    """The command, the invoice, its billing profile, the default profile, the default."""
    j = Journey()
    cards = {name: j.card(f"tok_{name}") for name in ("default", "home", "work", "invoice", "given")}

    def paid_with(**more: Any) -> str:
        j.when(ProcessPayment(money(1), **more)).then_accepted()
        return j.state(Payment, j.last_id(Payment)).method.token_ref.removeprefix("tok_")

    j.when(ProcessPayment(money(1))).then_rejected("NO_PAYMENT_METHOD")
    j.when(SetDefaultPaymentMethod(cards["default"])).then_accepted()
    assert paid_with() == "default"
    home = DefineBillingProfile("home", "Home", 1, is_default=True, saved_payment_method_id=cards["home"])
    j.when(home).then_accepted()
    assert paid_with() == "home"
    work = DefineBillingProfile("work", "Work", 1, saved_payment_method_id=cards["work"])
    j.when(work).then_accepted()
    assert paid_with(billing_profile_id="work") == "work"
    sent_to_work = j.post("inv-1", line("L", 10), profile_id="work")
    assert paid_with(apply_to=(ApplyTo(sent_to_work),)) == "work"
    of_its_own = j.post("inv-2", line("L", 10), profile_id="work", saved_payment_method_id=cards["invoice"])
    assert paid_with(apply_to=(ApplyTo(of_its_own),)) == "invoice"
    assert paid_with(apply_to=(ApplyTo(of_its_own),), method_id=cards["given"]) == "given"
    j.when(ProcessPayment(money(1), billing_profile_id="none")).then_rejected("NOT_FOUND")


def test_a_profile_pays_with_a_method_that_works_without_the_customer() -> None:
    j = Journey()
    profile = DefineBillingProfile("home", "Home", 1, saved_payment_method_id="none")
    j.when(profile).then_rejected("METHOD_NOT_FOUND")
    j.when(SavePaymentMethod("gw", "tok_here", "card", usage="ON_SESSION")).then_accepted()
    here = j.last_id(SavedMethod)
    j.when(replace(profile, saved_payment_method_id=here)).then_rejected("METHOD_NOT_USABLE")
    j.when(replace(profile, saved_payment_method_id=j.card_a)).then_accepted()
    j.when(UpdateBillingProfile("home", "Home", 1, saved_payment_method_id="none"))
    j.then_rejected("METHOD_NOT_FOUND")


def test_the_accounts_row_lists_its_profiles_and_its_order_of_methods() -> None:
    j = Journey()
    j.when(DefineBillingProfile("home", "Home", 1, is_default=True)).then_accepted()
    j.when(DefineBillingProfile("work", "Work", 2, is_default=True)).then_accepted()
    j.when(SetAutomaticPayments("home", skip=True)).then_accepted()
    j.when(ReorderPaymentMethods((j.card_b, j.card_a))).then_accepted()
    row = Folder(TABLES).from_zero(j.events())[accounts]["t", "A"]
    told = [(p["profile_id"], p["is_default"], p["skip_automatic_payments"]) for p in row["billing_profiles"]]
    assert told == [("home", False, True), ("work", True, False)]
    assert (row["default_profile_id"], row["method_order"]) == ("work", [j.card_b, j.card_a])
