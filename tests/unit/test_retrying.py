"""What follows a failure besides the rules: people's decisions, holds, settings, late news, new methods."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from events.account import PaymentHoldPlaced
from events.retrying import (
    CollectionFailed,
    CollectionRecovered,
    DunningNoticed,
    ItemRetriesExhausted,
    ItemRetriesExtended,
    ItemRetriesStopped,
    ItemRetryPostponed,
    ItemRetryScheduled,
    ItemRetrySkipped,
)
from events.schedule import (
    PaymentScheduleItemCanceled,
    PaymentScheduleItemClaimed,
    PaymentScheduleItemPaymentFailed,
)
from events.shapes import Outcome
from gateways import codes
from projections.folding import Folder
from projections.models import TABLES
from projections.payments import payments
from projections.schedules import schedule_items
from projections.words import sentence
from services.accounts.account import (
    PlacePaymentHold,
    ReactivateAccount,
    ReleasePaymentHold,
    SetAutoCollect,
    SuspendAccount,
)
from services.accounts.method_choice import DeletePaymentMethod, SetDefaultPaymentMethod
from services.accounts.payment_method import SavePaymentMethod
from services.calls.gateway import ActivateGateway, DeactivateGateway, OpenCircuit
from services.payments.payment import Payment
from services.retries.defining import DeactivateRetryRuleSet, DefineRetryRules
from services.retries.making import Intervals, NewRule
from services.retries.retrying import (
    CarryOutRetry,
    ExtendItemRetries,
    RearmItem,
    RetryItemNow,
    SkipItemRetry,
    StopItemRetries,
)
from services.schedules.collecting import CollectScheduleItem
from services.schedules.items import CancelScheduleItem
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import SUCCESS, money
from tests.retrying import NO_FUNDS, STOLEN, Retrying, at, fixed

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
T = at("03-02T09:00Z")


def retrying(intervals: Intervals | None = None, *rules: NewRule, **settings: Any) -> Retrying:
    j = Retrying(intervals or fixed(1, "HOURS", 3), *rules, **settings)
    j.at(T)
    return j


def failed(intervals: Intervals | None = None, *rules: NewRule, **settings: Any) -> Retrying:
    """Its first attempt has just failed; the next is in an hour, of three."""
    j = retrying(intervals, *rules, **settings)
    return j.owe(j.card_a).collect().answered(NO_FUNDS)


def given_up(**settings: Any) -> Retrying:
    j = failed(fixed(1, "HOURS", 1), **settings)
    j.wait()
    return j.answered(NO_FUNDS)


def of_item(j: Retrying) -> tuple[str, str]:
    return j.schedule_id, j.item_id


def test_a_run_tries_again_what_is_due_as_it_was_planned() -> None:
    j = failed(fixed(1, "HOURS", 1))
    retry = CollectScheduleItem(*of_item(j), cause="RETRY", attempt_no=2)
    j.when(retry).then_rejected("RETRY_NOT_POSSIBLE", until=(T + HOUR).isoformat(), ended=None)
    j.when(SetDefaultPaymentMethod(j.card_b)).then_accepted()
    j.run_processes()
    j.at(T + HOUR)
    j.when(retry).then_accepted()
    assert j.state(Payment, j.item.payment_id or "").method.method_id == j.card_a
    j.answered(NO_FUNDS)
    again = CollectScheduleItem(*of_item(j), cause="RETRY", attempt_no=3)
    j.when(again).then_rejected("RETRY_NOT_POSSIBLE", until=None, ended="EXHAUSTED")


def test_dunning_says_what_was_tried_and_what_may_be_withheld_and_given_again() -> None:
    j = given_up()
    [noticed], [lost] = j.of(DunningNoticed), j.of(CollectionFailed)
    assert (noticed.stage, noticed.hint, noticed.tried) == ("FIRST_FAILURE", "WARN", None)
    assert (lost.stage, lost.hint, lost.tried.attempt, lost.tried.method_id) == (
        "RETRY_FAILED", "SUSPEND", 1, j.card_a
    )  # fmt: skip
    j.when(RetryItemNow(*of_item(j), "he called")).then_accepted()
    j.answered(SUCCESS)
    [recovered] = j.of(CollectionRecovered)
    assert (recovered.hint, recovered.tried) == ("REINSTATE", None)


# -- now


def test_a_person_tries_at_once_and_no_attempt_is_used_up() -> None:
    j = failed()
    j.at(T + HOUR / 6)
    j.when(RetryItemNow(*of_item(j), "he called")).then_accepted()
    j.answered(NO_FUNDS)
    item = j.item
    assert (item.attempts, item.retry.made, item.retry.planned.attempt) == (2, 0, 1)
    assert item.retry.due_at == j.time + HOUR


@pytest.mark.parametrize("outcome", [SUCCESS, NO_FUNDS])
def test_what_was_given_up_is_tried_once_by_hand(outcome: Outcome) -> None:
    j = given_up()
    j.when(RetryItemNow(*of_item(j), "he called", j.card_b)).then_types(
        PaymentScheduleItemClaimed, *[type(fact) for _, _, fact in j.facts()[1:]]
    )
    assert j.state(Payment, j.item.payment_id or "").method.method_id == j.card_b
    j.answered(outcome)
    if outcome is SUCCESS:
        [recovered] = j.of(CollectionRecovered)
        assert (recovered.by, recovered.retries, recovered.attempts) == ("HAND", 1, 3)
    else:
        assert (j.item.status, j.item.retry.ended, j.item.retry.due_at) == ("FAILED", "EXHAUSTED", None)
        assert len(j.of(CollectionFailed)) == 1


def test_nobody_tries_above_what_the_network_allows() -> None:
    j = failed(fixed(1, "HOURS", 3), card_network_caps=("visa 1/30d",))
    j.when(SavePaymentMethod("gw", "tok_a", "card", network="Visa")).then_accepted()
    j.when(RetryItemNow(*of_item(j), "he called")).then_rejected("RETRY_NOT_POSSIBLE")
    assert "visa allows 1 attempts" in j.outcome["message"]
    j.at(T + 30 * DAY)
    j.when(RetryItemNow(*of_item(j), "he called")).then_accepted()


def test_only_what_has_failed_is_tried_again() -> None:
    j = retrying()
    j.owe(j.card_a)
    for command in (RetryItemNow, SkipItemRetry, StopItemRetries):
        j.when(command(*of_item(j), "x")).then_rejected("INVALID_STATE", state="READY")
    j.when(RetryItemNow("no", "no", "x")).then_rejected("SCHEDULE_NOT_FOUND")
    j.when(RetryItemNow(j.schedule_id, "no", "x")).then_rejected("ITEM_NOT_FOUND")


# -- skip, stop, extend


def test_a_skipped_attempt_counts_as_made() -> None:
    j = failed()
    j.when(SkipItemRetry(*of_item(j), "holidays")).then_types(ItemRetrySkipped, ItemRetryScheduled)
    assert (j.item.retry.made, j.item.retry.due_at) == (1, T + 2 * HOUR)
    j.run_processes()
    j.at(T + HOUR)
    j.run_due()
    assert j.item.status == "FAILED", "the attempt that was left out is not made"
    assert j.wait() == T + 2 * HOUR


def test_skipping_the_last_attempt_gives_it_up() -> None:
    j = failed(fixed(1, "HOURS", 1))
    j.when(SkipItemRetry(*of_item(j), "enough")).then_types(
        ItemRetrySkipped, ItemRetriesExhausted, CollectionFailed
    )
    j.when(SkipItemRetry(*of_item(j), "again")).then_rejected("INVALID_STATE", state="EXHAUSTED")


def test_a_person_stops_it() -> None:
    j = failed()
    j.when(StopItemRetries(*of_item(j), "he is bankrupt")).then_types(ItemRetriesStopped, CollectionFailed)
    assert j.of(CollectionFailed)[0].reason == "STOPPED"
    j.when(StopItemRetries(*of_item(j), "again")).then_rejected("INVALID_STATE", state="STOPPED")
    j.run_processes()
    j.at(T + DAY)
    assert j.run_due() != []
    assert j.item.status == "FAILED"
    j.when(SetDefaultPaymentMethod(j.card_b)).then_accepted()
    assert j.run_processes() == [], "what a person stopped no new method begins again"


def test_more_attempts_than_the_rules_have() -> None:
    j = failed(fixed(1, "HOURS", 1))
    j.when(ExtendItemRetries(*of_item(j), 1, "a good customer")).then_types(ItemRetriesExtended)
    j.wait()
    j.answered(NO_FUNDS)
    assert (j.item.retry.planned.attempt, j.item.retry.planned.max) == (2, 2)  # type: ignore[union-attr]
    j.wait()
    j.answered(NO_FUNDS)
    assert j.item.retry.ended == "EXHAUSTED"
    j.when(ExtendItemRetries(*of_item(j), 2, "a very good one")).then_types(
        ItemRetriesExtended, ItemRetryScheduled
    )
    planned = j.of(ItemRetryScheduled)[-1]
    assert (planned.attempt, planned.max, planned.cause, planned.at) == (3, 4, "EXTENDED", j.time + HOUR)


def test_a_dead_card_is_not_extended() -> None:
    j = retrying()
    j.owe(j.card_a).collect().answered(STOLEN)
    j.when(ExtendItemRetries(*of_item(j), 2, "try")).then_rejected("RETRY_NOT_POSSIBLE", cause="NEVER_RETRY")


# -- what stands in the way when it is due


def test_a_hold_postpones_it() -> None:
    j = failed()
    until = T + 5 * HOUR
    j.when(PlacePaymentHold("a complaint", until)).then_accepted()
    j.at(T + HOUR)
    j.run_due()
    assert j.of(ItemRetryPostponed) == [ItemRetryPostponed(j.item_id, 1, until, "ACCOUNT_ON_HOLD")]
    assert j.of(PaymentHoldPlaced)
    j.run_processes()
    assert j.wait() == until


@pytest.mark.parametrize(
    ("stops", "lets_go"),
    [
        (PlacePaymentHold("a complaint"), ReleasePaymentHold()),
        (SuspendAccount("a doubt"), ReactivateAccount()),
        (SetAutoCollect(False), SetAutoCollect(True)),
    ],
)
def test_what_stops_without_an_end_is_waited_for(stops: object, lets_go: object) -> None:
    j = failed()
    j.when(stops).then_accepted()
    j.at(T + HOUR)
    j.run_due()
    assert j.of(ItemRetryPostponed) == [ItemRetryPostponed(j.item_id, 1, None, "ACCOUNT_ON_HOLD")]
    j.at(T + 40 * DAY)
    j.run_processes()
    assert j.later == []
    j.when(lets_go).then_accepted()
    j.run_processes()
    assert j.item.status == "PROCESSING", "it is made as soon as it may be"


def test_what_is_held_can_be_left_out() -> None:
    j = failed()
    j.when(PlacePaymentHold("a complaint")).then_accepted()
    j.at(T + HOUR)
    j.run_due()
    j.when(CarryOutRetry(*of_item(j), 1, None)).then_nothing()
    j.when(SkipItemRetry(*of_item(j), "holidays")).then_accepted()
    assert j.item.retry.due_at == T + 2 * HOUR


def test_a_gateway_that_does_not_answer_postpones_it() -> None:
    j = failed()
    j.at(T + HOUR)
    j.when(OpenCircuit("gw", "silent", seconds=60)).then_accepted()
    j.run_due()
    for minutes in (15, 30, 60):
        j.run_processes()
        assert j.item.retry.due_at == j.time + timedelta(minutes=minutes)
        j.at(j.item.retry.due_at)
        j.when(OpenCircuit("gw", "silent", seconds=60)).then_accepted()
        j.run_due()
    assert {fact.reason for fact in j.of(ItemRetryPostponed)} == {"GATEWAY_CIRCUIT_OPEN"}


@pytest.mark.parametrize("alternate", [True, False])
def test_a_method_that_is_gone_makes_way_or_ends_it(alternate: bool) -> None:
    j = failed(alternate=alternate)
    j.when(DeletePaymentMethod(j.card_a)).then_accepted()
    j.at(T + HOUR)
    j.run_due()
    if alternate:
        planned = j.of(ItemRetryScheduled)[-1]
        assert (planned.method_id, planned.attempt) == (j.card_b, 1)
        j.run_processes()
        j.wait()
    else:
        assert j.item.retry.ended == "NO_USABLE_METHOD"
        assert len(j.of(CollectionFailed)) == 1


def test_a_gateway_that_is_off_ends_it_where_there_is_no_other() -> None:
    j = failed()
    j.when(DeactivateGateway("gw")).then_accepted()
    j.at(T + HOUR)
    j.run_due()
    assert j.item.retry.ended == "NO_USABLE_METHOD"
    j.when(ActivateGateway("gw")).then_accepted()


def test_what_was_paid_otherwise_is_canceled() -> None:
    j = failed()
    j.cheque("P-1", "100.00", j.item.shares[0].invoice_id)
    j.at(T + HOUR)
    j.run_due()
    assert j.item.status == "CANCELED"
    assert j.of(PaymentScheduleItemCanceled)[0].reason == "SETTLED_OTHERWISE"


def test_where_retries_are_switched_off_meanwhile_it_is_given_up() -> None:
    j = failed()
    j.when(ChangeTenantSettings({"retry_failed_payments": False})).then_accepted()
    j.at(T + HOUR)
    j.run_due()
    assert j.of(CollectionFailed)[0].reason == "RETRIES_OFF"


def test_without_retries_a_failure_is_final() -> None:
    j = retrying()
    j.when(ChangeTenantSettings({"retry_failed_payments": False})).then_accepted()
    j.owe(j.card_a).collect().answered(NO_FUNDS)
    [ended] = j.of(CollectionFailed)
    assert (ended.reason, ended.attempts) == ("RETRIES_OFF", 1)
    assert j.of(ItemRetryScheduled) == []
    j.when(ExtendItemRetries(*of_item(j), 2, "try")).then_rejected("RETRY_NOT_POSSIBLE")


@pytest.mark.parametrize(
    ("attempt", "due_at"), [(2, T + HOUR), (1, T + 2 * HOUR), (1, T + HOUR - timedelta(seconds=1))]
)
def test_an_attempt_that_is_planned_otherwise_is_not_made(attempt: int, due_at: datetime) -> None:
    j = failed()
    j.at(T + HOUR)
    j.when(CarryOutRetry(*of_item(j), attempt, due_at)).then_nothing()


def test_an_attempt_is_not_made_before_it_is_due() -> None:
    j = failed()
    j.at(T + HOUR - timedelta(microseconds=1))
    j.when(CarryOutRetry(*of_item(j), 1, T + HOUR)).then_nothing()


def test_what_was_canceled_is_not_tried() -> None:
    j = failed()
    j.when(CancelScheduleItem(*of_item(j), "no")).then_accepted()
    j.at(T + HOUR)
    assert j.run_due() != []
    assert j.item.status == "CANCELED"


# -- late news


def test_a_late_success_stops_it() -> None:
    j = failed()
    first = j.ids(Payment)[0]
    j.settle(first, SUCCESS, "NOTIFICATION").then_accepted()
    assert (j.item.status, j.item.retry.due_at) == ("APPLIED", None)
    [recovered] = j.of(CollectionRecovered)
    assert recovered.by == "HAND"
    j.at(T + HOUR)
    j.run_due()
    assert len(j.ids(Payment)) == 1


def test_an_unknown_outcome_waits() -> None:
    j = failed()
    j.wait()
    j.settle(j.item.payment_id or "", Outcome("Indeterminate"), sent_at=j.time).then_accepted()
    assert (j.item.status, j.item.retry.planned) == ("PROCESSING", None)
    j.when(RetryItemNow(*of_item(j), "x")).then_rejected("INVALID_STATE", state="PROCESSING")
    j.answered(NO_FUNDS, T + 2 * HOUR)
    assert (j.item.retry.made, j.item.retry.due_at) == (1, T + 3 * HOUR)


# -- versions


def test_a_cycle_keeps_to_the_version_that_it_began_under() -> None:
    j = failed()
    j.when(DefineRetryRules("set", intervals=fixed(9, "DAYS", 1))).then_accepted()
    j.when(ChangeTenantSettings({"stagger_basis": "PREVIOUS_ATTEMPT"})).then_accepted()
    j.wait()
    j.answered(NO_FUNDS)
    planned = j.of(ItemRetryScheduled)[-1]
    assert (planned.at, planned.max, planned.rule.definition_version) == (j.time + HOUR, 3, 1)
    assert planned.terms.interval_basis == "FIRST_FAILURE"
    j.owe(j.card_b, "INV-2").collect().answered(NO_FUNDS)
    planned = j.of(ItemRetryScheduled)[-1]
    assert (planned.at, planned.max, planned.rule.definition_version) == (j.time + 9 * DAY, 1, 2)
    j.when(DeactivateRetryRuleSet("set")).then_rejected("DEFAULT_RULE_SET_REQUIRED")


# -- another method


def test_a_new_default_method_is_tried_at_once() -> None:
    j = given_up()
    third = j.card("tok_c")
    j.when(SetDefaultPaymentMethod(third)).then_accepted()
    j.run_processes()
    j.run_processes()
    planned = j.of(ItemRetryScheduled)[-1]
    assert (planned.cause, planned.method_id, planned.at) == ("REARMED", third, j.time)
    assert j.item.status == "PROCESSING"
    assert j.state(Payment, j.item.payment_id or "").method.method_id == third
    j.answered(NO_FUNDS)
    assert (j.item.retry.made, j.item.retry.ended) == (1, "EXHAUSTED"), "it was outside the cap"
    assert len(j.of(CollectionFailed)) == 2


def test_after_a_dead_card_a_new_one_has_the_whole_budget() -> None:
    j = retrying(fixed(1, "HOURS", 2))
    j.owe(j.card_a).collect().answered(STOLEN)
    j.when(SetDefaultPaymentMethod(j.card_b)).then_accepted()
    j.run_processes()
    j.answered(NO_FUNDS)
    planned = j.of(ItemRetryScheduled)[-1]
    assert (planned.attempt, planned.max, planned.cause) == (1, 2, "AUTOMATIC")


def test_a_new_method_is_not_forced_on_what_is_planned() -> None:
    j = failed()
    j.when(SetDefaultPaymentMethod(j.card_b)).then_accepted()
    assert j.run_processes() == []
    j.when(RearmItem(*of_item(j), j.card_b)).then_nothing()


def test_every_failure_is_a_fact_with_its_reasons() -> None:
    j = failed()
    assert j.of(PaymentScheduleItemPaymentFailed)[0].raw_code == "insufficient_funds"
    [planned], [noticed] = j.of(ItemRetryScheduled), j.of(DunningNoticed)
    assert planned.why == (
        "no rule is about CardLimit: the set's intervals",
        "a soft decline: the same instrument may do later",
        "with its own method",
    )
    assert (noticed.amount, noticed.category) == (money("100.00"), "CardLimit")
    assert noticed.next_attempt_at == planned.at == T + HOUR
    assert noticed.invoice_ids == (j.item.shares[0].invoice_id,)


# -- what the card's network advises

WAIT_TWO_DAYS = replace(NO_FUNDS, network_advice="26")


def told_to_wait() -> Retrying:
    j = retrying()
    return j.owe(j.card_a).collect().answered(WAIT_TWO_DAYS)


def test_a_network_that_says_to_wait_is_waited_for() -> None:
    j = told_to_wait()
    [failed] = j.of(PaymentScheduleItemPaymentFailed)
    assert (failed.retry_after_seconds, failed.network_advice) == (2 * 86_400, "26")
    assert j.item.retry.due_at == T + 2 * DAY
    rows = Folder(TABLES).from_zero(j.events())
    [row] = rows[schedule_items].values()
    assert row["next_retry_at"] == T + 2 * DAY
    assert "its network says to wait (26): not before" in row["retry_why"]
    [payment] = rows[payments].values()
    assert (payment["network_advice"], payment["retry_not_before"]) == ("26", T + 2 * DAY)


def test_nobody_tries_the_card_before_its_network_says() -> None:
    j = told_to_wait()
    until = (T + 2 * DAY).isoformat()
    j.when(RetryItemNow(*of_item(j), "he called")).then_rejected("RETRY_NOT_POSSIBLE", until=until)
    j.when(CollectScheduleItem(*of_item(j))).then_rejected("RETRY_NOT_POSSIBLE", until=until)
    j.when(RetryItemNow(*of_item(j), "with the other", j.card_b)).then_accepted()


def test_what_it_said_of_a_card_holds_after_another_was_tried() -> None:
    j = told_to_wait()
    j.when(RetryItemNow(*of_item(j), "with the other", j.card_b)).then_accepted()
    j.answered(NO_FUNDS)
    assert j.item.retry.due_at == T + 2 * DAY


def test_what_is_rearmed_waits_too() -> None:
    j = retrying(fixed(1, "HOURS", 1))
    j.owe(j.card_a).collect().answered(NO_FUNDS)
    j.wait()
    j.answered(WAIT_TWO_DAYS)
    assert j.item.retry.ended == "EXHAUSTED"
    j.when(RearmItem(*of_item(j), j.card_a)).then_accepted()
    assert j.item.retry.due_at == T + HOUR + 2 * DAY


@pytest.mark.parametrize(
    ("advice", "hours"), [("02", 72), ("24", 1), ("25", 24), ("30", 240), ("03", None), ("99", None)]
)
def test_codes_of_advice_are_hours(advice: str, hours: int | None) -> None:
    seconds = codes.advised_seconds(advice)
    assert seconds == (hours and hours * 3600)


def test_what_customers_should_hear_of_is_told_in_words() -> None:
    j = failed(fixed(1, "HOURS", 3))
    [noticed] = j.of(DunningNoticed)
    assert sentence(noticed) == (
        "100.00 USD could not be collected (card limit), to be told to the customer (remind): "
        "tried again at 2026-03-02 10:00"
    )
