"""Batch runs: what is collected for them, in which order, and how they are stopped, resumed and ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.criteria import Criteria, Criterion
from events.money import Money
from events.operations import ExceptionRaised
from events.payment import PaymentRequested
from events.run import (
    ItemResult,
    PaymentBatchRunCompleted,
    PaymentBatchRunItemsReleased,
    RunItem,
    RunLane,
    RunReport,
    counters,
)
from events.schedule import PaymentScheduleItemClaimed
from events.shapes import Outcome
from services.accounts.account import PlacePaymentHold
from services.accounts.method_choice import DeletePaymentMethod
from services.applications.applying import UnapplyPayment
from services.calls.gateway import ActivateGateway, DeactivateGateway, OpenCircuit
from services.payments.arriving import RecordPaymentOutcome, ResolvePaymentOutcome
from services.payments.payment import Payment
from services.payments.taking_back import CancelPayment
from services.processes.collecting import merge
from services.processes.process import Send
from services.retries.defining import ActivateRetryRuleSet, CreateRetryRuleSet, SetDefaultRetryRuleSet
from services.runs import tally as tallies
from services.runs.batch_run import FailPaymentBatchRun, PaymentBatchRun, StopPaymentBatchRun
from services.runs.page import RunPage, page_id
from services.runs.recording import (
    CHECK_EVERY,
    CancelPaymentBatchRun,
    CheckPaymentBatchRun,
    RecordRunItemResults,
    ResumePaymentBatchRun,
)
from services.runs.selecting import SelectRunItems
from services.runs.tally import LANE_OPEN_MAX, Known, Recount, RunTally, releasable, report
from services.schedules.collecting import CollectScheduleItem
from services.schedules.items import SkipScheduleItem
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import SOFT, SUCCESS
from tests.retrying import fixed
from tests.runs import DAY, Collection
from tests.spec import NOW

UNKNOWN = Outcome("Indeterminate", raw_message="read timeout")


def charged(j: Collection) -> list[str]:
    """The accounts that a gateway was asked to charge, in order."""
    return [fact.account_id for fact in j.all_facts() if isinstance(fact, PaymentRequested)]


# -- selecting


def test_items_are_selected_by_date_then_the_greatest_first_then_by_number() -> None:
    j = Collection()
    j.owes("A", "10.00")
    j.owes("B", "30.00", "30.00")
    j.owes("C", "1.00", on=DAY - timedelta(days=1))
    j.owes("D", "99.00", on=DAY + timedelta(days=1))
    j.start()
    page = j.state(RunPage, page_id("R", 1))
    assert [(item.account_id, item.amount.amount_minor) for item in page.items.values()] == [
        ("C", 100),
        ("B", 3000),
        ("B", 3000),
        ("A", 1000),
    ]
    numbers = [item.number for item in page.items.values()]
    assert numbers[1] < numbers[2]


def test_a_run_takes_no_more_than_it_may_and_one_with_nothing_to_do_is_over() -> None:
    j = Collection()
    j.owes("A", "1.00", "2.00", "3.00")
    j.start("R", max_items=2)
    j.start("NONE", criteria=Criteria(criteria=(Criterion("CURRENCY", "EQUALS", ("EUR",)),)))
    assert j.counters() == {"filtered": 2, "unclaimed": 2}
    assert (j.status(), j.status("NONE")) == ("STARTED", "COMPLETED")


def test_a_page_that_does_not_begin_where_the_run_stands_changes_nothing() -> None:
    j = Collection()
    j.owes("A", "1.00")
    j.start()
    item = RunItem("x", "S", "A", "PSI-1", Money(1, "USD"), 1)
    j.when(SelectRunItems("R", 1, "", "c", (item,), True, 1)).then_nothing()
    j.when(SelectRunItems("R", 2, "elsewhere", "c", (item,), True, 1)).then_nothing()


def test_what_was_left_out_until_later_is_not_due() -> None:
    j = Collection()
    [schedule] = j.owes("A", "1.00")
    item_id = next(iter(j.state_of(schedule).items))
    j.when(SkipScheduleItem(schedule, item_id, DAY + timedelta(days=2), "on holiday")).then_accepted()
    j.start()
    assert (j.status(), j.counters()) == ("COMPLETED", {})


# -- collecting


def test_two_items_of_one_account_are_never_at_a_gateway_at_once() -> None:
    j = Collection()
    j.owes("A", "3.00", "2.00", "1.00")
    j.owes("B", "2.50")
    j.start()
    j.run_processes()
    assert charged(j) == ["A", "B"]
    assert j.counters() == {"filtered": 4, "unclaimed": 2, "unknown": 2}
    for _ in range(3):
        j.told("A", SUCCESS)
        j.run_processes()
    assert charged(j) == ["A", "B", "A", "A"]
    assert j.status() == "STARTED"
    j.told("B", SOFT)
    j.run_processes()
    assert j.status() == "COMPLETED"
    assert j.counters() == {"filtered": 4, "processed": 3, "failed": 1, "applied": 3}


def test_what_is_in_the_way_is_a_reason_and_the_item_stays_ready() -> None:
    j = Collection()
    j.owes("A", "1.00")
    j.owes("B", "2.00")
    j.when(PlacePaymentHold("he asked"), account="A").then_accepted()
    j.when(DeletePaymentMethod(j.accounts["B"]), account="B").then_accepted()
    j.start()
    j.run_processes()
    assert j.outcomes() == {"A": ("SKIPPED", "ACCOUNT_ON_HOLD"), "B": ("SKIPPED", "NO_PAYMENT_METHOD")}
    assert [j.item(j.schedules[account]).status for account in "AB"] == ["READY", "READY"]
    assert j.status() == "COMPLETED"


def test_a_payment_under_way_cannot_be_canceled_and_its_item_waits_for_its_end() -> None:
    j = Collection()
    j.owes("A", "1.00")
    j.start()
    j.run_processes()
    [payment] = j.ids(Payment)
    j.when(CancelPayment(payment), account="A").then_rejected("INVALID_STATE")
    j.settle(payment, UNKNOWN).then_accepted()
    j.when(CancelPayment(payment), account="A").then_rejected("INVALID_STATE")
    j.run_processes()
    assert (j.item(j.schedules["A"]).status, j.status()) == ("PROCESSING", "COMPLETED")
    assert j.counters() == {"filtered": 1, "unknown": 1}
    j.when(ResolvePaymentOutcome(payment, "FAILED", "the bank said so"), account="A").then_accepted()
    j.run_processes()
    assert j.item(j.schedules["A"]).status == "FAILED"
    assert j.counters() == {"filtered": 1, "failed": 1}


@pytest.mark.parametrize("when", ["while the run goes on", "after it"])
def test_an_item_whose_payment_is_voided_ends_canceled_and_the_run_adds_up(when: str) -> None:
    j = Collection()
    j.owes("A", "1.00")
    j.owes("B", "2.00")
    j.start()
    j.run_processes()
    j.told("B", SUCCESS)
    if when == "after it":
        j.told("A", SUCCESS)
    j.run_processes()
    [payment] = [id for id in j.ids(Payment) if j.state(Payment, id).account_id == "B"]
    j.account = "B"
    [application] = j.state(Payment, payment).applications
    j.when(UnapplyPayment(payment, application)).then_accepted()
    j.when(CancelPayment(payment)).then_accepted()
    assert j.item(j.schedules["B"]).status == "APPLIED"
    void = j.state(Payment, payment).cancellation_key
    assert void
    j.when(RecordPaymentOutcome(void, "GATEWAY", SUCCESS)).then_accepted()
    item = j.item(j.schedules["B"])
    assert (item.status, item.processed, item.applied, item.canceled) == ("CANCELED", 0, 0, 200)
    assert j.state_of(j.schedules["B"]).status == "COMPLETED"
    if when != "after it":
        j.told("A", SUCCESS)
    j.run_processes()
    assert j.counters() == {"filtered": 2, "processed": 1, "applied": 1, "canceled": 1}
    assert j.money()["USD"] == (Money(300, "USD"), Money(100, "USD"))
    assert j.run_processes() == []  # nobody collects it again unasked


def test_two_runs_on_the_same_items_charge_each_once() -> None:
    j = Collection()
    j.owes("A", "1.00")
    j.owes("B", "2.00")
    j.start("ONE")
    j.start("TWO")
    j.run_processes()
    assert sorted(charged(j)) == ["A", "B"]
    assert j.counters("ONE") == {"filtered": 2, "unknown": 2}
    assert j.counters("TWO") == {"filtered": 2, "skipped": 2}
    assert {code for _, code in j.outcomes("TWO").values()} == {"ATTEMPTED_MEANWHILE"}
    for account in "AB":
        j.told(account, SUCCESS)
    j.run_processes()
    assert (j.status("ONE"), j.status("TWO")) == ("COMPLETED", "COMPLETED")


def test_whatever_is_sent_again_charges_nothing_again() -> None:
    """A crash anywhere sends what was sent before, under its own identity or under a new one."""
    j = Collection()
    [schedule] = j.owes("A", "1.00")
    j.start()
    sent = j.run_processes()
    j.told("A", SUCCESS)
    sent += j.run_processes()
    before = len(j.events())
    for command in sent:
        account = "A" if isinstance(command, CollectScheduleItem) else None
        j.when(command, account=account).then_nothing()
    assert len(j.events()) == before
    assert charged(j) == ["A"]
    assert j.item(schedule).applied == 100


@pytest.mark.parametrize("level", ["INVOICE", "INVOICE_LINE"])
def test_money_is_applied_at_the_level_that_the_tenant_chose(level: str) -> None:
    j = Collection(application_level=level)
    j.owes("A", "1.00")
    j.start()
    j.run_processes()
    j.told("A", SUCCESS)
    j.run_processes()
    assert j.counters() == {"filtered": 1, "processed": 1, "applied": 1}
    assert j.invoice("A").level == level


def test_a_retry_run_takes_what_is_to_be_tried_again_by_now() -> None:
    j = Collection()
    j.when(CreateRetryRuleSet("Set", fixed(2, "HOURS", 3), "set")).then_accepted()
    j.when(ActivateRetryRuleSet("set")).then_accepted()
    j.when(SetDefaultRetryRuleSet("set")).then_accepted()
    j.when(ChangeTenantSettings({"retry_failed_payments": True})).then_accepted()
    [schedule] = j.owes("A", "1.00")
    j.start()
    j.run_processes()
    j.told("A", SOFT)
    j.run_processes()
    assert (j.counters(), j.item(schedule).status) == ({"filtered": 1, "failed": 1}, "FAILED")
    j.start("EARLY", is_retry=True)
    assert (j.status("EARLY"), j.counters("EARLY")) == ("COMPLETED", {})
    j.at(timedelta(hours=2))
    j.start("READY")
    assert (j.status("READY"), j.counters("READY")) == ("COMPLETED", {})
    j.start("LATER", is_retry=True)
    j.run_processes()
    claimed = [fact for fact in j.all_facts() if isinstance(fact, PaymentScheduleItemClaimed)][-1]
    assert (claimed.cause, claimed.run_id, claimed.attempt_no) == ("RETRY", "LATER", 2)
    j.run_due()  # the timer of the retry itself finds that it is being made
    j.told("A", SUCCESS)
    j.run_processes()
    assert charged(j) == ["A", "A"]
    assert j.counters("LATER") == {"filtered": 1, "processed": 1, "applied": 1}
    assert j.counters() == {"filtered": 1, "failed": 1}


# -- what no gateway takes


def unroutable(j: Collection) -> list[ExceptionRaised]:
    return [fact for fact in j.all_facts() if isinstance(fact, ExceptionRaised)]


def test_a_person_hears_once_of_what_no_gateway_takes() -> None:
    j = Collection()
    [schedule] = j.owes("A", "1.00")
    item_id = next(iter(j.state_of(schedule).items))
    for n, deed in enumerate((DeactivateGateway("gw"), None, ActivateGateway("gw"))):
        if deed:
            j.when(deed).then_accepted()
        j.start(f"R{n}")
        j.run_processes()
    [case] = unroutable(j)
    assert (case.type, case.subject_id, case.amount) == ("ROUTING_UNAVAILABLE", item_id, Money(100, "USD"))
    assert "the gateway gw is INACTIVE" in case.message
    assert charged(j) == ["A"]


def test_a_gateway_that_does_not_answer_now_is_no_case_for_a_person() -> None:
    j = Collection()
    j.owes("A", "1.00")
    j.when(OpenCircuit("gw", "it is down", 3_600)).then_accepted()
    j.start()
    j.run_processes()
    assert unroutable(j) == []


# -- stopped, resumed, canceled, failed


def test_a_run_that_is_stopped_claims_nothing_more_and_goes_on_where_it_was() -> None:
    j = Collection()
    j.owes("A", "3.00", "2.00")
    j.owes("B", "1.00")
    j.start()
    j.when(StopPaymentBatchRun("R", "lunch")).then_accepted()
    j.when(StopPaymentBatchRun("R")).then_nothing()
    j.run_processes()
    assert charged(j) == []
    assert j.counters() == {"filtered": 3, "unclaimed": 3}
    j.when(ResumePaymentBatchRun("R")).then_accepted()
    j.when(ResumePaymentBatchRun("R")).then_nothing()
    j.run_processes()
    assert charged(j) == ["A", "B"]
    j.when(StopPaymentBatchRun("R")).then_accepted()
    j.told("A", SUCCESS)
    j.told("B", SUCCESS)
    j.run_processes()
    assert j.counters() == {"filtered": 3, "processed": 2, "applied": 2, "unclaimed": 1}
    assert j.status() == "STOPPED"
    j.when(ResumePaymentBatchRun("R")).then_accepted()
    j.run_processes()
    j.told("A", SUCCESS)
    j.run_processes()
    assert (j.status(), charged(j)) == ("COMPLETED", ["A", "B", "A"])


def test_a_run_that_is_canceled_is_over_and_what_comes_late_is_told() -> None:
    j = Collection()
    j.owes("A", "3.00", "2.00")
    j.start()
    j.run_processes()
    j.when(CancelPaymentBatchRun("R", "the wrong day")).then_accepted()
    j.when(CancelPaymentBatchRun("R")).then_nothing()
    j.told("A", SUCCESS)
    j.run_processes()
    assert (j.status(), charged(j)) == ("CANCELED", ["A"])
    assert j.counters() == {"filtered": 2, "processed": 1, "applied": 1, "skipped": 1}
    j.when(ResumePaymentBatchRun("R")).then_rejected("INVALID_STATE")
    j.start("NEXT")
    j.run_processes()
    assert charged(j) == ["A", "A"]


def test_a_run_whose_items_could_not_be_selected_is_resumed() -> None:
    j = Collection()
    j.owes("A", "3.00")
    j.when(j.starting("R")).then_accepted()
    j.when(FailPaymentBatchRun("R", "READ_MODEL_BEHIND", "not there yet")).then_accepted()
    j.when(FailPaymentBatchRun("R", "READ_MODEL_BEHIND", "not there yet")).then_nothing()
    assert j.status() == "FAILED"
    j.when(ResumePaymentBatchRun("R")).then_accepted()
    assert j.status() == "NEW"
    j.select()
    j.run_processes()
    assert charged(j) == ["A"]


def test_a_run_that_does_not_move_any_more_ends_and_says_what_was_not_reached() -> None:
    """What is claimed is not known; what was never answered, as behind a parked command, was not reached."""
    j = Collection()
    j.owes("A", "3.00")
    j.owes("B", "2.00")
    j.start()
    sent = j.run_processes_but(lambda send: send.account_id == "B")
    assert charged(j) == ["A"]
    for _ in range(2):
        j.at(CHECK_EVERY)
        j.run_due()
        j.run_processes()
    assert j.status() == "COMPLETED"
    assert j.counters() == {"filtered": 2, "unknown": 1, "skipped": 1}
    assert j.outcomes()["B"] == ("SKIPPED", "NOT_REACHED")
    for send in sent:  # it comes after all: the run is over, and the item is left to the next
        j.when(send.command, account="B", key=send.key).then_accepted()
    assert charged(j) == ["A"]
    j.told("A", SUCCESS)
    j.run_processes()
    assert j.counters() == {"filtered": 2, "processed": 1, "applied": 1, "skipped": 1}


def test_a_check_of_another_time_says_nothing() -> None:
    j = Collection()
    j.owes("A", "3.00")
    j.start()
    j.when(CheckPaymentBatchRun("R", 1, 2)).then_nothing()
    j.when(CheckPaymentBatchRun("R", 2, 1)).then_nothing()
    j.when(CheckPaymentBatchRun("R", 1, 1)).then_accepted()


# -- the count


ITEM = RunItem("i", "S", "A", "PSI-1", Money(100, "USD"), 1, "gw")
OUTCOMES = (
    *("UNCLAIMED", "QUEUED", "CLAIMED", "UNKNOWN", "PROCESSED", "APPLIED", "APPLY_FAILED"),
    *("FAILED", "CANCELED", "SKIPPED"),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(OUTCOMES)), max_size=20))
def test_the_counters_add_up_whatever_comes(moves: list[tuple[int, str]]) -> None:
    tally = RunTally(filtered=4, money={"USD": (400, 0, 0)}, unclaimed={(1, "gw"): 4}, sent={"gw": 4})
    known = [Known("UNCLAIMED")] * 4
    for item, outcome in moves:
        collected = 100 if outcome in ("PROCESSED", "APPLIED", "APPLY_FAILED") else 0
        now = Known(outcome, collected, 100 if outcome == "APPLIED" else 0, "WHY", "C", "gw")
        recount = Recount(tally)
        recount.move(ITEM, 1, known[item], now)
        known[item] = now
        tallies.evolve(tally, recount.counted("R"))
        _check(tally, known)


def _check(tally: RunTally, known: list[Known]) -> None:
    told = counters(report(tally))
    parts = ("processed", "failed", "canceled", "skipped", "unknown", "unclaimed")
    assert told["filtered"] == 4 == sum(told[name] for name in parts)
    assert told["processed"] == told["applied"] + told["apply_failed"] + told["awaiting_application"]
    assert tally.money["USD"] == (400, sum(k.collected for k in known), sum(k.applied for k in known))
    assert tally.left == sum(k.outcome in ("UNCLAIMED", "QUEUED") for k in known)
    reasons = sum(each.count for each in report(tally).reasons)
    assert reasons == told["skipped"] + told["canceled"]
    assert sum(each.count for each in report(tally).failures) == told["failed"]


def test_a_gateway_with_much_on_its_way_holds_up_no_other() -> None:
    slow = {(page, "slow"): None for page in range(1, 9)}
    tally = RunTally(
        unclaimed={**dict.fromkeys(slow, 500), (9, "quick"): 500}, waiting={**slow, (9, "quick"): None}
    )
    first = releasable(tally)
    assert first == (*(RunLane(page, "slow", 500) for page in range(1, 5)), RunLane(9, "quick", 500))
    assert sum(lane.count for lane in first if lane.gateway_id == "slow") == LANE_OPEN_MAX
    tallies.evolve(tally, PaymentBatchRunItemsReleased("R", 1, first))
    assert releasable(tally) == ()
    tally.sent["slow"] -= 1
    assert releasable(tally) == (RunLane(5, "slow", 500),)


def test_results_of_one_run_travel_together() -> None:
    def told(item: str, version: int, outcome: str, **more: Any) -> Send:
        result = ItemResult(item, 1, version, outcome, NOW, **more)
        return Send(RecordRunItemResults("R", (result,)), "~run/R", f"{item}-{version}")

    other = Send(StopPaymentBatchRun("R"), "~run/R", "stop")
    sends = [told("i", 1, "CLAIMED", claimed_at=NOW), other, told("k", 4, "QUEUED"), told("i", 2, "APPLIED")]
    first, together = merge(sends)
    assert first == other
    assert isinstance(together.command, RecordRunItemResults)
    found = [(each.item_id, each.outcome, each.claimed_at) for each in together.command.results]
    assert found == [("k", "QUEUED", None), ("i", "APPLIED", NOW)]
    assert [each.key for each in merge(sends)] == ["stop", together.key]


def test_older_news_undoes_nothing() -> None:
    j = Collection()
    [schedule] = j.owes("A", "3.00")
    j.start()
    j.run_processes()
    j.told("A", SUCCESS)
    j.run_processes()
    item_id = next(iter(j.state_of(schedule).items))
    j.when(RecordRunItemResults("R", (ItemResult(item_id, 1, 2, "CLAIMED", NOW),))).then_nothing()
    j.when(RecordRunItemResults("R", (ItemResult("stranger", 1, 9, "CLAIMED", NOW),))).then_nothing()
    [completed] = [fact for fact in j.all_facts() if isinstance(fact, PaymentBatchRunCompleted)]
    assert isinstance(completed.report, RunReport)
    assert j.state(PaymentBatchRun, "R").status == "COMPLETED"
