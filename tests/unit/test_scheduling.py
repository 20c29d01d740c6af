"""Schedules by hand: what may be planned, changed and collected, what follows an invoice that owes less."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from events.invoice import InvoiceExcludedFromPayments
from events.schedule import (
    PaymentScheduleItemCanceled,
    PaymentScheduleItemPaymentFailed,
    PaymentScheduleItemReleased,
)
from services.accounts.account import PlacePaymentHold, SetAutoCollect, SuspendAccount
from services.accounts.billing_profile import DefineBillingProfile
from services.accounts.method_choice import DeletePaymentMethod, SetDefaultPaymentMethod
from services.applications.applying import UnapplyPayment
from services.invoices.invoice import Invoice
from services.invoices.standing import ExcludeInvoiceFromPayments
from services.payments.payment import Payment
from services.payments.taking_back import CancelPayment
from services.schedules.collecting import CollectScheduleItem, RetryApplication
from services.schedules.following import FollowInvoiceBalance
from services.schedules.items import (
    AddScheduleItem,
    CancelScheduleItem,
    ChangeScheduleItem,
    NewItem,
    ReleaseScheduleItem,
    SkipScheduleItem,
)
from services.schedules.policy import (
    ActivateSchedulePolicy,
    AddTreatment,
    AddTreatmentDetail,
    CreateSchedulePolicy,
    Cut,
    DeactivateSchedulePolicy,
    DefineDistribution,
    SetDefaultSchedulePolicy,
)
from services.schedules.schedule import PaymentSchedule
from services.schedules.scheduling import CancelPaymentSchedule, CreatePaymentSchedule, OpenPaymentSchedule
from tests.journey import SOFT, SUCCESS, Journey, line, money

DAY = date(2026, 4, 1)


def by_hand(*amounts: str, draft: bool = False, **settings: Any) -> Journey:
    """An invoice of 100.00 and a schedule S for it, with an item for each amount, a month apart."""
    journey = Journey(**settings)
    journey.when(SetDefaultPaymentMethod(journey.card_a)).then_accepted()
    invoice = journey.post("I", line("1", "100.00"))
    items = tuple(
        NewItem(money(amount), DAY + timedelta(days=30 * n), draft=draft) for n, amount in enumerate(amounts)
    )
    journey.when(CreatePaymentSchedule("INVOICE", invoice, items, "S")).then_accepted()
    return journey


def item_ids(journey: Journey) -> list[str]:
    return list(journey.state(PaymentSchedule, "S").items)


def statuses(journey: Journey) -> list[tuple[str, int]]:
    return [(item.status, item.requested) for item in journey.state(PaymentSchedule, "S").items.values()]


def collect(journey: Journey, index: int = 0, **more: Any) -> Journey:
    return journey.when(CollectScheduleItem("S", item_ids(journey)[index], **more))  # type: ignore[return-value]


# -- what may be planned


def test_a_schedule_is_for_what_its_invoice_owes_and_no_other_collects() -> None:
    journey = by_hand("60")
    invoice = journey.ids(Invoice)[0]
    again = CreatePaymentSchedule("INVOICE", invoice, total_requested=money("50"))
    journey.when(again).then_rejected("SCHEDULE_EXCEEDS_BALANCE", available=4000)
    journey.when(CreatePaymentSchedule("INVOICE", invoice)).then_accepted()
    assert journey.state(PaymentSchedule, journey.last_id(PaymentSchedule)).total_requested == 4000


def test_items_never_exceed_their_schedule() -> None:
    journey = by_hand("60")
    journey.when(AddScheduleItem("S", NewItem(money("41"), DAY))).then_rejected(
        "SCHEDULE_AMOUNT_EXCEEDED", available=4000
    )
    journey.when(AddScheduleItem("S", NewItem(money("40", "EUR"), DAY))).then_rejected("CURRENCY_MISMATCH")
    journey.when(AddScheduleItem("S", NewItem(money("40"), DAY))).then_accepted()
    change = ChangeScheduleItem("S", item_ids(journey)[0], money("61"))
    journey.when(change).then_rejected("SCHEDULE_AMOUNT_EXCEEDED", available=6000)


def test_what_was_canceled_can_be_planned_anew() -> None:
    journey = by_hand("60", "40")
    journey.when(CancelScheduleItem("S", item_ids(journey)[0], "he asked")).then(
        (PaymentSchedule, "S", PaymentScheduleItemCanceled(item_ids(journey)[0], money("60"), "he asked"))
    )
    journey.when(AddScheduleItem("S", NewItem(money("60"), DAY))).then_accepted()


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (CreatePaymentSchedule("ORDER", "O-1"), "MALFORMED_REQUEST"),
        (CreatePaymentSchedule("ORDER", "O-1", total_requested=money("0")), "AMOUNT_NOT_POSITIVE"),
        (CreatePaymentSchedule("INVOICE", "no-such"), "INVOICE_NOT_FOUND"),
        (CreatePaymentSchedule("ORDER", "O", (), "S", money("1")), "SCHEDULE_EXISTS"),
        (CreatePaymentSchedule("ORDER", "O", (), None, money("1"), "no-such"), "METHOD_NOT_FOUND"),
        (OpenPaymentSchedule("no-such"), "SCHEDULE_NOT_FOUND"),
        (OpenPaymentSchedule("S"), "INVALID_STATE"),
        (CancelScheduleItem("S", "no-such", "x"), "ITEM_NOT_FOUND"),
        (RetryApplication("S", "no-such"), "ITEM_NOT_FOUND"),
    ],
)
def test_what_cannot_be_planned(command: object, code: str) -> None:
    by_hand("60").when(command).then_rejected(code)


def test_a_draft_is_collected_only_once_it_is_released() -> None:
    journey = by_hand("60", draft=True)
    [item] = item_ids(journey)
    collect(journey).then_rejected("INVALID_STATE", state="DRAFT")
    journey.when(ReleaseScheduleItem("S", item, "he agreed")).then(
        (PaymentSchedule, "S", PaymentScheduleItemReleased(item, "he agreed"))
    )
    journey.when(ReleaseScheduleItem("S", item)).then_rejected("INVALID_STATE", state="READY")
    collect(journey).then_accepted()


def test_an_item_is_changed_and_skipped_only_before_it_is_collected() -> None:
    journey = by_hand("60")
    [item] = item_ids(journey)
    later = DAY + timedelta(days=5)
    journey.when(ChangeScheduleItem("S", item, money("50"), later, journey.card_b)).then_accepted()
    changed = journey.state(PaymentSchedule, "S").items[item]
    assert (changed.requested, changed.plan.target_processing_date, changed.plan.method_id) == (
        5000,
        later,
        journey.card_b,
    )
    journey.when(ChangeScheduleItem("S", item, money("50"))).then_rejected("NOTHING_TO_CHANGE")
    journey.when(SkipScheduleItem("S", item, DAY, "holiday")).then_rejected("DATE_INVALID")
    journey.when(SkipScheduleItem("S", item, later + timedelta(days=9), "holiday")).then_accepted()
    collect(journey).then_accepted()
    assert journey.state(Payment, journey.ids(Payment)[-1]).method.method_id == journey.card_b
    journey.when(ChangeScheduleItem("S", item, money("40"))).then_rejected(
        "INVALID_STATE", state="PROCESSING"
    )


def test_a_canceled_schedule_lets_what_is_under_way_end() -> None:
    journey = by_hand("60", "40")
    collect(journey).then_accepted()
    payment = journey.ids(Payment)[-1]
    journey.when(CancelPaymentSchedule("S", "he pays by cheque")).then_accepted()
    assert statuses(journey) == [("PROCESSING", 6000), ("CANCELED", 4000)]
    journey.settle(payment, SUCCESS).then_accepted()
    assert statuses(journey) == [("APPLIED", 6000), ("CANCELED", 4000)]
    assert journey.state(PaymentSchedule, "S").status == "COMPLETED"
    journey.when(CancelPaymentSchedule("S", "again")).then_rejected("INVALID_STATE", state="COMPLETED")


def test_a_schedule_without_items_that_is_canceled_lets_its_invoice_go() -> None:
    journey = by_hand()
    invoice = journey.ids(Invoice)[0]
    assert journey.state(Invoice, invoice).schedule_ids == {"S"}
    journey.when(CancelPaymentSchedule("S", "never mind")).then_accepted()
    assert journey.state(PaymentSchedule, "S").status == "CANCELED"
    assert journey.state(Invoice, invoice).schedule_ids == set()


# -- what is collected


def test_nothing_is_collected_from_who_is_on_hold_or_has_no_method() -> None:
    journey = by_hand("60")
    journey.when(PlacePaymentHold("he asked")).then_accepted()
    collect(journey).then_rejected("ACCOUNT_ON_HOLD")
    journey = by_hand("60")
    for method_id in (journey.card_a, journey.card_b):
        journey.when(DeletePaymentMethod(method_id)).then_accepted()
    collect(journey).then_rejected("NO_PAYMENT_METHOD")


def test_an_invoice_that_was_paid_otherwise_is_not_collected_again() -> None:
    journey = by_hand("60", "40", reduced_balance_policy="REDUCE_ITEM")
    journey.cheque("C", "70.00", journey.ids(Invoice)[0])
    journey.run_processes()
    assert statuses(journey) == [("READY", 3000), ("CANCELED", 4000)]  # the latest fall away first
    collect(journey).then_accepted()
    journey.settle(journey.ids(Payment)[-1], SUCCESS).then_accepted()
    assert journey.balances(journey.ids(Invoice)[0])["balance"] == "0.00"


def test_an_invoice_that_a_schedule_does_not_collect_moves_nothing_of_it() -> None:
    journey = by_hand("60", "40", reduced_balance_policy="REDUCE_ITEM")
    journey.when(FollowInvoiceBalance("S", journey.post("J", line("1", "1.00")))).then_nothing()
    journey.when(FollowInvoiceBalance("S", "no-such")).then_nothing()


def test_whoever_collects_looks_at_the_balance_of_that_moment() -> None:
    journey = by_hand("100", reduced_balance_policy="REDUCE_ITEM")
    journey.cheque("C", "30.00", journey.ids(Invoice)[0])
    collect(journey).then_accepted()  # before any process had its turn
    assert statuses(journey) == [("PROCESSING", 7000)]
    assert journey.state(Payment, journey.ids(Payment)[-1]).amount == 7000


def test_what_no_invoice_takes_stays_on_the_payment_and_is_applied_later() -> None:
    journey = by_hand("100")
    invoice = journey.ids(Invoice)[0]
    collect(journey).then_accepted()
    payment = journey.ids(Payment)[-1]
    journey.cheque("C", "100.00", invoice)
    journey.settle(payment, SUCCESS).then_accepted()
    assert statuses(journey) == [("APPLY_FAILED", 10000)]
    assert journey.payment(payment)["unapplied"] == "100.00"
    again = RetryApplication("S", item_ids(journey)[0])
    journey.when(again).then_rejected("TARGET_NOT_POSTED")
    journey.when(CancelPayment(payment)).then_accepted()
    journey.when(again).then_rejected("OPERATION_IN_FLIGHT")  # it is about to leave again


def test_a_small_rest_is_written_off_after_a_second_application_too() -> None:
    journey = by_hand("99.50", small_balance_write_off=(money("1"),))
    invoice = journey.ids(Invoice)[0]
    collect(journey).then_accepted()
    journey.cheque("C", "100.00", invoice)
    journey.settle(journey.ids(Payment)[0], SUCCESS).then_accepted()
    [application_id] = journey.state(Payment, "C").applications
    journey.when(UnapplyPayment("C", application_id)).then_accepted()
    journey.when(RetryApplication("S", item_ids(journey)[0])).then_accepted()
    assert statuses(journey) == [("APPLIED", 9950)]
    assert journey.balances(invoice)["status"] == "SETTLED"
    assert sum(journey.state(Invoice, invoice).written_off.values()) == 50


def test_a_failed_item_keeps_what_was_said_of_it() -> None:
    journey = by_hand("60")
    collect(journey).then_accepted()
    journey.settle(journey.ids(Payment)[-1], SOFT).then_accepted()
    [failed] = [fact for _, _, fact in journey.facts() if isinstance(fact, PaymentScheduleItemPaymentFailed)]
    assert (failed.category, failed.raw_code, failed.attempt_no) == ("CardLimit", "insufficient_funds", 1)


def test_collected_for_an_order_the_money_waits_for_its_invoice() -> None:
    journey = Journey()
    journey.when(SetDefaultPaymentMethod(journey.card_a)).then_accepted()
    order = CreatePaymentSchedule("ORDER", "O-1", (NewItem(money("30"), DAY),), "S", money("30"))
    journey.when(order).then_accepted()
    collect(journey).then_accepted()
    payment = journey.ids(Payment)[-1]
    journey.settle(payment, SUCCESS).then_accepted()
    assert journey.payment(payment)["unapplied"] == "30.00"
    assert statuses(journey) == [("PROCESSED", 3000)]


# -- what is scheduled by itself


def scheduled(**more: Any) -> str | None:
    """Why an invoice is not scheduled, or None."""
    journey = Journey(create_payment_schedules=True)
    journey.when(DefineBillingProfile("p", "P", 1, skip_automatic_payments=True)).then_accepted()
    if not more.pop("auto_collect", True):
        journey.when(SetAutoCollect(False)).then_accepted()
    journey.post("I", line("1", more.pop("amount", "100.00")), **more)
    skipped = [f.reason for f in journey.all_facts() if type(f).__name__ == "ScheduleCreationSkipped"]
    return skipped[0] if skipped else None


def test_what_is_collected_by_hand_is_scheduled_and_run_by_nobody() -> None:
    journey = by_hand("50.00", "50.00")
    journey.when(SetAutoCollect(False)).then_accepted()
    first, second = item_ids(journey)
    journey.when(CollectScheduleItem("S", first, "RUN")).then_rejected("ACCOUNT_ON_HOLD")
    journey.when(CollectScheduleItem("S", first, "NOW")).then_accepted()
    journey.when(SuspendAccount("a doubt")).then_accepted()
    journey.when(CollectScheduleItem("S", second, "NOW")).then_rejected("ACCOUNT_ON_HOLD", state="SUSPENDED")
    assert statuses(journey)[1] == ("READY", 5000)
    assert scheduled(auto_collect=False) == "AUTOMATIC_PAYMENTS_SKIPPED"


def test_an_invoice_says_why_nothing_is_scheduled_for_it() -> None:
    assert scheduled() is None
    assert scheduled(amount="0.00") == "NOTHING_TO_COLLECT"
    assert scheduled(exclude_from_payments=True) == "EXCLUDED_FROM_PAYMENTS"
    assert scheduled(profile_id="p") == "AUTOMATIC_PAYMENTS_SKIPPED"


def test_an_invoice_that_a_schedule_collects_is_excluded_once_that_is_canceled() -> None:
    journey = by_hand("100.00")
    (invoice,) = journey.ids(Invoice)
    exclude = ExcludeInvoiceFromPayments(invoice, "barter")
    journey.when(exclude).then_rejected("INVALID_STATE", state="SCHEDULED", allowed=["NOT_SCHEDULED"])
    journey.when(CancelPaymentSchedule("S", "barter")).then_accepted()
    journey.when(exclude).then_types(InvoiceExcludedFromPayments)
    journey.when(exclude).then_nothing()


def test_without_an_active_treatment_a_person_is_told() -> None:
    journey = Journey(create_payment_schedules=True)
    for command in (
        CreateSchedulePolicy("euro", "Euro"),
        AddTreatment("euro", "t", "T", currency="EUR"),
        AddTreatmentDetail("euro", "t", "d"),
        ActivateSchedulePolicy("euro"),
        SetDefaultSchedulePolicy("euro"),
    ):
        journey.when(command).then_accepted()
    journey.post("I", line("1", "100.00"))
    names = [type(fact).__name__ for _, _, fact in journey.facts()]
    assert names == ["InvoicePosted", "ScheduleCreationFailed", "ExceptionRaised"]


def test_an_item_without_a_method_waits_for_one() -> None:
    journey = Journey(create_payment_schedules=True)
    journey.post("I", line("1", "100.00"))
    schedule = journey.last_id(PaymentSchedule)
    [item] = journey.state(PaymentSchedule, schedule).items.values()
    assert (item.status, item.plan.warning) == ("DRAFT", "NO_PAYMENT_METHOD")
    journey.when(SetDefaultPaymentMethod(journey.card_a)).then_accepted()
    journey.run_processes()
    assert [i.status for i in journey.state(PaymentSchedule, schedule).items.values()] == ["READY"]


# -- policies


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (CreateSchedulePolicy("own", "Again"), "SCHEDULE_POLICY_EXISTS"),
        (AddTreatment("own", "t", "Again"), "SCHEDULE_POLICY_EXISTS"),
        (AddTreatmentDetail("own", "t", "d"), "SCHEDULE_POLICY_EXISTS"),
        (AddTreatmentDetail("own", "no-such", "d"), "SCHEDULE_POLICY_NOT_FOUND"),
        (AddTreatmentDetail("own", "t", "late", date_offset_days=1), "OFFSET_POSITIVE_FORBIDDEN"),
        (AddTreatmentDetail("own", "t", "much", "101"), "PERCENTAGES_NOT_100"),
        (ActivateSchedulePolicy("own"), "PERCENTAGES_NOT_100"),
        (ActivateSchedulePolicy("own", "no-such"), "SCHEDULE_POLICY_NOT_FOUND"),
        (SetDefaultSchedulePolicy("own"), "INVALID_STATE"),
        (DeactivateSchedulePolicy("own"), "INVALID_STATE"),
        (DefineDistribution("own", "t", "d", Cut("FIXED_AMOUNT")), "MALFORMED_REQUEST"),
        (DefineDistribution("own", "t", "d", Cut(minimum=money("0"))), "AMOUNT_NOT_POSITIVE"),
        (DefineDistribution("own", "t", "no-such", Cut()), "SCHEDULE_POLICY_NOT_FOUND"),
        (DeactivateSchedulePolicy("default"), "INVALID_STATE"),
        (AddTreatment("default", "t", "T"), "INVALID_STATE"),
    ],
)
def test_a_policy_adds_up_before_it_is_used(command: object, code: str) -> None:
    journey = Journey(create_payment_schedules=True)
    journey.when(CreateSchedulePolicy("own", "Own")).then_accepted()
    journey.when(ActivateSchedulePolicy("own")).then_rejected("POLICY_NOT_ACTIVATABLE")
    journey.when(AddTreatment("own", "t", "T")).then_accepted()
    journey.when(AddTreatmentDetail("own", "t", "d", "40")).then_accepted()
    journey.when(command).then_rejected(code)


# -- how kept cards are told apart


def reasons(journey: Journey) -> list[str]:
    return [fact.reason for fact in journey.all_facts() if type(fact).__name__ == "GatewayCallPlanned"]


def test_card_networks_are_told_why_the_merchant_charges() -> None:
    journey = by_hand("60.00", "40.00")
    first, _ = item_ids(journey)
    journey.when(CollectScheduleItem("S", first)).then_accepted()
    payment = journey.last_id(Payment)
    journey.settle(payment, SOFT).then_accepted()
    journey.when(CollectScheduleItem("S", first)).then_accepted()
    assert reasons(journey) == ["INSTALLMENT", "RESUBMISSION"]
    alone = by_hand("100.00")
    alone.when(CollectScheduleItem("S", item_ids(alone)[0])).then_accepted()
    assert reasons(alone) == ["UNSCHEDULED"]


def test_a_subscriptions_invoice_is_charged_as_recurring() -> None:
    journey = Journey()
    journey.when(SetDefaultPaymentMethod(journey.card_a)).then_accepted()
    invoice = journey.post("I", line("1", "100.00"), reference_type="SUBSCRIPTION", reference_id="SUB")
    items = (NewItem(money("100.00"), DAY),)
    journey.when(CreatePaymentSchedule("INVOICE", invoice, items, "S")).then_accepted()
    journey.when(CollectScheduleItem("S", item_ids(journey)[0], "RUN")).then_accepted()
    assert reasons(journey) == ["RECURRING"]
