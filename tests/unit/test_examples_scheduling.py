"""Worked examples: how what is owed becomes payments to come."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from events.schedule import PaymentScheduleCreated, PromiseBroken, PromiseKept
from events.schedule_policy import Detail, Distribution
from services.accounts.method_choice import SetDefaultPaymentMethod
from services.accounts.payment_method import SavedMethod
from services.invoices.invoice import Invoice
from services.invoices.posting import Term
from services.payments.payment import Payment
from services.payments.returning import RecordPaymentReturn
from services.schedules.collecting import CollectScheduleItem
from services.schedules.dates import Terms, planned
from services.schedules.policy import (
    ActivateSchedulePolicy,
    AddTreatment,
    AddTreatmentDetail,
    CreateSchedulePolicy,
    SchedulePolicies,
    SchedulePolicy,
    SetDefaultSchedulePolicy,
)
from services.schedules.promise import Promise
from services.schedules.promising import Part, RecordPromise
from services.schedules.schedule import Item, PaymentSchedule
from tests.journey import SOFT, SUCCESS, Journey, line, money


def collecting(**settings: Any) -> Journey:
    """A tenant that collects by schedules; its account pays by default with card A."""
    journey = Journey(create_payment_schedules=True, **settings)
    journey.when(SetDefaultPaymentMethod(journey.card_a)).then_accepted()
    return journey


def items(journey: Journey, schedule_id: str | None = None) -> list[Item]:
    schedule = journey.state(PaymentSchedule, schedule_id or journey.last_id(PaymentSchedule))
    return list(schedule.items.values())


def planned_items(journey: Journey) -> list[tuple[int, date, str]]:
    return [
        (item.requested, item.plan.target_processing_date, item.status)
        for id in journey.ids(PaymentSchedule)
        for item in items(journey, id)
    ]


def collect(journey: Journey, index: int = 0, **more: Any) -> str:
    """Collect an item of the newest schedule; the payment's id."""
    id = journey.last_id(PaymentSchedule)
    journey.when(CollectScheduleItem(id, items(journey, id)[index].plan.item_id, **more)).then_accepted()
    return items(journey, id)[index].payment_id or ""


def own_policy(journey: Journey, grouping: str = "INVOICE", window: int = 0, **detail: Any) -> None:
    journey.when(CreateSchedulePolicy("own", "Own")).then_accepted()
    journey.when(
        AddTreatment("own", "t", "T", grouping=grouping, due_date_window_days=window)  # type: ignore[arg-type]
    ).then_accepted()
    journey.when(AddTreatmentDetail("own", "t", "d", **detail)).then_accepted()
    journey.when(ActivateSchedulePolicy("own")).then_accepted()
    journey.when(SetDefaultSchedulePolicy("own")).then_accepted()


# -- one invoice


def test_one_item_for_the_whole_on_the_due_date() -> None:
    journey = collecting().at(datetime(2026, 3, 5, 9, tzinfo=UTC))
    journey.post("INV-3", line("1", "240.00"), payment_term=Term("PERIOD_BASED", 20))

    schedule = journey.state(PaymentSchedule, journey.last_id(PaymentSchedule))
    assert (schedule.total_requested, schedule.status) == (24000, "OPEN")
    assert planned_items(journey) == [(24000, date(2026, 3, 25), "READY")]
    assert journey.state(Invoice, schedule.reference_id).schedule_ids == {schedule.payment_schedule_id}


@pytest.mark.parametrize(
    ("term", "offset", "target"),
    [
        (Term("PERIOD_BASED", 20), -7, date(2026, 3, 18)),
        (Term("EOM_PLUS_X", 0), 0, date(2026, 3, 31)),
        (Term("EOM_PLUS_X", 10), 0, date(2026, 4, 10)),
        (Term("PERIOD_BASED", 20), -40, date(2026, 3, 5)),  # never before the posting
    ],
)
def test_offsets_and_month_ends(term: Term, offset: int, target: date) -> None:
    journey = collecting().at(datetime(2026, 3, 5, 9, tzinfo=UTC))
    own_policy(journey, date_offset_days=offset)
    journey.post("INV-3", line("1", "240.00"), payment_term=term)
    assert planned_items(journey) == [(24000, target, "READY")]


# -- several invoices


def grouped(**settings: Any) -> Journey:
    journey = collecting(**settings).at(datetime(2026, 4, 1, 9, tzinfo=UTC))
    own_policy(journey, "ACCOUNT", 30)
    for name, amount, due in (("A", "500", 5), ("B", "100", 20), ("C", "400", 39)):
        journey.post(name, line("1", amount), payment_term=Term("PERIOD_BASED", due))
    journey.run_processes()
    return journey


def test_invoices_due_within_the_window_are_one_payment() -> None:
    journey = grouped()
    assert journey.ids(PaymentSchedule) == []  # they wait for the end of the day
    journey.at(datetime(2026, 4, 1, 23, tzinfo=UTC)).run_due()
    assert planned_items(journey) == [
        (60000, date(2026, 4, 6), "READY"),
        (40000, date(2026, 5, 10), "READY"),
    ]

    first = journey.ids(PaymentSchedule)[0]
    [item] = items(journey, first)
    journey.at(datetime(2026, 4, 6, 9, tzinfo=UTC))
    journey.when(CollectScheduleItem(first, item.plan.item_id)).then_accepted()
    payment = journey.ids(Payment)[-1]
    journey.settle(payment, SUCCESS).then_accepted()
    assert journey.payment(payment)["applied"] == "600.00"
    for invoice in journey.ids(Invoice)[:2]:
        assert journey.balances(invoice)["status"] == "SETTLED"
        assert journey.state(Invoice, invoice).schedule_ids == set()
    assert journey.state(PaymentSchedule, first).status == "COMPLETED"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("REDUCE_ITEM", (57000, "READY")), ("CANCEL_ITEM", (60000, "CANCELED"))],
)
def test_what_an_invoice_owes_less_its_item_follows(policy: str, expected: tuple[int, str]) -> None:
    journey = grouped(reduced_balance_policy=policy).at(datetime(2026, 4, 1, 23, tzinfo=UTC))
    journey.run_due()
    journey.at(datetime(2026, 4, 3, 9, tzinfo=UTC))
    journey.cheque("P-30", "30.00", journey.ids(Invoice)[1])
    journey.run_processes()

    item = items(journey, journey.ids(PaymentSchedule)[0])[0]
    assert (item.requested, item.status) == expected
    raised = [fact.type for fact in journey.all_facts() if type(fact).__name__ == "ExceptionRaised"]
    assert raised == (["ITEM_CANCELED"] if policy == "CANCEL_ITEM" else [])


# -- instalments

THREE = Distribution("EQUAL_INSTALLMENTS", count=3, anchor="MONTH_END")
ENDS = [date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)]
JANUARY = Terms(date(2026, 1, 31), date(2026, 1, 31), date(2026, 1, 31))


@pytest.mark.parametrize(
    ("total", "currency", "expected"),
    [
        (10000, "USD", [3333, 3333, 3334]),
        (10000, "JPY", [3333, 3333, 3334]),
        (10000, "KWD", [3333, 3333, 3334]),
    ],
)
def test_instalments_at_month_ends(total: int, currency: str, expected: list[int]) -> None:
    parts = planned(total, currency, [Detail("d", "100", distribution=THREE)], JANUARY)
    assert [(part.amount, part.day) for part in parts] == list(zip(expected, ENDS, strict=True))


def test_percentages_and_cents_that_are_too_few() -> None:
    details = [Detail("a", "50"), Detail("b", "30"), Detail("c", "20")]
    assert [part.amount for part in planned(9999, "USD", details, JANUARY)] == [4999, 2999, 2001]
    few = planned(2, "USD", [Detail("d", "100", distribution=THREE)], JANUARY)
    assert [part.amount for part in few] == [2]


def test_instalments_of_an_invoice_are_items_of_one_schedule() -> None:
    from services.schedules.policy import Cut

    journey = collecting().at(datetime(2026, 1, 31, 9, tzinfo=UTC))
    own_policy(journey, distribution=Cut("EQUAL_INSTALLMENTS", count=3, anchor="MONTH_END"))
    journey.post("I", line("1", "100.00"), payment_term=Term("PERIOD_BASED", 0))
    assert planned_items(journey) == [
        (3333, ENDS[0], "READY"),
        (3333, ENDS[1], "READY"),
        (3334, ENDS[2], "READY"),
    ]
    created = next(fact for fact in journey.all_facts() if isinstance(fact, PaymentScheduleCreated))
    policy = journey.state(SchedulePolicy, "own")
    assert (created.policy_id, created.policy_version) == ("own", policy.version)
    assert journey.state(SchedulePolicies, "t").default_policy_id == "own"


# -- promises


def promised(journey: Journey, *parts: tuple[str, date]) -> Journey:
    invoice = journey.post("OVERDUE", line("1", "1000.00"))
    given = tuple(Part(money(amount), day) for amount, day in parts)
    return journey.when(RecordPromise(invoice, given, "promise-1"))  # type: ignore[return-value]


def test_a_promise_is_a_schedule_with_its_parts() -> None:
    journey = Journey()
    journey.when(SetDefaultPaymentMethod(journey.card_a)).then_accepted()
    promised(
        journey, ("400", date(2026, 6, 5)), ("300", date(2026, 6, 20)), ("300", date(2026, 7, 5))
    ).then_accepted()
    assert planned_items(journey) == [
        (40000, date(2026, 6, 5), "READY"),
        (30000, date(2026, 6, 20), "READY"),
        (30000, date(2026, 7, 5), "READY"),
    ]
    journey.settle(collect(journey, 0), SOFT)
    assert journey.state(Promise, "promise-1").status == "BROKEN"
    assert PromiseBroken in [type(fact) for _, _, fact in journey.facts()]
    for index in (0, 1, 2):
        journey.settle(collect(journey, index), SUCCESS)
    assert PromiseKept(money("1000")) in journey.all_facts()


def test_too_many_parts_and_too_much() -> None:
    days = [date(2026, 6, day) for day in (1, 2, 3, 4)]
    promised(Journey(), *[("100", day) for day in days]).then_rejected("PROMISE_TOO_MANY_PARTS")
    too_much = [("400", days[0]), ("400", days[1]), ("300", days[2])]
    promised(Journey(), *too_much).then_rejected("SCHEDULE_EXCEEDS_BALANCE", available=100000)


# -- collecting, and what a bank takes back


def test_an_item_is_collected_once_and_its_key_names_the_attempt() -> None:
    journey = collecting()
    journey.post("I", line("1", "40.00"))
    payment = collect(journey)
    schedule = journey.last_id(PaymentSchedule)
    item = items(journey)[0].plan.item_id
    assert journey.state(Payment, payment).operation_key == f"t:sale:{item}:1"
    journey.when(CollectScheduleItem(schedule, item)).then_rejected("ITEM_ALREADY_CLAIMED")
    journey.settle(payment, SOFT)
    assert items(journey)[0].status == "FAILED"
    journey.when(CollectScheduleItem(schedule, item, "RETRY", attempt_no=1)).then_nothing()
    again = collect(journey, cause="NOW", attempt_no=2)
    assert journey.state(Payment, again).operation_key == f"t:sale:{item}:2"
    journey.settle(again, SUCCESS)
    assert items(journey)[0].status == "APPLIED"
    assert journey.state(PaymentSchedule, schedule).status == "COMPLETED"


def test_a_return_makes_the_item_fail_with_the_banks_code() -> None:
    journey = collecting()
    invoice = journey.post("I", line("1", "250.00"))
    payment = collect(journey)
    journey.settle(payment, SUCCESS)
    assert journey.balances(invoice)["balance"] == "0.00"
    journey.at(timedelta(days=3))
    returned = RecordPaymentReturn(payment, "R01", "NOTIFICATION", journey.time, category="CardLimit")
    journey.when(returned).then_accepted()
    [item] = items(journey)
    assert (item.status, item.processed, item.applied) == ("FAILED", 0, 0)
    assert journey.balances(invoice)["balance"] == "250.00"
    assert journey.state(PaymentSchedule, journey.last_id(PaymentSchedule)).status == "OPEN"
    assert journey.state(Invoice, invoice).schedule_ids
    journey.settle(collect(journey), SUCCESS)
    assert journey.balances(invoice)["balance"] == "0.00"
    assert journey.state(SavedMethod, journey.card_a).status == "ACTIVE"
